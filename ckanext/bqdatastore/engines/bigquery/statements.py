"""Statements that make, alter and write tables, as trees of BigQuery's dialect."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import sqlglot.expressions as sge
from google.cloud.bigquery import TableReference

from ...model.query import column
from ...model.table import ID, Table
from ...model.write import WriteMode
from .forms import array_of_casts
from .rendering import render
from .types import data_type, element_type, stored_type

POSITION = "__position"
"""The column of a staging table that holds each row's place in the request."""

UNFINISHED = "The DataStore is making this table."
"""The description of a table that has no metadata yet."""

TARGET, STAGED = "t", "s"


def path(reference: TableReference) -> sge.Table:
    """A table's full name."""
    return sge.table_(
        sge.to_identifier(reference.table_id, quoted=True),
        db=sge.to_identifier(reference.dataset_id, quoted=True),
        catalog=sge.to_identifier(reference.project, quoted=True),
    )


def path_as(reference: TableReference, alias: str) -> sge.Expr:
    return sge.alias_(path(reference), alias, table=True)


def presence(stored: str) -> str:
    """The column of a staging table that tells which rows set another column."""
    return f"__has_{stored}"


_TRUNCATED: Mapping[str, type[sge.Func]] = {
    "date": sge.DateTrunc,
    "timestamp": sge.DatetimeTrunc,
    "timestamptz": sge.TimestampTrunc,
}


def create(
    reference: TableReference, table: Table, columns: Mapping[str, str], partition_by: str = ""
) -> sge.Create:
    """`CREATE TABLE` with `_id` and a column for each field.

    :param partition_by: a field by whose months the rows are kept apart, where the table has one of
        that name with a date in it
    """
    properties: list[sge.Expr] = [_option("description", sge.Literal.string(UNFINISHED))]
    if partition_by in table.types and table.types[partition_by] in _TRUNCATED:
        month = _month(columns[partition_by], table.types[partition_by])
        properties.insert(0, month)
    types = {columns[each.id]: stored_type(each.type) for each in table.fields}
    return sge.Create(
        this=_schema(reference, types),
        kind="TABLE",
        properties=sge.Properties(expressions=properties),
    )


@dataclasses.dataclass(frozen=True)
class Layout:
    """How BigQuery keeps a table's rows together.

    :param partitioned_by: the stored name of a field by whose months the rows are kept apart
    :param clustered_by: stored names
    """

    partitioned_by: str | None
    clustered_by: tuple[str, ...]


def is_partitionable(api_type: str) -> bool:
    """Whether rows may be kept apart by the months of a field of that type."""
    return api_type in _TRUNCATED


def replace(
    reference: TableReference,
    staged: TableReference,
    table: Table,
    columns: Mapping[str, str],
    types: Mapping[str, str],
    layout: Layout,
    description: str,
    labels: Mapping[str, str],
) -> sge.Create:
    """Put a table with all rows of a staging table, and what we keep with it, in place of the old.

    :param types: types of the numeric columns, by stored name
    """
    api_types = {columns[each.id]: each.type for each in table.fields}
    stored = {name: types.get(name) or stored_type(type) for name, type in api_types.items()}
    properties: list[sge.Expr] = []
    if layout.partitioned_by is not None:
        properties.append(_month(layout.partitioned_by, api_types[layout.partitioned_by]))
    clustered = [column(name) for name in layout.clustered_by]
    pairs = [
        sge.Struct(expressions=[sge.Literal.string(key), sge.Literal.string(value)])
        for key, value in labels.items()
    ]
    properties += [
        sge.ClusterProperty(expressions=clustered),
        _option("description", sge.Literal.string(description)),
        _option("labels", sge.Array(expressions=pairs)),
    ]
    values = (
        from_staged(column(name, STAGED), api_types[name], type).as_(name, quoted=True)
        for name, type in stored.items()
    )
    rows = sge.select(column(ID, STAGED), *values).from_(path_as(staged, STAGED))
    return sge.Create(
        this=_schema(reference, stored),
        kind="TABLE",
        replace=True,
        properties=sge.Properties(expressions=properties),
        expression=rows,
    )


def from_staged(value: sge.Expr, api_type: str, type: str) -> sge.Expr:
    """A staged value as its column keeps it: numbers are staged as text.

    :param type: the column's
    """
    if api_type == "numeric":
        return sge.Cast(this=value, to=data_type(type))
    if api_type == "_numeric":
        return array_of_casts(value, element_type("numeric"))
    return value


def _schema(reference: TableReference, types: Mapping[str, str]) -> sge.Schema:
    definitions = [_definition(ID, "INT64")]
    definitions += [_definition(stored, type) for stored, type in types.items()]
    return sge.Schema(this=path(reference), expressions=definitions)


def _month(stored: str, api_type: str) -> sge.Expr:
    truncated = _TRUNCATED[api_type](this=column(stored), unit=sge.Var(this="MONTH"))
    return sge.PartitionedByProperty(this=truncated)


def _option(name: str, value: sge.Expr) -> sge.Property:
    return sge.Property(this=sge.Var(this=name), value=value)


def add_column(reference: TableReference, stored: str, type: str) -> sge.Alter:
    return _alter(reference, _definition(stored, type))


def drop_column(reference: TableReference, stored: str) -> sge.Alter:
    dropped = sge.Drop(this=sge.to_identifier(stored, quoted=True), kind="COLUMN", exists=True)
    return _alter(reference, dropped)


def widen_column(reference: TableReference, stored: str, type: str) -> sge.Alter:
    changed = sge.AlterColumn(this=sge.to_identifier(stored, quoted=True), dtype=data_type(type))
    return _alter(reference, changed)


def _alter(reference: TableReference, action: sge.Expr) -> sge.Alter:
    return sge.Alter(this=path(reference), kind="TABLE", actions=[action])


def _definition(stored: str, type: str) -> sge.ColumnDef:
    return sge.ColumnDef(this=sge.to_identifier(stored, quoted=True), kind=data_type(type))


class Staged:
    """Rows in a staging table, and how they meet the rows of their table.

    :param reference: the staging table
    :param target: the table they are for
    :param key: stored names of the columns that find a row; empty for new rows only
    :param values: stored names of the columns that some rows set, without `_id`
    :param partial: those of `values` that not all rows set
    :param types: stored names of all columns of the table to their types
    :param texts: stored names of columns that are staged as text and are none, to their API types
    """

    def __init__(
        self,
        reference: TableReference,
        target: TableReference,
        key: Sequence[str],
        values: Sequence[str],
        partial: frozenset[str],
        types: Mapping[str, str],
        texts: Mapping[str, str],
    ) -> None:
        self._reference = reference
        self._target = target
        self._key = tuple(key)
        self._values = tuple(values)
        self._partial = partial
        self._types = types
        self._texts = texts

    def write(self, mode: WriteMode) -> sge.Expr | None:
        """The one statement that puts the rows in; None where there is nothing to write."""
        if not self._key:
            names = [ID, *self._values]
            return sge.Insert(
                this=sge.Schema(
                    this=path(self._target),
                    expressions=[sge.to_identifier(name, quoted=True) for name in names],
                ),
                expression=sge.select(*(self._value(name) for name in names)).from_(
                    path_as(self._reference, STAGED)
                ),
            )
        changed = [name for name in self._values if name not in self._key] or self._values[:1]
        whens: list[sge.Expr] = []
        if changed:
            sets = [sge.EQ(this=column(name), expression=self._after(name)) for name in changed]
            whens.append(sge.When(matched=True, then=sge.Update(expressions=sets)))
        if mode is WriteMode.UPSERT:
            names = [ID, *self._values]
            whens.append(
                sge.When(
                    matched=False,
                    then=sge.Insert(
                        this=sge.Tuple(expressions=[column(name) for name in names]),
                        expression=sge.Tuple(expressions=[self._value(name) for name in names]),
                    ),
                )
            )
        if not whens:
            return None
        return sge.Merge(
            this=path_as(self._target, TARGET),
            using=path_as(self._reference, STAGED),
            on=self._same_key(),
            whens=sge.Whens(expressions=whens),
        )

    def results(self, columns: Mapping[str, str]) -> sge.Select:
        """The rows as they will be stored, in order, before they are written.

        :param columns: field ids to stored names
        """
        outputs = [self._final(stored).as_(name, quoted=True) for name, stored in columns.items()]
        return self._joined(outputs).order_by(column(POSITION, STAGED))

    def found(self, columns: Mapping[str, str]) -> sge.Select:
        """Whole rows of the table that have the key of a staged one.

        :param columns: field ids to stored names
        """
        same = (
            sge.select(sge.convert(1))
            .from_(path_as(self._reference, STAGED))
            .where(self._same_key())
        )
        outputs = [column(each, TARGET).as_(name, quoted=True) for name, each in columns.items()]
        return (
            sge.select(*outputs).from_(path_as(self._target, TARGET)).where(sge.Exists(this=same))
        )

    def faults(self, key: Sequence[str], mode: WriteMode, unique: bool) -> sge.Expr | None:
        """The first row that cannot be written: its kind, place and key as text; None to ask.

        :param key: stored names of the primary key
        :param unique: whether rows may come to share a primary key with others
        """
        parts: list[sge.Select] = []
        if mode is WriteMode.UPDATE:
            missing = sge.select(
                sge.Literal.string("missing").as_("kind"),
                column(POSITION, STAGED).as_("place"),
                *(_text(sge.null()).as_(f"key{number}") for number in range(len(key))),
            )
            parts.append(self._join(missing).where(column(ID, TARGET).is_(sge.null())))
        if unique:
            texts = [column(f"key{number}") for number in range(len(key))]
            place = [sge.Literal.string("twice").as_("kind"), column("place"), *texts]
            parts.append(sge.select(*place).from_(self._keys_twice(key).subquery("twice")))
        if not parts:
            return None
        found = parts[0] if len(parts) == 1 else sge.union(*parts, distinct=False)
        chosen = sge.select("*").from_(found.subquery("found"))
        return chosen.order_by(column("kind"), column("place")).limit(1)

    def whole_key(self, key: Sequence[str]) -> sge.Select:
        """A primary key, as text, that more than one row would have."""
        return key_of_two_rows(self._all_keys(key), len(key))

    # Parts

    def _keys_twice(self, key: Sequence[str]) -> sge.Select:
        """Places of staged rows whose final primary key another row has as well."""
        names = [f"key{number}" for number in range(len(key))]
        rank = sge.Window(
            this=sge.RowNumber(),
            partition_by=[column(name) for name in names],
            order=sge.Order(expressions=[sge.Ordered(this=column("place"), nulls_first=True)]),
        )
        numbered = sge.select(
            column("place"), *(column(name) for name in names), rank.as_("number")
        ).from_(self._all_keys(key).subquery("everything"))
        return (
            sge.select(column("place"), *(column(name) for name in names))
            .from_(numbered.subquery("numbered"))
            .where(
                column("number") > sge.convert(1),
                sge.not_(column("place").is_(sge.null())),
                *(sge.not_(column(name).is_(sge.null())) for name in names),
            )
        )

    def _all_keys(self, key: Sequence[str]) -> sge.Query:
        """Final primary keys of all rows, as text; the place of those not staged is null."""
        staged = self._joined(
            [
                column(POSITION, STAGED).as_("place"),
                *(_text(self._final(name)).as_(f"key{n}") for n, name in enumerate(key)),
            ]
        )
        rest = sge.select(
            sge.cast(sge.null(), "INT64", dialect="bigquery").as_("place"),
            *(_text(column(name, TARGET)).as_(f"key{n}") for n, name in enumerate(key)),
        ).from_(path_as(self._target, TARGET))
        if self._key:
            rest = rest.join(
                path_as(self._reference, STAGED), on=self._same_key(), join_type="left"
            ).where(column(POSITION, STAGED).is_(sge.null()))
        return sge.union(staged, rest, distinct=False)

    def _joined(self, outputs: Sequence[sge.Expr]) -> sge.Select:
        return self._join(sge.select(*outputs))

    def _join(self, select: sge.Select) -> sge.Select:
        select = select.from_(path_as(self._reference, STAGED))
        if not self._key:
            return select
        return select.join(path_as(self._target, TARGET), on=self._same_key(), join_type="left")

    def _final(self, stored: str) -> sge.Expr:
        """A column's value once the row is written."""
        if stored in self._values or (stored == ID and not self._key):
            return self._value(stored) if not self._key else self._after(stored)
        if stored == ID:
            return sge.func("coalesce", column(ID, TARGET), column(ID, STAGED))
        if self._key:
            return column(stored, TARGET)
        return sge.Cast(this=sge.null(), to=data_type(self._types[stored]))

    def _after(self, stored: str) -> sge.Expr:
        if stored not in self._partial:
            return self._value(stored)
        has = column(presence(stored), STAGED)
        return sge.If(this=has, true=self._value(stored), false=column(stored, TARGET))

    def _value(self, stored: str) -> sge.Expr:
        value = column(stored, STAGED)
        if stored not in self._texts:
            return value
        return from_staged(value, self._texts[stored], self._types[stored])

    def _same_key(self) -> sge.Expr:
        return sge.and_(
            *(sge.EQ(this=column(name, TARGET), expression=self._value(name)) for name in self._key)
        )


def key_of_two_rows(rows: sge.Query, width: int) -> sge.Select:
    """A key that more than one of the rows has; null is no key.

    :param rows: with columns `key0`, `key1`, ... of text
    """
    names = [f"key{number}" for number in range(width)]
    return (
        sge.select(*(column(name) for name in names))
        .from_(rows.subquery("r"))
        .where(*(sge.not_(column(name).is_(sge.null())) for name in names))
        .group_by(*(column(name) for name in names))
        .having(sge.Count(this=sge.Star()) > sge.convert(1))
        .limit(1)
    )


def keys(reference: TableReference, key: Sequence[str]) -> sge.Select:
    """All keys of a table, as text."""
    return sge.select(*(_text(column(name)).as_(f"key{n}") for n, name in enumerate(key))).from_(
        path(reference)
    )


def transaction(statements: Sequence[sge.Expr]) -> str:
    """Statements as one: all of them happen, or none."""
    if len(statements) == 1:
        return render(statements[0])
    lines = ["BEGIN TRANSACTION", *map(render, statements), "COMMIT TRANSACTION"]
    return ";\n".join(lines) + ";"


def _text(value: sge.Expr) -> sge.Expr:
    return sge.cast(value, "STRING", dialect="bigquery")
