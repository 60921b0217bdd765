"""PostgreSQL's arithmetic and functions of numbers in BigQuery's words.

Exact numbers are computed as BIGNUMERIC: 38 digits before and 38 after the point.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from decimal import Decimal

import sqlglot.expressions as sge

from ckanext.bqdatastore.translation.terms import (
    FLOATS,
    INTEGERS,
    Expression,
    fn,
    is_null,
    kind,
    op,
    unsupported,
    when,
    whole_number,
)

from ..forms import as_text
from .casts import half_even
from .terms import Scale, cast, exact, fails, integer, once, scale_of, scaled

Arguments = Sequence[Expression]

_SIGNIFICANT, _GROUP = 16, 4
"""PostgreSQL's quotients have 16 significant digits, counted in groups of four."""


def refuse_float4(*values: Expression) -> None:
    """A float4 is kept as the double of its digits, with which nothing can be computed."""
    if any(kind(value) == "float4" for value in values):
        raise unsupported("computing with float4")


def computed(tree: sge.Binary) -> Expression:
    """`+`, `-` and `*` of numbers."""
    left, right = tree.this, tree.expression
    refuse_float4(left, right)
    if kind(tree) != "numeric":
        return sge.Paren(this=tree)
    scales = [scale_of(side) for side in (left, right)]
    result = op(type(tree), exact(left), exact(right))
    known = [scale for scale in scales if isinstance(scale, int)]
    if len(known) < 2:
        return result
    return scaled(result, sum(known) if isinstance(tree, sge.Mul) else max(known))


def divided(tree: sge.Div) -> Expression:
    left, right = tree.this, tree.expression
    refuse_float4(left, right)
    if kind(tree) in INTEGERS:
        return fn("DIV", left, right)
    if kind(tree) == "numeric":
        return quotient(left, right)
    return op(sge.Div, left, right)


def remainder(left: Expression, right: Expression) -> Expression:
    if kind(left) in INTEGERS and kind(right) in INTEGERS:
        return fn("MOD", left, right)
    return fn("MOD", exact(left), exact(right))


def quotient(left: Expression, right: Expression) -> Expression:
    """`left / right` of exact numbers, with as many digits as PostgreSQL's.

    The rules of `select_div_scale` in its `numeric.c`. BigQuery's own quotient has 38 digits after
    the point.
    """
    scales = [scale_of(side) for side in (left, right)]

    def of(a: Expression) -> Expression:
        def by(b: Expression) -> Expression:
            scale = _result_scale(a, b, scales)
            found = fn("ROUND", op(sge.Div, a, b), scale)
            return scaled(sge.Paren(this=found), scale)

        return once(exact(right), by)

    result = once(exact(left), of)
    # Within a sub-query its digits are out of reach.
    return result


def _result_scale(a: Expression, b: Expression, scales: Sequence[Scale]) -> Expression:
    groups, others = _groups(a), _groups(b)
    weight = op(sge.Sub, groups[0], others[0])
    smaller = op(sge.LTE, groups[1], others[1])
    weight = op(sge.Sub, weight, when((smaller, 1), otherwise=0))
    shown = [
        sge.Literal.number(scale) if isinstance(scale, int) else _fraction_digits(side)
        for side, scale in zip((a, b), scales, strict=True)
    ]
    wanted = op(sge.Sub, _SIGNIFICANT, op(sge.Mul, weight, _GROUP))
    return fn("LEAST", fn("GREATEST", wanted, *shown, 0), 38)


_ABOVE_ZERO = 80
"""Added to powers of ten, so that BigQuery divides them as PostgreSQL does."""


def _groups(value: Expression) -> tuple[Expression, Expression]:
    """The power of ten thousand of a number's first group of digits, and 20; and that group."""
    known = _constant(value)
    if known is not None:
        place = (known.adjusted() if known else 0) + _ABOVE_ZERO
        group = int(abs(known).scaleb(-(place // _GROUP * _GROUP - _ABOVE_ZERO)))
        return sge.Literal.number(place // _GROUP), sge.Literal.number(group)
    whole = fn("LENGTH", fn("REGEXP_EXTRACT", as_text(value), r"^-?0*([0-9]*)"))
    zeros = fn("LENGTH", fn("REGEXP_EXTRACT", fn("CONCAT", as_text(value), "."), r"\.(0*)"))
    position = when(
        (op(sge.EQ, value, 0), _ABOVE_ZERO),
        (op(sge.GTE, fn("ABS", value), 1), op(sge.Add, whole, _ABOVE_ZERO - 1)),
        otherwise=op(sge.Sub, _ABOVE_ZERO - 1, zeros),
    )
    length = op(sge.Add, fn("MOD", position, _GROUP), 1)
    digits = fn("LTRIM", fn("REPLACE", as_text(fn("ABS", value)), ".", ""), "0")
    taken = fn("RPAD", fn("SUBSTR", digits, 1, length), length, "0")
    first = when((op(sge.EQ, value, 0), 0), otherwise=integer(taken))
    return fn("DIV", position, _GROUP), first


def _constant(value: Expression) -> Decimal | None:
    while isinstance(value, sge.Paren):
        value = value.this
    if isinstance(value, sge.Cast) and isinstance(value.this, sge.Literal):
        return Decimal(value.this.name)
    return None


def _fraction_digits(value: Expression) -> Expression:
    return fn("LENGTH", fn("REGEXP_EXTRACT", fn("CONCAT", as_text(value), "."), r"\.([0-9]*)"))


# Functions


def _round(arguments: Arguments) -> Expression:
    value = arguments[0]
    if kind(value) == "float8":
        return once(value, half_even)
    return _to_places("ROUND", arguments)


def _trunc(arguments: Arguments) -> Expression:
    if kind(arguments[0]) == "float8":
        return fn("TRUNC", arguments[0])
    return _to_places("TRUNC", arguments)


def _to_places(name: str, arguments: Arguments) -> Expression:
    places = whole_number(arguments[1]) if len(arguments) == 2 else 0
    if places is None:
        raise unsupported(f"{name.lower()}(numeric, n) with an n that is not a constant")
    return scaled(fn(name, exact(arguments[0]), places), max(places, 0))


def _numeric(name: str) -> Callable[[Arguments], Expression]:
    """A function that is the same for doubles and for exact numbers."""

    def made(arguments: Arguments) -> Expression:
        refuse_float4(*arguments)
        if any(kind(argument) == "numeric" for argument in arguments):
            result = fn(name, *map(exact, arguments))
            return scaled(result, 0) if name in ("CEIL", "FLOOR", "DIV", "SIGN") else result
        return fn(name, *arguments)

    return made


def _in_float(name: str) -> Callable[[Arguments], Expression]:
    """A function of doubles; a `numeric` goes there and comes back by its 15 good digits."""

    def made(arguments: Arguments) -> Expression:
        refuse_float4(*arguments)
        if not any(kind(argument) == "numeric" for argument in arguments):
            return fn(name, *arguments)
        value = fn(name, *(cast(argument, "float8") for argument in arguments))
        return from_float(value)

    return made


def from_float(value: Expression) -> Expression:
    """A double that stands for a `numeric`."""
    return exact(fn("FORMAT", "%.15g", value))


def _abs(arguments: Arguments) -> Expression:
    return scaled(fn("ABS", arguments[0]), scale_of(arguments[0]))


def _log(arguments: Arguments) -> Expression:
    if len(arguments) == 2:
        base, value = (cast(argument, "float8") for argument in arguments)
        return from_float(fn("LOG", value, base))
    return _in_float("LOG10")(arguments)


def _pi(arguments: Arguments) -> Expression:
    return fn("ACOS", cast(sge.Literal.string("-1"), "float8"))


def _degrees(value: Expression) -> Expression:
    return op(sge.Div, op(sge.Mul, value, 180), _pi(()))


def _radians(value: Expression) -> Expression:
    return op(sge.Div, op(sge.Mul, value, _pi(())), 180)


def _turned(degrees: Expression) -> Expression:
    """Within one turn, for a large angle in radians has lost its last digits."""
    turns = fn("TRUNC", op(sge.Div, degrees, 360))
    return op(sge.Sub, degrees, op(sge.Mul, turns, 360))


def _sign(arguments: Arguments) -> Expression:
    if kind(arguments[0]) in INTEGERS:
        return cast(fn("SIGN", arguments[0]), "float8")
    return _numeric("SIGN")(arguments)


def _width_bucket(arguments: Arguments) -> Expression:
    if len(arguments) != 4:
        raise unsupported("width_bucket with an array")
    value, low, high, count = arguments
    if kind(value) == "numeric":
        value, low, high = map(exact, (value, low, high))
        step = fn("DIV", op(sge.Mul, op(sge.Sub, value, low), count), op(sge.Sub, high, low))
    else:
        share = op(sge.Mul, op(sge.Sub, value, low), count)
        step = fn("FLOOR", op(sge.Div, share, op(sge.Sub, high, low)))
    rising = op(sge.LT, low, high)
    missing = is_null(value)
    for other in (low, high, count):
        missing = op(sge.Or, missing, is_null(other))
    return when(
        (missing, cast(sge.Null(), "int8")),
        (op(sge.LTE, count, 0), fails("count must be greater than zero")),
        (op(sge.EQ, low, high), fails("lower bound cannot equal upper bound")),
        (op(sge.And, rising, op(sge.LT, value, low)), 0),
        (op(sge.And, rising, op(sge.GTE, value, high)), op(sge.Add, count, 1)),
        (op(sge.And, sge.Not(this=rising), op(sge.GT, value, low)), 0),
        (op(sge.And, sge.Not(this=rising), op(sge.LTE, value, high)), op(sge.Add, count, 1)),
        otherwise=op(sge.Add, integer(step), 1),
    )


def shifted(tree: sge.Operator, left: bool) -> Expression:
    """A shift by a constant; what goes over the type's width is lost, and signs stay."""
    value, distance = tree.this, whole_number(tree.expression)
    width = {"int2": 16, "int4": 32, "int8": 64}[kind(tree)]
    if distance is None or not 0 <= distance < min(width, 63):
        raise unsupported("shifts by such a number of bits")
    if not left:
        power = 2**distance
        rest = fn("MOD", op(sge.Add, fn("MOD", value, power), power), power)
        return fn("DIV", op(sge.Sub, value, rest), power)
    moved = op(sge.BitwiseLeftShift, value, distance)
    if width == 64:
        return moved
    half = 2 ** (width - 1)
    low = op(sge.BitwiseAnd, moved, 2**width - 1)
    return op(sge.Sub, op(sge.BitwiseXor, low, half), half)


def bits(node: type[sge.Binary]) -> Callable[[sge.Operator], Expression]:
    return lambda tree: op(node, tree.this, tree.expression)


def extreme(tree: sge.Greatest | sge.Least) -> Expression:
    """Nulls do not count, unless there is nothing else."""
    result, *others = [tree.this, *tree.expressions]
    if kind(tree) in FLOATS and isinstance(tree, sge.Least):
        raise unsupported("least() of floats (NaN is the greatest in PostgreSQL)")
    if kind(tree).startswith("_") or kind(tree) in ("json", "jsonb", "interval"):
        raise unsupported(f"{tree.key}() of this type")
    if kind(tree) == "numeric":
        result, others = exact(result), [exact(other) for other in others]
    for other in others:
        result = sge.func("coalesce", fn(tree.key.upper(), result, other), result, other)
    return result


NUMBER_FUNCTIONS: dict[str, Callable[[Arguments], Expression]] = {
    "abs": _abs,
    "ceil": _numeric("CEIL"),
    "ceiling": _numeric("CEIL"),
    "floor": _numeric("FLOOR"),
    "sign": _sign,
    "round": _round,
    "trunc": _trunc,
    "div": _numeric("DIV"),
    "mod": lambda arguments: remainder(*arguments),
    **{name: _in_float(name.upper()) for name in ("sqrt", "exp", "ln")},
    "power": _in_float("POW"),
    "pow": _in_float("POW"),
    "log": _log,
    "log10": _in_float("LOG10"),
    **{
        name: _in_float(name.upper())
        for name in (
            *("sin", "cos", "tan", "cot", "asin", "acos", "atan", "sinh", "cosh", "tanh"),
            *("asinh", "acosh", "atanh", "atan2", "cbrt"),
        )
    },
    **{
        f"{name}d": lambda arguments, name=name: fn(name.upper(), _radians(_turned(arguments[0])))  # type: ignore[misc]
        for name in ("sin", "cos", "tan", "cot")
    },
    **{
        f"{name}d": lambda arguments, name=name: _degrees(fn(name.upper(), arguments[0]))  # type: ignore[misc]
        for name in ("asin", "acos", "atan")
    },
    "pi": _pi,
    "degrees": lambda arguments: _degrees(arguments[0]),
    "radians": lambda arguments: _radians(arguments[0]),
    "width_bucket": _width_bucket,
    "random": lambda arguments: fn("RAND"),
}
