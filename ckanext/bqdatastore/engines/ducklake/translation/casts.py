"""PostgreSQL's casts in DuckDB's words: a table from kinds of type to what converts them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

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
    joined,
    kind,
    kind_of,
    op,
    text_of,
    unsupported,
    when,
)

from .division import is_quotient
from .json_paths import checked
from .terms import cast, decimal, each, element, fails, stored

_MOMENTS_BY_NAME: dict[str, dict[str, Callable[[], Expression]]] = {
    "now": {
        "date": sge.CurrentDate,
        "timestamp": lambda: cast(fn("now"), "timestamp"),
        "timestamptz": lambda: fn("now"),
    },
    "today": {
        name: lambda name=name: cast(sge.CurrentDate(), name)  # type: ignore[misc]
        for name in ("date", "timestamp", "timestamptz")
    },
    "yesterday": {
        name: lambda name=name: cast(op(sge.Sub, sge.CurrentDate(), 1), name)  # type: ignore[misc]
        for name in ("date", "timestamp", "timestamptz")
    },
    "tomorrow": {
        name: lambda name=name: cast(op(sge.Add, sge.CurrentDate(), 1), name)  # type: ignore[misc]
        for name in ("date", "timestamp", "timestamptz")
    },
}
"""PostgreSQL's words for moments, which DuckDB does not read."""


def converted(tree: sge.Cast) -> Expression:
    """A cast of a bound tree; what it casts is translated already."""
    target, value = kind_of(tree.to), tree.this
    if isinstance(value, sge.Array) and not value.expressions:
        return cast(value, stored(target))
    result = convert(value, kind(value), target)
    parameters = [int(parameter.name) for parameter in tree.to.expressions if _is_number(parameter)]
    if not parameters:
        return result
    if target == "numeric":
        precision, scale = (*parameters, 0)[:2]
        fixed = cast(_exact(value), decimal(precision, scale))
        # With room for the zero before the point, which DuckDB leaves out otherwise.
        return cast(fixed, decimal(scale + 1, scale)) if precision == scale < 38 else fixed
    return fn("left", result, parameters[0])


def _is_number(parameter: Expression) -> bool:
    return isinstance(parameter, sge.DataTypeParam)


def _exact(value: Expression) -> Expression:
    """What a cast to a fixed number of digits starts from: floats by their 15 good digits."""
    if kind(value) not in FLOATS:
        return value
    return fn("printf", "%.15g" if kind(value) == "float8" else "%.6g", value)


def convert(value: Expression, source: str, target: str) -> Expression:
    """`value`, of PostgreSQL type `source`, as type `target`."""
    if isinstance(value, sge.Null):
        return cast(value, stored(target))
    text = text_of(value) if source == "text" else None
    if text is not None:
        return _literal(text, value, target)
    if source == target:
        return value
    if target.startswith("_"):
        if not source.startswith("_"):
            raise unsupported("a cast of text to an array that is not a constant")
        inner = element("x")
        return each(value, "x", convert(inner, source[1:], target[1:]))
    if target == "text":
        return as_text(value, source)
    rule = _RULES.get((source, target)) or _TO.get(target)
    return rule(value, source) if rule else cast(value, stored(target, source))


def _literal(text: str, value: Expression, target: str) -> Expression:
    """A text constant as PostgreSQL reads it for a type."""
    if target == "text":
        return value
    if target == "interval":
        months, days, micros = literals.interval(text)
        return interval(months, days, micros)
    if target.startswith("_"):
        items = [
            cast(sge.Null(), target[1:])
            if item is None
            else convert(sge.Literal.string(item), "text", target[1:])
            for item in literals.array(text)
        ]
        return cast(fn("list_value", *items), stored(target)) if items else _empty(target)
    if target == "numeric":
        return _number(text)
    word = text.strip().lower()
    moment = _MOMENTS_BY_NAME.get(word, {}).get(target)
    if moment:
        return moment()
    if target == "bool":
        return sge.Boolean(this=literals.truth(text))
    if target in JSONS:
        return sge.Literal.string(getattr(values, target)(text))
    if target in _MOMENTS:
        return cast(sge.Literal.string(getattr(values, target)(text)), target)
    if target in (*INTEGERS, *FLOATS):
        return cast(sge.Literal.string(_checked(text, target)), target)
    rule = _TO.get(target)
    return rule(value, "text") if rule else cast(value, stored(target, "text"))


def _empty(target: str) -> Expression:
    return cast(fn("list_value"), stored(target))


def _checked(text: str, target: str) -> str:
    """A number's text, refused where PostgreSQL refuses it and DuckDB would round."""
    shown = {"int2": "smallint", "int4": "integer", "int8": "bigint"}.get(target, target)
    try:
        if target in INTEGERS:
            whole = literals.integer(text)
            if not -(2**63) <= whole < 2**63:
                raise InvalidRequest(
                    "query", f'value "{text[:100]}" is out of range for type {shown}'
                )
            return str(whole)
        number = float(text.replace("_", "x"))
        if number in (float("inf"), float("-inf")) and "inf" not in text.lower():
            raise ValueError(text)
    except ValueError:
        raise InvalidRequest(
            "query", f'invalid input syntax for type {shown}: "{text[:100]}"'
        ) from None
    return text.strip()


def _number(text: str) -> Expression:
    number = numbers.exact(text)
    if not number.is_finite():
        raise unsupported("NaN and infinity as numeric")
    return numeric_literal(format(number, "f"))


def numeric_literal(text: str) -> Expression:
    """A constant `numeric` with just the digits that it has."""
    digits = text.lstrip("-").replace(".", "").lstrip("0")
    scale = len(text.partition(".")[2])
    # With room for a zero before the point, which DuckDB leaves out otherwise.
    precision = max(len(digits), min(scale + 1, 38), scale)
    if precision > 38:
        raise InvalidRequest("query", "numeric field overflow: more than 38 digits")
    return cast(sge.Literal.string(text), decimal(precision, scale))


def interval(months: int, days: int, micros: int) -> Expression:
    """A constant interval of exactly these parts."""
    parts = [
        fn(name, amount) for name, amount in (("to_months", months), ("to_days", days)) if amount
    ]
    if micros or not parts:
        parts.append(fn("to_microseconds", cast(sge.Literal.string(str(micros)), "int8")))
    result: Expression = parts[0]
    for part in parts[1:]:
        result = op(sge.Add, result, part)
    return result


def as_text(value: Expression, source: str) -> Expression:
    """`value` as PostgreSQL writes its type.

    :raises Unsupported: an array, whose quoting DuckDB does not know
    """
    if source.startswith("_"):
        raise unsupported("a cast of an array to text (array_to_string does it)")
    if source in ("text", *JSONS, "uuid"):
        return value
    plain = cast(value, "text")
    if source in FLOATS:
        return _float_text(value, plain, source)
    if source == "numeric" and isinstance(value, sge.Column):
        # A column's scale is that of its widest value: zeros at the end are not the value's own.
        return fn("regexp_replace", plain, r"(\.[0-9]*[1-9])0+$|\.0+$", r"\1")
    if source == "numeric" and is_quotient(value) and not isinstance(value, sge.Cast):
        # Its type has 20 digits after the point, as PostgreSQL's quotients below 1; others have 16.
        return fn("regexp_replace", plain, r"^(-?[1-9][0-9]*\.[0-9]{16}[0-9]*?)0+$", r"\1")
    if source == "interval":
        # PostgreSQL has `mons`, and a plural for -1.
        short = fn("replace", plain, "month", "mon")
        return fn("regexp_replace", short, r"(-1) (year|mon|day)\b", r"\1 \2s", "g")
    return plain


def _float_text(value: Expression, plain: Expression, source: str) -> Expression:
    """Floats without `.0`; from 1e15 (1e6 for float4) on with an exponent, as PostgreSQL has it."""
    limit = sge.Literal.number("1000000000000000" if source == "float8" else "1000000")
    large = sge.And(
        this=op(sge.GTE, fn("abs", value), limit),
        expression=op(sge.EQ, fn("strpos", plain, "e"), 0),
    )
    return when(
        (fn("isnan", value), "NaN"),
        (fn("isinf", value), fn("if", op(sge.GT, value, 0), "Infinity", "-Infinity")),
        (large, _with_exponent(value, plain)),
        otherwise=fn("regexp_replace", plain, r"\.0$", ""),
    )


def _with_exponent(value: Expression, plain: Expression) -> Expression:
    """`1234567.0` as `1.234567e+06`: the same digits, the point after the first."""
    unsigned = fn("ltrim", plain, "-")
    digits = fn("rtrim", fn("replace", unsigned, ".", ""), "0")
    exponent = cast(op(sge.Sub, fn("strpos", unsigned.copy(), "."), 2), "text")
    rest = fn("substring", digits.copy(), 2)
    parts = [
        when((op(sge.LT, value, 0), "-"), otherwise=""),
        fn("left", digits, 1),
        when((op(sge.EQ, rest, ""), ""), otherwise=op(sge.DPipe, ".", rest.copy())),
        sge.Literal.string("e+"),
        fn("lpad", exponent, 2, "0"),
    ]
    return joined(parts)


def _text_to_bool(value: Expression, source: str) -> Expression:
    word = fn("lower", fn("trim", value))
    return when(
        (_one_of(word, literals.TRUE), sge.true()),
        (_one_of(word.copy(), literals.FALSE), sge.false()),
        (op(sge.Is, value, sge.Null()), cast(sge.Null(), "bool")),
        otherwise=fails("invalid input syntax for type boolean"),
    )


def _one_of(value: Expression, texts: Sequence[str]) -> Expression:
    return sge.In(this=value, expressions=[sge.Literal.string(text) for text in texts])


def _text_to_integer(target: str) -> Callable[[Expression, str], Expression]:
    def rule(value: Expression, source: str) -> Expression:
        # DuckDB would round '1.5' and take '1e3'.
        return when(
            (
                fn("regexp_matches", value, r"^\s*[+-]?[0-9]+\s*$"),
                cast(value, target),
            ),
            (op(sge.Is, value, sge.Null()), cast(sge.Null(), target)),
            otherwise=fails(f"invalid input syntax for type {target}"),
        )

    return rule


def _float_to_numeric(value: Expression, source: str) -> Expression:
    return cast(_exact_float(value, source), "numeric")


def _exact_float(value: Expression, source: str) -> Expression:
    return fn("printf", "%.15g" if source == "float8" else "%.6g", value)


def _text_to_interval(value: Expression, source: str) -> Expression:
    raise unsupported("a cast of text to an interval that is not a constant")


_DAY = r"[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}"
_CLOCK = r"[0-9]{1,2}:[0-9]{2}(?::[0-9]{2}(?:\.[0-9]{1,6})?)?"
_MOMENTS: dict[str, str] = {
    "date": f"{_DAY}(?:[ T]{_CLOCK})?",
    "time": _CLOCK,
    "timestamp": f"{_DAY}(?:[ T]{_CLOCK})?",
    "timestamptz": f"{_DAY}(?:[ T]{_CLOCK}(?:Z|[+-][0-9]{{2}}(?::[0-9]{{2}})?)?)?",
}
"""What both databases read alike, of texts that are not constants."""


def _text_to_moment(target: str) -> Callable[[Expression, str], Expression]:
    def rule(value: Expression, source: str) -> Expression:
        is_read = fn("regexp_full_match", value, rf"\s*(?:{_MOMENTS[target]})\s*")
        return when(
            (is_read, cast(value.copy(), target)),
            (op(sge.Is, value.copy(), sge.Null()), cast(sge.Null(), target)),
            otherwise=fails(
                f"texts that are not constants are read as {target} in ISO's form only"
            ),
        )

    return rule


def _to_json(value: Expression, source: str) -> Expression:
    return value if source in JSONS else checked(value)


def _to_uuid(value: Expression, source: str) -> Expression:
    return cast(cast(value, sge.DataType(this=sge.DType.UUID)), "text")


def _interval_to_time(value: Expression, source: str) -> Expression:
    return cast(op(sge.Add, cast(sge.Literal.string("1970-01-01"), "timestamp"), value), "time")


def _timestamptz_to_time(value: Expression, source: str) -> Expression:
    # The session's zone is UTC.
    return cast(cast(value, "timestamp"), "time")


def _time_to_interval(value: Expression, source: str) -> Expression:
    return fn("to_microseconds", fn("epoch_us", value))


_RULES: dict[tuple[str, str], Callable[[Expression, str], Expression]] = {
    ("text", "bool"): _text_to_bool,
    ("text", "int2"): _text_to_integer("int2"),
    ("text", "int4"): _text_to_integer("int4"),
    ("text", "int8"): _text_to_integer("int8"),
    **{("text", target): _text_to_moment(target) for target in _MOMENTS},
    ("float4", "numeric"): _float_to_numeric,
    ("float8", "numeric"): _float_to_numeric,
    ("text", "interval"): _text_to_interval,
    ("interval", "time"): _interval_to_time,
    ("time", "interval"): _time_to_interval,
    ("timestamptz", "time"): _timestamptz_to_time,
}

_TO: dict[str, Callable[[Expression, str], Expression]] = {
    "json": _to_json,
    "jsonb": _to_json,
    "uuid": _to_uuid,
}
