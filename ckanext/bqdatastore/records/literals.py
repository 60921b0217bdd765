"""Texts as PostgreSQL's input functions read them, one function a type.

Each takes the text of a literal and returns what `assignment` stores for the type: an `int` for
integers, dates and times, a `Decimal`, a `str`, a `bool`. Each raises `Refused`.
"""

from __future__ import annotations

import decimal
import json
import re
import sys
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any, NoReturn

import pyarrow as pa

from ..model import types
from . import moments
from .refusal import BLANKS, Refused, invalid_syntax, not_held

INTEGER_LIMITS = {"int2": 2**15, "int4": 2**31, "int8": 2**63}
FINITE_ONLY = "numeric holds finite numbers"


def read(type_name: str) -> Callable[[str], Any]:
    """The input function of a scalar type."""
    return _READERS[type_name]


# Numbers

_INTEGER = re.compile(
    r"(?P<sign>[+-]?)(?:0[xX](?P<hexadecimal>(?:_?[0-9a-fA-F])+)|0[oO](?P<octal>(?:_?[0-7])+)"
    r"|0[bB](?P<binary>(?:_?[01])+)|(?P<decimal>[0-9](?:_?[0-9])*))"
)
_BASES = {"hexadecimal": 16, "octal": 8, "binary": 2, "decimal": 10}
_DIGITS = r"[0-9](?:_?[0-9])*"
_NUMERIC = re.compile(
    rf"[+-]?(?:{_DIGITS}(?:\.(?:{_DIGITS})?)?|\.{_DIGITS})(?:[eE][+-]?{_DIGITS})?"
)
_FLOAT = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_HEX_FLOAT = re.compile(
    r"[+-]?0[xX](?:[0-9a-fA-F]+\.?[0-9a-fA-F]*|\.[0-9a-fA-F]+)(?:[pP][+-]?[0-9]+)?"
)
_NOT_A_NUMBER = re.compile(r"nan", re.IGNORECASE)
_NOT_FINITE = re.compile(r"[+-]?(?:nan|inf(?:inity)?)", re.IGNORECASE)
_INFINITE = re.compile(r"[+-]?inf(?:inity)?", re.IGNORECASE)


def _integer(match: re.Match[str]) -> tuple[int, int]:
    """An integer and the base that it is written in."""
    base_name = str(match.lastgroup)
    base = _BASES[base_name]
    try:
        value = int(match[base_name].replace("_", ""), base)
    except ValueError:  # Python's own limit on digits
        value = sys.maxsize**2
    return (-value if match["sign"] == "-" else value), base


def _integer_reader(type_name: str) -> Callable[[str], int]:
    native, limit = types.native_type(type_name), INTEGER_LIMITS[type_name]

    def read_integer(text: str) -> int:
        stripped = text.strip(BLANKS)
        match = _INTEGER.match(stripped)
        if match is None:
            raise invalid_syntax(native, text)
        value, base = _integer(match)
        if match.end() < len(stripped):
            # PostgreSQL looks no further than the digit that is one too many.
            if abs(value) // base <= limit // base:
                raise invalid_syntax(native, text)
        elif -limit <= value < limit:
            return value
        raise Refused(f'value "{text}" is out of range for type {native}')

    return read_integer


def read_numeric(text: str) -> Decimal:
    """An exact number.

    :raises Refused: also for `NaN` and the infinities, which no column can hold
    """
    stripped = text.strip(BLANKS)
    if _NUMERIC.fullmatch(stripped):
        try:
            return Decimal(stripped.replace("_", ""))
        except decimal.InvalidOperation:
            raise Refused(_OVERFLOW) from None
    if whole := _INTEGER.fullmatch(stripped):
        return Decimal(_integer(whole)[0])
    if _NOT_A_NUMBER.fullmatch(stripped) or _INFINITE.fullmatch(stripped):
        raise not_held(text, FINITE_ONLY)
    raise invalid_syntax("numeric", text)


def _as_float(text: str, native: str) -> float:
    stripped = text.strip(BLANKS)
    if _FLOAT.fullmatch(stripped) or _NOT_FINITE.fullmatch(stripped):
        return float(stripped)
    if _HEX_FLOAT.fullmatch(stripped):
        try:
            return float.fromhex(stripped)
        except OverflowError:
            return float("inf")
    raise invalid_syntax(native, text)


def read_float8(text: str) -> float:
    value = _as_float(text, "double precision")
    _check_magnitude(value, text, "double precision")
    return value


def read_float4(text: str) -> float:
    """The nearest float of four bytes, from the text at once: by way of eight it may be another."""
    wide = _as_float(text, "real")
    stripped = text.strip(BLANKS)
    if _FLOAT.fullmatch(stripped):
        wide = pa.array([stripped]).cast(pa.float32())[0].as_py()
    _check_magnitude(wide, text, "real")
    return wide


def _check_magnitude(value: float, text: str, native: str) -> None:
    """:raises Refused: a finite number became infinite, or one that is not zero became zero"""
    if value - value == 0 and (value != 0 or is_zero(text)):
        return
    if value != 0 and _NOT_FINITE.fullmatch(text.strip(BLANKS)):
        return
    raise Refused(f'"{text.strip(BLANKS)}" is out of range for type {native}')


def is_zero(text: str) -> bool:
    """Whether a number's text means zero, and is not merely too small to be held."""
    mantissa = re.split(r"[eEpP]", text, maxsplit=1)[0]
    return not re.search(r"[1-9a-fA-F]", mantissa)


# Truth values

_TRUTHS = {
    **{"true"[:length]: True for length in range(1, 5)},
    **{"yes"[:length]: True for length in range(1, 4)},
    **{"false"[:length]: False for length in range(1, 6)},
    **{"no"[:length]: False for length in range(1, 3)},
    "on": True,
    "of": False,
    "off": False,
    "1": True,
    "0": False,
}


def read_bool(text: str) -> bool:
    value = _TRUTHS.get(text.strip(BLANKS).lower())
    if value is None:
        raise invalid_syntax("boolean", text)
    return value


# Texts

_LONGEST_NAME = 63
_UUID = re.compile(r"(\{?)((?:[0-9a-fA-F]{4}-?){7}[0-9a-fA-F]{4})(\}?)")


def check_text(text: str) -> str:
    """`text`, if PostgreSQL could be sent it at all.

    :raises Refused: it has a NUL character or half of a surrogate pair
    """
    if "\x00" in text:
        raise Refused("A string literal cannot contain NUL (0x00) characters.")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise Refused(str(error)) from None
    return text


def read_text(text: str) -> str:
    return text


def read_name(text: str) -> str:
    """A name, which keeps only so many bytes as an identifier may have."""
    encoded = text.encode()
    if len(encoded) <= _LONGEST_NAME:
        return text
    return encoded[:_LONGEST_NAME].decode(errors="ignore")


def read_uuid(text: str) -> str:
    match = _UUID.fullmatch(text)
    if match is None or bool(match[1]) != bool(match[3]):
        raise invalid_syntax("uuid", text)
    digits = match[2].replace("-", "").lower()
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))


# JSON


class _JsonNumber(str):
    """A number as it was written, so that no digit of it is lost."""


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(name)


_JSON_NUMBERS: Mapping[str, Any] = {
    "parse_float": _JsonNumber,
    "parse_int": _JsonNumber,
    "parse_constant": _refuse_constant,
}
INVALID_JSON = "invalid input syntax for type json"
_encode = json.JSONEncoder(allow_nan=False).encode
_encode_letters = json.JSONEncoder(ensure_ascii=False, allow_nan=False).encode


def json_text(value: Any) -> str:
    """Any JSON value as text, spelled as the stock backend's `json.dumps` spells it.

    :raises Refused: it is not a JSON value after all
    """
    try:
        return _encode(value)
    except (TypeError, ValueError, RecursionError):
        raise Refused(INVALID_JSON) from None


def read_json(text: str) -> str:
    """JSON text as it was written."""
    _parse_json(text)
    return text


def read_jsonb(text: str) -> str:
    """JSON text in `jsonb`'s order: the last of equal keys, shorter keys first."""
    return _jsonb_text(_parse_json(text))


def _parse_json(text: str) -> Any:
    try:
        return json.loads(text, **_JSON_NUMBERS)
    except (ValueError, RecursionError):
        raise Refused(INVALID_JSON) from None


def _jsonb_text(value: Any) -> str:
    if isinstance(value, dict):
        keys = sorted(value, key=lambda key: (len(_jsonb_string(key).encode()), key.encode()))
        pairs = (f"{_jsonb_string(key)}: {_jsonb_text(value[key])}" for key in keys)
        return f"{{{', '.join(pairs)}}}"
    if isinstance(value, list):
        return f"[{', '.join(map(_jsonb_text, value))}]"
    if isinstance(value, _JsonNumber):
        return _jsonb_number(value)
    if isinstance(value, str):
        return _jsonb_string(value)
    return _encode_letters(value)


def _jsonb_string(value: str) -> str:
    if "\x00" in value:
        raise Refused("unsupported Unicode escape sequence")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise Refused(INVALID_JSON) from None
    return _encode_letters(value)


def _jsonb_number(text: str) -> str:
    number = Decimal(text)
    # `jsonb` has no negative zero.
    return plain_number(number if number else abs(number))


# PostgreSQL's limits of a `numeric`; without them a short text could ask for gigabytes.
_MOST_WHOLE_DIGITS = 131_072
_MOST_DECIMALS = 16_383
_OVERFLOW = "value overflows numeric format"


def plain_number(number: Decimal) -> str:
    """A finite number as PostgreSQL writes a `numeric`: no exponent.

    :raises Refused: it is beyond what even PostgreSQL's `numeric` holds
    """
    exponent = number.as_tuple().exponent
    assert isinstance(exponent, int)
    if number.adjusted() >= _MOST_WHOLE_DIGITS or -exponent > _MOST_DECIMALS:
        raise Refused(_OVERFLOW)
    return format(number, "f")


# Arrays

_ARRAY_BLANKS = r"[ \t\n\v\f\r]*"
_BARE = r'(?:[^",{}\\]|\\.)'
_BARE_EDGE = r'(?:[^",{}\\ \t\n\v\f\r]|\\.)'
_ARRAY_ITEM = re.compile(
    rf'{_ARRAY_BLANKS}(?:"(?P<quoted>(?:[^"\\]|\\.)*)"'
    rf"|(?P<plain>{_BARE_EDGE}(?:{_BARE}*{_BARE_EDGE})?)){_ARRAY_BLANKS}(?P<end>[,}}])",
    re.DOTALL,
)
_EMPTY_ARRAY = re.compile(rf"{_ARRAY_BLANKS}\{{{_ARRAY_BLANKS}\}}{_ARRAY_BLANKS}")
_ARRAY_OPEN = re.compile(rf"{_ARRAY_BLANKS}\{{")
_MANY_DIMENSIONS = re.compile(rf"{_ARRAY_BLANKS}(?:\[|\{{{_ARRAY_BLANKS}\{{)")


def read_array(text: str) -> list[str | None]:
    """The elements of an array literal (`{1,NULL,"a b"}`), still as texts.

    :raises Refused: it is none, or has more than one dimension or bounds of its own
    """
    if _EMPTY_ARRAY.fullmatch(text):
        return []
    if _MANY_DIMENSIONS.match(text):
        raise many_dimensions(text)
    malformed = Refused(f'malformed array literal: "{text}"')
    opened = _ARRAY_OPEN.match(text)
    if opened is None:
        raise malformed
    items: list[str | None] = []
    at, end = opened.end(), ","
    while end == ",":
        item = _ARRAY_ITEM.match(text, at)
        if item is None:
            raise malformed
        items.append(_array_item(item))
        at, end = item.end(), item["end"]
    if text[at:].strip(BLANKS):
        raise malformed
    return items


def _array_item(item: re.Match[str]) -> str | None:
    plain = item["plain"]
    if plain is not None and plain.upper() == "NULL":
        return None
    return re.sub(r"\\(.)", r"\1", item["quoted"] if plain is None else plain, flags=re.DOTALL)


_NEEDS_QUOTES = re.compile(r'[",{}\\ \t\n\v\f\r]')


def many_dimensions(text: str) -> Refused:
    return not_held(text, "arrays have one dimension")


def array_item(text: str) -> str:
    """One element as PostgreSQL writes it in an array."""
    if not text or text.upper() == "NULL" or _NEEDS_QUOTES.search(text):
        escaped = re.sub(r'(["\\])', r"\\\1", text)
        return f'"{escaped}"'
    return text


_READERS: Mapping[str, Callable[[str], Any]] = {
    "text": read_text,
    "varchar": read_text,
    "bpchar": read_text,
    "name": read_name,
    **{name: _integer_reader(name) for name in types.INTEGERS},
    "float4": read_float4,
    "float8": read_float8,
    "numeric": read_numeric,
    "bool": read_bool,
    "date": moments.read_date,
    "time": moments.read_time,
    "timestamp": moments.read_timestamp,
    "timestamptz": moments.read_timestamptz,
    "json": read_json,
    "jsonb": read_jsonb,
    types.NESTED: json_text,
    "uuid": read_uuid,
}
