"""A request's records, made ready to write: checked, brought together by key, and typed."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from ..model.errors import InvalidRequest
from ..model.table import ID, Table
from ..model.write import Rows, WriteMode
from .ingest import ID_FIELD, ingest

Record = Mapping[str, Any]


def rows_to_write(records: Sequence[Any], table: Table, mode: WriteMode) -> tuple[Rows, ...]:
    """The rows of a request, in statements that can be run one after the other.

    :raises InvalidRequest: a record that is not an object, fields that are not the table's, a key
        that is missing, a value that does not fit (`InvalidRecord`)
    """
    _check_objects(records)
    if mode is WriteMode.INSERT:
        _refuse_extra_keys(records, table)
        return (Rows(ingest(records, table.fields), (), tuple(range(len(records)))),)
    _check_keys(records, table)
    rows: list[Rows] = []
    numbered = enumerate(records)
    for by_id, run in itertools.groupby(numbered, key=lambda each: ID in each[1]):
        key = (ID,) if by_id else table.primary_key
        rows += _keyed_rows(list(run), key, table)
    return tuple(rows)


@dataclasses.dataclass(frozen=True)
class Run:
    """Neighbouring records that set the same fields and find their rows by the same key.

    :param start: position of the first in the request, from 0
    :param stop: position behind the last
    :param fields: what they set, without `_id`
    :param key: as in `Rows`
    """

    start: int
    stop: int
    fields: tuple[str, ...]
    key: tuple[str, ...] = ()


def rows_in_order(
    records: Sequence[Any], table: Table, mode: WriteMode
) -> tuple[pa.Table, tuple[Run, ...]]:
    """The records of a request as they stand, a row each, and how to write them in turn.

    For who must see every record, also of those that share a key.

    :raises InvalidRequest: as `rows_to_write`
    """
    _check_objects(records)
    if mode is WriteMode.INSERT:
        _refuse_extra_keys(records, table)
        return ingest(records, table.fields), (Run(0, len(records), table.field_ids),)
    _check_keys(records, table)
    named: set[str] = set().union(*records)
    used = [field for field in (ID_FIELD, *table.fields) if field.id in named]
    runs: list[Run] = []
    for names, run in itertools.groupby(records, key=frozenset):
        start = runs[-1].stop if runs else 0
        fields = tuple(name for name in table.field_ids if name in names)
        key = (ID,) if ID in names else table.primary_key
        runs.append(Run(start, start + sum(1 for _ in run), fields, key))
    return ingest(records, used), tuple(runs)


def _check_objects(records: Sequence[Any]) -> None:
    if isinstance(records, list) and set(map(type, records)) <= {dict}:
        return
    for position, record in enumerate(records):
        if not isinstance(record, Mapping):
            raise InvalidRequest("records", f'row "{position}" is not a json object')


def _refuse_extra_keys(records: Sequence[Record], table: Table) -> None:
    known = set(table.field_ids)
    if set().union(*records) <= known:
        return
    for number, record in enumerate(records, 1):
        extra = [name for name in record if name not in known]
        if extra:
            raise InvalidRequest("records", f'row "{number}" has extra keys "{", ".join(extra)}"')


def _check_keys(records: Sequence[Record], table: Table) -> None:
    """Every record names the row it is for, and nothing that is not a field."""
    known = {ID, *table.field_ids}
    key = set(table.primary_key)
    for position, record in enumerate(records):
        where = {"info": {"row": position}}
        if ID not in record:
            if not key:
                raise InvalidRequest("table", "unique key must be passed for update/upsert", where)
            if not key <= record.keys():
                missing = ", ".join(name for name in table.primary_key if name not in record)
                raise InvalidRequest(
                    "key", f'fields "{missing}" are missing but needed as key', where
                )
        if not record.keys() <= known:
            unknown = ", ".join(name for name in record if name not in known)
            raise InvalidRequest("fields", f'fields "{unknown}" do not exist', where)


def _keyed_rows(
    numbered: list[tuple[int, Record]], key: tuple[str, ...], table: Table
) -> list[Rows]:
    """Rows of one kind of key: no two of a key, those that set the same fields together."""
    fields = {ID: ID_FIELD, **{field.id: field for field in table.fields}}
    positions = [position for position, _ in numbered]
    records = [record for _, record in numbered]
    keys = ingest(records, [fields[name] for name in key], positions=positions)
    values = list(zip(*(_comparable(each) for each in keys.columns), strict=True))
    if len(set(values)) < len(values):
        # The last word on each field counts, but a wrong value is wrong even if overwritten.
        ingest(records, [fields[name] for name in fields if name != ID], positions=positions)
        records, positions = _merged(records, positions, values)

    groups: dict[frozenset[str], list[int]] = {}
    for index, record in enumerate(records):
        groups.setdefault(frozenset(record), []).append(index)
    rows = []
    for names, indexes in groups.items():
        used = [field for name, field in fields.items() if name in names]
        part = [records[index] for index in indexes]
        places = tuple(positions[index] for index in indexes)
        rows.append(Rows(ingest(part, used, positions=places), key, places))
    return rows


def _comparable(key: pa.ChunkedArray) -> list[Any]:
    """Values of a key column. To PostgreSQL one NaN is like the other, to Python only itself."""
    values = key.to_pylist()
    if not pa.types.is_floating(key.type):
        return values
    return [math.nan if value != value else value for value in values]


def _merged(
    records: Sequence[Record], positions: Sequence[int], keys: Sequence[tuple[Any, ...]]
) -> tuple[list[Record], list[int]]:
    """Records of one key as one, later fields over earlier ones; null is no key."""
    merged: dict[Any, tuple[int, Record]] = {}
    for number, (record, position, key) in enumerate(zip(records, positions, keys, strict=True)):
        name = (number,) if None in key else ("key", *key)
        before = merged.get(name)
        merged[name] = (position, {**before[1], **record} if before else record)
    return [record for _, record in merged.values()], [place for place, _ in merged.values()]
