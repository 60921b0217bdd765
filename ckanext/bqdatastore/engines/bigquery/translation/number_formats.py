"""PostgreSQL's `to_char(number, format)` in BigQuery's words."""

from __future__ import annotations

import sqlglot.expressions as sge

from ckanext.bqdatastore.translation.literals import NumberFormat, number_format
from ckanext.bqdatastore.translation.terms import Expression, fn, is_null, kind, op, when

from .terms import cast, exact, once


def to_char(value: Expression, pattern: str) -> Expression:
    """:raises Untranslatable: a format of more than `FM`, `9`, `0`, `,`, `G`, `.` and `D`"""
    form = number_format(pattern)
    places = len(form.fraction)
    if kind(value) in ("float4", "float8"):
        # A float is rounded as C does it, half to even.
        rounded = exact(fn("FORMAT", f"%.{places}f", value))
    else:
        rounded = fn("ROUND", exact(value), places)
    return once(rounded, lambda one: _shown(one, form))


def _shown(value: Expression, form: NumberFormat) -> Expression:
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
    sign = when((op(sge.LT, value, 0), "-"), otherwise="" if form.bare else " ")
    signed = fn("CONCAT", sign, text)
    filled = signed if form.bare else fn("LPAD", signed, form.width + 1, " ")
    overflow = "#" * len(form.digits) + ("." + "#" * len(form.fraction) if form.fraction else "")
    return when(
        (is_null(value), cast(sge.Null(), "text")),
        (op(sge.LTE, fn("LENGTH", whole), len(form.digits)), filled),
        otherwise=fn("CONCAT", sign, overflow),
    )
