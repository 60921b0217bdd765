"""PostgreSQL's `to_char(number, format)` in BigQuery's words."""

from __future__ import annotations

import sqlglot.expressions as sge

from ckanext.bqdatastore.translation.literals import NumberFormat, number_format
from ckanext.bqdatastore.translation.terms import (
    Expression,
    fn,
    is_null,
    kind,
    op,
    unsupported,
    when,
)

from .terms import cast, exact, fails, once


def to_char(value: Expression, pattern: str) -> Expression:
    """:raises Untranslatable: a format of more than `FM`, `9`, `0`, `,`, `G`, `.` and `D`"""
    form = number_format(pattern)
    places = len(form.fraction)
    if kind(value) not in ("float4", "float8"):
        rounded = fn("ROUND", exact(value), places)
        return once(rounded, lambda one: _shown(one, form, op(sge.LT, one, 0), form.overflow))
    if len(form.digits) + places > _FLOAT_DIGITS:
        raise unsupported(f"to_char() of a float with more than {_FLOAT_DIGITS} places")

    def of(text: Expression) -> Expression:
        # A float is rounded as C does it, half to even, and keeps its sign if nothing is left.
        return _shown(exact(text), form, fn("STARTS_WITH", text, "-"), None)

    return once(fn("FORMAT", f"%.{places}f", value), of)


_FLOAT_DIGITS = 15


def _shown(
    value: Expression, form: NumberFormat, negative: Expression, overflow: str | None
) -> Expression:
    """:param overflow: what is shown of a number that has no place; None for an error"""
    magnitude = fn("FORMAT", f"%.{len(form.fraction)}f", fn("ABS", value))
    whole = fn("REGEXP_EXTRACT", magnitude, r"^0*([0-9]*)")
    shown: Expression = fn("LPAD", whole, fn("GREATEST", fn("LENGTH", whole), form.least), "0")
    if form.grouped:
        parts = fn("REGEXP_REPLACE", fn("LPAD", shown, 21, " "), "(.{3})", r"\1,")
        shown = fn("TRIM", parts, " ,")
    text: Expression = shown
    if form.fraction:
        text = fn("CONCAT", text, fn("REGEXP_EXTRACT", magnitude, r"\..*$"))
    elif form.point:
        text = fn("CONCAT", text, ".")
    sign = when((negative, "-"), otherwise="" if form.bare else " ")
    signed = fn("CONCAT", sign, text)
    filled = signed if form.bare else fn("LPAD", signed, form.width + 1, " ")
    filled_up: Expression = fails("to_char() of a float that has more digits than the format")
    if overflow is not None:
        filled_up = fn("CONCAT", sign, overflow)
    return when(
        (is_null(value), cast(sge.Null(), "text")),
        (op(sge.LTE, fn("LENGTH", whole), len(form.digits)), filled),
        otherwise=filled_up,
    )
