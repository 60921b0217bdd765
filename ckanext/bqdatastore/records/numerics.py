"""Exact numbers into decimal columns no wider than their values need.

Trailing zeros after the point are not kept: `1.50` is `1.5`. A column has one scale for all its
values, so it could not give each back as it was written.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

import pyarrow as pa
import pyarrow.compute as pc

from ..model import types
from .refusal import Refused, not_held

_PLAIN = r"^[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)$"


class TooManyDigits(ValueError):
    """With this value the column would need more digits than it can have.

    :param index: where the value stands
    """

    def __init__(self, index: int, refusal: Refused) -> None:
        self.index = index
        self.refusal = refusal
        super().__init__(str(refusal))


def from_decimals(values: Sequence[Decimal | None]) -> pa.Array:
    """Finite decimals as decimal128.

    :raises TooManyDigits: for the first value that makes the column too wide
    """
    whole = scale = 0
    trimmed = [value if value is None else value.normalize(types.EXACT) for value in values]
    for index, value in enumerate(trimmed):
        if not value:
            continue
        exponent = value.as_tuple().exponent
        assert isinstance(exponent, int)
        whole = max(whole, value.adjusted() + 1)
        scale = max(scale, -exponent)
        if whole + scale > types.NUMERIC_DIGITS:
            why = f"numeric holds at most {types.NUMERIC_DIGITS} digits"
            raise TooManyDigits(index, not_held(str(values[index]), why))
    return pa.array(trimmed, pa.decimal128(max(whole + scale, 1), scale))


def from_strings(strings: pa.Array) -> pa.Array:
    """Plain numbers (no exponent) as decimal128.

    :raises pa.ArrowInvalid: some text is not one, or they need too many digits
    """
    strings = pc.ascii_trim_whitespace(strings)
    if not pc.all(pc.match_substring_regex(strings, _PLAIN), min_count=0).as_py():
        raise pa.ArrowInvalid("not plain numbers")
    digits = pc.ascii_ltrim(strings, "+-0")
    point = pc.find_substring(digits, ".")
    has_point = pc.greater_equal(point, 0)
    length = pc.binary_length(pc.if_else(has_point, pc.ascii_rtrim(digits, "0"), digits))
    whole = _largest(pc.if_else(has_point, point, length))
    scale = _largest(pc.if_else(has_point, pc.subtract(pc.subtract(length, point), 1), 0))
    if whole + scale > types.NUMERIC_DIGITS:
        raise pa.ArrowInvalid("too many digits")
    return strings.cast(pa.decimal128(max(whole + scale, 1), scale))


def from_integers(integers: pa.Array) -> pa.Array:
    """64-bit integers as decimal128."""
    span = pc.min_max(integers).as_py()
    whole = max(len(str(abs(limit))) for limit in span.values())
    # Arrow wants room for any integer first.
    return integers.cast(pa.decimal128(19, 0)).cast(pa.decimal128(whole, 0))


def from_floats(floats: pa.Array) -> pa.Array:
    """Floats as decimal128, each by its shortest text.

    :raises pa.ArrowInvalid: some have an exponent or are not finite
    """
    return from_strings(floats.cast(pa.string()))


def _largest(lengths: pa.Array) -> int:
    return int(pc.max(lengths).as_py() or 0)
