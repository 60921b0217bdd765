"""One Python value into one column type, by PostgreSQL's assignment casts.

The stock backend sends each value as the literal that psycopg2 makes of it; what type that literal
has in SQL, and whether PostgreSQL assigns that type to the column's, decides the outcome.

One liberty is taken: a list or an object goes into a `json` or `jsonb` column as what it is. The
stock backend refuses them there, since it cannot send them.
"""

from __future__ import annotations

import datetime
import decimal
import math
from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
from typing import Any

from ..model import types
from . import literals
from .refusal import Mismatched, Refused, not_held

_EPOCH = datetime.datetime(1970, 1, 1)
_MICROSECOND = datetime.timedelta(microseconds=1)
_DAY = datetime.timedelta(days=1) // _MICROSECOND


def assign(value: Any, type_name: str) -> Any:
    """What a column of a scalar type stores for a value that is not None.

    :returns: what the type's function in `literals` returns
    :raises Refused: with PostgreSQL's message
    """
    if type_name == types.NESTED:
        return literals.json_text(value)
    if type_name in types.JSONS and isinstance(value, dict | list):
        return literals.read(type_name)(literals.json_text(value))
    for classes, assign_to in _BY_CLASS:
        if isinstance(value, classes):
            return assign_to(value, type_name)
    raise _not_adapted(value)


def source_type(value: Any) -> str:
    """The type that a value has in SQL, for messages.

    :raises Refused: it has none
    """
    for classes, name in _SOURCES:
        if isinstance(value, classes):
            return name if isinstance(name, str) else name(value)
    raise _not_adapted(value)


_INTEGER_SOURCES = ((2**31, "integer"), (2**63, "bigint"))


def _integer_source(value: int) -> str:
    return next((name for limit, name in _INTEGER_SOURCES if -limit <= value < limit), "numeric")


def _float_source(value: float) -> str:
    # Only what has no literal of its own is sent with a type.
    return "numeric" if math.isfinite(value) else "double precision"


def _datetime_source(value: datetime.datetime) -> str:
    return types.native_type("timestamp" if value.tzinfo is None else "timestamptz")


# A subclass before its base: `bool` is an `int`, a `datetime` is a `date`.
_SOURCES: tuple[tuple[type, str | Callable[[Any], str]], ...] = (
    (str, "text"),
    (bool, "boolean"),
    (int, _integer_source),
    (float, _float_source),
    (Decimal, "numeric"),
    (datetime.datetime, _datetime_source),
    (datetime.date, "date"),
    (datetime.time, types.native_type("time")),
)


def _not_adapted(value: Any) -> Refused:
    return Refused(f"can't adapt type '{type(value).__name__}'")


# Texts and truth values


def _assign_text(value: str, type_name: str) -> Any:
    return literals.read(type_name)(literals.check_text(value))


def _assign_bool(value: bool, type_name: str) -> Any:
    if type_name == "bool":
        return value
    if type_name == "name":  # by way of the type's output function, unlike the other texts
        return "t" if value else "f"
    if type_name in types.TEXTS:
        return "true" if value else "false"
    raise Mismatched(source_type(value))


# Numbers


def _assign_number(value: float | Decimal, type_name: str) -> Any:
    assign_to = _NUMBER_TO.get(type_name)
    if assign_to is None:
        raise Mismatched(source_type(value))
    if not isinstance(value, int) and not math.isfinite(value):
        return _assign_not_finite(float(value), type_name)
    # A float as it is written in SQL: in the fewest digits, and without a sign for zero.
    number = Decimal(repr(value)) if isinstance(value, float) else Decimal(value)
    return assign_to(number if number else abs(number), type_name)


def _number_to_integer(value: Decimal, type_name: str) -> int:
    rounded = value.to_integral_value(decimal.ROUND_HALF_UP)
    limit = literals.INTEGER_LIMITS[type_name]
    if not -limit <= rounded < limit:
        raise _integer_out_of_range(type_name)
    return int(rounded)


def _number_to_numeric(value: Decimal, type_name: str) -> Decimal:
    return value


def _number_by_its_text(value: Decimal, type_name: str) -> Any:
    return literals.read(type_name)(literals.plain_number(value))


_NUMBER_TO: Mapping[str, Callable[[Decimal, str], Any]] = {
    **dict.fromkeys(types.INTEGERS, _number_to_integer),
    **dict.fromkeys(types.FLOATS, _number_by_its_text),
    **dict.fromkeys(types.TEXTS, _number_by_its_text),
    "numeric": _number_to_numeric,
}

_NOT_FINITE_TEXTS = {math.inf: "Infinity", -math.inf: "-Infinity"}


def _assign_not_finite(value: float, type_name: str) -> Any:
    text = _NOT_FINITE_TEXTS.get(value, "NaN")
    if type_name in types.INTEGERS:
        raise _integer_out_of_range(type_name)
    if type_name == "numeric":
        raise not_held(text, literals.FINITE_ONLY)
    return value if type_name in types.FLOATS else text


def _integer_out_of_range(type_name: str) -> Refused:
    return Refused(f"{types.native_type(type_name)} out of range")


# Dates and times, which only callers in Python can send


def _assign_datetime(value: datetime.datetime, type_name: str) -> Any:
    if type_name in types.TEXTS:
        return _assign_text(_datetime_output(value), type_name)
    moment = (_in_utc(value) - _EPOCH) // _MICROSECOND
    if type_name in ("timestamp", "timestamptz"):
        return moment
    if type_name == "date":
        return moment // _DAY
    if type_name == "time":
        return moment % _DAY
    raise Mismatched(source_type(value))


def _in_utc(value: datetime.datetime) -> datetime.datetime:
    return value.replace(tzinfo=None) - (value.utcoffset() or datetime.timedelta(0))


def _datetime_output(value: datetime.datetime) -> str:
    zone = "" if value.tzinfo is None else "+00"
    text = _in_utc(value).isoformat(" ")
    return f"{text.rstrip('0') if '.' in text else text}{zone}"


def _assign_date(value: datetime.date, type_name: str) -> Any:
    if type_name in ("timestamp", "timestamptz", "date", *types.TEXTS):
        return _assign_text(value.isoformat(), type_name)
    raise Mismatched(source_type(value))


def _assign_time(value: datetime.time, type_name: str) -> Any:
    if type_name in ("time", *types.TEXTS):
        return _assign_text(value.replace(tzinfo=None).isoformat(), type_name)
    raise Mismatched(source_type(value))


# Lists


def _assign_list(value: list[Any] | tuple[Any, ...], type_name: str) -> Any:
    source = _array_source(value)
    # What has no value in it is sent as a text, which PostgreSQL reads as the column's type.
    if source is None or type_name in types.TEXTS:
        return _assign_text(array_output(value), type_name)
    raise Mismatched(source)


_WIDEST_FIRST = ("double precision", "numeric", "bigint", "integer")


def _array_source(value: Iterable[Any]) -> str | None:
    sources = [_element_source(element) for element in value if element is not None]
    known = [source for source in sources if source is not None]
    widest = next((name for name in _WIDEST_FIRST if name in known), None)
    return f"{widest or known[0]}[]" if known else None


def _element_source(value: Any) -> str | None:
    if isinstance(value, list | tuple):
        source = _array_source(value)
        return source and source.removesuffix("[]")
    return source_type(value)


def array_output(value: Iterable[Any]) -> str:
    """A list as PostgreSQL writes an array."""
    return f"{{{','.join(map(_element_output, value))}}}"


def _element_output(element: Any) -> str:
    if element is None:
        return "NULL"
    if isinstance(element, list | tuple):
        return array_output(element)
    if isinstance(element, bool):
        return "t" if element else "f"
    return literals.array_item(assign(element, "text"))


_BY_CLASS: tuple[tuple[type | tuple[type, ...], Callable[[Any, str], Any]], ...] = (
    (str, _assign_text),
    (bool, _assign_bool),
    ((int, float, Decimal), _assign_number),
    ((list, tuple), _assign_list),
    (datetime.datetime, _assign_datetime),
    (datetime.date, _assign_date),
    (datetime.time, _assign_time),
)
