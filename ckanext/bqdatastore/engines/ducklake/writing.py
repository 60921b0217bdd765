"""Writes to one lake table inside an open transaction: columns, rows, keys."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import sqlglot.expressions as sge

from ...files.duckdb_types import ELEMENT_DIGITS, NUMERIC_DIGITS, numeric_type
from ...model.errors import DuplicateKey, InvalidRecord, KeyNotFound, UniqueViolation
from ...model.query import ParameterNames, column
from ...model.table import ID, Table
from ...model.types import EXACT
from ...model.write import Rows, Write, WriteMode, WriteResult
from .connection import LAKE, SCHEMA
from .types import NUMERIC_START, decimal_digits, stored_type

_STAGED = "staged"
_POSITION = "__position"


def lake_table(name: str) -> sge.Table:
    """A table's full name."""
    return sge.table_(sge.to_identifier(name, quoted=True), db=SCHEMA, catalog=LAKE)


def lake_table_as(name: str, alias: str) -> sge.Expr:
    return sge.alias_(lake_table(name), alias, table=True)


@dataclasses.dataclass
class TableWriter:
    """Writes rows to one table within a transaction that the caller holds.

    :param columns: field ids (and `_id`) to stored names
    :param next_id: the first `_id` that was never given out
    :param stored: types of the columns in the lake, by stored name (`decimal(9,3)`)
    :param highest_key: no value of the primary key's one field was ever higher; None where that is
        not known, or the key is not one field of whole numbers
    :ivar skipped_ids: how many `_id`s below the highest were left out
    """

    cursor: duckdb.DuckDBPyConnection
    table: Table
    columns: Mapping[str, str]
    next_id: int
    stored: dict[str, str]
    highest_key: int | None = None
    skipped_ids: int = 0

    def write(self, write: Write, check_keys: bool = True) -> WriteResult:
        """Put all rows in, in order.

        :param check_keys: refuse rows that share a primary key with others
        :raises DuplicateKey, KeyNotFound, InvalidRecord: nothing of it may stay
        """
        count = 0
        returned: list[pa.Table] = []
        for rows in write.rows:
            if rows.data.num_rows == 0:
                continue
            self._widen(rows)
            may_be_there = write.mode is not WriteMode.INSERT
            alone = len(write.rows) == rows.data.num_rows == 1
            data = self._stage(rows, only_new=may_be_there and not alone)
            if write.mode is WriteMode.UPDATE:
                self._refuse_missing(rows)
            if rows.key:
                self._merge(rows, write.mode)
            else:
                self._insert(data)
            if check_keys and not (len(write.rows) == 1 and self._has_new_keys(rows)):
                self._check_unique(rows)
            count += rows.data.num_rows
            if write.returning:
                returned.append(self._stored_rows(rows))
            self.cursor.unregister(_STAGED)
        if not write.returning:
            return WriteResult(count)
        return WriteResult(count, _together(returned))

    def check_whole_table(self) -> None:
        """Refuse a primary key that the table's rows do not keep.

        :raises UniqueViolation:
        """
        if self.table.primary_key:
            twice = self._key_of_two_rows(sge.select("*").from_(lake_table(self.table.name)))
            if twice:
                raise UniqueViolation(self.table.primary_key, twice)

    # Staging

    def _stage(self, rows: Rows, only_new: bool) -> pa.Table:
        """Make the rows visible to DuckDB, each with the `_id` it has or would get.

        :param only_new: give no number to rows whose key is there already, so that none is skipped
            (see `Catalog.highest_id`); a row that comes alone may go without the look
        """
        data = rows.data.rename_columns([self.columns[name] for name in rows.data.column_names])
        count = data.num_rows
        positions = pa.array(range(count), pa.int64())
        if ID in rows.data.column_names:
            self._skip_to(data.column(ID))
        else:
            new: Sequence[int] = range(count)
            if only_new:
                self.cursor.register(_STAGED, data.append_column(_POSITION, positions))
                new = self._missing(rows)
                self.cursor.unregister(_STAGED)
            # A position's place among the new ones, null for the others.
            place = pc.index_in(positions, pa.array(new, pa.int64()))
            ids = pc.add(place.cast(pa.int64()), self.next_id)
            data = data.add_column(0, ID, ids)
            self.next_id += len(new)
        self.cursor.register(_STAGED, data.append_column(_POSITION, positions))
        return data

    def _skip_to(self, ids: pa.ChunkedArray) -> None:
        """Take note of `_id`s that come with their rows; those never given out are new rows'."""
        new = ids.filter(pc.greater_equal(ids, self.next_id))
        if len(new):
            next_id = pc.max(new).as_py() + 1
            self.skipped_ids += next_id - self.next_id - len(new)
            self.next_id = next_id

    def _widen(self, rows: Rows) -> None:
        """Give numeric columns room for every digit that is coming.

        :raises InvalidRecord: no type has room for them
        """
        for name, values in zip(rows.data.column_names, rows.data.columns, strict=True):
            if pa.types.is_list(values.type) and pa.types.is_decimal(values.type.value_type):
                _refuse_wide_elements(rows, name, values.type.value_type)
        for name, wider in _wider(rows, self.columns, self.stored).items():
            stored = self.columns[name]
            precision, scale = sum(wider), wider[1]
            if precision > NUMERIC_DIGITS:
                raise rows.too_wide(name, *_digits(self.stored.get(stored)), NUMERIC_DIGITS)
            self._execute(
                sge.Alter(
                    this=lake_table(self.table.name),
                    kind="TABLE",
                    actions=[
                        sge.AlterColumn(
                            this=sge.to_identifier(stored, quoted=True),
                            dtype=numeric_type(precision, scale),
                        )
                    ],
                )
            )
            self.stored[stored] = f"decimal({precision},{scale})"

    # Statements

    def _insert(self, data: pa.Table) -> None:
        names = data.column_names
        select = sge.select(*(column(name) for name in names)).from_(_STAGED)
        self._execute(
            sge.Insert(
                this=sge.Schema(
                    this=lake_table(self.table.name),
                    expressions=[sge.to_identifier(name, quoted=True) for name in names],
                ),
                expression=select,
            )
        )

    def _merge(self, rows: Rows, mode: WriteMode) -> None:
        values = [self.columns[name] for name in rows.data.column_names if name != ID]
        changes = [name for name in values if name not in self._stored_key(rows)] or values[:1]
        whens: list[sge.Expr] = []
        if changes:
            whens.append(
                sge.When(
                    matched=True,
                    then=sge.Update(
                        expressions=[
                            sge.EQ(this=column(name), expression=column(name, "s"))
                            for name in changes
                        ]
                    ),
                )
            )
        if mode is WriteMode.UPSERT:
            inserted = [ID, *values]
            whens.append(
                sge.When(
                    matched=False,
                    then=sge.Insert(
                        this=sge.Tuple(expressions=[column(name) for name in inserted]),
                        expression=sge.Tuple(expressions=[column(name, "s") for name in inserted]),
                    ),
                )
            )
        if not whens:
            return
        self._execute(
            sge.Merge(
                this=lake_table_as(self.table.name, "t"),
                using=sge.alias_(sge.to_table(_STAGED), "s", table=True),
                on=self._same_key(rows),
                whens=sge.Whens(expressions=whens),
            )
        )

    def _refuse_missing(self, rows: Rows) -> None:
        missing = self._missing(rows, limit=1)
        if missing:
            position = missing[0]
            key = [rows.data.column(name)[position].as_py() for name in rows.key]
            raise KeyNotFound(rows.key, key, rows.positions[position])

    def _missing(self, rows: Rows, limit: int | None = None) -> list[int]:
        """Positions of the staged rows whose key no row of the table has."""
        query = (
            sge.select(column(_POSITION, "s"))
            .from_(sge.alias_(sge.to_table(_STAGED), "s", table=True))
            .join(lake_table_as(self.table.name, "t"), on=self._same_key(rows), join_type="anti")
            .order_by(column(_POSITION, "s"))
        )
        if limit is not None:
            query = query.limit(limit)
        return [int(str(row[0])) for row in self._fetch(query)]

    def _has_new_keys(self, rows: Rows) -> bool:
        """Whether the keys are different and above all others, so that nothing need be read."""
        if self.highest_key is None or rows.key:
            return False
        keys = rows.data.column(self.table.primary_key[0]).drop_null()
        if len(keys) == 0:
            return True
        lowest = pc.min(keys).as_py()
        return bool(lowest > self.highest_key and pc.count_distinct(keys).as_py() == len(keys))

    def _check_unique(self, rows: Rows) -> None:
        """Refuse rows just written that share a primary key with any other."""
        key = self.table.primary_key
        if not key or not set(key) & set(rows.data.column_names):
            return
        if rows.key == key:
            return  # found by that very key: each row is the only one of its kind
        stored = [self.columns[name] for name in key]
        present = [name for name in stored if name in self._staged_names(rows)]
        touched = (
            sge.select(*(column(name, "t").as_(name, quoted=True) for name in stored))
            .from_(lake_table_as(self.table.name, "t"))
            .join(
                sge.alias_(sge.to_table(_STAGED), "s", table=True),
                on=sge.and_(*(column(name, "t").eq(column(name, "s")) for name in present)),
                join_type="semi",
            )
        )
        twice = self._key_of_two_rows(touched)
        if twice:
            raise DuplicateKey(key, twice, self._position_of(rows, present, twice))

    def _position_of(self, rows: Rows, present: list[str], values: list[str]) -> int:
        """Where in the request the later of two rows of a key is."""
        names = ParameterNames()
        # By the table's own text for it: what is staged may have fewer digits.
        key = sge.and_(
            *(
                _varchar(column(self.columns[name], "t")).eq(names.bind(value))
                for name, value in zip(self.table.primary_key, values, strict=True)
            )
        )
        staged = (
            sge.select(column(_POSITION, "s"))
            .from_(sge.alias_(sge.to_table(_STAGED), "s", table=True))
            .join(
                lake_table_as(self.table.name, "t"),
                on=sge.and_(key, *(column(n, "t").eq(column(n, "s")) for n in present)),
                join_type="semi",
            )
        )
        bound = {name: parameter.value for name, parameter in names.values.items()}
        found = self._fetch(staged.order_by(column(_POSITION, "s")).limit(2), bound)
        return rows.positions[int(found[-1][0])]

    def _key_of_two_rows(self, rows: sge.Select) -> list[str] | None:
        """A primary key, as text, that more than one of the rows has."""
        key = [column(self.columns[name]) for name in self.table.primary_key]
        twice = self._fetch(
            sge.select(*(_varchar(part.copy()) for part in key))
            .from_(rows.subquery("r"))
            # PostgreSQL's unique index takes nulls as different from each other.
            .where(*(sge.not_(part.copy().is_(sge.null())) for part in key))
            .group_by(*(part.copy() for part in key))
            .having(sge.Count(this=sge.Star()) > sge.convert(1))
            .limit(1)
        )
        return [str(part) for part in twice[0]] if twice else None

    def _stored_rows(self, rows: Rows) -> pa.Table:
        same = column(ID, "t").eq(column(ID, "s"))
        on = sge.or_(same, self._same_key(rows)) if rows.key and not rows.by_id else same
        return self._arrow(
            sge.select(*self._outputs())
            .from_(lake_table_as(self.table.name, "t"))
            .join(sge.alias_(sge.to_table(_STAGED), "s", table=True), on=on)
            .order_by(column(_POSITION, "s"))
        )

    def _outputs(self) -> list[sge.Expr]:
        return [column(stored, "t").as_(name, quoted=True) for name, stored in self.columns.items()]

    # Parts

    def _staged_names(self, rows: Rows) -> set[str]:
        return {self.columns[name] for name in rows.data.column_names}

    def _stored_key(self, rows: Rows) -> set[str]:
        return {self.columns[name] for name in rows.key}

    def _same_key(self, rows: Rows) -> sge.Expr:
        return sge.and_(
            *(
                column(self.columns[name], "t").eq(column(self.columns[name], "s"))
                for name in rows.key
            )
        )

    def _execute(self, tree: sge.Expr) -> None:
        self.cursor.execute(tree.sql(dialect="duckdb"))

    def _fetch(
        self, tree: sge.Expr, values: Mapping[str, object] | None = None
    ) -> list[tuple[Any, ...]]:
        return self.cursor.execute(tree.sql(dialect="duckdb"), values or {}).fetchall()

    def _arrow(self, tree: sge.Expr) -> pa.Table:
        return self.cursor.execute(tree.sql(dialect="duckdb")).to_arrow_table()


def _varchar(value: sge.Expr) -> sge.Cast:
    return sge.cast(value, "VARCHAR", dialect="duckdb")


def create_statement(
    table: Table, columns: Mapping[str, str], types: Mapping[str, sge.DataType] | None = None
) -> sge.Create:
    """`CREATE TABLE` with `_id` and a column for each field.

    :param types: column types of fields that shall not have their usual one
    """
    definitions = [_definition(ID, stored_type("int8"))]
    for field in table.fields:
        type = (types or {}).get(field.id) or stored_type(field.type)
        definitions.append(_definition(columns[field.id], type))
    return sge.Create(
        this=sge.Schema(this=lake_table(table.name), expressions=definitions), kind="TABLE"
    )


def alter_statements(
    before: Mapping[str, str], after: Table, columns: Mapping[str, str]
) -> list[sge.Expr]:
    """What adds and removes columns.

    :param before: stored names of the columns that are there
    :param columns: stored names of the columns that shall be
    """
    statements: list[sge.Expr] = [
        _alter(
            after.name,
            sge.Drop(this=sge.to_identifier(stored, quoted=True), kind="COLUMN"),
        )
        for name, stored in before.items()
        if name not in columns
    ]
    statements += [
        _alter(after.name, _definition(columns[field.id], stored_type(field.type)))
        for field in after.fields
        if field.id not in before
    ]
    return statements


def comment_statement(kind: str, name: str, text: str) -> sge.Comment:
    return sge.Comment(this=lake_table(name), kind=kind, expression=sge.Literal.string(text))


def alias_statements(before: Sequence[str], after: Table) -> list[sge.Expr]:
    """What makes the aliases those of the table as it shall be."""
    statements: list[sge.Expr] = [
        sge.Drop(this=lake_table(alias), kind="VIEW")
        for alias in before
        if alias not in after.aliases
    ]
    for alias in after.aliases:
        if alias in before:
            continue
        select = sge.select("*").from_(lake_table(after.name))
        statements.append(sge.Create(this=lake_table(alias), kind="VIEW", expression=select))
        statements.append(comment_statement("VIEW", alias, after.name))
    return statements


def _alter(name: str, action: sge.Expr) -> sge.Alter:
    return sge.Alter(this=lake_table(name), kind="TABLE", actions=[action])


def _definition(stored: str, type: sge.DataType) -> sge.ColumnDef:
    return sge.ColumnDef(this=sge.to_identifier(stored, quoted=True), kind=type)


def _refuse_wide_elements(rows: Rows, name: str, type: pa.DataType) -> None:
    """Refuse numbers of arrays that would have to be rounded to be stored.

    :param type: the decimal type that holds all that are coming
    """
    precision, most_decimals = ELEMENT_DIGITS
    most_whole = precision - most_decimals
    whole, decimals = decimal_digits(type)
    if whole <= most_whole and decimals <= most_decimals:
        return
    for position, array in enumerate(rows.data.column(name).to_pylist()):
        for number in array or ():
            if number is None:
                continue
            exact = number.normalize(EXACT)
            if exact.adjusted() >= most_whole or -exact.as_tuple().exponent > most_decimals:
                raise InvalidRecord(
                    rows.positions[position] if rows.positions else position,
                    name,
                    f'value "{exact:f}" cannot be held: numbers in arrays have at most '
                    f"{most_whole} digits before the point and {most_decimals} after it.",
                )


def widened(write: Write, columns: Mapping[str, str], stored: Mapping[str, str]) -> frozenset[str]:
    """Stored names of the columns whose type a write will change; parameters as `TableWriter`'s."""
    return frozenset(
        columns[name]
        for rows in write.rows
        for name in _wider(rows, columns, stored)
        if columns[name] in stored
    )


def _wider(
    rows: Rows, columns: Mapping[str, str], stored: Mapping[str, str]
) -> dict[str, tuple[int, int]]:
    """Fields whose column has no room for these rows, and the digits that it needs."""
    found = {}
    for name, values in zip(rows.data.column_names, rows.data.columns, strict=True):
        if not pa.types.is_decimal(values.type):
            continue
        whole, scale = _digits(stored.get(columns[name]))
        new_whole, new_scale = decimal_digits(values.type)
        wider = max(whole, new_whole), max(scale, new_scale)
        if wider != (whole, scale):
            found[name] = wider
    return found


def _digits(stored: str | None) -> tuple[int, int]:
    """Digits before and after the point of a stored decimal type."""
    if stored is None or not stored.lower().startswith("decimal("):
        precision, scale = NUMERIC_START
    else:
        precision, scale = map(int, stored[stored.index("(") + 1 : -1].split(","))
    return precision - scale, scale


def _together(tables: list[pa.Table]) -> pa.Table | None:
    """Rows of several statements, in the order of the statements."""
    if not tables:
        return None
    return pa.concat_tables(tables, promote_options="permissive")
