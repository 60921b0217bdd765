"""One passing of rows through a table's triggers, in a transaction of which nothing stays.

A temporary table stands for the real one. Rows that are there already are put in first, then come
the triggers, then the writes, by the very statements of the stock backend: so PostgreSQL itself
decides which triggers fire how often, what they see as OLD and NEW, and what comes of it.
"""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Mapping, Sequence
from typing import Any

import psycopg2
import pyarrow as pa
from psycopg2 import sql

from ..model.errors import InvalidRequest
from ..model.table import ID, Table
from ..model.write import WriteMode
from ..records.batches import Run
from .carriers import Column, carried_of, carrier_type, from_csv, to_csv
from .writer import (
    INCOMING,
    OFFERED_ID,
    POSITION,
    Writer,
    carrying_column,
    fault_of,
    incoming_value,
    listed,
)

_EXISTING = sql.Identifier("existing rows")
_UNCHANGED = sql.Identifier("unchanged rows")


@dataclasses.dataclass(frozen=True)
class Passed:
    """What came out of the triggers.

    :param rows: `_id` and every field; each row that was inserted or changed, once
    :param positions: for each, the place in the request of the last record that wrote it
    """

    rows: pa.Table
    positions: tuple[int, ...]


class Passage:
    """A table's stand-in within a transaction that the caller holds and rolls back.

    :param existing: rows that are there already, `_id` and every field; None for none
    :raises InvalidRequest: a trigger function is missing, or is none
    """

    def __init__(self, cursor: Any, table: Table, existing: pa.Table | None = None) -> None:
        self._cursor = cursor
        self._table = table
        self._types = {ID: "int8", **{field.id: field.type for field in table.fields}}
        self._name = sql.Identifier("pg_temp", table.name)
        self._known_ids: set[int] = set()
        self._known_keys: set[tuple[Any, ...]] = set()
        self._create()
        if existing is not None and existing.num_rows:
            self._known_ids.update(existing.column(ID).to_pylist())
            if table.primary_key:
                self._known_keys.update(_rows_of(existing, table.primary_key))
            self._put_in(existing)
        self._create_triggers()

    def write(
        self, records: pa.Table, runs: Sequence[Run], mode: WriteMode, first_id: int
    ) -> Passed:
        """Write records as the stock backend would, one after the other.

        :param records: one row for each
        :param first_id: the first `_id` that was never given out
        :raises InvalidRequest: a trigger raised an exception; names the record
        :raises KeyNotFound: an update found no row, or its trigger let none through
        """
        offered = self._offered_ids(records, runs, first_id)
        self._known_ids.update(each for each in offered if each is not None)
        self._stage(INCOMING, {OFFERED_ID: (pa.array(offered, pa.int64()), "int8")}, records)
        if mode is WriteMode.UPSERT and any(run.key != (ID,) for run in runs):
            self._make_key_unique()
        writer = Writer(self._cursor, self._name, self._types, records, offered, mode)
        for run in runs:
            writer.write(run, run.start, run.stop)
        written = self._read_out(sql.SQL(""))
        ids = written.column(ID).to_pylist()
        places = sorted(
            (writer.places[row_id], index)
            for index, row_id in enumerate(ids)
            if row_id in writer.places
        )
        rows = written.take(pa.array([index for _, index in places], pa.int64()))
        return Passed(rows, tuple(position for position, _ in places))

    def fire(self) -> tuple[int, pa.Table]:
        """Update every row to what it is.

        :returns: how many rows the triggers let through, and those that they changed
        :raises InvalidRequest: a trigger raised an exception
        """
        self._execute(
            "CREATE TEMPORARY TABLE {} ON COMMIT DROP AS TABLE {}", _UNCHANGED, self._name
        )
        try:
            self._execute("UPDATE {} SET _id = _id", self._name)
        except psycopg2.Error as error:
            raise fault_of(error, "records") from None
        count = self._cursor.rowcount
        # As text: rows cannot be compared where they hold JSON.
        changed = sql.SQL(
            "LEFT JOIN pg_temp.{} AS _u ON _t._id = _u._id"
            " WHERE _t::text IS DISTINCT FROM _u::text ORDER BY _t._id"
        )
        return count, self._read_out(changed.format(_UNCHANGED))

    # Parts

    def _offered_ids(
        self, records: pa.Table, runs: Sequence[Run], first_id: int
    ) -> list[int | None]:
        """The `_id` that each record would get as a new row: its own, or the next.

        A record whose row is there already needs one as well, for PostgreSQL offers a new row
        before it finds the conflict. Those come last, so that new rows skip no number.
        """
        ids: list[int | None] = [None] * records.num_rows
        new: list[int] = []
        there: list[int] = []
        keys = self._known_keys.copy()
        for run in runs:
            positions = range(run.start, run.stop)
            if run.key == (ID,):
                ids[run.start : run.stop] = records.column(ID)[run.start : run.stop].to_pylist()
            elif run.key:
                part = records.slice(run.start, len(positions))
                for position, key in zip(positions, _rows_of(part, run.key), strict=True):
                    (there if key in keys else new).append(position)
                    if None not in key:
                        keys.add(key)
            else:
                new += positions
        highest = max((each for each in ids if each is not None), default=0)
        for number, position in enumerate(new + there, max(first_id, highest + 1)):
            ids[position] = number
        return ids

    def _create(self) -> None:
        # The stock backend's columns, in its order.
        columns = [sql.SQL("_id int8 PRIMARY KEY, _full_text tsvector")]
        columns += [
            sql.SQL("{} {}").format(sql.Identifier(field.id), sql.Identifier(field.type))
            for field in self._table.fields
        ]
        self._execute(
            "CREATE TEMPORARY TABLE {} ({}) ON COMMIT DROP",
            sql.Identifier(self._table.name),
            listed(columns),
        )

    def _create_triggers(self) -> None:
        try:
            for number, function in enumerate(self._table.triggers):
                self._execute(
                    "CREATE TRIGGER {} BEFORE INSERT OR UPDATE ON {}"
                    " FOR EACH ROW EXECUTE PROCEDURE {}()",
                    sql.Identifier(f"t{number:03}"),
                    self._name,
                    sql.Identifier(function),
                )
        except psycopg2.Error as error:
            raise fault_of(error, "triggers") from None

    def _make_key_unique(self) -> None:
        key = listed(map(sql.Identifier, self._table.primary_key))
        try:
            self._execute("CREATE UNIQUE INDEX ON {} ({})", self._name, key)
        except psycopg2.Error as error:
            raise fault_of(error, "records") from None

    def _put_in(self, rows: pa.Table) -> None:
        self._stage(_EXISTING, {}, rows)
        names = rows.column_names
        self._execute(
            "INSERT INTO {} ({}) SELECT {} FROM pg_temp.{} AS _i",
            self._name,
            listed(map(sql.Identifier, names)),
            listed(incoming_value(rows, name, self._types[name]) for name in names),
            _EXISTING,
        )

    def _stage(self, name: sql.Identifier, more: Mapping[str, Column], rows: pa.Table) -> None:
        """Copy rows into a table of carriers: `position`, `more`, then `v0`, `v1`, …"""
        columns: dict[str, Column] = {
            POSITION: (pa.array(range(rows.num_rows), pa.int32()), "int4"),
            **more,
            **{
                carrying_column(number): (values, self._types[field])
                for number, (field, values) in enumerate(
                    zip(rows.column_names, rows.columns, strict=True)
                )
            },
        }
        declared = listed(
            sql.SQL("{} {}").format(sql.Identifier(carrying), carrier_type(type_name))
            for carrying, (_, type_name) in columns.items()
        )
        self._execute("CREATE TEMPORARY TABLE {} ({}) ON COMMIT DROP", name, declared)
        copy = sql.SQL("COPY pg_temp.{} FROM STDIN (FORMAT csv)").format(name)
        self._cursor.copy_expert(copy, to_csv(list(columns.values())))

    def _read_out(self, which: sql.Composable) -> pa.Table:
        """The rows that are there now.

        :param which: what comes behind `FROM … AS _t`
        :raises InvalidRequest: a trigger changed an `_id`, or made a value that no engine holds
        """
        columns = listed(
            carried_of(sql.Identifier("_t", name), type_name)
            for name, type_name in self._types.items()
        )
        copy = sql.SQL("COPY (SELECT {} FROM {} AS _t {}) TO STDOUT (FORMAT csv)")
        text = io.BytesIO()
        try:
            self._cursor.copy_expert(copy.format(columns, self._name, which), text)
        except psycopg2.Error as error:
            raise fault_of(error, "records") from None
        text.seek(0)
        rows = from_csv(text, self._types)
        if not self._known_ids.issuperset(rows.column(ID).to_pylist()):
            raise InvalidRequest("records", f"A trigger function may not change {ID}.")
        return rows

    def _execute(self, statement: str, *parts: sql.Composable) -> None:
        self._cursor.execute(sql.SQL(statement).format(*parts))


def _rows_of(rows: pa.Table, names: Sequence[str]) -> list[tuple[Any, ...]]:
    columns = [rows.column(name).to_pylist() for name in names]
    return list(zip(*columns, strict=True))
