"""Tables as the API sees them: fields in order, keys, aliases, the data dictionary."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

ID = "_id"
"""The column that every table has: an int64, given out in order, never twice while it lives."""


@dataclasses.dataclass(frozen=True)
class Field:
    """One column that a user declared (never `_id`).

    :param id: the column's name, as declared
    :param type: the API's type name as PostgreSQL's catalogue spells it (`int4`, `_text`, `nested`)
    :param info: the data dictionary entry, as a user wrote it
    :param plugin_data: what `IDataDictionaryForm` plugins keep with the field
    """

    id: str
    type: str
    info: Mapping[str, Any] | None = None
    plugin_data: Mapping[str, Any] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Table:
    """One DataStore resource.

    :param name: the resource's id
    :param primary_key: fields that identify a row, in the order given; empty for none
    :param indexes: fields of each index that was asked for (kept, not built: no engine needs them)
    :param triggers: names of the trigger functions, in firing order
    :param aliases: further read-only names
    """

    name: str
    fields: tuple[Field, ...]
    primary_key: tuple[str, ...] = ()
    indexes: tuple[tuple[str, ...], ...] = ()
    triggers: tuple[str, ...] = ()
    aliases: tuple[str, ...] = ()

    @property
    def field_ids(self) -> tuple[str, ...]:
        return tuple(field.id for field in self.fields)

    @property
    def types(self) -> dict[str, str]:
        """Field ids to type names, `_id` first."""
        return {ID: "int", **{field.id: field.type for field in self.fields}}

    def field(self, field_id: str) -> Field:
        for field in self.fields:
            if field.id == field_id:
                return field
        raise KeyError(field_id)


@dataclasses.dataclass(frozen=True)
class TableStatistics:
    """What `datastore_info` tells of a table beside its fields; sizes in bytes."""

    row_count: int
    table_bytes: int
    index_bytes: int
    database_bytes: int
