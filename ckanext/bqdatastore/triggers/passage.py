"""One passing of rows through a table's triggers, in a transaction of which nothing stays.

A temporary table stands for the real one. Rows that are there already are put in first, then come
the triggers, then the writes, by the very statements of the stock backend: so PostgreSQL itself
decides which triggers fire how often, what they see as OLD and NEW, and what comes of it.
"""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import psycopg2
import psycopg2.errors
import pyarrow as pa
from psycopg2 import sql

from ..model.errors import (
    DatastoreFault,
    EngineUnavailable,
    InvalidRequest,
    KeyNotFound,
    QueryTimeout,
)
from ..model.table import ID, Table
from ..model.write import WriteMode
from ..records.batches import Run
from .carriers import carried_of, carrier_type, from_csv, to_csv, value_of

_Place = tuple[int, int]
"""The position of a record in the request, and the `_id` of the row that it wrote."""

_EXISTING = sql.Identifier("existing rows")
_INCOMING = sql.Identifier("incoming records")
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
        self._create()
        if existing is not None and existing.num_rows:
            self._known_ids.update(existing.column(ID).to_pylist())
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
        given = set(records.column(ID).to_pylist()) if ID in records.column_names else set()
        given.discard(None)
        first_id = max([first_id, *(each + 1 for each in given)])
        self._known_ids.update(given, range(first_id, first_id + records.num_rows))
        self._stage(_INCOMING, records)
        if mode is WriteMode.UPSERT and any(run.key != (ID,) for run in runs):
            self._make_key_unique()
        writer = _Writer(self._cursor, self._name, self._types, records, mode, first_id)
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
            "LEFT JOIN pg_temp.{} AS u ON t._id = u._id"
            " WHERE t::text IS DISTINCT FROM u::text ORDER BY t._id"
        )
        return count, self._read_out(changed.format(_UNCHANGED))

    # Parts

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
        self._stage(_EXISTING, rows)
        names = rows.column_names
        self._execute(
            "INSERT INTO {} ({}) SELECT {} FROM pg_temp.{} AS i",
            self._name,
            listed(map(sql.Identifier, names)),
            listed(_incoming(rows, name, self._types[name]) for name in names),
            _EXISTING,
        )

    def _stage(self, name: sql.Identifier, rows: pa.Table) -> None:
        """Copy rows into a table of carriers: `position`, then `v0`, `v1`, …"""
        columns = {"position": (pa.array(range(rows.num_rows), pa.int32()), "int4")}
        for number, (field, values) in enumerate(zip(rows.column_names, rows.columns, strict=True)):
            columns[f"v{number}"] = (values, self._types[field])
        declared = listed(
            sql.SQL("{} {}").format(sql.Identifier(carrying), carrier_type(type_name))
            for carrying, (_, type_name) in columns.items()
        )
        self._execute("CREATE TEMPORARY TABLE {} ({}) ON COMMIT DROP", name, declared)
        copy = sql.SQL("COPY pg_temp.{} FROM STDIN (FORMAT csv)").format(name)
        self._cursor.copy_expert(copy, to_csv(list(columns.values())))

    def _read_out(self, which: sql.Composable) -> pa.Table:
        """The rows that are there now.

        :param which: what comes behind `FROM … AS t`
        :raises InvalidRequest: a trigger changed an `_id`, or made a value that no engine holds
        """
        columns = listed(
            carried_of(sql.Identifier("t", name), type_name)
            for name, type_name in self._types.items()
        )
        copy = sql.SQL("COPY (SELECT {} FROM {} AS t {}) TO STDOUT (FORMAT csv)")
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


class _Writer:
    """Writes staged records in parts as large as can be, and finds the record to blame.

    :ivar places: `_id` of each row that was written, and the position of the record that did it
    """

    def __init__(
        self,
        cursor: Any,
        name: sql.Identifier,
        types: Mapping[str, str],
        records: pa.Table,
        mode: WriteMode,
        first_id: int,
    ) -> None:
        self.places: dict[int, int] = {}
        self._cursor = cursor
        self._name = name
        self._types = types
        self._records = records
        self._mode = mode
        self._first_id = sql.Literal(first_id)
        self._statement = {
            WriteMode.INSERT: self._insert,
            WriteMode.UPDATE: self._update,
            WriteMode.UPSERT: self._upsert,
        }[mode]

    def write(self, run: Run, start: int, stop: int) -> None:
        """Write the records from `start` to before `stop`, all of one run.

        All at once. If that fails, or not every record wrote a row of its own, then one half and
        after it the other: so in the end a record is known by its place, and none is written that
        comes behind one that fails.
        """
        alone = stop - start == 1
        part = sql.SQL("position >= {} AND position < {}").format(
            sql.Literal(start), sql.Literal(stop)
        )
        self._cursor.execute("SAVEPOINT part")
        try:
            self._cursor.execute(self._statement(run, part))
            places = _placed(self._cursor.fetchall(), start)
        except psycopg2.Error as error:
            fault = fault_of(error, "records", {"records_row": start})
            if alone or not isinstance(fault, InvalidRequest):
                raise fault from None
            places = None
        if places is not None and (alone or self._all_there(places, stop - start)):
            self._cursor.execute("RELEASE SAVEPOINT part")
            if not places and self._mode is WriteMode.UPDATE:
                key = [self._records.column(name)[start].as_py() for name in run.key]
                raise KeyNotFound(run.key, key, start)
            self.places.update((row_id, position) for position, row_id in places)
            return
        self._cursor.execute("ROLLBACK TO SAVEPOINT part")
        self._cursor.execute("RELEASE SAVEPOINT part")
        middle = (start + stop) // 2
        self.write(run, start, middle)
        self.write(run, middle, stop)

    def _all_there(self, places: Sequence[_Place], count: int) -> bool:
        # An inserted row tells by its `_id` which record it is of.
        return self._mode is WriteMode.INSERT or len(places) == count

    def _insert(self, run: Run, part: sql.Composable) -> sql.Composed:
        return sql.SQL(
            "INSERT INTO {table} ({names}) SELECT {values} FROM pg_temp.{incoming} AS i"
            " WHERE {part} ORDER BY position RETURNING _id - {first_id}, _id"
        ).format(part=part, first_id=self._first_id, **self._parts(run))

    def _upsert(self, run: Run, part: sql.Composable) -> sql.Composed:
        changes = [sql.Identifier(name) for name in run.fields] or [sql.Identifier(ID)]
        return sql.SQL(
            "INSERT INTO {table} ({names}) SELECT {values} FROM pg_temp.{incoming} AS i"
            " WHERE {part} ORDER BY position"
            " ON CONFLICT ({key}) DO UPDATE SET {changes} RETURNING NULL, _id"
        ).format(
            part=part,
            key=listed(map(sql.Identifier, run.key)),
            changes=listed(sql.SQL("{0} = EXCLUDED.{0}").format(name) for name in changes),
            **self._parts(run),
        )

    def _update(self, run: Run, part: sql.Composable) -> sql.Composed:
        changes = [
            sql.SQL("{} = {}").format(sql.Identifier(name), self._value(name))
            for name in run.fields
        ]
        same_key = [
            sql.SQL("t.{} = {}").format(sql.Identifier(name), self._value(name)) for name in run.key
        ]
        return sql.SQL(
            "UPDATE {table} AS t SET {changes} FROM pg_temp.{incoming} AS i"
            " WHERE {same_key} AND {part} RETURNING position, t._id"
        ).format(
            table=self._name,
            changes=listed([*changes, sql.SQL("_full_text = NULL")]),
            incoming=_INCOMING,
            same_key=sql.SQL(" AND ").join(same_key),
            part=part,
        )

    def _parts(self, run: Run) -> dict[str, sql.Composable]:
        """What inserts have in common; a row without an `_id` is given the one of its place."""
        row_id = sql.SQL("position + {}").format(self._first_id)
        if run.key == (ID,):
            row_id = self._value(ID)
        return {
            "table": self._name,
            "names": listed(map(sql.Identifier, [ID, *run.fields])),
            "values": listed([row_id, *map(self._value, run.fields)]),
            "incoming": _INCOMING,
        }

    def _value(self, name: str) -> sql.Composed:
        return _incoming(self._records, name, self._types[name])


def fault_of(
    error: psycopg2.Error, key: str, details: Mapping[str, Any] | None = None
) -> DatastoreFault:
    """PostgreSQL's error as one of ours; the text is what the stock backend shows of it.

    :param key: the error key, where it is the caller's fault
    """
    message = str(error).split("\n", 1)[0]
    if isinstance(error, psycopg2.errors.QueryCanceled):
        return QueryTimeout(message)
    if error.pgcode is None:
        return EngineUnavailable(f"The database of trigger functions has failed: {message}")
    return InvalidRequest(key, message, details)


def listed(parts: Iterable[sql.Composable]) -> sql.Composed:
    return sql.SQL(", ").join(list(parts))


def _incoming(rows: pa.Table, name: str, type_name: str) -> sql.Composed:
    carrying = sql.Identifier("i", f"v{rows.column_names.index(name)}")
    return value_of(carrying, type_name)


def _placed(returned: Sequence[tuple[int | None, int]], start: int) -> list[_Place]:
    """Where the statement could not tell the position: rows come in the order of the records."""
    return [
        (start + number if position is None else position, row_id)
        for number, (position, row_id) in enumerate(returned)
    ]
