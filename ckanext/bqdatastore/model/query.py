"""Queries as trees, and the streams of Arrow batches that answer them."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable, Generator, Iterator, Mapping
from typing import Any

import pyarrow as pa
import sqlglot.expressions as sge

from .errors import AnswerTooLarge

RESOURCES = "resources"
"""The schema that stands for the DataStore in a neutral tree; an engine puts its own path there."""

COMPARED_AS = "compared as"
"""In the `meta` of a `Between`: PostgreSQL's types as which the value is compared with its bounds,
where they are not the value's own."""


@dataclasses.dataclass(frozen=True)
class Parameter:
    """A bound value and the API type it is compared as."""

    value: Any
    type: str = "text"


Span = tuple[float, float]

ANY_ID: Span = (-math.inf, math.inf)


@dataclasses.dataclass(frozen=True)
class Reach:
    """Between which ids the rows are that a query looks at; an engine may leave out all others.

    :param ids: the lowest and the highest
    :param if_contiguous: the same of the query's tree of that name
    """

    ids: Span = ANY_ID
    if_contiguous: Span = ANY_ID


EVERYTHING = Reach()


@dataclasses.dataclass(frozen=True)
class Query:
    """One statement: a sqlglot tree and the values of its placeholders.

    Real tables carry the schema `RESOURCES` (see `table`), whatever has none is a CTE's name.
    A value is never in the tree: it is a placeholder whose name is a key of `parameters`.

    :param if_contiguous: a tree that finds the same with less work where the ids of the tables are
        exactly those from 1 to the number of rows; an engine that knows them to be may run it
    :param reach: of a query of one table
    """

    tree: sge.Expr
    parameters: Mapping[str, Parameter] = dataclasses.field(default_factory=dict)
    if_contiguous: sge.Expr | None = None
    reach: Reach = EVERYTHING


class ShapedQuery(Query):
    """A query whose tree is made only when somebody looks at it.

    To build a tree and write it out takes longer than many a query. Who has kept what was made of
    one of the same shape needs no tree.

    :ivar shape: texts; on one engine queries of equal shapes have equal trees
    :ivar tables: names of the tables that it reads
    :ivar values: the values of all its placeholders, and perhaps of others
    :ivar reach: no part of the shape
    """

    def __init__(
        self,
        shape: tuple[str, ...],
        tables: tuple[str, ...],
        values: Mapping[str, Parameter],
        make: Callable[[], Query],
        reach: Reach = EVERYTHING,
    ) -> None:
        self.__dict__.update(shape=shape, tables=tables, values=values, _make=make, reach=reach)

    shape: tuple[str, ...]
    tables: tuple[str, ...]
    values: Mapping[str, Parameter]

    @functools.cached_property
    def _made(self) -> Query:
        made: Query = self.__dict__["_make"]()
        return made

    @property
    def tree(self) -> sge.Expr:  # type: ignore[override]
        return self._made.tree

    @property
    def parameters(self) -> Mapping[str, Parameter]:  # type: ignore[override]
        return self._made.parameters

    @property
    def if_contiguous(self) -> sge.Expr | None:  # type: ignore[override]
        return self._made.if_contiguous


def bound(tree: sge.Expr, values: Mapping[str, Parameter]) -> Query:
    """The tree as a query with those of the values that it refers to."""
    if not values:
        return Query(tree)
    used = {placeholder.name for placeholder in tree.find_all(sge.Placeholder)}
    return Query(tree, {name: value for name, value in values.items() if name in used})


class RecordStream:
    """The answer to a query: Arrow batches, read once.

    :param schema: the Arrow schema of every batch
    """

    def __init__(self, schema: pa.Schema, batches: Iterator[pa.RecordBatch]) -> None:
        self.schema = schema
        self._batches = batches

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        return self._batches

    def read_all(self, most_bytes: float = math.inf) -> pa.Table:
        """
        :raises AnswerTooLarge: it has more bytes; the rest is not fetched
        """
        batches, size = [], 0
        for batch in self._batches:
            size += batch.nbytes
            if size > most_bytes:
                self.close()
                raise AnswerTooLarge(most_bytes)
            batches.append(batch)
        return pa.Table.from_batches(batches, self.schema)

    def close(self) -> None:
        """Fetch no more, and let go of what the batches come from."""
        if isinstance(self._batches, Generator):
            self._batches.close()


class ParameterNames:
    """Hands out placeholders for one query and keeps the values that belong to them."""

    def __init__(self, prefix: str = "p") -> None:
        self._prefix = prefix
        self.values: dict[str, Parameter] = {}

    def bind(self, value: Any, type: str = "text") -> sge.Placeholder:
        """A placeholder for `value`, which is compared as API type `type`."""
        name = f"{self._prefix}{len(self.values)}"
        self.values[name] = Parameter(value, type)
        return sge.Placeholder(this=name)


def column(name: str, table: str | None = None) -> sge.Column:
    """A column by its exact name."""
    return sge.column(
        sge.to_identifier(name, quoted=True),
        table=sge.to_identifier(table, quoted=True) if table else None,
    )


def table(name: str) -> sge.Table:
    """A DataStore table by its exact name, in a neutral tree."""
    return sge.Table(
        this=sge.to_identifier(name, quoted=True),
        db=sge.to_identifier(RESOURCES, quoted=True),
    )


WHOLE = (
    sge.Column,
    sge.Literal,
    sge.Boolean,
    sge.Null,
    sge.Cast,
    sge.Anonymous,
    sge.Paren,
    sge.Subquery,
    sge.Coalesce,
    sge.Nullif,
    sge.Greatest,
    sge.Least,
    sge.CurrentDate,
    sge.Array,
    sge.Filter,
    sge.WithinGroup,
    sge.Window,
    sge.Tuple,
    sge.Exists,
    sge.Any,
    sge.All,
)
"""Kinds of expressions that no operator beside them can take apart."""


def operand(tree: sge.Expr) -> sge.Expr:
    """`tree` in brackets where an operator beside it could take it apart."""
    return tree if isinstance(tree, WHOLE) else sge.Paren(this=tree)
