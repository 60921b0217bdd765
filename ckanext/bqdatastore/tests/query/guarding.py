"""The tables and functions that the guard's tests know."""

from __future__ import annotations

from pathlib import Path

import sqlglot.expressions as sge

from ckanext.bqdatastore.model.query import RESOURCES
from ckanext.bqdatastore.model.table import Field, Table
from ckanext.bqdatastore.query import guard

_FOLDER = Path(__file__).parents[2]
ALLOWED = frozenset((_FOLDER / "engines/ducklake/allowed_functions.txt").read_text().split())

READABLE = {
    name: Table(f"resource-of-{name}", (Field("name", "text"), Field("i4", "int4"), *more))
    for name, more in {
        "t": (Field("d", "date"), Field("n", "numeric"), Field("j", "json")),
        "u": (),
    }.items()
}
"""Tables that the caller may read; every other name is of one that they may not."""


def guarded(sql: str, row_limit: int = 10) -> guard.BoundSQL:
    """What the backend does: parse, authorize, bind."""
    parsed = guard.parse(sql)
    return guard.bind(
        parsed,
        {name: READABLE[name] for name in parsed.tables if name in READABLE},
        ALLOWED,
        row_limit,
    )


def resources(tree: sge.Expr) -> set[str]:
    """The names of the DataStore tables in a tree."""
    return {table.name for table in tree.find_all(sge.Table) if table.db == RESOURCES}
