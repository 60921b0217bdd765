"""PostgreSQL's `to_char(number, format)` in DuckDB's words: digits, groups, a point and a sign."""

from __future__ import annotations

import sqlglot.expressions as sge

from ckanext.bqdatastore.translation.literals import NumberFormat, number_format
from ckanext.bqdatastore.translation.terms import Expression, fn, kind, op, when

from .terms import cast, decimal


def to_char(value: Expression, pattern: str) -> Expression:
    """:raises Untranslatable: a format of more than `FM`, `9`, `0`, `,`, `G`, `.` and `D`"""
    return _built(value, number_format(pattern))


def _built(value: Expression, form: NumberFormat) -> Expression:
    in_float = kind(value) in ("float4", "float8")
    # A float is rounded as C does it, half to even.
    exact = fn("printf", f"%.{len(form.fraction)}f", value) if in_float else value
    rounded = cast(exact, decimal(38, len(form.fraction)))
    magnitude = cast(fn("abs", rounded.copy()), "text")
    whole = fn("split_part", magnitude, ".", 1)
    shown: Expression = fn("ltrim", whole, "0")
    filled_to = cast(fn("greatest", fn("length", shown.copy()), form.least), "int4")
    shown = fn("lpad", shown, filled_to, "0")
    if form.grouped:
        padded = fn("lpad", shown, 21, " ")
        parts = fn("regexp_replace", padded, "(.{3})", r"\1,", "g")
        shown = fn("trim", fn("rtrim", parts, ","), " ,")
    fits = op(sge.LTE, fn("length", fn("ltrim", whole.copy(), "0")), len(form.digits))
    text: Expression = shown
    if form.fraction:
        text = op(sge.DPipe, text, op(sge.DPipe, ".", fn("split_part", magnitude.copy(), ".", 2)))
    elif form.point:
        text = op(sge.DPipe, text, ".")
    sign = when((op(sge.LT, rounded.copy(), 0), "-"), otherwise="" if form.bare else " ")
    signed = op(sge.DPipe, sign, text)
    filled = signed if form.bare else fn("lpad", signed, form.width + 1, " ")
    return when(
        (fits, filled),
        (op(sge.Is, value.copy(), sge.Null()), cast(sge.Null(), "text")),
        otherwise=op(sge.DPipe, sign.copy(), form.overflow),
    )
