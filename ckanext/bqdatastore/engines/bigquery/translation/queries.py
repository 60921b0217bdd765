"""PostgreSQL's clauses in BigQuery's words: DISTINCT ON, sets of groups, VALUES, ANY and ALL."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence

import sqlglot.expressions as sge

from ckanext.bqdatastore.translation.terms import (
    FLOATS,
    JSONS,
    Expression,
    fn,
    is_null,
    kind,
    op,
    unsupported,
    when,
)

from ..forms import as_text, unnested
from .aggregates import sort_keys
from .terms import aggregated, cast, item, items, once


def distinct_on(tree: sge.Select) -> None:
    """Keep the first row of each group, in the order of the query."""
    on = tree.args["distinct"].args["on"].expressions
    order = tree.args.get("order")
    ordered = [_of_output(each, tree) for each in order.expressions] if order else []
    keys = [key for each in ordered for key in sort_keys(each)]
    number = sge.Window(
        this=fn("ROW_NUMBER"),
        partition_by=[partition_key(each) for each in on],
        order=sge.Order(expressions=keys) if keys else None,
    )
    tree.set("distinct", None)
    tree.set("qualify", sge.Qualify(this=op(sge.EQ, number, 1)))
    if not any(tree.args.get(clause) for clause in ("where", "group", "having")):
        # BigQuery wants one of them.
        tree.set("where", sge.Where(this=sge.true()))


def _of_output(ordered: sge.Ordered, tree: sge.Select) -> sge.Ordered:
    """A sort key with what it counts to in its place."""
    if not isinstance(ordered.this, sge.Literal):
        return ordered
    target = tree.expressions[int(ordered.this.name) - 1].this
    named = ordered.copy()
    named.set("this", target)
    return named


def partition_key(value: Expression) -> Expression:
    """BigQuery divides by no floats, and by no arrays."""
    if kind(value) in FLOATS:
        return as_text(value)
    if kind(value).startswith("_") or kind(value) in JSONS:
        raise unsupported("PARTITION BY and DISTINCT ON with arrays or JSON")
    return value


def sorted_outside(tree: sge.Query, order: sge.Order) -> sge.Select:
    """The rows of a DISTINCT or a set operation, sorted by keys that are no outputs of it."""
    first: Expression = tree
    while isinstance(first, (sge.Subquery, sge.SetOperation)):
        first = first.this
    page = sge.to_identifier("_rows")
    outputs = []
    for target in first.expressions:
        name = sge.to_identifier(target.alias, quoted=True)
        value = sge.Column(this=name, table=page)
        value.type = target.this.type
        outputs.append(sge.Alias(this=value, alias=name))
    keys = []
    for each in order.expressions:
        if not isinstance(each.this, sge.Literal):
            raise unsupported("such an ORDER BY of DISTINCT or a set operation")
        value = outputs[int(each.this.name) - 1].this
        keys += sort_keys(sge.Ordered(**{**each.args, "this": value}))
    tail = {key: tree.args.pop(key) for key in ("limit", "offset") if tree.args.get(key)}
    tree.set("order", None)
    source = sge.Subquery(this=tree, alias=sge.TableAlias(this=page))
    return sge.Select(
        expressions=outputs, from_=sge.From(this=source), order=sge.Order(expressions=keys), **tail
    )


def group(tree: sge.Select) -> None:
    """Sets of groups as one list of sets, and expressions that are selected by their places."""
    clause = tree.args["group"]
    sets = [clause.args.get(key) or [] for key in ("rollup", "cube", "grouping_sets")]
    if not any(sets):
        clause.set("expressions", [_as_place(each, tree) for each in clause.expressions])
        return
    parts: list[list[tuple[Expression, ...]]] = [[tuple(clause.expressions)]]
    parts += [list(_sets(each)) for each in itertools.chain(*sets)]
    found = [tuple(itertools.chain(*combination)) for combination in itertools.product(*parts)]
    if len(found) > 1000:
        raise unsupported("so many sets of groups")
    tuples = [
        sge.Tuple(expressions=list(dict.fromkeys(_of_place(each, tree) for each in members)))
        for members in found
    ]
    tree.set("group", sge.Group(grouping_sets=[sge.GroupingSets(expressions=tuples)]))


def _sets(clause: Expression) -> Iterator[tuple[Expression, ...]]:
    if isinstance(clause, sge.GroupingSets):
        for each in clause.expressions:
            yield from _sets(each)
    elif isinstance(clause, (sge.Rollup, sge.Cube)):
        units = [tuple(_members(each)) for each in clause.expressions]
        places = range(len(units))
        if isinstance(clause, sge.Rollup):
            chosen: Sequence[Sequence[int]] = [
                places[:count] for count in range(len(units), -1, -1)
            ]
        else:
            chosen = [
                combination
                for count in range(len(units), -1, -1)
                for combination in itertools.combinations(places, count)
            ]
        for each in chosen:
            yield tuple(itertools.chain(*(units[place] for place in each)))
    else:
        yield tuple(_members(clause))


def _members(tree: Expression) -> list[Expression]:
    return list(tree.expressions) if isinstance(tree, sge.Tuple) else [tree]


def _of_place(value: Expression, tree: sge.Select) -> Expression:
    if isinstance(value, sge.Literal) and not value.is_string:
        target: Expression = tree.expressions[int(value.name) - 1].this
        return target
    return value


def _as_place(value: Expression, tree: sge.Select) -> Expression:
    if isinstance(value, (sge.Column, sge.Literal)):
        return value
    for place, target in enumerate(tree.expressions):
        if isinstance(target, sge.Alias) and target.this == value:
            return sge.Literal.number(place + 1)
    return value


def values(tree: sge.Values) -> Expression:
    """Rows of constants, as a list of structs."""
    alias = tree.args["alias"]
    names = [column.name for column in alias.columns]
    rows = []
    for place, row in enumerate(tree.expressions):
        if any(kind(value).startswith("_") for value in row.expressions):
            raise unsupported("VALUES with arrays")
        members = [
            sge.alias_(value, name, quoted=True) if place == 0 else value
            for value, name in zip(row.expressions, names, strict=True)
        ]
        rows.append(fn("STRUCT", *members))
    source = sge.Unnest(expressions=[sge.Array(expressions=rows)])
    select = sge.Select(expressions=[sge.Star()], from_=sge.From(this=source))
    return sge.Subquery(this=select, alias=sge.TableAlias(this=alias.this))


def quantified(
    quantifier: sge.Any | sge.All, compare: Callable[[Expression], Expression]
) -> Expression:
    """A comparison with every element of an array or row of a sub-query.

    :param compare: the comparison with one element
    """
    wants = isinstance(quantifier, sge.Any)
    array = quantifier.this
    while isinstance(array, sge.Paren):
        array = array.this
    if isinstance(array, sge.Subquery):
        test = compare(sge.column("_e"))
        listed = sge.Array(expressions=[_structs(array.this)])
        rows = unnested(listed, "_s")
        test = compare(sge.Dot(this=sge.column("_s"), expression=sge.to_identifier("_e")))
        return sge.select(_verdict(test, wants)).from_(rows, copy=False).subquery(copy=False)

    def of(one: Expression) -> Expression:
        rows = unnested(items(one), "_e")
        found = (
            sge.select(_verdict(compare(item("_e")), wants))
            .from_(rows, copy=False)
            .subquery(copy=False)
        )
        return when((is_null(one), cast(sge.Null(), "bool")), otherwise=found)

    return once(array, of)


def _structs(query: sge.Query) -> sge.Select:
    name = sge.to_identifier("_q")
    column = _first_output(query)
    member = sge.alias_(sge.column(sge.to_identifier(column, quoted=True)), "_e")
    return sge.Select(
        expressions=[fn("STRUCT", member)],
        from_=sge.From(this=sge.Subquery(this=query, alias=sge.TableAlias(this=name))),
    )


def _first_output(query: Expression) -> str:
    while isinstance(query, (sge.Subquery, sge.SetOperation)):
        query = query.this
    return str(query.expressions[0].alias)


def _verdict(test: Expression, wants: bool) -> Expression:
    """Of many tests whether one holds (or all do), null where that cannot be told."""
    decided = fn("COUNTIF", test if wants else sge.Not(this=sge.Paren(this=test)))
    unknown = fn("COUNTIF", is_null(test))
    found = when(
        (op(sge.GT, decided, 0), sge.Boolean(this=wants)),
        (op(sge.GT, unknown, 0), cast(sge.Null(), "bool")),
        otherwise=sge.Boolean(this=not wants),
    )
    return aggregated(found)
