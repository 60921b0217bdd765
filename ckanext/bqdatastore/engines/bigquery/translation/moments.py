"""PostgreSQL's dates, times and intervals in BigQuery's words. The session's zone is UTC."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

import sqlglot.expressions as sge

from ckanext.bqdatastore.model.errors import InvalidRequest
from ckanext.bqdatastore.translation import literals
from ckanext.bqdatastore.translation.terms import (
    INTEGERS,
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

from ..forms import as_text, microseconds
from . import number_formats
from .casts import days
from .intervals import interval, micros_of, months_of, of_micros, of_parts, part
from .terms import cast, exact, fails, integer, once, scaled

Arguments = Sequence[Expression]

_UTC = "UTC"
_DAY_MICROS = 86_400_000_000
_MOMENTS = ("date", "timestamp", "timestamptz")


def added(tree: sge.Binary) -> Expression:
    """`+` and `-` of dates, times and intervals."""
    left, right = tree.this, tree.expression
    minus = isinstance(tree, sge.Sub)
    kinds = (kind(left), kind(right))
    if not minus and kinds[0] in (*INTEGERS, "interval", "time") and kinds[1] in _MOMENTS:
        left, right, kinds = right, left, (kinds[1], kinds[0])
    if not minus and kinds == ("interval", "time"):
        left, right, kinds = right, left, ("time", "interval")
    if kinds[0] == "date" and kinds[1] in INTEGERS:
        return fn("DATE_SUB" if minus else "DATE_ADD", left, days(right))
    if kinds == ("date", "time") and not minus:
        return fn("DATETIME", left, right)
    if kinds == ("interval", "interval"):
        return op(type(tree), left, right)
    if kinds[1] == "interval":
        return _moved(left, kinds[0], right, type(tree))
    if minus and kinds[0] == kinds[1]:
        return _between(left, right, kinds[0])
    raise unsupported(f"{kinds[0]} {'-' if minus else '+'} {kinds[1]}")


def _moved(value: Expression, source: str, by: Expression, sign: type[sge.Binary]) -> Expression:
    if source == "time":
        start = fn("DATETIME", cast(sge.Literal.string("1970-01-01"), "date"), value)
        micros = once(by, micros_of)
        within = sge.Interval(this=sge.Paren(this=micros), unit=sge.Var(this="MICROSECOND"))
        return fn("TIME", op(sign, start, within))
    if source == "date":
        return op(sign, cast(value, "timestamp"), by)
    if source == "timestamptz":
        # BigQuery adds no months to these.
        return fn("TIMESTAMP", op(sign, fn("DATETIME", value, _UTC), by), _UTC)
    if source == "timestamp":
        return op(sign, value, by)
    raise unsupported(f"an interval added to {source}")


def _between(left: Expression, right: Expression, source: str) -> Expression:
    if source == "date":
        return fn("DATE_DIFF", left, right, sge.Var(this="DAY"))
    names = {"timestamp": "DATETIME_DIFF", "timestamptz": "TIMESTAMP_DIFF", "time": "TIME_DIFF"}
    if source not in names:
        raise unsupported(f"{source} - {source}")
    micros = fn(names[source], left, right, sge.Var(this="MICROSECOND"))
    if source == "time":
        return sge.Interval(this=sge.Paren(this=micros), unit=sge.Var(this="MICROSECOND"))
    return of_micros(micros)


def multiplied(tree: sge.Binary) -> Expression:
    """An interval times a number, or divided by one."""
    left, right = tree.this, tree.expression
    if isinstance(tree, sge.Mul) and kind(right) == "interval":
        left, right = right, left
    whole = _whole(right)
    if kind(left) != "interval" or whole is None:
        raise unsupported("an interval times or by a number that is no integer")
    if isinstance(tree, sge.Mul):
        return op(sge.Mul, left, whole)

    def divided(one: Expression) -> Expression:
        months, days_, micros = months_of(one), part(one, "DAY"), micros_of(one)
        # PostgreSQL keeps six digits of the days that are left of a month.
        left = fn("MOD", op(sge.Mul, fn("MOD", months, whole), 30_000_000), whole)
        # What is left of months goes to days, 30 of which make one, and of days to times.
        rest = op(sge.Add, op(sge.Mul, fn("MOD", months, whole), 30), days_)
        below = op(sge.Add, op(sge.Mul, fn("MOD", rest, whole), _DAY_MICROS), micros)
        rounded = integer(fn("ROUND", op(sge.Div, exact(below), whole)))
        found = of_parts(fn("DIV", months, whole), fn("DIV", rest, whole), rounded)
        return when((op(sge.NEQ, left, 0), fails(_NO_DIVISION)), otherwise=found)

    return once(left, divided)


_NO_DIVISION = "months divided by a number that leaves parts of days are not supported"


def _whole(number: Expression) -> Expression | None:
    while isinstance(number, sge.Paren):
        number = number.this
    if isinstance(number, sge.Cast) and kind(number.this) in INTEGERS:
        return number.this
    if isinstance(number, sge.Literal) and number.is_int:
        return number
    return number if kind(number) in INTEGERS else None


# Fields


def _numeric(value: Expression) -> Expression:
    return scaled(exact(value), 0)


_PARTS = {
    "year": "YEAR",
    "quarter": "QUARTER",
    "month": "MONTH",
    "week": "ISOWEEK",
    "day": "DAY",
    "hour": "HOUR",
    "minute": "MINUTE",
    "doy": "DAYOFYEAR",
    "isoyear": "ISOYEAR",
}
_OF_TIME = ("hour", "minute", "second", "milliseconds", "microseconds")
_OF_INTERVAL = ("year", "month", "day", "hour", "minute")


def _whole_field(field: str, value: Expression, source: str) -> Expression | None:
    if source == "interval":
        return part(value, _PARTS[field]) if field in _OF_INTERVAL else None
    if source == "time" and field not in _OF_TIME:
        return None
    if source == "date" and field in ("hour", "minute"):
        return None
    if field in _PARTS:
        return part(value, _PARTS[field])
    year = part(value, "YEAR")
    weekday = part(value, "DAYOFWEEK")
    made: dict[str, Callable[[], Expression]] = {
        "dow": lambda: op(sge.Sub, weekday, 1),
        "isodow": lambda: op(sge.Add, fn("MOD", op(sge.Add, weekday, 5), 7), 1),
        "decade": lambda: fn("DIV", year, 10),
        "century": lambda: fn("DIV", op(sge.Add, year, 99), 100),
        "millennium": lambda: fn("DIV", op(sge.Add, year, 999), 1000),
    }
    return made[field]() if field in made else None


def _micros(field: str, value: Expression, source: str) -> tuple[Expression, int] | None:
    """A field with a fraction: a whole number, and its digits after the point."""
    if field in ("second", "milliseconds", "microseconds") and source != "date":
        below = fn("MOD", part(value, "MICROSECOND"), 1_000_000)
        total = op(sge.Add, op(sge.Mul, part(value, "SECOND"), 1_000_000), below)
        return total, {"second": 6, "milliseconds": 3, "microseconds": 0}[field]
    if field != "epoch":
        return None
    if source == "date":
        return op(sge.Mul, fn("UNIX_DATE", value), 86_400), 0
    if source == "timestamptz":
        return fn("UNIX_MICROS", value), 6
    if source == "timestamp":
        return fn("UNIX_MICROS", fn("TIMESTAMP", value, _UTC)), 6
    if source == "interval":
        # A year has 365.25 days here, a month that is over 30.
        months = months_of(value)
        whole_years = op(sge.Mul, fn("DIV", months, 12), 31_557_600)
        others = op(sge.Mul, fn("MOD", months, 12), 2_592_000)
        lower = op(sge.Mul, part(value, "DAY"), 86_400)
        seconds = op(sge.Add, op(sge.Add, whole_years, others), lower)
        return op(sge.Add, op(sge.Mul, seconds, 1_000_000), micros_of(value)), 6
    return None


def _extract(arguments: Arguments) -> Expression:
    field, source = literals.field(arguments[0], "extract"), kind(arguments[1])

    def of(value: Expression) -> Expression:
        whole = _whole_field(field, value, source)
        if whole is not None:
            return _numeric(whole)
        found = _micros(field, value, source)
        if found is not None:
            micros, digits = found
            return scaled(
                sge.Paren(this=sge.Div(this=exact(micros), expression=_power(digits))), digits
            )
        if field == "timezone" and source == "timestamptz":
            return fn("IF", is_null(value), sge.Null(), _numeric(sge.Literal.number(0)))
        raise unsupported(f'the field "{field}" of {source}')

    return once(arguments[1], of)


def _power(digits: int) -> Expression:
    return sge.Literal.number(10**digits)


def _date_part(arguments: Arguments) -> Expression:
    return cast(_extract(arguments), "float8")


_UNITS = {
    **{name: name.upper() for name in ("year", "quarter", "month", "day", "hour", "minute")},
    "second": "SECOND",
    "milliseconds": "MILLISECOND",
    "microseconds": "MICROSECOND",
    "week": "ISOWEEK",
}


def _date_trunc(arguments: Arguments) -> Expression:
    field, value = literals.field(arguments[0], "date_trunc"), arguments[1]
    source = kind(value)
    if source == "interval":
        return once(value, lambda one: _interval_truncated(field, one))
    zone = _zone(arguments[2]) if len(arguments) == 3 else _UTC
    if source == "timestamptz":
        local = fn("DATETIME", value, zone)
        return fn("TIMESTAMP", _truncated(field, local), zone)
    return _truncated(field, value)


def _interval_truncated(field: str, value: Expression) -> Expression:
    months, count, micros = months_of(value), part(value, "DAY"), micros_of(value)
    zero = sge.Literal.number(0)
    spans = {"month": 1, "quarter": 3, "year": 12, "decade": 120}
    if field in spans:
        span = spans[field]
        return of_parts(op(sge.Sub, months, fn("MOD", months, span)), zero, zero)
    if field == "day":
        return of_parts(months, count, zero)
    units = {"hour": 3_600_000_000, "minute": 60_000_000, "second": 1_000_000}
    if field not in units:
        raise unsupported(f"date_trunc('{field}') of an interval")
    return of_parts(months, count, op(sge.Sub, micros, fn("MOD", micros, units[field])))


def _truncated(field: str, value: Expression) -> Expression:
    if field in _UNITS:
        return fn("DATETIME_TRUNC", value, sge.Var(this=_UNITS[field]))
    spans = {"decade": (10, 0), "century": (100, 1), "millennium": (1000, 1)}
    if field not in spans:
        raise InvalidRequest("query", f'unit "{field}" not recognized')
    span, first = spans[field]
    year = op(sge.Sub, part(value, "YEAR"), first)
    begun = op(sge.Add, op(sge.Sub, year, fn("MOD", year, span)), first)
    return fn("DATETIME", begun, 1, 1, 0, 0, 0)


_ZONE = re.compile(r"UTC|[A-Z][A-Za-z_]+(/[A-Z][A-Za-z_+\-0-9]+){1,2}")


def _zone(tree: Expression) -> str:
    name = constant(tree, "a time zone")
    if not _ZONE.fullmatch(name):
        raise unsupported("time zones that are not named like Europe/Berlin")
    return name


def _timezone(arguments: Arguments) -> Expression:
    if len(arguments) != 2 or kind(arguments[0]) == "interval":
        raise unsupported("time zones that are not names")
    zone, value = _zone(arguments[0]), arguments[1]
    return fn("TIMESTAMP" if kind(value) == "timestamp" else "DATETIME", value, zone)


def _age(arguments: Arguments) -> Expression:
    """The rules of `timestamp_age` in PostgreSQL's `timestamp.c`."""
    later: Expression
    if len(arguments) == 1:
        later, earlier = cast(fn("CURRENT_DATE", _UTC), "timestamp"), arguments[0]
    else:
        later, earlier = arguments
    sides = [
        fn("DATETIME", side, _UTC) if kind(side) == "timestamptz" else side
        for side in (later, earlier)
    ]
    return once(sides[0], lambda a: once(sides[1], lambda b: _age_of(a, b)))


def _age_of(a: Expression, b: Expression) -> Expression:
    below = op(sge.LT, a, b)
    forward, backward = _grown(a, b), _grown(b, a)
    return when((below, sge.Neg(this=backward)), otherwise=forward)


def _grown(late: Expression, early: Expression) -> Expression:
    """From the earlier to the later: what is missing is borrowed from the earlier's month."""

    def of_clock(one: Expression) -> Expression:
        midnight = fn("DATETIME_TRUNC", one, sge.Var(this="DAY"))
        return fn("DATETIME_DIFF", one, midnight, sge.Var(this="MICROSECOND"))

    micros = op(sge.Sub, of_clock(late), of_clock(early))
    borrowed = when((op(sge.LT, micros, 0), 1), otherwise=0)
    count = op(sge.Sub, op(sge.Sub, part(late, "DAY"), part(early, "DAY")), borrowed)
    in_month = part(fn("LAST_DAY", early, sge.Var(this="MONTH")), "DAY")
    short = op(sge.LT, count, 0)
    months = op(
        sge.Sub,
        op(sge.Sub, _months(late), _months(early)),
        when((short, 1), otherwise=0),
    )
    return of_parts(
        months,
        op(sge.Add, count, when((short, in_month), otherwise=0)),
        op(sge.Add, micros, op(sge.Mul, borrowed, _DAY_MICROS)),
    )


def _months(value: Expression) -> Expression:
    return op(sge.Add, op(sge.Mul, part(value, "YEAR"), 12), part(value, "MONTH"))


# Made of numbers


def _make_date(arguments: Arguments) -> Expression:
    return fn("DATE", *arguments)


def _seconds(value: Expression) -> Expression:
    """A number of seconds, which may have a fraction, in microseconds."""
    return integer(fn("ROUND", op(sge.Mul, value, 1_000_000)))


def _make_time(arguments: Arguments) -> Expression:
    hour, minute, second = arguments
    start = fn(
        "DATETIME", cast(sge.Literal.string("1970-01-01"), "date"), fn("TIME", hour, minute, 0)
    )
    return fn("TIME", fn("DATETIME_ADD", start, _micros_interval(_seconds(second))))


def _make_timestamp(arguments: Arguments) -> Expression:
    *rest, second = arguments
    start = fn("DATETIME", *rest, 0)
    return fn("DATETIME_ADD", start, _micros_interval(_seconds(second)))


def _make_timestamptz(arguments: Arguments) -> Expression:
    zone = _zone(arguments[6]) if len(arguments) == 7 else _UTC
    return fn("TIMESTAMP", _make_timestamp(arguments[:6]), zone)


def _micros_interval(count: Expression) -> Expression:
    return sge.Interval(this=sge.Paren(this=count), unit=sge.Var(this="MICROSECOND"))


def _make_interval(arguments: Arguments) -> Expression:
    if not arguments:
        return interval(0, 0, 0)
    if len(arguments) > 6:
        raise unsupported("make_interval() with seconds")
    missing = [sge.Literal.number(0) for _ in range(6 - len(arguments))]
    given: list[Expression] = [*arguments, *missing]
    years, months, weeks, count, hours, minutes = given
    return of_parts(
        op(sge.Add, op(sge.Mul, years, 12), months),
        op(sge.Add, op(sge.Mul, weeks, 7), count),
        op(sge.Mul, op(sge.Add, op(sge.Mul, hours, 60), minutes), 60_000_000),
    )


def _to_timestamp(arguments: Arguments) -> Expression:
    if len(arguments) == 1:
        return fn("TIMESTAMP_MICROS", _seconds(arguments[0]))
    return fn("TIMESTAMP", _parsed("PARSE_DATETIME", arguments), _UTC)


def _to_date(arguments: Arguments) -> Expression:
    return _parsed("PARSE_DATE", arguments)


_READ = {"YYYY", "MM", "DD", "MON", "MONTH", "HH24", "HH12", "HH", "MI", "SS", "AM", "PM"}


def _parsed(name: str, arguments: Arguments) -> Expression:
    parts = []
    for what, text, _ in literals.date_format(constant(arguments[1], "a date format")):
        if what == "plain":
            parts.append(text.replace("%", "%%"))
        elif text.upper() in _READ:
            parts.append(literals.FORMAT_PARTS[text.upper()])
        else:
            raise unsupported(f'"{text}" in a date format that is read')
    return fn(name, "".join(parts), arguments[0])


# Shown


def _to_char(arguments: Arguments) -> Expression:
    value, source = arguments[0], kind(arguments[0])
    pattern = constant(arguments[1], "to_char with a format")
    if source == "interval":
        raise unsupported("to_char of an interval")
    if source not in ("timestamp", "timestamptz"):
        return number_formats.to_char(value, pattern)
    parts = literals.date_format(pattern)
    if not parts:
        return cast(sge.Null(), "text")

    def shown(moment: Expression) -> Expression:
        texts = [
            sge.Literal.string(text) if what == "plain" else _shown(moment, text, fill)
            for what, text, fill in parts
        ]
        if all(what == "plain" for what, _, _ in parts):
            texts.append(fn("FORMAT_DATETIME", "", moment))
        return joined(texts)

    return once(fn("DATETIME", value, _UTC) if source == "timestamptz" else value, shown)


def _shown(moment: Expression, written: str, bare: bool) -> Expression:
    """One part of a date format; `bare` is without the zeros and blanks that fill it up."""
    upper = written.upper()
    if upper in _NUMBERS:
        number, width = _NUMBERS[upper]
        text = as_text(number(moment))
        return text if bare or width == 1 else fn("LPAD", text, width, "0")
    if upper in ("MS", "US"):
        fraction = microseconds(moment)
        number_ = fraction if upper == "US" else fn("DIV", fraction, 1000)
        return fn("LPAD", as_text(number_), 6 if upper == "US" else 3, "0")
    if upper not in literals.FORMAT_PARTS:
        raise unsupported(f'"{written}" in a date format')
    text = fn("FORMAT_DATETIME", literals.FORMAT_PARTS[upper], moment)
    if upper in ("MONTH", "DAY", "MON", "DY"):
        if written.isupper():
            text = fn("UPPER", text)
        elif written.islower():
            text = fn("LOWER", text)
        return fn("RPAD", text, 9, " ") if upper in ("MONTH", "DAY") and not bare else text
    if upper in ("AM", "PM"):
        return fn("LOWER", text) if written.islower() else fn("UPPER", text)
    return as_text(integer(text)) if bare else text


def _week_of_year(value: Expression) -> Expression:
    return op(sge.Add, fn("DIV", op(sge.Sub, part(value, "DAYOFYEAR"), 1), 7), 1)


_NUMBERS: dict[str, tuple[Callable[[Expression], Expression], int]] = {
    "YYYY": (lambda value: part(value, "YEAR"), 4),
    "DDD": (lambda value: part(value, "DAYOFYEAR"), 3),
    "Q": (lambda value: part(value, "QUARTER"), 1),
    "D": (lambda value: part(value, "DAYOFWEEK"), 1),
    "ID": (lambda value: op(sge.Add, fn("MOD", op(sge.Add, part(value, "DAYOFWEEK"), 5), 7), 1), 1),
    "IW": (lambda value: part(value, "ISOWEEK"), 2),
    "IYYY": (lambda value: part(value, "ISOYEAR"), 4),
    "WW": (_week_of_year, 2),
    "CC": (lambda value: fn("DIV", op(sge.Add, part(value, "YEAR"), 99), 100), 2),
}

_NOW = ("now", "clock_timestamp", "statement_timestamp", "transaction_timestamp")

TIME_FUNCTIONS: dict[str, Callable[[Arguments], Expression]] = {
    "extract": _extract,
    "date_part": _date_part,
    "date_trunc": _date_trunc,
    "timezone": _timezone,
    "age": _age,
    "make_date": _make_date,
    "make_time": _make_time,
    "make_timestamp": _make_timestamp,
    "make_timestamptz": _make_timestamptz,
    "make_interval": _make_interval,
    "to_timestamp": _to_timestamp,
    "to_date": _to_date,
    "to_char": _to_char,
    "date_pli": lambda arguments: fn("DATE_ADD", arguments[0], days(arguments[1])),
    "date_smaller": lambda arguments: fn("LEAST", *arguments),
    "isfinite": lambda arguments: op(sge.EQ, arguments[0], arguments[0]),
    **{name: lambda arguments: fn("CURRENT_TIMESTAMP") for name in _NOW},
}
