"""A value that ends the query where it is longer than it may be."""

from __future__ import annotations

import sqlglot.expressions as sge

from ckanext.bqdatastore.translation.terms import Expression, fn, kind, op, when

from .terms import element, fails

_ELEMENT_BYTES = 16
"""What a list has of a value, beside the letters of a text."""

_COPIES = 3
"""So many lists DuckDB makes to make one of another."""

_TOO_LONG = (
    "a text or list that the query has put together is too long to make others of it for each of"
    " many rows"
)

_GATHERED = "gathered"
_VALUE = "value"


def at_most(value: Expression, most_bytes: Expression) -> Expression:
    """The text or list as it is; it is never copied, as of some thousand rows it must not be."""
    if isinstance(value, (sge.Column, sge.Window)):  # DuckDB works a window out once
        return _bounded(value, kind(value), most_bytes)
    source = value
    if not isinstance(value, sge.Subquery):
        source = sge.Subquery(this=sge.Select(expressions=[value]))
    column = sge.to_identifier(_VALUE)
    source.set("alias", sge.TableAlias(this=sge.to_identifier(_GATHERED), columns=[column]))
    found = sge.column(column.copy(), table=sge.to_identifier(_GATHERED))
    bounded = _bounded(found, kind(value), most_bytes)
    return sge.Subquery(this=sge.Select(expressions=[bounded], from_=sge.From(this=source)))


def _bounded(value: Expression, type: str, most_bytes: Expression) -> Expression:
    longer = [_is_more(size, most_bytes) for size in _sizes(value, type)]
    return when(*((test, fails(_TOO_LONG)) for test in longer), otherwise=value)


def _sizes(value: Expression, type: str) -> list[Expression]:
    """How many bytes others of it take, at least; the last says all. Each is only looked at where
    those before are not too large."""
    if not type.startswith("_"):
        return [fn("strlen", value.copy())]
    elements = op(sge.Mul, fn("len", value.copy()), _COPIES * _ELEMENT_BYTES)
    if type != "_text":
        return [elements]
    lengths = sge.Lambda(this=fn("strlen", element("x")), expressions=[sge.to_identifier("x")])
    letters = fn("list_sum", fn("list_transform", value.copy(), lengths))
    all = op(sge.Add, elements.copy(), op(sge.Mul, letters, _COPIES))
    return [elements, all]


def _is_more(size: Expression, most_bytes: Expression) -> Expression:
    return op(sge.GT, size, most_bytes.copy())
