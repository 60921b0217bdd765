"""What a `datastore_create` request makes of a table: its fields, keys, aliases and dictionary.

Pure: a request and the table as it was go in, the table as it shall be comes out. The checks, their
order and their words are those of `create_table`, `alter_table` and `create_indexes` in CKAN's
`ckanext/datastore/backend/postgres.py`, since consumers match on them.
"""

from __future__ import annotations

import dataclasses
import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any

from .model.errors import InvalidRequest
from .model.table import Field, Table
from .model.types import NESTED, UnknownType, canonical, guess

NAME_LENGTH = 63
"""Longest name of a field, as PostgreSQL has it."""


@dataclasses.dataclass(frozen=True)
class Request:
    """The parts of a request that shape a table; None where a part was not sent.

    :param fields: as sent, each a mapping with `id` and perhaps `type` and `info`
    :param plugin_data: position of a field in `fields` to what plugins keep with it
    :param records: the rows that come with it; the first one tells of fields not declared
    """

    fields: Sequence[Mapping[str, Any]] = ()
    plugin_data: Mapping[int, Mapping[str, Any]] = dataclasses.field(default_factory=dict)
    delete_fields: bool = False
    records: Sequence[Any] = ()
    primary_key: Sequence[str] | None = None
    indexes: Sequence[Any] | None = None
    aliases: Sequence[str] | None = None
    triggers: Sequence[str] | None = None


def new_table(name: str, request: Request) -> Table:
    """The table that a request asks for where there is none.

    :raises InvalidRequest:
    """
    _check_fields(request.fields)
    ids = [field["id"] for field in request.fields]
    too_long = [
        f'Column heading "{each}" exceeds limit of {NAME_LENGTH} characters.'
        for each in ids
        if len(each) > NAME_LENGTH
    ]
    if too_long:
        raise InvalidRequest("fields", too_long)
    fields = [
        _described(Field(field["id"], _type_of(field, request.records)), field, position, request)
        for position, field in enumerate(request.fields)
    ]
    if len(set(ids)) != len(ids):
        raise InvalidRequest("field", "Duplicate column names are not supported")
    fields += _fields_of_first_record(request.records, set(ids))
    return _keyed(Table(name, tuple(fields)), request)


def altered_table(before: Table, request: Request) -> Table:
    """The table that a request makes of one that is there.

    :raises InvalidRequest:
    """
    _check_fields(request.fields)
    current = {field.id: field for field in before.fields}
    sent = request.fields or [{"id": field.id, "type": field.type} for field in before.fields]
    sent_ids = {field["id"] for field in sent}
    added = [
        Field(field["id"], _type_of(field, request.records))
        for field in sent
        if field["id"] not in current
    ]
    if request.records:
        if not isinstance(request.records, list):
            raise InvalidRequest("records", "Records has to be a list of dicts")
        added += [
            field
            for field in _fields_of_first_record(request.records, sent_ids)
            if field.id not in current
        ]
    names = [field.id for field in added]
    if len(set(names)) != len(names):
        raise InvalidRequest("field", "Duplicate column names are not supported")
    fields = {field.id: field for field in (*before.fields, *added)}
    for position, field in enumerate(sent):
        fields[field["id"]] = _described(fields[field["id"]], field, position, request)
    if request.delete_fields:
        kept = sent_ids | set(names)
        fields = {name: field for name, field in fields.items() if name in kept}
    table = dataclasses.replace(before, fields=tuple(fields.values()))
    if set(table.primary_key) - set(fields):
        table = dataclasses.replace(table, primary_key=())
    table = dataclasses.replace(
        table, indexes=tuple(index for index in table.indexes if set(index) <= set(fields))
    )
    return _keyed(table, request)


def is_valid_field_name(name: str) -> bool:
    """CKAN's rule: no blanks at the ends, no leading underscore, no `"`, no control characters."""
    return bool(
        name
        and name == name.strip()
        and not name.startswith("_")
        and '"' not in name
        and not any(unicodedata.category(letter).startswith("C") for letter in name)
    )


def _check_fields(fields: Sequence[Mapping[str, Any]]) -> None:
    for field in fields:
        if field.get("type"):
            try:
                canonical(field["type"])
            except (UnknownType, AttributeError):
                raise InvalidRequest(
                    "fields", f'"{field["type"]}" is not a valid field type'
                ) from None
        if not is_valid_field_name(field["id"]):
            raise InvalidRequest("fields", f'"{field["id"]}" is not a valid field name')


def _type_of(field: Mapping[str, Any], records: Sequence[Any]) -> str:
    if "type" in field:
        # The stock backend keeps a field declared `json` in a type that takes any JSON value.
        return NESTED if field["type"] == "json" else canonical(field["type"])
    if not records or field["id"] not in records[0]:
        raise InvalidRequest("fields", f'"{field["id"]}" type not guessable')
    return canonical(guess(records[0][field["id"]]))


def _described(field: Field, sent: Mapping[str, Any], position: int, request: Request) -> Field:
    """The field with the data dictionary entry that came with it."""
    info, plugin_data = field.info, dict(field.plugin_data)
    if isinstance(sent.get("info"), dict):
        info = sent["info"]
    plugin_data.update(request.plugin_data.get(position, {}))
    return dataclasses.replace(field, info=info, plugin_data=plugin_data)


def _fields_of_first_record(records: Sequence[Any], known: set[str]) -> list[Field]:
    """Fields that only the first record names; their types are guessed from its values."""
    if not records:
        return []
    if not isinstance(records[0], dict):
        raise InvalidRequest("records", "The first row is not a json object")
    fields = []
    for name, value in records[0].items():
        if name in known:
            continue
        if not is_valid_field_name(name):
            raise InvalidRequest("fields", f'"{name}" is not a valid field name')
        fields.append(Field(name, canonical(guess(value))))
    return fields


def _keyed(table: Table, request: Request) -> Table:
    """The table with the keys, indexes, aliases and triggers that were sent; the rest as it was."""
    changes: dict[str, Any] = {}
    if request.primary_key is not None:
        _check_columns(table, request.primary_key, request.primary_key)
        changes["primary_key"] = tuple(request.primary_key)
    if request.indexes is not None:
        indexes = [[index] if isinstance(index, str) else index for index in request.indexes]
        for sent, index in zip(request.indexes, indexes, strict=True):
            _check_columns(table, index, sent)
        changes["indexes"] = tuple(tuple(index) for index in indexes if index)
    if request.aliases is not None:
        for position, alias in enumerate(request.aliases):
            # Engines do not tell names apart by case.
            if alias.lower() in map(str.lower, request.aliases[:position]):
                raise InvalidRequest("alias", f'The alias "{alias}" already exists.')
        changes["aliases"] = tuple(request.aliases)
    if request.triggers is not None:
        changes["triggers"] = tuple(request.triggers)
    return dataclasses.replace(table, **changes)


def _check_columns(table: Table, names: Sequence[str], sent: Any) -> None:
    if not set(names) <= set(table.field_ids):
        raise InvalidRequest("index", f'The field "{sent}" is not a valid column name.')
