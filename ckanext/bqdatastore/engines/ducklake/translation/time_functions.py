"""PostgreSQL's date and time functions in DuckDB's words."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import sqlglot.expressions as sge

from ckanext.bqdatastore.model.errors import InvalidRequest
from ckanext.bqdatastore.model.tree_size import copied
from ckanext.bqdatastore.translation import literals
from ckanext.bqdatastore.translation.terms import (
    Expression,
    constant,
    fn,
    is_null,
    joined,
    kind,
    op,
    unsupported,
    when,
)

from . import number_formats
from .casts import interval
from .terms import cast, decimal

Arguments = Sequence[Expression]

_WHOLE_FIELDS = """
year quarter month week day hour minute dow isodow doy decade century millennium isoyear
microseconds
"""
"""Fields that are whole numbers and that DuckDB calls the same."""

_NO_FIELDS = {
    "date": "hour minute second milliseconds microseconds",
    "time": "year quarter month week day dow isodow doy decade century millennium isoyear",
    "interval": "dow isodow doy isoyear week",
}
"""Fields that a type has not."""

_TRUNCATED = """
microseconds milliseconds second minute hour day week month quarter year decade century millennium
"""


def _extracted(arguments: Arguments, whole: sge.DataType, fraction: sge.DataType) -> Expression:
    """A field of a moment; `whole` and `fraction` are the types that it is given as."""
    field, value = literals.field(arguments[0], "extract"), arguments[1]
    source = kind(value)
    if field in _NO_FIELDS.get(source, "").split():
        raise InvalidRequest("query", f'unit "{field}" not supported for type {source}')
    if field in _WHOLE_FIELDS.split():
        return cast(fn("date_part", field, value), whole)
    micros = {"second": 6, "milliseconds": 3}.get(field)
    if micros is not None:
        parts: Expression = fn("date_part", "microseconds", value)
        return _scaled(parts, micros, fraction)
    if field == "epoch":
        if source == "interval":
            return cast(cast(fn("date_part", "epoch", value), "text"), fraction)
        moment = cast(value, "timestamp") if source == "date" else value
        return _scaled(fn("epoch_us", moment), 6, fraction)
    if field == "timezone" and source == "timestamptz":
        none = cast(sge.Null(), whole)
        return when((is_null(value), none), otherwise=cast(sge.Literal.number(0), whole.copy()))
    raise unsupported(f'the field "{field}" of a date or time')


def _scaled(micros: Expression, digits: int, to: sge.DataType) -> Expression:
    factor = sge.Literal.number("0." + "0" * (digits - 1) + "1")
    return cast(op(sge.Mul, cast(micros, decimal(19, 0)), factor), to)


def _extract(arguments: Arguments) -> Expression:
    return _extracted(arguments, decimal(19, 0), decimal(25, 6))


def _date_part(arguments: Arguments) -> Expression:
    double = sge.DataType(this=sge.DType.DOUBLE)
    return _extracted(arguments, double, double.copy())


def _date_trunc(arguments: Arguments) -> Expression:
    field, value = literals.field(arguments[0], "date_trunc"), arguments[1]
    if len(arguments) == 3:
        zone = constant(arguments[2], "a time zone")
        local = fn("timezone", zone, value)
        local.type = sge.DataType(this=sge.DType.TIMESTAMP)
        return fn("timezone", zone, _date_trunc([arguments[0], local]))
    if field in ("century", "millennium") and kind(value) != "interval":
        # PostgreSQL's centuries begin with the year 1, DuckDB's with 0.
        year = interval(12, 0, 0)
        return op(sge.Add, fn("date_trunc", field, op(sge.Sub, value, year)), year.copy())
    if field not in _TRUNCATED.split() or (field == "week" and kind(value) == "interval"):
        raise InvalidRequest("query", f'unit "{field}" not recognized')
    return fn("date_trunc", field, value)


def _age(arguments: Arguments) -> Expression:
    if len(arguments) == 1:
        today = cast(sge.CurrentDate(), kind(arguments[0]))
        return fn("age", today, arguments[0])
    return fn("age", *arguments)


def _make_interval(arguments: Arguments) -> Expression:
    makers = ("to_years", "to_months", "to_weeks", "to_days", "to_hours", "to_minutes")
    total: Expression | None = None
    for maker, argument in zip((*makers, "to_seconds"), arguments, strict=False):
        part = fn(maker, argument if maker == "to_seconds" else cast(argument, "int4"))
        total = part if total is None else op(sge.Add, total, part)
    return total or interval(0, 0, 0)


def _to_char(arguments: Arguments) -> Expression:
    value, name = arguments[0], kind(arguments[0])
    pattern = constant(arguments[1], "to_char with a format")
    if name == "interval":
        raise unsupported("to_char of an interval")
    if name not in ("timestamp", "timestamptz"):
        return number_formats.to_char(value, pattern)
    moment = cast(value, "timestamp") if name == "timestamptz" else value
    parts = [
        sge.Literal.string(text) if what == "plain" else _shown(moment, text, fill)
        for what, text, fill in literals.date_format(pattern)
    ]
    # An empty format gives nothing, as NULL.
    return joined(parts) if parts else cast(sge.Null(), "text")


def _shown(moment: Expression, part: str, bare: bool) -> Expression:
    """One part of a date format; `bare` is without the zeros and blanks that fill it up."""
    upper = part.upper()
    number = _NUMBERS.get(upper)
    if number:
        field, width = number
        text: Expression = cast(fn("date_part", field, copied(moment)), "text")
        if upper == "CC" or bare or width == 1:
            return fn("lpad", text, 2, "0") if upper == "CC" and not bare else text
        return fn("lpad", text, width, "0")
    if upper not in literals.FORMAT_PARTS:
        raise unsupported(f'"{part}" in a date format')
    text = fn("strftime", copied(moment), literals.FORMAT_PARTS[upper])
    if upper in ("MONTH", "DAY", "MON", "DY"):
        if part.isupper():
            text = fn("upper", text)
        elif part.islower():
            text = fn("lower", text)
        return fn("rpad", text, 9, " ") if upper in ("MONTH", "DAY") and not bare else text
    if upper in ("AM", "PM"):
        return fn("lower", text) if part.islower() else text
    if bare and upper not in ("MS", "US"):
        return cast(cast(text, "int4"), "text")
    return text


_NUMBERS: dict[str, tuple[str, int]] = {
    "Q": ("quarter", 1),
    "IW": ("week", 2),
    "ID": ("isodow", 1),
    "IYYY": ("isoyear", 4),
    "CC": ("century", 2),
}

_READ_FORMATS = {**literals.FORMAT_PARTS, "MONTH": "%B", "MON": "%b"}


def _parsed(arguments: Arguments) -> Expression:
    pattern = constant(arguments[1], "a date format")
    parts = []
    for what, text, _ in literals.date_format(pattern):
        if what == "plain":
            parts.append(text.replace("%", "%%"))
        elif text.upper() not in _READ_FORMATS or text.upper() in ("DAY", "DY"):
            raise unsupported(f'"{text}" in a date format that is read')
        else:
            parts.append(_READ_FORMATS[text.upper()])
    return fn("strptime", arguments[0], "".join(parts))


def _to_date(arguments: Arguments) -> Expression:
    return cast(_parsed(arguments), "date")


def _to_timestamp(arguments: Arguments) -> Expression:
    if len(arguments) == 1:
        return fn("to_timestamp", arguments[0])
    return cast(_parsed(arguments), "timestamptz")


def _timezone(arguments: Arguments) -> Expression:
    if len(arguments) != 2 or kind(arguments[0]) == "interval":
        raise unsupported("time zones that are not names")
    return fn("timezone", *arguments)


def _date_pli(arguments: Arguments) -> Expression:
    day, days = arguments
    return op(sge.Add, day, cast(days, "int4"))


def _date_smaller(arguments: Arguments) -> Expression:
    one, other = arguments
    return when(
        (op(sge.LTE, one, other), one.copy()),
        (op(sge.GT, one.copy(), other.copy()), other.copy()),
        otherwise=sge.Null(),
    )


def _isfinite(arguments: Arguments) -> Expression:
    if kind(arguments[0]) == "interval":
        return op(sge.EQ, arguments[0], arguments[0].copy())
    return fn("isfinite", arguments[0])


def _make_timestamptz(arguments: Arguments) -> Expression:
    # DuckDB's own takes hours and days that there are not. The session's zone is UTC.
    moment = _int8s("make_timestamp", 5)(arguments[:6])
    if len(arguments) == 7:
        return fn("timezone", arguments[6], moment)
    return cast(moment, "timestamptz")


def _int8s(name: str, count: int) -> Callable[[Arguments], Expression]:
    """A function whose first `count` arguments DuckDB takes as bigint."""
    return lambda arguments: fn(
        name, *(cast(argument, "int8") for argument in arguments[:count]), *arguments[count:]
    )


TIME_FUNCTIONS: dict[str, Callable[[Arguments], Expression]] = {
    "extract": _extract,
    "date_part": _date_part,
    "date_trunc": _date_trunc,
    "age": _age,
    "make_interval": _make_interval,
    "make_timestamptz": _make_timestamptz,
    "make_date": _int8s("make_date", 3),
    "make_time": _int8s("make_time", 2),
    "make_timestamp": _int8s("make_timestamp", 5),
    "to_char": _to_char,
    "to_date": _to_date,
    "to_timestamp": _to_timestamp,
    "timezone": _timezone,
    "date_pli": _date_pli,
    "date_smaller": _date_smaller,
    "isfinite": _isfinite,
    **{
        name: lambda arguments: fn("now")
        for name in ("now", "clock_timestamp", "statement_timestamp", "transaction_timestamp")
    },
}
