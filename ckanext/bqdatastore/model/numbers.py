"""Texts of PostgreSQL's `numeric` as exact numbers, bounded before a digit is written out."""

from __future__ import annotations

import re
from decimal import Decimal

from .errors import InvalidRequest

MOST_DIGITS = 400
"""Digits that a number may have on either side of its point; no engine holds as many."""

_MOST_WHOLE, _MOST_FRACTION = 131_072, 16_383
"""The same in PostgreSQL."""

_NUMBER = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE](?P<exponent>[+-]?[0-9]+))?")
_SPECIAL = re.compile(r"NaN|[+-]?inf(?:inity)?", re.I)
_UNDERSCORE = re.compile(r"(?<=[0-9])_(?=[0-9])")
_LONGEST_EXPONENT = 10


def exact(text: str) -> Decimal:
    """The number, with the zeros that it is written with; also NaN and the infinities.

    :raises InvalidRequest: it is none, or has too many digits, in PostgreSQL's words
    """
    plain = _UNDERSCORE.sub("", text.strip())
    if _SPECIAL.fullmatch(plain):
        return Decimal(plain)
    written = _NUMBER.fullmatch(plain)
    if written is None:
        raise InvalidRequest("query", f'invalid input syntax for type numeric: "{text[:100]}"')
    if len(written["exponent"] or "") > _LONGEST_EXPONENT:
        raise _overflow()
    value = Decimal(plain)
    before, after = value.adjusted() + 1, -value.as_tuple().exponent  # type: ignore[operator]
    if (value and before > _MOST_WHOLE) or after > _MOST_FRACTION:
        raise _overflow()
    if (value and before > MOST_DIGITS) or after > MOST_DIGITS:
        raise InvalidRequest("query", f"number out of range: {text[:50]}")
    return value


def without_exponent(number: Decimal) -> Decimal:
    """The same number as clients of databases take it: some read `Decimal("1E+16")` as 1."""
    digits = number.as_tuple()
    if not isinstance(digits.exponent, int) or digits.exponent <= 0:
        return number
    return Decimal(f"{number:f}")


def _overflow() -> InvalidRequest:
    return InvalidRequest("query", "value overflows numeric format")
