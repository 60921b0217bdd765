"""A table's definition as the JSON text that an engine keeps with the table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from .table import ID, Field, Table

FORMAT = 1
"""Version of the JSON."""


def to_json(
    table: Table,
    columns: Mapping[str, str],
    of_columns: Mapping[str, Mapping[str, Any]] | None = None,
    beside: Mapping[str, Any] | None = None,
) -> bytes:
    """The text that `from_json` reads.

    :param columns: field ids to stored names
    :param of_columns: what else the engine keeps of columns, by their stored names
    :param beside: what else it keeps of the table
    """
    return msgspec.json.encode(
        {
            "v": FORMAT,
            **(beside or {}),
            "fields": [
                {
                    "id": field.id,
                    "type": field.type,
                    **({"column": columns[field.id]} if columns[field.id] != field.id else {}),
                    **(of_columns or {}).get(columns[field.id], {}),
                    **({"info": field.info} if field.info is not None else {}),
                    **({"plugin_data": field.plugin_data} if field.plugin_data else {}),
                }
                for field in table.fields
            ],
            "primary_key": table.primary_key,
            "indexes": table.indexes,
            "triggers": table.triggers,
            "aliases": table.aliases,
        }
    )


def from_json(name: str, text: str | bytes) -> tuple[Table, dict[str, str], dict[str, Any]]:
    """The table, its field ids' (and `_id`'s) stored names, and all of the text's content."""
    content: dict[str, Any] = msgspec.json.decode(text)
    fields = content["fields"]
    columns = {ID: ID, **{field["id"]: field.get("column", field["id"]) for field in fields}}
    table = Table(
        name=name,
        fields=tuple(
            Field(field["id"], field["type"], field.get("info"), field.get("plugin_data", {}))
            for field in fields
        ),
        primary_key=tuple(content["primary_key"]),
        indexes=tuple(tuple(index) for index in content["indexes"]),
        triggers=tuple(content["triggers"]),
        aliases=tuple(content["aliases"]),
    )
    return table, columns, content
