"""Names of tables and columns as BigQuery takes them, and back.

A resource's id is a table's name as it is. What BigQuery refuses in other names is written so that
it can be read again: `_` as `__`, any other letter as its code point between two `_`.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping

from ...model.table import ID, Table

STAGING_PREFIX = "_staged_"
"""Begins the names of tables that live for one write; no encoded name begins so."""

_PLAIN = re.compile(r"[A-Za-z0-9\-]")
_ENCODED = re.compile(r"_([0-9a-f]*)_")
_RESERVED_COLUMNS = (
    "_TABLE_",
    "_FILE_",
    "_PARTITION",
    "_ROW_TIMESTAMP",
    "__ROOT__",
    "_COLIDENTIFIER",
    "_CHANGE_",
)
_COLUMN_LENGTH = 300


def table_id(name: str) -> str:
    """BigQuery's name of a table or alias."""
    return "".join(
        letter if _PLAIN.match(letter) else "__" if letter == "_" else f"_{ord(letter):x}_"
        for letter in name
    )


def table_name(encoded: str) -> str:
    """The name that `table_id` wrote."""
    return _ENCODED.sub(lambda code: chr(int(code[1], 16)) if code[1] else "_", encoded)


def name_columns(
    table: Table, known: Mapping[str, str] | None = None, taken: Collection[str] = ()
) -> dict[str, str]:
    """Field ids to the names of their columns: letters and digits of ASCII, and `_`.

    BigQuery does not tell `Name` from `name`, and refuses some names and letters: what is left of
    an id gets a number behind it where that is taken. Most ids are mapped to themselves.

    :param known: names of columns that are there already; they stay
    :param taken: further columns of the table in BigQuery, which may be nobody's
    """
    columns = {ID: ID}
    columns.update((name, stored) for name, stored in (known or {}).items() if name in table.types)
    used = {stored.lower() for stored in (*columns.values(), *taken)}
    for field in table.fields:
        if field.id in columns:
            continue
        base = re.sub(r"[^A-Za-z0-9_]", "_", field.id)[: _COLUMN_LENGTH - 10]
        if not re.match(r"[A-Za-z_]", base) or base.upper().startswith(_RESERVED_COLUMNS):
            base = f"c_{base}"
        name, number = base, 1
        while name.lower() in used:
            number += 1
            name = f"{base}_{number}"
        used.add(name.lower())
        columns[field.id] = name
    return columns
