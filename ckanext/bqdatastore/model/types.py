"""The API's type names: which there are, how they may be spelled, what each is in Arrow.

A type is known by its name in PostgreSQL's catalogue (`int4`, `_text`), because that is what the
API shows. `nested` is the stock backend's own: any JSON value.
"""

from __future__ import annotations

import dataclasses
import datetime
import decimal
import re
from collections.abc import Callable, Mapping
from typing import Any

import pyarrow as pa

NESTED = "nested"

TIMESTAMP = pa.timestamp("us")
TIMESTAMPTZ = pa.timestamp("us", "UTC")

NARROWEST_NUMERIC = pa.decimal128(1, 0)
"""A `numeric` column that holds no value yet; values widen it."""

NUMERIC_DIGITS = 38
"""How many digits a `numeric` column can hold, on both sides of the point together."""

EXACT = decimal.Context(decimal.MAX_PREC, Emin=decimal.MIN_EMIN, Emax=decimal.MAX_EMAX)
"""For decimals that must not be rounded, whatever precision the caller's own context has."""


class UnknownType(ValueError):
    """No type of the API has this name."""

    def __init__(self, declared: str) -> None:
        self.declared = declared
        super().__init__(f'"{declared}" is not a valid field type')


@dataclasses.dataclass(frozen=True)
class _Type:
    """One scalar type.

    :param native: as PostgreSQL's format_type spells it
    :param spellings: further names, lower case, single-spaced, without modifiers
    :param modifiers: how many numbers may follow in parentheses, at most
    """

    arrow: pa.DataType
    native: str
    spellings: tuple[str, ...] = ()
    modifiers: int = 0
    in_arrays: bool = True


_SCALARS: Mapping[str, _Type] = {
    "text": _Type(pa.string(), "text"),
    "varchar": _Type(
        pa.string(),
        "character varying",
        (
            "character varying",
            "char varying",
            "national character varying",
            "national char varying",
            "nchar varying",
        ),
        modifiers=1,
    ),
    "bpchar": _Type(
        pa.string(),
        "bpchar",
        ("character", "char", "national character", "national char", "nchar"),
        modifiers=1,
    ),
    "name": _Type(pa.string(), "name"),
    "int2": _Type(pa.int16(), "smallint", ("smallint",)),
    "int4": _Type(pa.int32(), "integer", ("int", "integer")),
    "int8": _Type(pa.int64(), "bigint", ("bigint",)),
    "float4": _Type(pa.float32(), "real", ("real",)),
    "float8": _Type(pa.float64(), "double precision", ("double precision",)),
    "numeric": _Type(NARROWEST_NUMERIC, "numeric", ("decimal", "dec"), modifiers=2),
    "bool": _Type(pa.bool_(), "boolean", ("boolean",)),
    "date": _Type(pa.date32(), "date"),
    "time": _Type(
        pa.time64("us"), "time without time zone", ("time without time zone",), modifiers=1
    ),
    "timestamp": _Type(
        TIMESTAMP, "timestamp without time zone", ("timestamp without time zone",), modifiers=1
    ),
    "timestamptz": _Type(
        TIMESTAMPTZ, "timestamp with time zone", ("timestamp with time zone",), modifiers=1
    ),
    "json": _Type(pa.string(), "json", in_arrays=False),
    "jsonb": _Type(pa.string(), "jsonb", in_arrays=False),
    NESTED: _Type(pa.string(), NESTED, in_arrays=False),
    "uuid": _Type(pa.string(), "uuid"),
}

SCALARS = tuple(_SCALARS)
ARRAYS = tuple(f"_{name}" for name, scalar in _SCALARS.items() if scalar.in_arrays)
TEXTS = ("text", "varchar", "bpchar", "name")
INTEGERS = ("int2", "int4", "int8")
FLOATS = ("float4", "float8")
JSONS = ("json", "jsonb", NESTED)

_BY_SPELLING = {
    spelling: name for name, scalar in _SCALARS.items() for spelling in (name, *scalar.spellings)
}

# `float(n)` is the one type whose modifier chooses another type.
_FLOAT = re.compile(r"float(?: ?\( ?(\d{1,4}) ?\))?")
_FLOAT4_BITS = range(1, 25)
_FLOAT8_BITS = range(25, 54)

_BOUNDS = re.compile(r"(?: ?\[ ?\d* ?\])+$| array(?: ?\[ ?\d+ ?\])?$")
_MODIFIERS = re.compile(r" ?\( ?(-?\d+(?: ?, ?-?\d+)?) ?\)")


def canonical(declared: str) -> str:
    """The catalogue's name of a type, however PostgreSQL lets it be spelled.

    Lengths, precisions and array bounds are read over: `varchar(20)` is `varchar`, `int[3]` is
    `_int4`.

    :raises UnknownType: for what is no type, and for PostgreSQL's types that the API has not
    """
    # PostgreSQL's own blanks: `str.split` would take others for blanks too.
    name = " ".join(re.split(r"[ \t\n\v\f\r]+", declared.lower())).strip(" ")
    name = name.removeprefix("pg_catalog.")
    if name in ARRAYS:
        return name
    base, bounds = _BOUNDS.subn("", name)
    scalar = _scalar(base)
    if scalar is None or (bounds and not _SCALARS[scalar].in_arrays):
        raise UnknownType(declared)
    return f"_{scalar}" if bounds else scalar


def _scalar(name: str) -> str | None:
    if float_bits := _FLOAT.fullmatch(name):
        bits = int(float_bits[1]) if float_bits[1] else 53
        if bits in _FLOAT4_BITS:
            return "float4"
        return "float8" if bits in _FLOAT8_BITS else None
    modifiers = _MODIFIERS.search(name)
    # The modifier may stand in the middle: `timestamp(3) with time zone`.
    plain = _MODIFIERS.sub("", name, count=1)
    scalar = _BY_SPELLING.get(plain)
    given = modifiers[1].count(",") + 1 if modifiers else 0
    if scalar is None or given > _SCALARS[scalar].modifiers:
        return None
    return scalar


def is_array(name: str) -> bool:
    """Whether a canonical name is an array type's."""
    return name.startswith("_")


def element_type(name: str) -> str:
    """The type of an array type's elements."""
    return name[1:]


def arrow_type(name: str) -> pa.DataType:
    """The Arrow type of a canonical type.

    JSON kinds and `uuid` are strings. For `numeric` this is `NARROWEST_NUMERIC`: a column of values
    has the precision and the scale that they need.
    """
    if is_array(name):
        return pa.list_(arrow_type(element_type(name)))
    return _SCALARS[name].arrow


def native_type(name: str) -> str:
    """A canonical type as PostgreSQL's format_type spells it (`timestamp without time zone`)."""
    if is_array(name):
        return f"{native_type(element_type(name))}[]"
    return _SCALARS[name].native


# From here on: the stock backend's guess from the first record, with its quirks. Clients' tables
# have the types that it made.

_GUESSED_DATE_FORMATS = (
    "%Y-%m-%d",
    "%Y-%m-%d %H:%M:%S",
    "%Y-%m-%dT%H:%M:%S",
    "%Y-%m-%dT%H:%M:%SZ",
    "%d/%m/%Y",
    "%m/%d/%Y",
    "%d-%m-%Y",
    "%m-%d-%Y",
)

_GUESSED_BY_CLASS: tuple[tuple[type | tuple[type, ...], str], ...] = (
    ((dict, list), NESTED),
    # A `bool` is an `int` to Python, so the stock backend makes an integer column, which then
    # refuses the value.
    (int, "int4"),
    (float, "float8"),
)

_GUESSED_BY_PARSE: tuple[tuple[Callable[[Any], Any], str], ...] = (
    (int, "int4"),
    (float, "numeric"),
)


def guess(value: Any) -> str:
    """The type that the stock backend gives a field whose first record holds `value`.

    Nothing is checked but this one value: an `int4` guessed from `1` overflows at a later `2**40`.
    """
    for classes, name in _GUESSED_BY_CLASS:
        if isinstance(value, classes):
            return name
    for parse, name in _GUESSED_BY_PARSE:
        if _accepts(parse, value):
            return name
    for date_format in _GUESSED_DATE_FORMATS:
        if _accepts(lambda text: datetime.datetime.strptime(text, date_format), value):  # noqa: B023 - called at once
            return "timestamp"
    return "text"


def _accepts(parse: Callable[[Any], Any], value: Any) -> bool:
    try:
        parse(value)
    except (TypeError, ValueError):
        return False
    return True
