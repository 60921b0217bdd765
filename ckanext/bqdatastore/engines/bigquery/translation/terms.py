"""The words of BigQuery that the translation is built from."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from contextvars import ContextVar

import sqlglot.expressions as sge

from ckanext.bqdatastore.translation.terms import Expression, fn, op, when

from ..forms import field, unnested
from ..types import ELEMENT, LIST, data_type, element_type, scalar_type

NUMERIC = "BIGNUMERIC"
"""What exact numbers are computed in: 38 digits before the point and 38 after it."""

_numbers: ContextVar[Iterator[int]] = ContextVar("numbers")
"""For names that no other value of the statement has."""

_AGGREGATED = "aggregated"
_SCALE = "scale"

Scale = int | Expression | None
"""Digits that PostgreSQL shows after the point of a `numeric`; None where it is not known."""


def begin() -> None:
    """A new statement is translated."""
    _numbers.set(itertools.count(1))


def stored(kind: str) -> sge.DataType:
    """BigQuery's type for a PostgreSQL type."""
    if kind.startswith("_"):
        element = element_type(kind[1:])
        return data_type(f"STRUCT<{LIST} ARRAY<STRUCT<{ELEMENT} {element}>>>")
    return data_type("INTERVAL") if kind == "interval" else data_type(scalar_type(kind))


def cast(value: Expression, kind: str) -> sge.Cast:
    """`value` in BigQuery's type for a PostgreSQL type."""
    return sge.Cast(this=value, to=stored(kind))


def integer(value: Expression) -> sge.Cast:
    return cast(value, "int8")


def exact(value: Expression) -> Expression:
    """An integer or exact number in the type that both are computed in."""
    inner = value
    while isinstance(inner, sge.Paren):
        inner = inner.this
    if isinstance(inner, sge.Cast) and inner.to.this == sge.DType.BIGDECIMAL:
        return value
    if isinstance(inner, sge.Cast) and isinstance(inner.this, sge.Literal) and inner.this.is_string:
        return sge.Cast(this=inner.this, to=data_type(NUMERIC))
    return sge.Cast(this=value, to=data_type(NUMERIC))


def fails(message: str) -> Expression:
    """An expression that raises `message` where it is evaluated."""
    return fn("ERROR", message)


def aggregated(tree: Expression) -> Expression:
    """`tree`, marked as a call over many rows, which cannot stand in the FROM of a sub-query."""
    tree.meta[_AGGREGATED] = True
    return tree


def once(value: Expression, build: Callable[[Expression], Expression]) -> Expression:
    """What `build` makes of a value, which is computed once where that can be said."""
    if _is_short(value) or _is_aggregated(value):
        return build(value)
    name = sge.column(f"_v{next(_numbers.get())}")
    built = build(name)
    if _is_aggregated(built):
        return build(value)
    return (
        sge.select(built, copy=False)
        .from_(unnested(_list(value), name.name), copy=False)
        .subquery(copy=False)
    )


def _is_aggregated(tree: Expression) -> bool:
    """Whether a call over many rows is in it, those of its sub-queries aside."""
    nodes = tree.walk(prune=lambda node: isinstance(node, sge.Subquery))
    return any(node.meta.get(_AGGREGATED) for node in nodes)


def _list(value: Expression) -> Expression:
    return sge.Array(expressions=[value])


def _is_short(value: Expression) -> bool:
    while isinstance(value, (sge.Paren, sge.Cast, sge.Neg)):
        value = value.this
    return isinstance(value, (sge.Column, sge.Literal, sge.Null, sge.Boolean))


def scaled(tree: Expression, scale: Scale) -> Expression:
    """`tree`, a `numeric`, with what is known of its digits."""
    if scale is not None:
        tree.meta[_SCALE] = scale
    return tree


def scale_of(tree: Expression) -> Scale:
    while isinstance(tree, sge.Paren) and _SCALE not in tree.meta:
        tree = tree.this
    return tree.meta.get(_SCALE)


def items(array: Expression) -> Expression:
    """BigQuery's array within one of ours."""
    return field(_bracketed(array), LIST)


def item(variable: str) -> Expression:
    """The element that stands in a row of `items`."""
    return field(sge.column(variable), ELEMENT)


def made_of(list_: Expression) -> Expression:
    """One of our arrays, of a BigQuery array of structs."""
    return fn("STRUCT", sge.alias_(list_, LIST))


def element(value: Expression) -> Expression:
    return fn("STRUCT", sge.alias_(value, ELEMENT))


def no_items(kind: str) -> Expression:
    """An empty BigQuery array for an array type of PostgreSQL's."""
    element = element_type(kind[1:])
    return sge.Cast(this=sge.Array(), to=data_type(f"ARRAY<STRUCT<{ELEMENT} {element}>>"))


def _bracketed(tree: Expression) -> Expression:
    return (
        tree if isinstance(tree, (sge.Column, sge.Paren, sge.Anonymous)) else sge.Paren(this=tree)
    )


def in_range(value: Expression, low: int, high: int, message: str) -> Expression:
    """`value`, or an error where it is out of bounds."""

    def checked(once_: Expression) -> Expression:
        inside = sge.Or(
            this=sge.Between(this=once_, low=_number(low), high=_number(high)),
            expression=op(sge.Is, once_, sge.Null()),
        )
        return when((inside, once_), otherwise=fails(message))

    return once(value, checked)


def _number(value: int) -> Expression:
    if value == -(2**63):
        return integer(sge.Literal.string(str(value)))
    number = sge.Literal.number(abs(value))
    return number if value >= 0 else sge.Neg(this=number)


def named(name: str, value: Expression) -> Expression:
    """An argument by name."""
    return sge.Kwarg(this=sge.Var(this=name), expression=value)
