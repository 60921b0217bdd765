"""`datastore_search` as trees: a page of records, and their number."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import sqlglot.expressions as sge

from ..model.errors import QueryFailed
from ..model.query import (
    ANY_ID,
    RESOURCES,
    ParameterNames,
    Query,
    Reach,
    ShapedQuery,
    Span,
    bound,
    column,
)
from ..model.table import ID
from .copy_lines import copy_line

Column = tuple[str, sge.Expr, str]

_HIGHEST_ID = 2**63 - 1

RECORD = "record"
"""The column of a page that holds each record's text."""

_FOUND, _SHOWN = "_found", "_shown"

_SPANS: Mapping[type[sge.Expr], Callable[[int], Span]] = {
    sge.EQ: lambda value: (value, value),
    sge.GT: lambda value: (value + 1, ANY_ID[1]),
    sge.GTE: lambda value: (value, ANY_ID[1]),
    sge.LT: lambda value: (ANY_ID[0], value - 1),
    sge.LTE: lambda value: (ANY_ID[0], value),
}

_DELIMITERS = {"csv": ",", "tsv": "\t"}


class OutputDialect(Protocol):
    """What a page needs of an engine's dialect."""

    name: str

    def json_object(self, columns: Sequence[Column]) -> sge.Expr: ...
    def json_array(self, columns: Sequence[Column]) -> sge.Expr: ...
    def copy_text(self, value: sge.Expr, type: str) -> sge.Expr: ...


@dataclasses.dataclass(frozen=True)
class Order:
    """One term of a sort.

    :param value: a field's column or a computed rank
    :param field: the field's id; None for a rank
    """

    value: sge.Expr
    descending: bool = False
    nulls_first: bool | None = None
    field: str | None = None

    def tree(self) -> sge.Ordered:
        # PostgreSQL: nulls are larger than everything.
        nulls_first = self.descending if self.nulls_first is None else self.nulls_first
        return sge.Ordered(this=self.value.copy(), desc=self.descending, nulls_first=nulls_first)


@dataclasses.dataclass(frozen=True)
class Screen:
    """What can take the place of a condition where a rank is worked out anyway.

    :param condition: one of the search's conditions
    :param rank: a value that the search is ordered by
    :param test: with a rank above zero it says as much as the condition
    """

    condition: sge.Expr
    rank: sge.Expr
    test: sge.Expr


@dataclasses.dataclass(frozen=True)
class Search:
    """A search, parsed and checked.

    :param source: the relation that is searched
    :param columns: what each record shows: name, value and API type, in order
    :param conditions: all of them must hold
    :param order: empty for the default, which is by `_id`
    :param records_format: `objects`, `lists`, `csv` or `tsv`
    :param names: the parameters that the columns and conditions refer to
    :param screen: for one of the conditions, if there is such a thing
    """

    source: sge.Expr
    columns: tuple[Column, ...]
    conditions: tuple[sge.Expr, ...]
    order: tuple[Order, ...]
    limit: int
    offset: int
    distinct: bool
    records_format: str
    names: ParameterNames
    screen: Screen | None = None

    @property
    def first_id(self) -> int | None:
        """The id behind which the records begin, if that is all that selects and orders them."""
        if self.distinct or (
            self.order and (self.order[0].field != ID or self.order[0].descending)
        ):
            return None
        if not self.conditions:
            return 0
        only = self.conditions[0]
        if len(self.conditions) > 1 or not isinstance(only, sge.GT):
            return None
        lowest = self._span_of(only)[0]
        return max(int(lowest) - 1, 0) if lowest != ANY_ID[0] else None

    @property
    def ids(self) -> Span:
        """Between which ids the conditions leave anything to be found."""
        lowest, highest = ANY_ID
        for condition in self.conditions:
            together = condition.unnest()
            for part in together.flatten() if isinstance(together, sge.And) else [together]:
                low, high = self._span_of(part)
                lowest, highest = max(lowest, low), min(highest, high)
        return lowest, highest

    @property
    def ids_of_page(self) -> tuple[int, int] | None:
        """The ids that its records have in a table without gaps, if nothing else says which."""
        first = self.first_id
        if first is None:
            return None
        last = min(first + self.offset + self.limit, _HIGHEST_ID)
        return first + self.offset + 1, last

    def _span_of(self, condition: sge.Expr) -> Span:
        """What a comparison of the id with a whole number leaves of all ids."""
        if type(condition) not in _SPANS or condition.this != column(ID):
            return ANY_ID
        if not isinstance(condition.expression, sge.Placeholder):
            return ANY_ID
        parameter = self.names.values.get(condition.expression.name)
        value = parameter.value if parameter else None
        return _SPANS[type(condition)](value) if isinstance(value, int) else ANY_ID

    @property
    def is_ranked(self) -> bool:
        """Whether it is ordered by something that is worked out for each record."""
        return not self.distinct and self.limit > 0 and any(x.field is None for x in self.order)

    @property
    def keyset(self) -> str | None:
        """How the next page goes on from the last `_id`: `gt`, `lt`, or None where it cannot."""
        if self.distinct or not self.order:
            return None if self.distinct else "gt"
        if len(self.order) == 1 and self.order[0].field == ID:
            return "lt" if self.order[0].descending else "gt"
        return None


def all_of(conditions: Sequence[sge.Expr]) -> sge.Expr:
    """One condition that holds where all do."""
    return sge.and_(*(each.copy() for each in conditions))


def page(search: Search, dialect: OutputDialect, with_id: bool = False) -> Query:
    """The page's records, each as one text.

    :param with_id: add each record's `_id` as the second column
    """
    shape = ("page", str(with_id))
    make = functools.partial(_page, search, dialect, with_id)
    return _shaped(shape, search, dialect, make, search.ids_of_page)


def page_and_total(search: Search, dialect: OutputDialect, with_id: bool = False) -> Query:
    """As `page`, of a search that is ranked, with the total as the last column of every record.

    What orders the records is worked out once, for both.
    """
    screen = search.screen.test.sql(dialect=dialect.name, copy=False) if search.screen else ""
    shape = ("page and total", str(with_id), screen)
    return _shaped(shape, search, dialect, lambda: _page_and_total(search, dialect, with_id))


def total(search: Search, dialect: OutputDialect) -> Query:
    """How many records the search finds, without limit and offset."""
    columns = search.columns if search.distinct else ()
    counted = dataclasses.replace(
        search, columns=columns, order=(), limit=0, offset=0, records_format=""
    )
    return _shaped(("total",), counted, dialect, lambda: _total(search))


def _shaped(
    what: tuple[str, ...],
    search: Search,
    dialect: OutputDialect,
    make: Callable[[], Query],
    ids_if_contiguous: Span | None = None,
) -> Query:
    """The query without its tree, where it is the table and the request that say all of it."""
    if not isinstance(search.source, sge.Table) or search.source.db != RESOURCES:
        return make()
    shape = what + _shape(search, dialect.name)
    ids = search.ids
    reach = Reach(ids, ids_if_contiguous or ids)
    return ShapedQuery(shape, (search.source.name,), search.names.values, make, reach)


def _shape(search: Search, dialect: str) -> tuple[str, ...]:
    """What tells a search from all that have another tree."""

    # Kept in the tree, for that may be one that many searches share.
    written = f"in {dialect}"

    def text(tree: sge.Expr) -> str:
        if written not in tree.meta:
            tree.meta[written] = tree.sql(dialect)
        return str(tree.meta[written])

    def is_own(name: str, value: sge.Expr) -> bool:
        return isinstance(value, sge.Column) and value.name == name and not value.table

    columns = (
        part
        for name, value, type in search.columns
        for part in (name, type, "" if is_own(name, value) else text(value))
    )
    order = (
        part
        for each in search.order
        for part in (
            f"by {each.descending} {each.nulls_first}",
            text(each.value) if each.field is None else f"field {each.field}",
        )
    )
    page = f"{search.limit} {search.offset} {search.distinct} {search.records_format}"
    # The one value that is in a tree.
    first = str(search.first_id)
    # How many there are of each, for a name or a text may be anything.
    counts = f"{len(search.columns)} {len(search.conditions)} {len(search.order)}"
    conditions = map(text, search.conditions)
    return (search.source.name, page, first, counts, *columns, *conditions, *order)


def _page(search: Search, dialect: OutputDialect, with_id: bool) -> Query:
    rows = _distinct_rows(search) if search.distinct else _rows(search, with_id)
    outputs = [_record(search, dialect).as_(RECORD, copy=False)]
    if with_id:
        outputs.append(column(ID))
    query = bound(_from(outputs, _derived(rows, "page")), search.names.values)
    direct = _by_ids(search)
    if direct is None:
        return query
    # All of these rows are on the page: their texts are made first, for less has to be sorted then.
    inner = _select(direct)
    inner.args["expressions"].append(column(ID))
    tree = _from([each.copy() for each in outputs], _derived(inner, "page"))
    return dataclasses.replace(query, if_contiguous=tree.order_by(column(ID), copy=False))


def _page_and_total(search: Search, dialect: OutputDialect, with_id: bool) -> Query:
    """First the ids of all records and what they are ordered by, then the other columns of some."""
    ordering = [*search.order, Order(column(ID))]
    terms = {id(each.value): column(f"_term{number}") for number, each in enumerate(ordering)}
    named = [each.value.copy().as_(terms[id(each.value)].this, copy=False) for each in ordering]
    conditions, matches = _screened(search, terms)
    found = _where(_from(named, search.source.copy()), conditions)

    def order() -> list[sge.Ordered]:
        return [dataclasses.replace(x, value=terms[id(x.value)]).tree() for x in ordering]

    matching = _where(_from([sge.Star()], sge.to_table(_FOUND)), matches)
    shown = _limited(matching, order(), search)
    values = [
        terms.get(id(value), value).copy().as_(_slot(position), copy=False)
        for position, (_, value, _) in enumerate(search.columns)
    ]
    row = terms[id(ordering[-1].value)]
    rows = _from([*values, *(each.copy() for each in terms.values())], search.source.copy())
    rows.join(sge.to_table(_SHOWN), on=column(ID).eq(row), copy=False)
    counted = sge.CountIf(this=matches[0].copy()) if matches else sge.Count(this=sge.Star())
    count = _from([counted], sge.to_table(_FOUND))
    outputs = [_record(search, dialect).as_(RECORD, copy=False)]
    if with_id:
        outputs.append(row.copy())
    outputs.append(count.subquery(copy=False))
    tree = _from(outputs, _derived(rows, "page")).order_by(*order(), copy=False)
    tree.with_(_FOUND, found, materialized=True, copy=False)
    tree.with_(_SHOWN, shown, materialized=True, copy=False)
    return bound(tree, search.names.values)


def _screened(
    search: Search, terms: Mapping[int, sge.Expr]
) -> tuple[list[sge.Expr], list[sge.Expr]]:
    """The conditions, and what must hold of the terms besides.

    DuckDB works a rank out a second time if it can move a test of it to where the rank is made. A
    count of those that pass, beside the page of those that pass, leaves the test where it is.
    """
    screen = search.screen
    conditions = list(search.conditions)
    if screen is None or id(screen.rank) not in terms:
        return conditions, []
    if not any(each is screen.condition for each in conditions):
        return conditions, []
    weaker = [screen.test if each is screen.condition else each for each in conditions]
    return weaker, [sge.GT(this=terms[id(screen.rank)].copy(), expression=sge.convert(0))]


def _by_ids(search: Search) -> Search | None:
    """The same page of a table whose ids have no gaps: nothing but its own rows need be looked at.

    None where other things than ids say what is on it.
    """
    ids = search.ids_of_page
    if ids is None:
        return None
    within = (
        sge.GT(this=column(ID), expression=sge.convert(ids[0] - 1)),
        sge.LTE(this=column(ID), expression=sge.convert(ids[1])),
    )
    return dataclasses.replace(search, conditions=within, offset=0)


def _record(search: Search, dialect: OutputDialect) -> sge.Expr:
    """What is made of a page's rows: the text of one record."""
    shown: list[Column] = [
        (name, column(_slot(position)), type)
        for position, (name, _, type) in enumerate(search.columns)
    ]
    if search.records_format == "objects":
        return dialect.json_object(shown)
    if search.records_format == "lists":
        return dialect.json_array(shown)
    texts = [(dialect.copy_text(value, type), type) for _, value, type in shown]
    return copy_line(texts, _DELIMITERS[search.records_format])


def _total(search: Search) -> Query:
    count = sge.Count(this=sge.Star())
    if search.distinct:
        tree = _from([count], _derived(_distinct(_select(search)), "found"))
    else:
        tree = _where(_from([count], search.source.copy()), search.conditions)
    return bound(tree, search.names.values)


def _rows(search: Search, with_id: bool) -> sge.Select:
    """The page's rows; forms of values are made from them, not from the whole table."""
    select = _select(search)
    if with_id:
        select.args["expressions"].append(column(ID))
    shown = {id(value): position for position, (_, value, _) in enumerate(search.columns)}
    order = []
    for each in search.order:
        # A rank that is shown is not worked out a second time.
        if each.field is None and id(each.value) in shown:
            each = dataclasses.replace(each, value=column(_slot(shown[id(each.value)])))
        order.append(each.tree())
    if not any(each.field == ID for each in search.order):
        order.append(Order(column(ID)).tree())  # pages of equal terms must not overlap
    return _limited(select, order, search)


def _distinct_rows(search: Search) -> sge.Select:
    shown = {name: position for position, (name, _, _) in enumerate(search.columns)}
    order = []
    for each in search.order:
        if each.field is not None and each.field not in shown:
            raise QueryFailed(
                "for SELECT DISTINCT, ORDER BY expressions must appear in select list"
            )
        if each.field is not None:
            each = dataclasses.replace(each, value=column(_slot(shown[each.field])))
            order.append(each.tree())
    # The records are all different, so ordering by all of them makes the pages definite.
    order += [Order(column(_slot(position))).tree() for position in range(len(search.columns))]
    found = _derived(_distinct(_select(search)), "found")
    return _limited(_from([sge.Star()], found), order, search)


def _select(search: Search) -> sge.Select:
    values = [
        value.copy().as_(_slot(position), copy=False)
        for position, (_, value, _) in enumerate(search.columns)
    ]
    return _where(_from(values, search.source.copy()), search.conditions)


# sqlglot's builders copy the whole tree at each step; what is built here is nobody else's.


def _from(values: list[sge.Expr], source: sge.Expr) -> sge.Select:
    return sge.Select(expressions=values).from_(source, copy=False)


def _where(select: sge.Select, conditions: Sequence[sge.Expr]) -> sge.Select:
    return select.where(*(each.copy() for each in conditions), copy=False)


def _distinct(select: sge.Select) -> sge.Select:
    return select.distinct(copy=False)


def _limited(select: sge.Select, order: Sequence[sge.Expr], search: Search) -> sge.Select:
    select = select.order_by(*order, copy=False).limit(search.limit, copy=False)
    return select.offset(search.offset, copy=False) if search.offset else select


def _derived(select: sge.Select, name: str) -> sge.Subquery:
    return select.subquery(name, copy=False)


def _slot(position: int) -> str:
    """The name of a column inside the tree: a field's own may occur twice, or be anything."""
    return f"c{position}"
