"""PostgreSQL's `to_char(number, format)` in DuckDB's words: digits, groups, a point and a sign."""

from __future__ import annotations

import re

import sqlglot.expressions as sge

from ckanext.bqdatastore.translation.terms import Expression, fn, kind, op, unsupported, when

from .terms import cast, decimal

_FORMAT = re.compile(r"(?P<fill>FM)?(?P<whole>[09,G]*)(?:[.D](?P<fraction>[09]*))?", re.I)


def to_char(value: Expression, pattern: str) -> Expression:
    """:raises Unsupported: a format of more than `FM`, `9`, `0`, `,`, `G`, `.` and `D`"""
    match = _FORMAT.fullmatch(pattern)
    if match is None or not (match["whole"] or match["fraction"]):
        raise unsupported(f'the number format "{pattern}"')
    bare, whole = bool(match["fill"]), match["whole"].upper().replace("G", ",")
    fraction = match["fraction"] or ""
    digits = whole.replace(",", "")
    if "0" in digits.lstrip("9") and "9" in digits.lstrip("9"):
        # From the first 0 on every place is shown.
        digits = digits[: digits.index("0")] + "0" * (len(digits) - digits.index("0"))
    groups = whole.split(",")
    if len(groups) > 1 and any(len(group) != 3 for group in groups[1:]):
        raise unsupported(f'the number format "{pattern}"')
    if bare and "9" in fraction:
        raise unsupported(f'the number format "{pattern}"')
    if len(digits) > 18:
        raise unsupported("number formats of more than 18 places")
    return _built(value, digits, len(groups) > 1, fraction, bare, "." in pattern or "D" in pattern)


def _built(
    value: Expression, digits: str, grouped: bool, fraction: str, bare: bool, point: bool
) -> Expression:
    in_float = kind(value) in ("float4", "float8")
    # A float is rounded as C does it, half to even.
    exact = fn("printf", f"%.{len(fraction)}f", value) if in_float else value
    rounded = cast(exact, decimal(38, len(fraction)))
    magnitude = cast(fn("abs", rounded.copy()), "text")
    whole = fn("split_part", magnitude, ".", 1)
    least = len(digits) - digits.index("0") if "0" in digits else 0
    shown: Expression = fn("ltrim", whole, "0")
    if not fraction and least == 0:
        # Without places after the point a zero is shown all the same.
        least = 1
    filled_to = cast(fn("greatest", fn("length", shown.copy()), least), "int4")
    shown = fn("lpad", shown, filled_to, "0")
    width = len(digits)
    if grouped:
        padded = fn("lpad", shown, 21, " ")
        parts = fn("regexp_replace", padded, "(.{3})", r"\1,", "g")
        shown = fn("trim", fn("rtrim", parts, ","), " ,")
        width += (len(digits) - 1) // 3
    fits = op(sge.LTE, fn("length", fn("ltrim", whole.copy(), "0")), len(digits))
    text: Expression = shown
    if fraction:
        text = op(sge.DPipe, text, op(sge.DPipe, ".", fn("split_part", magnitude.copy(), ".", 2)))
        width += 1 + len(fraction)
    elif point:
        text = op(sge.DPipe, text, ".")
        width += 1
    sign = when((op(sge.LT, rounded.copy(), 0), "-"), otherwise="" if bare else " ")
    signed = op(sge.DPipe, sign, text)
    filled = signed if bare else fn("lpad", signed, width + 1, " ")
    overflow = ("#" * len(digits)) + ("." + "#" * len(fraction) if fraction else "")
    return when(
        (fits, filled),
        (op(sge.Is, value.copy(), sge.Null()), cast(sge.Null(), "text")),
        otherwise=op(sge.DPipe, sign.copy(), overflow),
    )
