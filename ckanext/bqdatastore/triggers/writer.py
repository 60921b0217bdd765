"""Writes of staged records to a table's stand-in, and the search for the record that fails."""

from __future__ import annotations

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
from ..model.table import ID
from ..model.write import WriteMode
from ..records.batches import Run
from .carriers import value_of

INCOMING = sql.Identifier("incoming records")
"""The table that the records are staged in; its columns beside those that carry their values:"""

POSITION = "position"
OFFERED_ID = "offered_id"

_Place = tuple[int, int]
"""The position of a record in the request, and the `_id` of the row that it wrote."""


class Writer:
    """Writes staged records in parts as large as can be, and finds the record to blame.

    :ivar places: `_id` of each row that was written, and the position of the record that did it
    """

    def __init__(
        self,
        cursor: Any,
        name: sql.Identifier,
        types: Mapping[str, str],
        records: pa.Table,
        offered_ids: Sequence[int | None],
        mode: WriteMode,
    ) -> None:
        self.places: dict[int, int] = {}
        self._cursor = cursor
        self._name = name
        self._types = types
        self._records = records
        self._mode = mode
        self._positions = {row_id: position for position, row_id in enumerate(offered_ids)}
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
        part = sql.SQL("_i.position >= {} AND _i.position < {}").format(
            sql.Literal(start), sql.Literal(stop)
        )
        self._cursor.execute("SAVEPOINT part")
        try:
            self._cursor.execute(self._statement(run, part))
            places = self._placed(self._cursor.fetchall(), start)
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

    def _placed(self, returned: Sequence[tuple[int, ...]], start: int) -> list[_Place]:
        if self._mode is WriteMode.INSERT:
            return [(self._positions.get(row_id, start), row_id) for (row_id,) in returned]
        if self._mode is WriteMode.UPSERT:  # comes in the order of the records
            return [(start + number, row_id) for number, (row_id,) in enumerate(returned)]
        return [(position, row_id) for position, row_id in returned]

    def _all_there(self, places: Sequence[_Place], count: int) -> bool:
        # An inserted row tells by its `_id` which record it is of.
        return self._mode is WriteMode.INSERT or len(places) == count

    def _insert(self, run: Run, part: sql.Composable) -> sql.Composed:
        return sql.SQL(
            "INSERT INTO {table} ({names}) SELECT {values} FROM pg_temp.{incoming} AS _i"
            " WHERE {part} ORDER BY _i.position RETURNING _id"
        ).format(part=part, **self._parts(run))

    def _upsert(self, run: Run, part: sql.Composable) -> sql.Composed:
        changes = [sql.Identifier(name) for name in run.fields] or [sql.Identifier(ID)]
        return sql.SQL(
            "INSERT INTO {table} ({names}) SELECT {values} FROM pg_temp.{incoming} AS _i"
            " WHERE {part} ORDER BY _i.position"
            " ON CONFLICT ({key}) DO UPDATE SET {changes} RETURNING _id"
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
            sql.SQL("_t.{} = {}").format(sql.Identifier(name), self._value(name))
            for name in run.key
        ]
        return sql.SQL(
            "UPDATE {table} AS _t SET {changes} FROM pg_temp.{incoming} AS _i"
            " WHERE {same_key} AND {part} RETURNING _i.position, _t._id"
        ).format(
            table=self._name,
            changes=listed([*changes, sql.SQL("_full_text = NULL")]),
            incoming=INCOMING,
            same_key=sql.SQL(" AND ").join(same_key),
            part=part,
        )

    def _parts(self, run: Run) -> dict[str, sql.Composable]:
        """What inserts have in common."""
        return {
            "table": self._name,
            "names": listed(map(sql.Identifier, [ID, *run.fields])),
            "values": listed([sql.Identifier("_i", OFFERED_ID), *map(self._value, run.fields)]),
            "incoming": INCOMING,
        }

    def _value(self, name: str) -> sql.Composed:
        return incoming_value(self._records, name, self._types[name])


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


def carrying_column(number: int) -> str:
    """The column of the staged records that carries their column of that number."""
    return f"v{number}"


def incoming_value(rows: pa.Table, name: str, type_name: str) -> sql.Composed:
    """SQL for a value of the rows that were staged as `_i`."""
    number = rows.column_names.index(name)
    return value_of(sql.Identifier("_i", carrying_column(number)), type_name)
