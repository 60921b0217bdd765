"""PostgreSQL's scalar functions in DuckDB's words: tables from a name to what builds its call.

A builder gets the translated arguments, which still carry their PostgreSQL types. A name that is
in no table is called the same in both and gives the same type.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

import sqlglot.expressions as sge

from ckanext.bqdatastore.translation.terms import (
    FLOATS,
    INTEGERS,
    Expression,
    constant,
    fn,
    is_null,
    joined,
    kind,
    op,
    text_of,
    unsupported,
    when,
    whole_number,
)

from .array_functions import ARRAY_FUNCTIONS
from .casts import as_text, convert
from .division import whole_quotient
from .json_functions import JSON_FUNCTIONS
from .pattern_functions import PATTERN_FUNCTIONS, regexp_part
from .terms import SCALE, cast, decimal, each, element, fails, shown_bool
from .time_functions import TIME_FUNCTIONS

Arguments = Sequence[Expression]
Builder = Callable[[Arguments], Expression]

_LONGEST_TEXT = 100_000
"""Characters that `repeat`, `lpad` and `rpad` may make, so that a short query fills no memory."""


def scalar(name: str, arguments: Arguments) -> Expression:
    """A call of PostgreSQL's function `name`, in DuckDB's words."""
    builder = _BUILDERS.get(name)
    if builder is not None:
        return builder(arguments)
    if name in _SAME:
        return fn(_SAME[name], *arguments)
    return fn(name, *arguments)


def numeric(tree: Expression) -> Expression:
    """A float that stands for a `numeric`, by the fewest digits that tell it apart."""
    return cast(cast(tree, "text"), decimal(38, SCALE))


def output(value: Expression) -> Expression:
    """`value` as PostgreSQL's output function writes it, which for booleans is `t` and `f`."""
    if kind(value) == "bool":
        return shown_bool(value)
    return as_text(value, kind(value))


def _in_float(name: str) -> Builder:
    """A function that DuckDB has for doubles only: a `numeric` goes there and comes back."""

    def build(arguments: Arguments) -> Expression:
        if not any(kind(argument) == "numeric" for argument in arguments):
            return fn(name, *arguments)
        return numeric(fn(name, *(cast(argument, "float8") for argument in arguments)))

    return build


_LARGEST_EXPONENT = "709.782712893384"
"""`exp` of what is larger is no double."""

_LEAST_EXPONENT = "-745.1332191019411"
"""`exp` of what is less is zero."""


def _exp(arguments: Arguments) -> Expression:
    value = arguments[0]
    if kind(value) == "numeric":
        return _in_float("exp")(arguments)
    return when(
        (sge.Not(this=fn("isfinite", value)), fn("exp", value.copy())),
        (op(sge.GT, value.copy(), sge.Literal.number(_LARGEST_EXPONENT)), fails(_OVERFLOW)),
        (op(sge.LT, value.copy(), sge.Literal.number(_LEAST_EXPONENT)), fails(_UNDERFLOW)),
        otherwise=fn("exp", value.copy()),
    )


_OVERFLOW, _UNDERFLOW = "value out of range: overflow", "value out of range: underflow"


def _power(arguments: Arguments) -> Expression:
    base, exponent = arguments
    if "numeric" in (kind(base), kind(exponent)):
        return _in_float("pow")(arguments)
    found = fn("pow", base, exponent)
    exact = fn("isfinite", op(sge.Add, fn("abs", base.copy()), fn("abs", exponent.copy())))
    known = op(sge.Or, is_null(element("_found")), fn("isfinite", element("_found")))
    result = when(
        (known, element("_found")),
        (sge.Not(this=exact), element("_found")),
        (fn("isnan", element("_found")), fails(_COMPLEX)),
        otherwise=fails(_OVERFLOW),
    )
    return fn("list_extract", each(fn("list_value", found), "_found", result), 1)


_COMPLEX = "a negative number raised to a non-integer power yields a complex result"


def _chr(arguments: Arguments) -> Expression:
    null = op(sge.EQ, arguments[0], 0)
    letter = fn("chr", cast(arguments[0].copy(), "int4"))
    return when((null, fails("null character not permitted")), otherwise=letter)


def _typed(name: str, to: str) -> Builder:
    return lambda arguments: cast(fn(name, *arguments), to)


def _degrees(name: str) -> Builder:
    # Within one turn, for a large angle in radians has lost its last digits.
    return lambda arguments: fn(name, fn("radians", op(sge.Mod, arguments[0], 360)))


def _in_degrees(name: str) -> Builder:
    return lambda arguments: fn("degrees", fn(name, arguments[0]))


def _round(arguments: Arguments) -> Expression:
    if kind(arguments[0]) in FLOATS:
        return fn("round_even", arguments[0], 0)
    return _digits("round", arguments)


def _trunc(arguments: Arguments) -> Expression:
    if len(arguments) == 1:
        return fn("trunc", arguments[0])
    return _digits("trunc", arguments)


def _digits(name: str, arguments: Arguments) -> Expression:
    if len(arguments) == 2 and whole_number(arguments[1]) is None:
        raise unsupported(f"{name}(numeric, n) with an n that is not a constant")
    return fn(name, *arguments)


def _sign(arguments: Arguments) -> Expression:
    value = arguments[0]
    if kind(value) == "numeric":
        return cast(fn("sign", value), decimal(1, 0))
    return cast(fn("sign", value), "float8")


def _div(arguments: Arguments) -> Expression:
    return whole_quotient(*arguments)


def _mod(arguments: Arguments) -> Expression:
    return modulo(*arguments)


def modulo(a: Expression, b: Expression) -> Expression:
    rest = op(sge.Mod, a, b)
    if "numeric" in (kind(a), kind(b)):
        # So it is where the two have no decimal type in common: that would be no exact number.
        inexact = op(sge.EQ, fn("typeof", rest.copy()), "DOUBLE")
        rest = when((inexact, fails("value overflows numeric format")), otherwise=rest)
    return nonzero(a, b, rest)


def nonzero(dividend: Expression, divisor: Expression, result: Expression) -> Expression:
    """`result`, or PostgreSQL's error where the divisor of something is zero."""
    value = _bare(divisor)
    if isinstance(value, sge.Literal) and re.search("[1-9]", value.name):
        return result
    zero = op(sge.EQ, divisor.copy(), 0)
    if not isinstance(_bare(dividend), sge.Literal):
        zero = op(sge.And, zero, sge.Not(this=is_null(dividend.copy())))
    return when((zero, fails("division by zero")), otherwise=result)


def _bare(value: Expression) -> Expression:
    while isinstance(value, (sge.Paren, sge.Cast)):
        value = value.this
    return value.this if isinstance(value, sge.Neg) else value


def _log(arguments: Arguments) -> Expression:
    return _in_float("log")(arguments)


def _of_integers(name: str) -> Builder:
    def build(arguments: Arguments) -> Expression:
        if kind(arguments[0]) not in INTEGERS:
            raise unsupported(f"{name} of numeric")
        return cast(fn(name, *arguments), kind(arguments[0]))

    return build


def _width_bucket(arguments: Arguments) -> Expression:
    if len(arguments) != 4:
        raise unsupported("width_bucket with an array")
    value, low, high, count = arguments
    if kind(value) == "numeric":
        times, span = op(sge.Mul, op(sge.Sub, value, low), count), op(sge.Sub, high, low)
        step = whole_quotient(times, span)
    else:
        share = op(sge.Mul, op(sge.Sub, value, low), count)
        step = fn("floor", op(sge.Div, share, op(sge.Sub, high, low)))
    rising, falling = op(sge.LT, low, high), op(sge.GT, low, high)

    def both(first: Expression, second: Expression) -> Expression:
        return op(sge.And, first, second)

    missing = is_null(value)
    for other in (low, high, count):
        missing = op(sge.Or, missing, is_null(other))
    wrong = []
    if kind(value) in FLOATS:
        not_a_number = "operand, lower bound, and upper bound cannot be NaN"
        wrong = [(fn("isnan", number), fails(not_a_number)) for number in (value, low, high)]
    return when(
        (missing, cast(sge.Null(), "int4")),
        *wrong,
        (op(sge.LTE, count, 0), fails("count must be greater than zero")),
        (op(sge.EQ, low, high), fails("lower bound cannot equal upper bound")),
        (both(rising, op(sge.LT, value, low)), 0),
        (both(rising.copy(), op(sge.GTE, value, high)), op(sge.Add, count, 1)),
        (both(falling, op(sge.GT, value, low)), 0),
        (both(falling.copy(), op(sge.LTE, value, high)), op(sge.Add, count, 1)),
        otherwise=cast(op(sge.Add, cast(step, "int4"), 1), "int4"),
    )


def _substring(arguments: Arguments) -> Expression:
    value, start, *rest = arguments
    if kind(start) == "text":
        if rest:
            raise unsupported("substring with an SQL pattern")
        return regexp_part(value, constant(start, "a regular expression"), "")
    return _characters(value, start, *rest)


def _characters(value: Expression, start: Expression, *rest: Expression) -> Expression:
    """From a place on, perhaps so many; places before the first count, but hold nothing."""
    first = whole_number(start)
    if first is not None and first >= 1:
        if not rest:
            return fn("substring", value, start)
        length = whole_number(rest[0])
        if length is not None and length >= 0:
            return fn("substring", value, start, rest[0])
    begin = _at_least_one(start)
    if not rest:
        return fn("substring", value, begin)
    end = _at_least_one(op(sge.Add, cast(start.copy(), "int8"), rest[0]))
    part = fn("substring", value, begin, op(sge.Sub, end, begin.copy()))
    if (whole_number(rest[0]) or -1) >= 0:
        return part
    there = sge.Not(this=is_null(op(sge.DPipe, value.copy(), cast(start.copy(), "text"))))
    negative = op(sge.And, op(sge.LT, rest[0].copy(), 0), there)
    return when((negative, fails("negative substring length not allowed")), otherwise=part)


def _at_least_one(place: Expression) -> Expression:
    """NULL for no place, which `greatest` would pass over."""
    return when((op(sge.LT, place, 1), 1), otherwise=place.copy())


def _overlay(arguments: Arguments) -> Expression:
    value, new, start, *rest = arguments
    length = rest[0] if rest else fn("length", new.copy())
    head = _characters(value, sge.Literal.number(1), op(sge.Sub, start, 1))
    tail = _characters(value.copy(), op(sge.Add, start.copy(), length))
    return joined([head, new, tail])


def _short_enough(length: Expression, result: Expression) -> Expression:
    known = whole_number(length)
    if known is not None and known <= _LONGEST_TEXT // 100:
        return result
    return when(
        (op(sge.GT, length, _LONGEST_TEXT), fails("requested length too large")), otherwise=result
    )


def _repeat(arguments: Arguments) -> Expression:
    value, count = arguments
    length = op(sge.Mul, cast(fn("length", value.copy()), "int8"), count.copy())
    return when(
        (op(sge.GT, length, _LONGEST_TEXT), fails("requested length too large")),
        otherwise=fn("repeat", value, cast(count, "int8")),
    )


def _padded(name: str) -> Builder:
    def build(arguments: Arguments) -> Expression:
        value, length = arguments[:2]
        fill = arguments[2] if len(arguments) == 3 else sge.Literal.string(" ")
        length = cast(length, "int4")
        result: Expression = fn(name, value, length, fill)
        if text_of(fill) is None or not text_of(fill):
            cut = fn("left", value.copy(), fn("greatest", length.copy(), 0))
            result = when((op(sge.EQ, fill.copy(), ""), cut), otherwise=result)
        return _short_enough(length.copy(), result)

    return build


def _split_part(arguments: Arguments) -> Expression:
    value, delimiter, place = arguments
    result = fn("split_part", *arguments)
    branches = []
    if not whole_number(place):
        there = sge.Not(this=is_null(op(sge.DPipe, value.copy(), delimiter.copy())))
        zero = op(sge.And, op(sge.EQ, place.copy(), 0), there)
        branches.append((zero, fails("field position must not be zero")))
    if not text_of(delimiter):
        is_all = sge.In(this=place.copy(), expressions=[_number(1), _number(-1)])
        nothing = sge.Not(this=is_all.copy())
        whole = when(
            (is_all, value.copy()), (nothing, fn("left", value.copy(), 0)), otherwise=sge.Null()
        )
        branches.append((op(sge.EQ, delimiter.copy(), ""), whole))
    return when(*branches, otherwise=result) if branches else result


def _number(value: int) -> Expression:
    return sge.Literal.number(value)


def _initcap(arguments: Arguments) -> Expression:
    words = fn("regexp_extract_all", fn("lower", arguments[0]), r"[\p{L}\p{N}]+|[^\p{L}\p{N}]+")
    word = element("w")
    risen = op(sge.DPipe, fn("upper", fn("left", word, 1)), fn("substring", word.copy(), 2))
    return fn("array_to_string", each(words, "w", risen), "")


def _to_hex(arguments: Arguments) -> Expression:
    digits = 8 if kind(arguments[0]) == "int4" else 16
    return fn("lower", fn("right", fn("to_hex", arguments[0]), digits))


def _concat(arguments: Arguments) -> Expression:
    return fn("concat", "", *map(output, arguments))


def _concat_ws(arguments: Arguments) -> Expression:
    return fn("concat_ws", arguments[0], *map(output, arguments[1:]))


def _format(arguments: Arguments) -> Expression:
    """`format` by a constant: `%s` and `%L`, one argument after the other."""
    pattern, values = constant(arguments[0], "format() by a format"), list(arguments[1:])
    parts: list[Expression] = []
    for text, place in re.findall(r"([^%]+)|%(.?)", pattern):
        if text or place == "%":
            parts.append(sge.Literal.string(text or "%"))
            continue
        if place not in ("s", "L"):
            raise unsupported(f"format() with %{place}")
        if not values:
            return fails("too few arguments for format()")
        value = output(values.pop(0))
        empty = "" if place == "s" else "NULL"
        parts.append(fn("coalesce", _quoted(value) if place == "L" else value, empty))
    return joined(parts) if parts else sge.Literal.string("")


def _quoted(text: Expression) -> Expression:
    quote = sge.Literal.string("'")
    doubled = fn("replace", text, "'", "''")
    escaped = fn("replace", fn("replace", text.copy(), "\\", "\\\\"), "'", "''")
    return when(
        (
            op(sge.GT, fn("strpos", text.copy(), "\\"), 0),
            joined([sge.Literal.string("E'"), escaped, quote]),
        ),
        otherwise=joined([quote.copy(), doubled, quote.copy()]),
    )


def _quote_literal(arguments: Arguments) -> Expression:
    return _quoted(as_text(arguments[0], kind(arguments[0])))


def _quote_nullable(arguments: Arguments) -> Expression:
    return fn("coalesce", _quote_literal(arguments), "NULL")


def _count_nulls(wanted: bool) -> Builder:
    def build(arguments: Arguments) -> Expression:
        total: Expression = sge.Literal.number(0)
        for argument in arguments:
            total = op(sge.Add, total, fn("if", is_null(argument), *((1, 0) if wanted else (0, 1))))
        return cast(total, "int4")

    return build


def _text(arguments: Arguments) -> Expression:
    return convert(arguments[0], kind(arguments[0]), "text")


_SAME: dict[str, str] = {
    "atan2": "atan2",
    "array_reverse": "list_reverse",
    "ceiling": "ceil",
    "pow": "pow",
    "btrim": "trim",
    "position": "strpos",
}
"""What DuckDB has under another name."""

_BUILDERS: dict[str, Builder] = {
    **{name: _in_float(name) for name in ("ln", "sqrt")},
    "exp": _exp,
    "power": _power,
    "pow": _power,
    "chr": _chr,
    "log": _log,
    "log10": _in_float("log"),
    **{
        name: _typed(duck, "int4")
        for name, duck in (
            ("length", "length"),
            ("char_length", "length"),
            ("character_length", "length"),
            ("octet_length", "strlen"),
            ("bit_length", "bit_length"),
            ("strpos", "strpos"),
            ("position", "strpos"),
            ("cardinality", "len"),
            ("array_upper", "len"),
        )
    },
    **{f"{name}d": _degrees(name) for name in ("sin", "cos", "tan", "cot")},
    **{f"{name}d": _in_degrees(name) for name in ("asin", "acos", "atan")},
    "round": _round,
    "trunc": _trunc,
    "sign": _sign,
    "div": _div,
    "mod": _mod,
    "gcd": _of_integers("gcd"),
    "lcm": _of_integers("lcm"),
    "factorial": lambda arguments: cast(
        fn("factorial", cast(arguments[0], "int4")), decimal(38, 0)
    ),
    "width_bucket": _width_bucket,
    "substring": _substring,
    "substr": _substring,
    "overlay": _overlay,
    "repeat": _repeat,
    "lpad": _padded("lpad"),
    "rpad": _padded("rpad"),
    "split_part": _split_part,
    "initcap": _initcap,
    "to_hex": _to_hex,
    "concat": _concat,
    "concat_ws": _concat_ws,
    "format": _format,
    "quote_literal": _quote_literal,
    "quote_nullable": _quote_nullable,
    "num_nulls": _count_nulls(True),
    "num_nonnulls": _count_nulls(False),
    "text": _text,
    **ARRAY_FUNCTIONS,
    **JSON_FUNCTIONS,
    **PATTERN_FUNCTIONS,
    **TIME_FUNCTIONS,
}
