"""Intervals in BigQuery's words: made of their parts, taken apart, and as PostgreSQL's text."""

from __future__ import annotations

import sqlglot.expressions as sge

from ckanext.bqdatastore.translation.terms import Expression, fn, joined, op, when

from ..forms import as_text
from .terms import once

_HOUR, _MINUTE, _SECOND = 3_600_000_000, 60_000_000, 1_000_000


def interval(months: int, days: int, micros: int) -> Expression:
    """A constant interval of exactly these parts."""
    sign = "-" if micros < 0 else ""
    hours, rest = divmod(abs(micros), _HOUR)
    minutes, rest = divmod(rest, _MINUTE)
    seconds, fraction = divmod(rest, _SECOND)
    ahead = "-" if months < 0 else ""
    years, months = divmod(abs(months), 12)
    text = f"{ahead}{years}-{months} {days} {sign}{hours}:{minutes}:{seconds}.{fraction:06}"
    span = sge.IntervalSpan(this=sge.Var(this="YEAR"), expression=sge.Var(this="SECOND"))
    return sge.Interval(this=sge.Literal.string(text), unit=span)


def of_parts(months: Expression, days: Expression, micros: Expression) -> Expression:
    """An interval of these parts."""
    parts = [_unit(months, "MONTH"), _unit(days, "DAY"), _unit(micros, "MICROSECOND")]
    return op(sge.Add, op(sge.Add, parts[0], parts[1]), parts[2])


def of_micros(micros: Expression) -> Expression:
    """An interval of whole days and what is left, as a difference of moments is."""

    def split(one: Expression) -> Expression:
        days = fn("DIV", one, 24 * _HOUR)
        rest = fn("MOD", one, 24 * _HOUR)
        return op(sge.Add, _unit(days, "DAY"), _unit(rest, "MICROSECOND"))

    return once(micros, split)


def _unit(count: Expression, name: str) -> Expression:
    return sge.Interval(this=sge.Paren(this=count), unit=sge.Var(this=name))


def part(value: Expression, name: str) -> Expression:
    return sge.Extract(this=sge.Var(this=name), expression=value)


def months_of(value: Expression) -> Expression:
    return op(sge.Add, op(sge.Mul, part(value, "YEAR"), 12), part(value, "MONTH"))


def micros_of(value: Expression) -> Expression:
    """Hours, minutes and seconds of an interval, in microseconds."""
    total: Expression = fn("MOD", part(value, "MICROSECOND"), _SECOND)
    for name, unit in (("SECOND", _SECOND), ("MINUTE", _MINUTE), ("HOUR", _HOUR)):
        total = op(sge.Add, total, op(sge.Mul, part(value, name), unit))
    return total


def interval_text(value: Expression) -> Expression:
    """As `EncodeInterval` of PostgreSQL's `datetime.c` writes it."""
    return once(value, _text)


def _text(value: Expression) -> Expression:
    year, month, day = part(value, "YEAR"), part(value, "MONTH"), part(value, "DAY")
    micros = micros_of(value)
    below = _negative(year)
    parts = [_shown(year, "year", sge.false())]
    parts.append(_shown(month, "mon", below))
    below = when((op(sge.NEQ, month, 0), _negative(month)), otherwise=below)
    parts.append(_shown(day, "day", below))
    below = when((op(sge.NEQ, day, 0), _negative(day)), otherwise=below)
    nothing = op(
        sge.And,
        op(sge.EQ, micros, 0),
        op(sge.Or, op(sge.Or, op(sge.NEQ, year, 0), op(sge.NEQ, month, 0)), op(sge.NEQ, day, 0)),
    )
    sign = when((_negative(micros), "-"), (below, "+"), otherwise="")
    clock = joined([sge.Literal.string(" "), sign, _clock(fn("ABS", micros))])
    parts.append(when((nothing, ""), otherwise=clock))
    return fn("LTRIM", fn("CONCAT", *parts))


def _negative(value: Expression) -> Expression:
    return op(sge.LT, value, 0)


def _shown(count: Expression, unit: str, after_negative: Expression) -> Expression:
    plus = when((op(sge.And, after_negative, op(sge.GT, count, 0)), "+"), otherwise="")
    plural = when((op(sge.EQ, count, 1), ""), otherwise="s")
    blank = sge.Literal.string(" ")
    shown = joined([blank, plus, as_text(count), sge.Literal.string(f" {unit}"), plural])
    return when((op(sge.EQ, count, 0), ""), otherwise=shown)


def _clock(micros: Expression) -> Expression:
    hours = fn("FORMAT", "%02d", fn("DIV", micros, _HOUR))
    minutes = fn("FORMAT", "%02d", fn("DIV", fn("MOD", micros, _HOUR), _MINUTE))
    seconds = fn("FORMAT", "%02d", fn("DIV", fn("MOD", micros, _MINUTE), _SECOND))
    fraction = fn("FORMAT", ".%06d", fn("MOD", micros, _SECOND))
    colon = sge.Literal.string(":")
    shown = fn("RTRIM", fn("RTRIM", fraction, "0"), ".")
    return joined([hours, colon, minutes, colon, seconds, shown])
