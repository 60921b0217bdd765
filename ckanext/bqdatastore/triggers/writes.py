"""Writes to a table that has triggers: what the backend does in place of writing records at once.

The caller holds the table's lock. The engine is asked which rows are there, and is given what came
out of the triggers, each row by its `_id`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import sqlglot.expressions as sge

from ..engines.base import Engine
from ..model.query import ParameterNames, Query, column, table
from ..model.table import ID, Table
from ..model.write import Rows, TableChange, Write, WriteMode
from ..records.batches import rows_in_order
from .database import TriggerDatabase

_ROWS_AT_A_TIME = 50_000


def rows_through_triggers(
    engine: Engine,
    database: TriggerDatabase,
    known: Table,
    records: Sequence[Any],
    mode: WriteMode,
) -> tuple[Rows, ...]:
    """The rows that a request's records become.

    :raises InvalidRequest: as `rows_to_write`, or a trigger raised an exception
    """
    incoming, runs = rows_in_order(records, known, mode)
    first_id = engine.next_id(known)
    there = _RowsThere(engine, known)
    if mode is not WriteMode.INSERT:
        for key in {run.key for run in runs}:
            there.look_up(incoming.select(key))
    while True:
        passed = database.apply(known, incoming, runs, mode, there.rows, first_id)
        # A trigger may have made another key, of a row that is there as well: once more, with it.
        if mode is not WriteMode.UPSERT or not known.primary_key:
            break
        if not there.look_up(passed.rows.select(known.primary_key)):
            break
    key = () if mode is WriteMode.INSERT else (ID,)
    return (Rows(passed.rows, key, passed.positions),)


def run_triggers(engine: Engine, database: TriggerDatabase, known: Table) -> int:
    """Pass every row of a table through its triggers, and keep what they change, all or nothing.

    :returns: how many rows the triggers let through
    :raises InvalidRequest: a trigger raised an exception
    """
    count, last_id = 0, 0
    changed: list[Rows] = []
    while True:
        names = ParameterNames()
        after_last = sge.GT(this=column(ID), expression=names.bind(last_id, "int8"))
        page = _all_columns(known).where(after_last).order_by(column(ID)).limit(_ROWS_AT_A_TIME)
        rows = engine.query(Query(page, names.values)).read_all()
        if not rows.num_rows:
            break
        last_id = rows.column(ID)[-1].as_py()
        let_through, outcome = database.fire(known, rows)
        count += let_through
        if outcome.num_rows:
            changed.append(Rows(outcome, (ID,), tuple(range(outcome.num_rows))))
    if changed:
        engine.apply(TableChange(known, known, Write(WriteMode.UPDATE, tuple(changed))))
    return count


class _RowsThere:
    """Rows of a table that were looked up so far.

    :ivar rows: `_id` and every field; None for none
    """

    def __init__(self, engine: Engine, known: Table) -> None:
        self.rows: pa.Table | None = None
        self._engine = engine
        self._known = known
        self._asked: dict[tuple[str, ...], set[tuple[Any, ...]]] = {}

    def look_up(self, keys: pa.Table) -> bool:
        """Look for rows that have one of the keys; whether any came to light."""
        name = tuple(keys.column_names)
        asked = self._asked.setdefault(name, set())
        values = list(zip(*(each.to_pylist() for each in keys.columns), strict=True))
        wanted = [index for index, key in enumerate(values) if key not in asked]
        if not wanted:
            return False
        asked.update(values)
        found = self._engine.rows_with_keys(self._known, keys.take(pa.array(wanted, pa.int64())))
        if self.rows is not None:
            known_ids = self.rows.column(ID).combine_chunks()
            found = found.filter(pc.invert(pc.is_in(found.column(ID), known_ids)))
        if not found.num_rows:
            return False
        if self.rows is not None:
            found = pa.concat_tables([self.rows, found], promote_options="permissive")
        self.rows = found
        return True


def _all_columns(known: Table) -> sge.Select:
    return sge.select(
        *(column(name).as_(name, quoted=True) for name in (ID, *known.field_ids))
    ).from_(table(known.name))
