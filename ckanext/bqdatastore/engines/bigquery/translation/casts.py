"""PostgreSQL's casts in BigQuery's words."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from decimal import Decimal

import sqlglot.expressions as sge

from ckanext.bqdatastore.model import numbers
from ckanext.bqdatastore.model.errors import InvalidRequest
from ckanext.bqdatastore.translation import literals, values
from ckanext.bqdatastore.translation.terms import (
    FLOATS,
    INTEGERS,
    JSONS,
    Expression,
    fn,
    is_null,
    joined,
    kind,
    kind_of,
    op,
    text_of,
    unsupported,
    when,
    whole_number,
)

from ..forms import as_text as plain_text
from ..forms import float_text, moment, numeric_text, time_text
from ..types import data_type, numeric_type
from .intervals import interval, interval_text
from .terms import (
    cast,
    element,
    exact,
    fails,
    in_range,
    integer,
    item,
    items,
    made_of,
    no_items,
    once,
    scale_of,
    scaled,
    stored,
)

RANGES = {
    "int2": (-(2**15), 2**15 - 1, "smallint out of range"),
    "int4": (-(2**31), 2**31 - 1, "integer out of range"),
}

_DAYS_FROM_TODAY = {"today": 0, "yesterday": -1, "tomorrow": 1}


def converted(tree: sge.Cast) -> Expression:
    """A cast of a bound tree; what it casts is translated already."""
    target, value = kind_of(tree.to), tree.this
    if isinstance(value, sge.Array) and not value.expressions:
        return made_of(no_items(target))
    result = convert(value, kind(value), target)
    parameters = [
        int(each.name) for each in tree.to.expressions if isinstance(each, sge.DataTypeParam)
    ]
    if not parameters:
        return result
    if target == "numeric":
        precision, scale = (*parameters, 0)[:2]
        return _rounded(result, precision, scale)
    return fn("LEFT", result, parameters[0])


def _rounded(value: Expression, precision: int, scale: int) -> Expression:
    if scale < 0 or precision > 38 or scale > precision:
        raise unsupported("numeric with such a precision")
    limit = Decimal(10) ** (precision - scale)
    rounded = fn("ROUND", value, scale)

    def checked(once_: Expression) -> Expression:
        fits = op(sge.LT, fn("ABS", once_), exact(sge.Literal.string(str(limit))))
        missing = is_null(once_)
        return when(
            (sge.Or(this=fits, expression=missing), once_),
            otherwise=fails("numeric field overflow"),
        )

    return scaled(once(rounded, checked), scale)


def convert(value: Expression, source: str, target: str) -> Expression:
    """`value`, of PostgreSQL type `source`, as type `target`."""
    if isinstance(value, sge.Null):
        return cast(value, target)
    text = text_of(value) if source == "text" else None
    if text is not None:
        return _literal(text, value, target)
    if source == target:
        return value
    if target.startswith("_"):
        return _array(value, source, target)
    if target == "text":
        return as_text(value, source)
    rule = _RULES.get((source, target)) or _TO.get(target)
    if rule is None:
        raise unsupported(f"a cast from {source} to {target}")
    return rule(value, source)


def _array(value: Expression, source: str, target: str) -> Expression:
    if not source.startswith("_"):
        raise unsupported("a cast of text to an array that is not a constant")
    place = sge.Ordered(this=sge.column("_p"), nulls_first=True)
    changed = element(convert(item("_e"), source[1:], target[1:]))
    rows = sge.Unnest(
        expressions=[items(value)],
        alias=sge.TableAlias(columns=[sge.to_identifier("_e")]),
        offset=sge.to_identifier("_p"),
    )
    listed = sge.Array(
        expressions=[
            sge.select(changed, copy=False).from_(rows, copy=False).order_by(place, copy=False)
        ]
    )
    return when((is_null(value), cast(sge.Null(), target)), otherwise=made_of(listed))


# Constants


def _literal(text: str, value: Expression, target: str) -> Expression:
    """A text constant as PostgreSQL reads it for a type."""
    if target == "text":
        return value
    if target == "interval":
        return interval(*literals.interval(text))
    if target.startswith("_"):
        return _array_literal(text, target)
    if target == "bool":
        return sge.Boolean(this=literals.truth(text))
    if target == "numeric":
        return _number(text)
    if target in INTEGERS:
        return _whole(text, target)
    if target in FLOATS:
        return _float(text, target)
    if target == "uuid":
        return sge.Literal.string(_uuid(text))
    if target in JSONS:
        return sge.Literal.string(getattr(values, target)(text))
    return _moment_literal(text, target)


def _invalid(text: str, type: str) -> InvalidRequest:
    return InvalidRequest("query", f'invalid input syntax for type {type}: "{text[:100]}"')


def _array_literal(text: str, target: str) -> Expression:
    found = literals.array(text)
    if not found:
        return made_of(no_items(target))
    elements = [
        element(
            cast(sge.Null(), target[1:])
            if each is None
            else convert(sge.Literal.string(each), "text", target[1:])
        )
        for each in found
    ]
    return made_of(sge.Array(expressions=elements))


def _whole(text: str, target: str) -> Expression:
    shown = {"int2": "smallint", "int4": "integer", "int8": "bigint"}[target]
    try:
        value = literals.integer(text)
    except ValueError:
        raise _invalid(text, shown) from None
    low, high, _ = RANGES.get(target, (-(2**63), 2**63 - 1, ""))
    if not low <= value <= high:
        raise InvalidRequest("query", f'value "{text[:100]}" is out of range for type {shown}')
    return integer(sge.Literal.string(str(value)))


def _float(text: str, target: str) -> Expression:
    if target == "float4":
        raise unsupported("float4 (cast to float8)")
    try:
        value = float(text.replace("_", "x"))
    except ValueError:
        raise _invalid(text, "double precision") from None
    if value in (float("inf"), float("-inf")) and "inf" not in text.lower():
        raise InvalidRequest("query", f'"{text[:100]}" is out of range for type double precision')
    return cast(sge.Literal.string(repr(value)), "float8")


def _number(text: str) -> Expression:
    value = numbers.exact(text)
    if not value.is_finite():
        raise unsupported("NaN and infinity as numeric")
    return numeric_literal(format(value, "f"))


def numeric_literal(text: str) -> Expression:
    """A constant `numeric`: to BigQuery 1.5 is a float."""
    whole, _, fraction = text.lstrip("-").partition(".")
    if len(whole.lstrip("0")) > 38 or len(fraction) > 38:
        raise unsupported("numbers of more than 38 digits")
    to = data_type(numeric_type(len(whole.lstrip("0")), len(fraction)).split("(")[0])
    return scaled(sge.Cast(this=sge.Literal.string(text), to=to), len(fraction))


def _uuid(written: str) -> str:
    try:
        return str(uuid.UUID(written))
    except ValueError:
        raise _invalid(written, "uuid") from None


def _moment_literal(text: str, target: str) -> Expression:
    word = text.strip().lower()
    if word == "epoch" and target != "time":
        return cast(sge.Literal.string("1970-01-01"), target)
    if word == "now" and target != "time":
        return convert(fn("CURRENT_TIMESTAMP"), "timestamptz", target)
    if word in _DAYS_FROM_TODAY and target != "time":
        today = fn("CURRENT_DATE", "UTC")
        day = fn("DATE_ADD", today, days(_integer(_DAYS_FROM_TODAY[word])))
        return convert(day, "date", target)
    return cast(sge.Literal.string(getattr(values, target)(text)), target)


def _integer(value: int) -> Expression:
    return integer(sge.Literal.string(str(value)))


def days(count: Expression) -> Expression:
    """An argument of `DATE_ADD` and its like."""
    return sge.Interval(this=sge.Paren(this=count), unit=sge.Var(this="DAY"))


def _micros(fraction: str | None) -> int:
    return int((fraction or "0").ljust(6, "0"))


# Texts of values


def as_text(value: Expression, source: str) -> Expression:
    """`value` as PostgreSQL writes its type."""
    if source in ("text", "uuid", "json"):
        return value
    if source in INTEGERS or source in ("bool", "date"):
        return plain_text(value)
    if source == "numeric":
        return _numeric_text(value)
    if source == "float8":
        return once(value, float_text)
    if source == "timestamp":
        return once(value, lambda one: fn("REPLACE", moment(one, "timestamp"), "T", " "))
    if source == "timestamptz":
        return once(
            value,
            lambda one: joined([fn("REPLACE", moment(one, "timestamptz"), "T", " "), _text("+00")]),
        )
    if source == "time":
        return time_text(value)
    if source == "interval":
        return interval_text(value)
    raise unsupported(f"the text of {'an array' if source[0] == '_' else source}")


def _text(value: str) -> Expression:
    return sge.Literal.string(value)


def _numeric_text(value: Expression) -> Expression:
    scale = scale_of(value)
    if scale is None:
        if not isinstance(value, sge.Column):
            raise unsupported("the text of a computed numeric (round it)")
        # Zeros at the end are the column's, not the value's.
        return numeric_text(value)
    return fn("FORMAT", "%.*f", scale, value)


def output(value: Expression) -> Expression:
    """`value` as PostgreSQL's output function writes it, which for booleans is `t` and `f`."""
    if kind(value) != "bool":
        return as_text(value, kind(value))
    return when(
        (value, "t"), (sge.Not(this=sge.Paren(this=value)), "f"), otherwise=cast(sge.Null(), "text")
    )


# Rules by the types on both sides

Rule = Callable[[Expression, str], Expression]


def _to_integer(target: str) -> Rule:
    def rule(value: Expression, source: str) -> Expression:
        if source in INTEGERS:
            whole = value
            if INTEGERS.index(source) <= INTEGERS.index(target):
                return value
        elif source == "numeric":
            whole = integer(fn("ROUND", value))
        elif source == "float8":
            whole = once(value, lambda one: integer(half_even(one)))
        elif source == "bool":
            return integer(value)
        elif source == "text":
            whole = _whole_of_text(value, target)
        else:
            raise unsupported(f"a cast from {source} to {target}")
        return in_range(whole, *RANGES[target]) if target in RANGES else whole

    return rule


def half_even(value: Expression) -> Expression:
    """A float without its fraction, halves to the even side."""
    is_half = op(sge.EQ, fn("ABS", op(sge.Sub, value, fn("TRUNC", value))), _half())
    even = op(sge.Mul, fn("ROUND", op(sge.Div, value, 2)), 2)
    return when((is_half, even), otherwise=fn("ROUND", value))


def _half() -> Expression:
    return sge.Literal.number("0.5")


def _whole_of_text(value: Expression, target: str) -> Expression:
    def read(one: Expression) -> Expression:
        return when(
            (fn("REGEXP_CONTAINS", one, r"^\s*[+-]?[0-9]+\s*$"), integer(fn("TRIM", one))),
            (is_null(one), cast(sge.Null(), "int8")),
            otherwise=fails(f"invalid input syntax for type {target}"),
        )

    return once(value, read)


def _to_numeric(value: Expression, source: str) -> Expression:
    if source in INTEGERS:
        number = whole_number(value) if isinstance(value, sge.Literal) else None
        return scaled(exact(value) if number is None else numeric_literal(str(number)), 0)
    if source == "float8":
        # By its 15 good digits.
        return exact(fn("FORMAT", "%.15g", value))
    if source == "text":
        return exact(fn("TRIM", value))
    raise unsupported(f"a cast from {source} to numeric")


def _to_float(value: Expression, source: str) -> Expression:
    if source in (*INTEGERS, "numeric"):
        return cast(value, "float8")
    if source == "text":
        return cast(fn("TRIM", value), "float8")
    raise unsupported(f"a cast from {source} to float8")


def _to_float4(value: Expression, source: str) -> Expression:
    raise unsupported("float4 (cast to float8)")


def _to_bool(value: Expression, source: str) -> Expression:
    if source in INTEGERS:
        return op(sge.NEQ, value, 0)
    if source != "text":
        raise unsupported(f"a cast from {source} to bool")

    def read(one: Expression) -> Expression:
        word = fn("LOWER", fn("TRIM", one))
        return when(
            (_one_of(word, literals.TRUE), sge.true()),
            (_one_of(word, literals.FALSE), sge.false()),
            (is_null(one), cast(sge.Null(), "bool")),
            otherwise=fails("invalid input syntax for type boolean"),
        )

    return once(value, read)


def _one_of(value: Expression, texts: tuple[str, ...]) -> Expression:
    return sge.In(this=value, expressions=[sge.Literal.string(text) for text in texts])


def _moment_from(*sources: str) -> Callable[[str], Rule]:
    def of(target: str) -> Rule:
        def rule(value: Expression, source: str) -> Expression:
            if source not in sources:
                raise unsupported(f"a cast from {source} to {target}")
            return cast(fn("TRIM", value) if source == "text" else value, target)

        return rule

    return of


def _to_timestamp(value: Expression, source: str) -> Expression:
    if source == "date":
        return cast(value, "timestamp")
    if source == "timestamptz":
        return fn("DATETIME", value, "UTC")
    if source != "text":
        raise unsupported(f"a cast from {source} to timestamp")
    # BigQuery wants seconds.
    whole = fn("REGEXP_REPLACE", fn("TRIM", value), r"^([^:]*:[0-9]{2})$", r"\1:00")
    return cast(whole, "timestamp")


def _to_timestamptz(value: Expression, source: str) -> Expression:
    if source not in ("date", "timestamp"):
        raise unsupported(f"a cast from {source} to timestamptz")
    return fn("TIMESTAMP", value, "UTC")


def _from_timestamptz(name: str) -> Rule:
    return lambda value, source: fn(name, value, "UTC")


def _to_json(value: Expression, source: str) -> Expression:
    if source in JSONS:
        return value
    if source != "text":
        raise unsupported(f"a cast from {source} to json")
    return _json_text(value)


def _json_text(value: Expression) -> Expression:
    """A JSON text, checked: it stays as it is written."""
    mode = sge.Kwarg(this=sge.Var(this="wide_number_mode"), expression=_text("round"))

    def checked(one: Expression) -> Expression:
        return when((is_null(fn("PARSE_JSON", one, mode)), cast(sge.Null(), "text")), otherwise=one)

    return once(value, checked)


def _interval_to_time(value: Expression, source: str) -> Expression:
    start = sge.Cast(this=_text("1970-01-01"), to=stored("timestamp"))
    return cast(op(sge.Add, start, value), "time")


def _time_to_interval(value: Expression, source: str) -> Expression:
    micros = fn("TIME_DIFF", value, cast(_text("00:00:00"), "time"), sge.Var(this="MICROSECOND"))
    return sge.Interval(this=sge.Paren(this=micros), unit=sge.Var(this="MICROSECOND"))


_RULES: dict[tuple[str, str], Rule] = {
    ("interval", "time"): _interval_to_time,
    ("time", "interval"): _time_to_interval,
    ("timestamptz", "date"): _from_timestamptz("DATE"),
    ("timestamptz", "time"): _from_timestamptz("TIME"),
}

_TO: dict[str, Rule] = {
    **{name: _to_integer(name) for name in INTEGERS},
    "numeric": _to_numeric,
    "float8": _to_float,
    "float4": _to_float4,
    "bool": _to_bool,
    "date": _moment_from("text", "timestamp")("date"),
    "time": _moment_from("text", "timestamp")("time"),
    "timestamp": _to_timestamp,
    "timestamptz": _to_timestamptz,
    "json": _to_json,
    "jsonb": _to_json,
}
