"""PostgreSQL's comparisons in DuckDB's words: lists are rows, bounds have types, JSON has none."""

from __future__ import annotations

import sqlglot.expressions as sge

from ....model.query import COMPARED_AS
from ....model.tree_size import copied
from ....translation.terms import (
    JSONS,
    Expression,
    fn,
    is_null,
    kind,
    op,
    unsupported,
    when,
)
from .casts import convert
from .terms import cast


def compare(tree: sge.Binary) -> Expression:
    if isinstance(tree.expression, (sge.Any, sge.All)):
        return _quantified(tree)
    return _without_json(tree, tree.this, tree.expression)


def _without_json(tree: Expression, *compared: Expression) -> Expression:
    """`tree`, which compares these: JSON is kept as text, which tells too much apart."""
    if any(kind(value).removeprefix("_") in JSONS for value in compared):
        raise unsupported("comparisons of json (take a value out with ->>)")
    return tree


def contained(tree: sge.In) -> Expression:
    return _without_json(tree, tree.this)


def case(tree: sge.Case) -> Expression:
    return _without_json(tree, tree.this) if tree.this else tree


def ordered(tree: sge.Ordered) -> Expression:
    value, query = tree.this, tree.parent and tree.parent.parent
    if isinstance(value, sge.Literal) and isinstance(query, sge.Select):
        value = query.expressions[int(value.name) - 1].this
    return _without_json(tree, value)


def _quantified(tree: sge.Binary) -> Expression:
    """A comparison with every element of an array, as one with the rows of a sub-query."""
    quantifier = tree.expression
    array = quantifier.this
    if isinstance(array, sge.Subquery):
        return tree
    rows = sge.Select(expressions=[fn("unnest", array)])
    quantifier.set("this", sge.Subquery(this=rows))
    if _is_list(array):
        return tree
    # The rows of no array are no rows; what PostgreSQL says of no array is NULL.
    return when((is_null(array.copy()), cast(sge.Null(), "bool")), otherwise=tree)


def _is_list(tree: Expression) -> bool:
    while isinstance(tree, (sge.Paren, sge.Cast)):
        tree = tree.this
    return isinstance(tree, sge.Anonymous) and tree.name == "list_value"


def between(tree: sge.Between) -> Expression:
    """Within the bounds in this order or, if `SYMMETRIC`, in the other."""
    _without_json(tree, tree.this)
    value, low, high = (tree.args[key] for key in ("this", "low", "high"))
    kinds = tree.meta.get(COMPARED_AS)
    if not kinds and not tree.args.get("symmetric"):
        return tree

    def within(least: tuple[Expression, str], most: tuple[Expression, str]) -> Expression:
        if not kinds:
            return sge.Between(this=copied(value), low=copied(least[0]), high=copied(most[0]))
        tests = [
            op(node, convert(copied(value), kind(value), name), copied(bound))
            for node, (bound, name) in ((sge.GTE, least), (sge.LTE, most))
        ]
        return op(sge.And, *tests)

    first, last = kinds or ("", "")
    found = within((low, first), (high, last))
    if not tree.args.get("symmetric"):
        return found
    return op(sge.Or, found, within((high, last), (low, first)))


def nullif(tree: sge.Nullif) -> Expression:
    return _without_json(tree, tree.this, tree.expression)


def extreme(tree: sge.Greatest | sge.Least) -> Expression:
    """Called by name: sqlglot would make NULL of the whole where one value is."""
    _without_json(tree, tree.this)
    return fn(tree.key, tree.this, *tree.expressions)
