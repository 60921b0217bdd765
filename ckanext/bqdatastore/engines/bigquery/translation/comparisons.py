"""PostgreSQL's comparisons in BigQuery's words: floats, moments of several types, lists, ranges."""

from __future__ import annotations

import pyarrow as pa
import sqlglot.expressions as sge

from ckanext.bqdatastore.model.query import COMPARED_AS
from ckanext.bqdatastore.model.tree_size import copied
from ckanext.bqdatastore.translation.growth import size
from ckanext.bqdatastore.translation.terms import (
    FLOATS,
    JSONS,
    Expression,
    fn,
    is_null,
    kind,
    op,
    unsupported,
)

from .casts import convert
from .queries import quantified
from .terms import cast, once

_LARGE = 40
"""Nodes beyond which a value is not said again."""


def compare(tree: sge.Binary) -> Expression:
    left, right = tree.this, tree.expression
    if isinstance(right, (sge.Any, sge.All)):
        return quantified(
            right, lambda item: compared(type(tree), left, item, kind(left), kind(right))
        )
    return compared(type(tree), left, right, kind(left), kind(right))


def compared(
    node: type[sge.Binary], left: Expression, right: Expression, one: str, other: str
) -> Expression:
    for name in (one, other):
        if name in JSONS or name.startswith("_"):
            raise unsupported("comparing JSON values or arrays")
    if {one, other} & {"timestamptz"} and one != other:
        left, right = (
            cast(side, "timestamptz") if name != "timestamptz" else side
            for side, name in ((left, one), (right, other))
        )
    elif {one, other} == {"date", "timestamp"}:
        left, right = cast(left, "timestamp"), cast(right, "timestamp")
    mixed = "float4" in (one, other) and one != other
    if mixed and not _is_float4(right if one == "float4" else left):
        raise unsupported("comparing float4 with other numbers")
    if one in FLOATS and other in FLOATS:
        return _floats_compared(node, left, right)
    return op(node, left, right)


def _floats_compared(node: type[sge.Binary], left: Expression, right: Expression) -> Expression:
    """NaN is equal to itself and above all others."""
    plain = op(node, left, right)
    sides: list[Expression | None] = [
        None if _is_number(side) else fn("IS_NAN", side) for side in (left, right)
    ]
    both = op(sge.And, *nans) if len(nans := [each for each in sides if each]) == 2 else None
    larger = {sge.GT: 0, sge.GTE: 0, sge.LT: 1, sge.LTE: 1}.get(node)
    result: Expression = plain
    if larger is not None and sides[larger] is not None:
        nan, rest = sides[larger], sides[1 - larger]
        assert nan is not None
        if node in (sge.GT, sge.LT) and rest is not None:
            nan = op(sge.And, nan, sge.Not(this=rest))
        value = (right, left)[larger]
        result = op(sge.Or, result, op(sge.And, nan, sge.Not(this=is_null(value))))
    elif both is not None and node is sge.EQ:
        result = op(sge.Or, result, both)
    elif both is not None and node is sge.NEQ:
        result = op(sge.And, result, sge.Not(this=both))
    return result


def _is_float4(tree: Expression) -> bool:
    """Whether it is a constant with the same digits as the float4 that is equal to it."""
    negative = False
    while isinstance(tree, (sge.Paren, sge.Cast, sge.Neg)):
        negative ^= isinstance(tree, sge.Neg)
        tree = tree.this
    if not isinstance(tree, sge.Literal):
        return False
    value = float(tree.name) * (-1 if negative else 1)
    nearest = pa.scalar(value, pa.float32())
    return bool(nearest.as_py() == value == float(nearest.cast(pa.string()).as_py()))


def _is_number(tree: Expression) -> bool:
    """Whether it is a constant that is no NaN."""
    while isinstance(tree, (sge.Paren, sge.Cast, sge.Neg)):
        tree = tree.this
    return isinstance(tree, sge.Literal) and tree.name.lower() != "nan"


def alike(tree: sge.NullSafeEQ | sge.NullSafeNEQ) -> Expression:
    for side in (tree.this, tree.expression):
        if kind(side) in (*FLOATS, *JSONS) or kind(side).startswith("_"):
            raise unsupported("IS DISTINCT FROM of this type")
    return tree


def contained(tree: sge.In) -> Expression:
    if kind(tree.this) in JSONS or kind(tree.this).startswith("_"):
        raise unsupported("comparing JSON values or arrays")
    if kind(tree.this) == "float4" and tree.args.get("query"):
        raise unsupported("float4 IN a sub-query")
    if kind(tree.this) in FLOATS and not all(map(_is_number, tree.expressions)):
        raise unsupported("IN with floats that are not constants")
    return tree


def between(tree: sge.Between) -> Expression:
    value, low, high = (tree.args[key] for key in ("this", "low", "high"))
    name = kind(value)
    first, last = tree.meta.get(COMPARED_AS) or (name, name)

    def tested(one: Expression) -> Expression:
        def against(node: type[sge.Binary], bound: Expression, kind_: str) -> Expression:
            side = convert(copied(one), name, kind_)
            return compared(node, side, copied(bound), kind_, kind(bound))

        found = op(sge.And, against(sge.GTE, low, first), against(sge.LTE, high, last))
        if not tree.args.get("symmetric"):
            return found
        other = op(sge.And, against(sge.GTE, high, last), against(sge.LTE, low, first))
        return op(sge.Or, found, other)

    # A small value is said again: in a sub-query it would find no partitions.
    return once(value, tested) if size(value) > _LARGE else tested(value)
