"""Whole columns of one ordinary kind of value, converted by Arrow.

Each conversion either gives exactly what `assignment` would give value by value, or raises; then
the caller goes value by value. So each one here guards against what Arrow reads and PostgreSQL
does not, or reads otherwise.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable, Mapping
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from ..model import types
from . import literals, numerics


class Unordinary(ValueError):
    """The column must go value by value."""


Values = list[Any]
Conversion = Callable[[Values], pa.Array]


def ordinary(values: Values, classes: set[type], type_name: str) -> pa.Array:
    """`values` as an Arrow array of a scalar type.

    :param classes: the classes of the values, without None's
    :raises Unordinary, pa.ArrowException, UnicodeEncodeError, OverflowError: go value by value
    """
    if not classes:
        return pa.nulls(len(values), types.arrow_type(type_name))
    if type_name == types.NESTED:
        return _json(values)
    kind = next(iter(classes)) if len(classes) == 1 else None
    if classes == {int, float}:
        kind = complex  # stands for both; JSON has no complex numbers
    conversion = _CONVERSIONS.get((type_name, kind)) if kind else None
    if conversion is None:
        raise Unordinary
    return conversion(values)


def _require(condition: bool) -> None:
    if not condition:
        raise Unordinary


def _all(mask: pa.Array) -> bool:
    return bool(pc.all(mask, min_count=0).as_py())


def _any(mask: pa.Array) -> bool:
    return bool(pc.any(mask, min_count=0).as_py())


def _strings(values: Values, without: bytes = b"") -> pa.Array:
    """Texts that PostgreSQL could be sent.

    :param without: further characters that must not occur
    """
    array = pa.array(values, pa.string())
    data = array.buffers()[2]
    if data is not None:
        characters = data.to_pybytes()
        _require(not any(character in characters for character in b"\x00" + without))
    return array


def _cast_trimmed(strings: pa.Array, arrow_type: pa.DataType) -> pa.Array:
    try:
        return strings.cast(arrow_type)
    except pa.ArrowInvalid:
        return pc.ascii_trim_whitespace(strings).cast(arrow_type)


# Texts


def _text_of_floats(values: Values) -> pa.Array:
    # Adding zero takes the sign from zero, as SQL's reading of a literal does.
    texts = [None if value is None else repr(value + 0.0) for value in values]
    # Exponents, infinities, and what is not a number.
    return _strings(texts, without=b"en")


def _text_of_integers(values: Values) -> pa.Array:
    return pa.array(values, pa.int64()).cast(pa.string())


def _text_of_bools(values: Values) -> pa.Array:
    return pa.array(values, pa.bool_()).cast(pa.string())


_CANONICAL_UUID = "^[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}$"


def _uuid(values: Values) -> pa.Array:
    array = _strings(values)
    _require(_all(pc.match_substring_regex(array, _CANONICAL_UUID)))
    return pc.ascii_lower(array)


def _json(values: Values) -> pa.Array:
    encode = literals.json_text
    try:
        return pa.array([None if value is None else encode(value) for value in values], pa.string())
    except (TypeError, ValueError, RecursionError):
        raise Unordinary from None


# Numbers

_FLOAT_ZERO = "^[ \t\n\v\f\r]*[+-]?[0.]+([eE]|[ \t\n\v\f\r]*$)"
_NOT_FINITE = "(?i)^[ \t\n\v\f\r]*[+-]?(nan|inf|infinity)[ \t\n\v\f\r]*$"

_EXACT_FLOATS = 2**53
"""Up to here a float that is whole has no other decimal reading."""


def _integers_of(arrow_type: pa.DataType) -> Conversion:
    def of_strings(values: Values) -> pa.Array:
        # Arrow reads `0xFFFFFFFF` as a negative number.
        return _cast_trimmed(_strings(values, without=b"xX"), arrow_type)

    return of_strings


def _integers_of_integers(arrow_type: pa.DataType) -> Conversion:
    def of_integers(values: Values) -> pa.Array:
        return pa.array(values, pa.int64()).cast(arrow_type)

    return of_integers


def _integers_of_floats(arrow_type: pa.DataType) -> Conversion:
    def of_floats(values: Values) -> pa.Array:
        floats = pa.array(values, pa.float64())
        _require(_all(pc.less(pc.abs(floats), _EXACT_FLOATS)))
        return pc.round(floats, round_mode="half_towards_infinity").cast(arrow_type)

    return of_floats


def _floats_of_strings(arrow_type: pa.DataType) -> Conversion:
    def of_strings(values: Values) -> pa.Array:
        return _checked_floats(_strings(values), arrow_type)

    return of_strings


def _checked_floats(strings: pa.Array, arrow_type: pa.DataType) -> pa.Array:
    floats = _cast_trimmed(strings, arrow_type)
    # Arrow turns what is too large into infinity and what is too small into zero.
    not_finite = pc.invert(pc.is_finite(floats))
    if _any(not_finite):
        _require(_all(pc.match_substring_regex(strings.filter(not_finite), _NOT_FINITE)))
    zero = pc.equal(floats, 0.0)
    if _any(zero):
        _require(_all(pc.match_substring_regex(strings.filter(zero), _FLOAT_ZERO)))
    return floats


def _floats_of_integers(arrow_type: pa.DataType) -> Conversion:
    def of_integers(values: Values) -> pa.Array:
        return pa.array(values, pa.int64()).cast(arrow_type, safe=False)

    return of_integers


def _float8_of_floats(values: Values) -> pa.Array:
    return pc.add(pa.array(values, pa.float64()), 0.0)


def _float4_of_floats(values: Values) -> pa.Array:
    # By way of the shortest text, as PostgreSQL does: from the double it may round otherwise.
    texts = pa.array(values, pa.float64()).cast(pa.string())
    return pc.add(_checked_floats(texts, pa.float32()), pa.scalar(0.0, pa.float32()))


# Dates and times

_FIRST_DAY = pa.scalar(datetime.date.min, pa.date32())
_FIRST_MOMENT = pa.scalar(datetime.datetime.min, types.TIMESTAMP)
_LAST_MOMENT = pa.scalar(datetime.datetime.max, types.TIMESTAMP)
_OFFSET = r"(:[0-9]{2}(?:\.[0-9]+)?)(?:Z|[+-](?:0[0-9]|1[0-5])(?::?[0-5][0-9])?)$"
_DATE_LENGTH = len("2020-01-31")
_HOUR_ONLY_LENGTH = len("2020-01-31 12")


def _naive(strings: pa.Array) -> pa.Array:
    # Arrow takes an hour without minutes, PostgreSQL does not.
    _require(_all(pc.not_equal(pc.binary_length(strings), _HOUR_ONLY_LENGTH)))
    array = strings.cast(types.TIMESTAMP)
    # Arrow has a year 0.
    _require(_all(pc.greater_equal(array, _FIRST_MOMENT)))
    return array


def _timestamp_of(strings: pa.Array) -> pa.Array:
    try:
        return _naive(strings)
    except pa.ArrowInvalid:
        return _naive(pc.replace_substring_regex(strings, _OFFSET, r"\1"))


def _timestamp(values: Values) -> pa.Array:
    return _timestamp_of(_strings(values))


def _timestamptz(values: Values) -> pa.Array:
    strings = _strings(values)
    # For its checks: Arrow takes the same texts with a zone at their end.
    _timestamp_of(strings)
    zoned = pc.match_substring_regex(strings, _OFFSET)
    is_date = pc.equal(pc.binary_length(strings), _DATE_LENGTH)
    ending = pc.if_else(zoned, "", pc.if_else(is_date, "T00:00:00Z", "Z"))
    array = pc.binary_join_element_wise(strings, ending, "").cast(types.TIMESTAMPTZ)
    # A zone may take a moment out of the years that are held.
    in_utc = array.cast(types.TIMESTAMP)
    _require(_all(pc.greater_equal(in_utc, _FIRST_MOMENT)))
    _require(_all(pc.less_equal(in_utc, _LAST_MOMENT)))
    return array


def _date(values: Values) -> pa.Array:
    strings = _strings(values)
    try:
        array = strings.cast(pa.date32())
    except pa.ArrowInvalid:
        return _timestamp_of(strings).cast(pa.date32(), safe=False)
    _require(_all(pc.greater_equal(array, _FIRST_DAY)))
    return array


def _time(values: Values) -> pa.Array:
    moments = pc.binary_join_element_wise("1970-01-01", _strings(values), "T")
    return _naive(moments).cast(pa.time64("us"))


_CONVERSIONS: Mapping[tuple[str, type | None], Conversion] = {
    **{(name, str): _strings for name in ("text", "varchar", "bpchar")},
    **{(name, int): _text_of_integers for name in types.TEXTS},
    **{(name, float): _text_of_floats for name in types.TEXTS},
    **{(name, bool): _text_of_bools for name in ("text", "varchar", "bpchar")},
    **{(name, str): _integers_of(types.arrow_type(name)) for name in types.INTEGERS},
    **{(name, int): _integers_of_integers(types.arrow_type(name)) for name in types.INTEGERS},
    **{(name, float): _integers_of_floats(types.arrow_type(name)) for name in types.INTEGERS},
    ("float8", str): _floats_of_strings(pa.float64()),
    ("float8", int): _floats_of_integers(pa.float64()),
    ("float8", float): _float8_of_floats,
    ("float8", complex): _float8_of_floats,
    ("float4", str): _floats_of_strings(pa.float32()),
    ("float4", int): _floats_of_integers(pa.float32()),
    ("float4", float): _float4_of_floats,
    ("numeric", str): lambda values: numerics.from_strings(_strings(values)),
    ("numeric", int): lambda values: numerics.from_integers(pa.array(values, pa.int64())),
    ("numeric", float): lambda values: numerics.from_floats(pa.array(values, pa.float64())),
    ("bool", bool): lambda values: pa.array(values, pa.bool_()),
    ("date", str): _date,
    ("time", str): _time,
    ("timestamp", str): _timestamp,
    ("timestamptz", str): _timestamptz,
    ("uuid", str): _uuid,
}
