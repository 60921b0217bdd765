"""Exact division of `numeric` in DuckDB's words, which divides decimals as doubles itself.

Both sides are read as integers of 128 bits. As many digits are computed as PostgreSQL gives the
quotient of just these two values (`select_div_scale` in its `numeric.c`: some 16 significant
ones, counted in groups of four), but no more than `SCALE` after the point; the last one is
rounded half away from zero. What needs more than 38 digits in all is an error.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import ROUND_HALF_UP, Context, Decimal

import sqlglot
import sqlglot.expressions as sge

from ckanext.bqdatastore.translation.terms import Expression

from .terms import cast, decimal

SCALE = 20
"""Digits after the point of the type of a quotient; 18 are left before it."""

_DIGITS = 38
_SIGNIFICANT, _GROUP = 16, 4
_OVERFLOW = "value overflows numeric format"
_BY_ZERO = "division by zero"

# The formulas, as text that is parsed once. Names with an underscore are their own: no relation
# of a bound query has such a name.


def _let(names: Mapping[str, str], called: str, body: str) -> str:
    """`body` with a struct of values that are computed once: DuckDB has no LET."""
    members = ", ".join(f"'{name}': {value}" for name, value in names.items())
    return f"list_transform([{{{members}}}], lambda {called}: {body})[1]"


def _integer(value: str) -> str:
    return f"CAST({value} AS INTEGER)"


def _huge(value: str) -> str:
    return f"CAST({value} AS HUGEINT)"


def _power(exponent: str) -> str:
    """Ten to the power of 0 to 44, in two halves that doubles hold exactly."""
    half, rest = f"({exponent}) // 2", f"({exponent}) - ({exponent}) // 2"
    return f"({_huge(f'pow(10, {half})')} * {_huge(f'pow(10, {rest})')})"


def _texts(side: str) -> dict[str, str]:
    """The digits without sign and zeros at the end, and the scale of the type."""
    scale = f"regexp_extract(typeof(_given.{side}), ',([0-9]+)', 1)"
    scale = f"coalesce(TRY_CAST({scale} AS INTEGER), 0)"
    text = f"ltrim(CAST(_given.{side} AS VARCHAR), '-0')"
    digits = f"CASE WHEN {scale} = 0 THEN {text} ELSE rtrim({text}, '0') END"
    return {side: digits, f"{side}_typed": scale}


def _parts(side: str) -> dict[str, str]:
    """All digits as one integer's text, and how many are after the point."""
    text = f"_text.{side}"
    after = _integer(f"length({text}) - strpos({text}, '.')")
    return {
        side: f"ltrim(replace({text}, '.', ''), '0')",
        f"{side}_scale": f"CASE WHEN _text.{side}_typed = 0 THEN 0 ELSE {after} END",
    }


def _place(side: str) -> str:
    """The power of ten of the first digit, and 80, so that it is above zero."""
    return f"({_integer(f'length(_read.{side})')} - _read.{side}_scale + 79)"


def _first_group(side: str) -> str:
    length = f"({_place(side)} % {_GROUP} + 1)"
    return _integer(f"rpad(left(_read.{side}, {length}), {length}, '0')")


def _shown(side: str) -> str:
    """Digits after the point that count: a type as wide as a quotient's has zeros of its own."""
    typed = f"_text.{side}_typed"
    return f"CASE WHEN {typed} < {SCALE} THEN {typed} ELSE _read.{side}_scale END"


_WEIGHT = (
    f"({_place('a')} // {_GROUP} - {_place('b')} // {_GROUP} - "
    f"CASE WHEN {_first_group('a')} <= {_first_group('b')} THEN 1 ELSE 0 END)"
)
_RESULT_SCALE = (
    f"least(greatest({_SIGNIFICANT} - {_GROUP} * {_WEIGHT}, {_shown('a')}, {_shown('b')}), {SCALE})"
)

# Each of these is a whole part `q` and what is left, `r`, of `m`.


def _in_one_step() -> str:
    """By doubles, whose error is divided once more, and then at most one off: DuckDB's division
    of 128 bits takes many times longer."""

    def about(value: str) -> str:
        return _huge(f"floor(CAST({value} AS DOUBLE) / CAST(_of.b AS DOUBLE))")

    value = f"_of.a * {_power('_of.shift')}"
    off = "CASE WHEN _near.r < 0 THEN -1 WHEN _near.r >= _of.b THEN 1 ELSE 0 END"
    near = _let(
        {"q": f"_rest.q + {about('_rest.r')}", "r": f"_rest.r - {about('_rest.r')} * _of.b"},
        "_near",
        f"{{'q': _near.q + {off}, 'r': _near.r - {off} * _of.b, 'm': _of.b}}",
    )
    rest = _let({"q": "_try.q", "r": "_try.n - _try.q * _of.b"}, "_rest", near)
    return _let({"n": value, "q": about(value)}, "_try", rest)


def _in_many_steps() -> str:
    """Some digits at a time, as many as there is room for."""
    room = f"({_DIGITS} - _of.b_length)"
    power = _power(f"least({room}, _of.shift - _step * {room})")
    steps = (
        f"list_transform(range(0, (_of.shift + {room} - 1) // {room}), "
        f"lambda _step: {{'q': {power}, 'r': {_huge('0')}, 'm': _of.b}})"
    )
    return (
        f"list_reduce({steps}, lambda _sofar, _next: {{"
        "'q': _sofar.q * _next.q + (_sofar.r * _next.q) // _of.b, "
        "'r': (_sofar.r * _next.q) % _of.b, 'm': _of.b}, "
        "{'q': _of.a // _of.b, 'r': _of.a % _of.b, 'm': _of.b})"
    )


def _shortened() -> str:
    """With digits cut off at the end: what they were cannot change how the rest is rounded."""
    cut = _power("(-_of.shift)")
    return f"{{'q': (_of.a // _of.b) // {cut}, 'r': (_of.a // _of.b) % {cut}, 'm': {cut}}}"


_FOUND = (
    f"CASE WHEN _of.shift < 0 THEN {_shortened()} "
    f"WHEN _of.a_length + _of.shift < {_DIGITS} AND _of.a_length + _of.shift - _of.b_length < 30 "
    f"THEN {_in_one_step()} "
    f"WHEN _of.b_length = {_DIGITS} OR _of.a_length - _of.b_length + _of.shift > {_DIGITS} "
    f"THEN error('{_OVERFLOW}') ELSE {_in_many_steps()} END"
)


def _division(scale: str, result: str) -> sge.Expr:
    """
    :param scale: digits after the point to compute
    :param result: what to make of `_found`
    """
    numbers = {
        "a": _huge("concat('0', _read.a)"),
        "b": _huge("_read.b"),
        "a_length": _integer("length(_read.a)"),
        "b_length": _integer("length(_read.b)"),
        "scale": "_scaled.scale",
        "shift": "_scaled.scale + _read.b_scale - _read.a_scale",
    }
    body = f"list_transform([{_FOUND}], lambda _found: {result})[1]"
    for names, called in (
        (numbers, "_of"),
        ({"scale": scale}, "_scaled"),
        ({**_parts("a"), **_parts("b")}, "_read"),
        ({**_texts("a"), **_texts("b")}, "_text"),
    ):
        body = _let(names, called, body)
    body = (
        "CASE WHEN _given.a IS NULL OR _given.b IS NULL THEN NULL "
        f"WHEN _given.b = 0 THEN error('{_BY_ZERO}') WHEN _given.a = 0 THEN 0 ELSE {body} END"
    )
    return sqlglot.parse_one(_let({"a": "_left", "b": "_right"}, "_given", body), read="duckdb")


_SIGN = "CASE WHEN (_given.a < 0) <> (_given.b < 0) THEN -1 ELSE 1 END"
_ROUNDED = "(_found.q + CASE WHEN _found.r >= _found.m - _found.r THEN 1 ELSE 0 END)"
_UNIT = f"CAST('0.{'1'.rjust(SCALE, '0')}' AS DECIMAL({_DIGITS}, {SCALE}))"
_QUOTIENT = _division(
    _RESULT_SCALE,
    f"CASE WHEN {_ROUNDED} >= {_power(f'{_DIGITS - SCALE} + _of.scale')} "
    f"THEN error('{_OVERFLOW}') ELSE CAST({_ROUNDED} * {_power(f'{SCALE} - _of.scale')} "
    f"* {_SIGN} AS DECIMAL({_DIGITS}, 0)) * {_UNIT} END",
)
_WHOLE = _division("0", f"CAST(_found.q * {_SIGN} AS DECIMAL({_DIGITS}, 0))")

_TYPE, _SMALL = f"DECIMAL({_DIGITS}, {SCALE})", f"DECIMAL({_DIGITS // 2}, {_DIGITS // 2})"
_PRODUCT = sqlglot.parse_one(
    _let(
        {"a": f"CAST(_left AS {_TYPE})", "b": f"CAST(_right AS {_TYPE})"},
        "_given",
        "trunc(_given.a) * _given.b + (_given.a - trunc(_given.a)) * trunc(_given.b) + "
        f"CAST(CAST(_given.a - trunc(_given.a) AS {_SMALL}) "
        f"* CAST(_given.b - trunc(_given.b) AS {_SMALL}) AS {_TYPE})",
    ),
    read="duckdb",
)


def _mean() -> sge.Expr:
    """`_QUOTIENT` of a sum of integers and their number, of which much more is known before."""

    def weight(side: str) -> str:
        return f"(length(_text.{side}) - 1) // {_GROUP}"

    def first_group(side: str) -> str:
        length = f"(length(_text.{side}) - 1) % {_GROUP} + 1"
        return _integer(f"left(_text.{side}, {length})")

    less = f"CASE WHEN {first_group('a')} <= {first_group('b')} THEN 1 ELSE 0 END"
    scale = f"{_SIGNIFICANT} - {_GROUP} * ({weight('a')} - {weight('b')} - {less})"
    scale = _integer(f"least(greatest({scale}, 0), {SCALE})")
    rest = f"(_given.a % _given.b) * {_power('_scaled.scale')}"
    # Of a negative sum both parts are negative, or nothing.
    half = "CASE WHEN 2 * abs(_found.r) >= _given.b THEN sign(_found.r) ELSE 0 END"
    value = f"(_found.q * {_power('_scaled.scale')} + _found.d + {half})"
    result = (
        f"CASE WHEN abs(_found.q) >= {_power(str(_DIGITS - SCALE))} THEN error('{_OVERFLOW}') "
        f"ELSE CAST({value} * {_power(f'{SCALE} - _scaled.scale')} AS DECIMAL({_DIGITS}, 0)) "
        f"* {_UNIT} END"
    )
    found = {
        "q": "_given.a // _given.b",
        "d": f"({rest}) // _given.b",
        "r": f"({rest}) % _given.b",
    }
    body = _let(found, "_found", result)
    texts = {side: f"CAST(abs(_given.{side}) AS VARCHAR)" for side in ("a", "b")}
    for names, called in (({"scale": scale}, "_scaled"), (texts, "_text")):
        body = _let(names, called, body)
    body = f"CASE WHEN _given.b = 0 THEN NULL WHEN _given.a = 0 THEN 0 ELSE {body} END"
    given = {"a": _huge("_left"), "b": _huge("_right")}
    return sqlglot.parse_one(_let(given, "_given", body), read="duckdb")


_MEAN = _mean()


def quotient(a: Expression, b: Expression) -> Expression:
    """`a / b` of numerics or integers, as PostgreSQL's `numeric`."""
    dividend, divisor = constant(a), constant(b)
    if dividend is not None and divisor:
        folded = _of_constants(dividend, divisor)
        if folded is not None:
            return folded
    return _filled(_QUOTIENT, a, b)


def mean(sum_: Expression, count: Expression) -> Expression:
    """The mean of integers, as PostgreSQL's `numeric`; null where there are none."""
    return _filled(_MEAN, sum_, count)


def whole_quotient(a: Expression, b: Expression) -> Expression:
    """PostgreSQL's `div(a, b)`: the quotient without what is after the point."""
    return _filled(_WHOLE, a, b)


def product_of_quotients(a: Expression, b: Expression) -> Expression:
    """`a * b` of two that have too many digits for DuckDB: exact to 18 after the point."""
    return _filled(_PRODUCT, a, b)


def is_quotient(tree: Expression) -> bool:
    """Whether a quotient is in it, and with it a scale that is DuckDB's and not the value's."""
    return any(node.meta.get(_MARK) for node in tree.walk())


def marked_as_quotient(tree: Expression) -> Expression:
    """`tree`, which stands for one in which a quotient is."""
    tree.meta[_MARK] = True
    return tree


def constant(tree: Expression) -> Decimal | None:
    """The value of a constant `numeric` or integer, with the zeros that it is written with."""
    if isinstance(tree, sge.Paren):
        return constant(tree.this)
    if isinstance(tree, sge.Neg):
        value = constant(tree.this)
        return None if value is None else value.copy_negate()
    if isinstance(tree, sge.Literal):
        return None if tree.is_string else Decimal(tree.name)
    if isinstance(tree, sge.Cast) and tree.to.this == sge.DType.DECIMAL:
        text = isinstance(tree.this, sge.Literal)
        value = Decimal(tree.this.name) if text else constant(tree.this)
        precision, scale = (int(parameter.name) for parameter in tree.to.expressions)
        if value is None:
            return None
        value = _EXACT.quantize(value, Decimal(1).scaleb(-scale))
        return value if not value or value.adjusted() < precision - scale else None
    return None


_MARK = "quotient"
_EXACT = Context(prec=1000, rounding=ROUND_HALF_UP)


def _filled(formula: sge.Expr, a: Expression, b: Expression) -> Expression:
    result = formula.copy()
    sides = {"_left": a, "_right": b}
    for node in list(result.find_all(sge.Column)):
        if node.name in sides:
            node.replace(sides[node.name])
    return marked_as_quotient(result)


def _of_constants(dividend: Decimal, divisor: Decimal) -> Expression | None:
    """The quotient with all digits of PostgreSQL's, where DuckDB can hold them."""
    (weight, group), (other_weight, other_group) = map(_groups, (dividend, divisor))
    weight -= other_weight + (group <= other_group)
    scale = max(_SIGNIFICANT - _GROUP * weight, *map(_scale, (dividend, divisor)), 0)
    value = _EXACT.quantize(_EXACT.divide(dividend, divisor), Decimal(1).scaleb(-scale))
    if max(value.adjusted() + 1, 0) + scale > _DIGITS:
        return None
    return cast(sge.Literal.string(format(value, "f")), decimal(_DIGITS, scale))


def _groups(value: Decimal) -> tuple[int, int]:
    """The power of ten thousand of the first group of digits, and that group."""
    if not value:
        return 0, 0
    weight = value.adjusted() // _GROUP
    return weight, int(abs(value).scaleb(-weight * _GROUP, _EXACT))


def _scale(value: Decimal) -> int:
    exponent = value.as_tuple().exponent
    assert isinstance(exponent, int)
    return max(-exponent, 0)
