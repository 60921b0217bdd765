"""Rows into one table: staged by a load job, checked, and put in by one statement.

The caller holds the table's lock, so what a check has seen still holds when the rows are written.
"""

from __future__ import annotations

import dataclasses
import itertools
import uuid
from collections.abc import Iterator, Mapping, Sequence

import pyarrow as pa
import pyarrow.compute as pc
import sqlglot.expressions as sge
from google.cloud.bigquery import SchemaField, TableReference

from ...model.errors import DuplicateKey, KeyNotFound, UniqueViolation
from ...model.table import ID, Table
from ...model.write import Rows, Write, WriteMode, WriteResult
from . import statements
from .answers import read
from .jobs import Jobs
from .rendering import render
from .statements import POSITION, Staged, presence
from .tables import Tables
from .types import (
    NUMERIC_DIGITS,
    is_staged_as_text,
    numeric_digits,
    numeric_type,
    staged_array,
    staged_field,
    stored_type,
)


@dataclasses.dataclass
class TableWriter:
    """Writes rows to one table.

    :param columns: field ids (and `_id`) to stored names
    :param types: types of the numeric columns, by stored name; widened as rows need it
    :param next_id: the first `_id` that was never given out
    :param is_new: the table is being made, and has no metadata yet
    """

    jobs: Jobs
    tables: Tables
    table: Table
    columns: Mapping[str, str]
    types: dict[str, str]
    next_id: int
    is_new: bool = False

    @property
    def _target(self) -> TableReference:
        return self.tables.reference(self.table.name)

    def write(self, write: Write, new_key: bool) -> WriteResult:
        """Put all rows in, in order, or none.

        :param new_key: the primary key is not one that the table's rows are known to keep
        :raises DuplicateKey, KeyNotFound, UniqueViolation, InvalidRecord:
        """
        groups = [
            (key, [rows for rows in run if rows.data.num_rows])
            for key, run in itertools.groupby(write.rows, key=lambda rows: rows.key)
        ]
        groups = [(key, run) for key, run in groups if run]
        staging: list[TableReference] = []
        try:
            return self._write_groups(write, groups, staging, new_key)
        finally:
            for reference in staging:
                self.tables.remove_reference(reference)

    def _write_groups(
        self,
        write: Write,
        groups: Sequence[tuple[tuple[str, ...], list[Rows]]],
        staging: list[TableReference],
        new_key: bool,
    ) -> WriteResult:
        first_id = self.next_id
        widened = self._widened(rows for _, run in groups for rows in run)
        types = {**self.types, **widened}
        planned: list[Staged] = []
        returned: list[pa.Table] = []
        for key, run in groups:
            staged = self._stage(key, run, staging, types)
            self._refuse_faults(staged, key, run, write.mode, new_key)
            if write.returning:
                text = render(staged.results(self.columns))
                rows = self.jobs.query(text, action="return", resource=self.table.name)
                returned.append(read(rows))
            planned.append(staged)
        result = WriteResult(
            sum(rows.data.num_rows for _, run in groups for rows in run),
            pa.concat_tables(returned, promote_options="permissive") if returned else None,
        )
        if write.dry_run or not planned:
            return result
        for stored, type in widened.items():
            self._run(statements.widen_column(self._target, stored, type), "widen")
            self.types[stored] = type
        if self.next_id != first_id and not self.is_new:
            # Numbers are used up before rows have them, so that none is given out twice.
            self.tables.put_next_id(self.table.name, self.next_id)
        trees = [tree for staged in planned if (tree := staged.write(write.mode)) is not None]
        if trees:
            text = statements.transaction(trees)
            self.jobs.change(text, action=write.mode.value, resource=self.table.name)
        return result

    def rows_with_keys(self, keys: pa.Table) -> pa.Table:
        """Whole rows that have one of the keys; null is no key."""
        names = tuple(keys.column_names)
        staging: list[TableReference] = []
        try:
            wanted = Rows(keys, names, tuple(range(keys.num_rows)))
            staged = self._stage(names, [wanted], staging, self.types)
            return self._run(staged.found(self.columns), "find")
        finally:
            for reference in staging:
                self.tables.remove_reference(reference)

    def check_whole_table(self) -> None:
        """Refuse a primary key that the table's rows do not keep.

        :raises UniqueViolation:
        """
        key = [self.columns[name] for name in self.table.primary_key]
        if key:
            self._refuse_two(
                statements.key_of_two_rows(statements.keys(self._target, key), len(key))
            )

    # Staging

    def _stage(
        self,
        key: tuple[str, ...],
        run: Sequence[Rows],
        staging: list[TableReference],
        types: Mapping[str, str],
    ) -> Staged:
        """Load rows that find their like by one key into a table of their own."""
        api_types = {**self.table.types, ID: "int8"}
        set_by = [set(rows.data.column_names) for rows in run]
        names = [name for name in self.columns if name != ID and set().union(*set_by) & {name}]
        partial = [name for name in names if not all(name in each for each in set_by)]
        fields = [SchemaField(POSITION, "INT64"), staged_field(ID, "int8")]
        fields += [staged_field(self.columns[name], api_types[name]) for name in names]
        fields += [SchemaField(presence(self.columns[name]), "BOOL") for name in partial]
        parts = [self._staged_rows(rows, names, partial, api_types) for rows in run]
        data = pa.concat_tables(parts).sort_by(POSITION)
        if ID not in run[0].data.column_names:
            ids = pa.array(range(self.next_id, self.next_id + data.num_rows), pa.int64())
            data = data.set_column(1, ID, ids)
            self.next_id += data.num_rows
        else:
            self.next_id = max(self.next_id, pc.max(data.column(ID)).as_py() + 1)
        reference = self.tables.create_staging(uuid.uuid4().hex, fields)
        staging.append(reference)
        self.jobs.load(data, reference, resource=self.table.name)
        texts = {
            self.columns[name]: api_types[name]
            for name in names
            if is_staged_as_text(api_types[name])
        }
        return Staged(
            reference,
            self._target,
            [self.columns[name] for name in key],
            [self.columns[name] for name in names],
            frozenset(self.columns[name] for name in partial),
            {
                ID: "INT64",
                **{self.columns[f.id]: stored_type(f.type) for f in self.table.fields},
                **types,
            },
            texts,
        )

    def _staged_rows(
        self,
        rows: Rows,
        names: Sequence[str],
        partial: Sequence[str],
        api_types: Mapping[str, str],
    ) -> pa.Table:
        count = rows.data.num_rows
        columns: dict[str, pa.Array | pa.ChunkedArray] = {
            POSITION: pa.array(rows.positions, pa.int64())
        }
        for name in (ID, *names):
            if name in rows.data.column_names:
                values = rows.data.column(name)
            else:
                values = pa.chunked_array([pa.nulls(count)])
            columns[self.columns[name]] = _staged(values, api_types[name])
        for name in partial:
            has = name in rows.data.column_names
            columns[presence(self.columns[name])] = pa.repeat(pa.scalar(has), count)
        return pa.table(columns)

    def _widened(self, several: Iterator[Rows]) -> dict[str, str]:
        """Types for numeric columns that have no room yet for every digit that is coming.

        :raises InvalidRecord: no type has room for them
        """
        needed: dict[str, tuple[int, int]] = {}
        for rows in several:
            for name, values in zip(rows.data.column_names, rows.data.columns, strict=True):
                if not pa.types.is_decimal(values.type):
                    continue
                stored = self.columns[name]
                whole, scale = needed.get(stored) or numeric_digits(self.types[stored])
                new_scale = values.type.scale
                wider = max(whole, values.type.precision - new_scale), max(scale, new_scale)
                if sum(wider) > NUMERIC_DIGITS:
                    raise rows.too_wide(name, whole, scale, NUMERIC_DIGITS)
                needed[stored] = wider
        return {
            stored: numeric_type(*digits)
            for stored, digits in needed.items()
            if digits != numeric_digits(self.types[stored])
        }

    # Checks

    def _refuse_faults(
        self,
        staged: Staged,
        key: tuple[str, ...],
        run: Sequence[Rows],
        mode: WriteMode,
        new_key: bool,
    ) -> None:
        primary = self.table.primary_key
        stored = [self.columns[name] for name in primary]
        touched = any(set(primary) & set(rows.data.column_names) for rows in run)
        # Found by that very key, each row is the only one of its kind.
        unique = bool(primary) and touched and key != primary
        if new_key and primary:
            self._refuse_two(staged.whole_key(stored))
            unique = False
        tree = staged.faults(stored, mode, unique)
        if tree is None:
            return
        for fault in self._run(tree, "check").to_pylist():
            place = fault["place"]
            if fault["kind"] == "missing":
                raise KeyNotFound(key, _values_at(run, key, place), place)
            values = [fault[f"key{number}"] for number in range(len(primary))]
            raise DuplicateKey(primary, values, place)

    def _refuse_two(self, tree: sge.Expr) -> None:
        for found in self._run(tree, "check").to_pylist():
            raise UniqueViolation(self.table.primary_key, list(found.values()))

    def _run(self, tree: sge.Expr, action: str) -> pa.Table:
        text = render(tree)
        return read(self.jobs.query(text, action=action, resource=self.table.name))


def _staged(values: pa.ChunkedArray, api_type: str) -> pa.ChunkedArray:
    if pa.types.is_null(values.type):
        values = pa.chunked_array([pa.nulls(len(values), pa.string())])
        if api_type.startswith("_"):
            values = pa.chunked_array([pa.nulls(len(values), pa.list_(pa.string()))])
    return staged_array(values, api_type)


def _values_at(run: Sequence[Rows], key: Sequence[str], place: int) -> list[object]:
    """The key of the row that stands at a place of the request."""
    for rows in run:
        if place in rows.positions:
            index = rows.positions.index(place)
            return [rows.data.column(name)[index].as_py() for name in key]
    raise AssertionError(place)
