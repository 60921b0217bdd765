"""PostgreSQL's functions and operators of texts in BigQuery's words."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

import sqlglot.expressions as sge

from ckanext.bqdatastore.translation.terms import (
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

from ..forms import unnested
from .casts import as_text, output
from .patterns import part_of_match
from .terms import cast, fails, once

Arguments = Sequence[Expression]

_LONGEST_TEXT = 100_000
"""Characters that `repeat`, `lpad` and `rpad` may make, so that a short query fills no memory."""


def concatenated(left: Expression, right: Expression) -> Expression:
    return joined([as_text(side, kind(side)) for side in (left, right)])


def _named(name: str) -> Callable[[Arguments], Expression]:
    return lambda arguments: fn(name, *arguments)


def _trim(name: str) -> Callable[[Arguments], Expression]:
    # PostgreSQL takes away spaces alone, BigQuery any white space unless told what.
    def made(arguments: Arguments) -> Expression:
        if len(arguments) == 2 and text_of(arguments[1]) == "":
            return arguments[0]
        return fn(name, *arguments, *([" "] if len(arguments) == 1 else []))

    return made


def _number(tree: Expression, what: str) -> int:
    value = whole_number(tree)
    if value is None:
        raise unsupported(f"{what} that is not a constant")
    return value


def _left(arguments: Arguments) -> Expression:
    value, count = arguments
    known = whole_number(count)
    if known is not None and known >= 0:
        return fn("LEFT", value, count)

    def shortened(one: Expression) -> Expression:
        rest = fn("GREATEST", op(sge.Add, fn("CHAR_LENGTH", one), count), 0)
        if known is not None:
            return fn("LEFT", one, rest)
        taken = when((op(sge.GTE, count, 0), fn("GREATEST", count, 0)), otherwise=rest)
        return fn("LEFT", one, taken)

    return once(value, shortened)


def _right(arguments: Arguments) -> Expression:
    value, count = arguments
    known = whole_number(count)
    if known is not None and known >= 0:
        return fn("RIGHT", value, count)

    def shortened(one: Expression) -> Expression:
        rest = fn("GREATEST", op(sge.Add, fn("CHAR_LENGTH", one), count), 0)
        if known is not None:
            return fn("RIGHT", one, rest)
        taken = when((op(sge.GTE, count, 0), fn("GREATEST", count, 0)), otherwise=rest)
        return fn("RIGHT", one, taken)

    return once(value, shortened)


def _substring(arguments: Arguments) -> Expression:
    value, start, *rest = arguments
    if kind(start) == "text":
        if rest:
            raise unsupported("substring with an SQL pattern")
        return part_of_match(value, constant(start, "a regular expression"), "")
    return characters(value, start, *rest)


def characters(value: Expression, start: Expression, *rest: Expression) -> Expression:
    """From a place on, perhaps so many; places before the first count, but hold nothing."""
    begin = fn("GREATEST", start, 1)
    if not rest:
        return fn("SUBSTR", value, begin)
    end = fn("GREATEST", op(sge.Add, start, rest[0]), 1)
    taken = fn("SUBSTR", value, begin, fn("GREATEST", op(sge.Sub, end, begin), 0))
    known = whole_number(rest[0])
    if known is not None and known >= 0:
        return taken
    negative = op(sge.And, op(sge.LT, rest[0], 0), sge.Not(this=is_null(value)))
    return when((negative, fails("negative substring length not allowed")), otherwise=taken)


def _overlay(arguments: Arguments) -> Expression:
    value, new, start, *rest = arguments

    def made(one: Expression) -> Expression:
        length = rest[0] if rest else fn("CHAR_LENGTH", new)
        head = characters(one, sge.Literal.number(1), op(sge.Sub, start, 1))
        tail = characters(one, op(sge.Add, start, length))
        return joined([head, new, tail])

    return once(value, made)


def _repeat(arguments: Arguments) -> Expression:
    def made(value: Expression) -> Expression:
        count = arguments[1]
        length = op(sge.Mul, fn("CHAR_LENGTH", value), count)
        return when(
            (op(sge.GT, length, _LONGEST_TEXT), fails("requested length too large")),
            otherwise=fn("REPEAT", value, fn("GREATEST", count, 0)),
        )

    return once(arguments[0], made)


def _padded(name: str) -> Callable[[Arguments], Expression]:
    def made(arguments: Arguments) -> Expression:
        value, length = arguments[0], _number(arguments[1], f"the length of {name.lower()}()")
        fill = text_of(arguments[2]) if len(arguments) == 3 else " "
        if length > _LONGEST_TEXT:
            return fails("requested length too large")
        if fill is None:
            raise unsupported(f"{name.lower()}() with a fill that is not a constant")
        if not fill:
            return fn("LEFT", value, max(length, 0))
        return fn(name, value, max(length, 0), fill)

    return made


def _split_part(arguments: Arguments) -> Expression:
    value, delimiter = arguments[0], constant(arguments[1], "split_part() by a delimiter")
    place = _number(arguments[2], "the place of split_part()")
    if place == 0:
        return fails("field position must not be zero")
    if not delimiter:
        return value if place in (1, -1) else fn("LEFT", value, 0)

    def made(one: Expression) -> Expression:
        parts = fn("SPLIT", one, delimiter)
        if place < 0:
            parts = fn("ARRAY_REVERSE", parts)
        taken = sge.Bracket(this=parts, expressions=[fn("SAFE_ORDINAL", abs(place))])
        found = sge.func("coalesce", taken, sge.Literal.string(""))
        return when((is_null(one), cast(sge.Null(), "text")), otherwise=found)

    return once(value, made)


def _initcap(arguments: Arguments) -> Expression:
    words = fn("REGEXP_EXTRACT_ALL", fn("LOWER", arguments[0]), r"[\p{L}\p{N}]+|[^\p{L}\p{N}]+")
    word = sge.column("_w")
    risen = fn("CONCAT", fn("UPPER", fn("LEFT", word, 1)), fn("SUBSTR", word, 2))
    place = sge.Ordered(this=sge.column("_p"), nulls_first=True)
    listed = sge.select(risen).from_(unnested(words, "_w", "_p")).order_by(place)
    return when(
        (is_null(arguments[0]), cast(sge.Null(), "text")),
        otherwise=fn("ARRAY_TO_STRING", sge.Array(expressions=[listed]), ""),
    )


def _to_hex(arguments: Arguments) -> Expression:
    def made(value: Expression) -> Expression:
        if kind(arguments[0]) == "int4":
            return fn("FORMAT", "%x", op(sge.BitwiseAnd, value, 2**32 - 1))
        high = fn("FORMAT", "%x", op(sge.BitwiseRightShift, value, 32))
        low = fn("FORMAT", "%08x", op(sge.BitwiseAnd, value, 2**32 - 1))
        return when(
            (op(sge.LT, value, 0), fn("CONCAT", high, low)), otherwise=fn("FORMAT", "%x", value)
        )

    return once(arguments[0], made)


def _translate(arguments: Arguments) -> Expression:
    source = constant(arguments[1], "translate() from letters")
    target = constant(arguments[2], "translate() to letters")
    pairs: dict[str, str] = {}
    for place, letter in enumerate(source):
        pairs.setdefault(letter, target[place] if place < len(target) else "")
    kept = [letter for letter, new in pairs.items() if new]
    gone = [letter for letter, new in pairs.items() if not new]
    return fn(
        "TRANSLATE",
        arguments[0],
        "".join(kept + gone),
        "".join(pairs[letter] for letter in kept),
    )


def _chr(arguments: Arguments) -> Expression:
    null = op(sge.EQ, arguments[0], 0)
    return when(
        (null, fails("null character not permitted")), otherwise=fn("CHR", arguments[0].copy())
    )


def _concat(arguments: Arguments) -> Expression:
    texts = [sge.func("coalesce", output(each), sge.Literal.string("")) for each in arguments]
    return fn("CONCAT", "", *texts)


def _concat_ws(arguments: Arguments) -> Expression:
    separator, *values = arguments
    texts = sge.Array(expressions=[output(each) for each in values])
    joined_ = fn("ARRAY_TO_STRING", texts, separator)
    return when((is_null(separator), cast(sge.Null(), "text")), otherwise=joined_)


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
        empty = sge.Literal.string("" if place == "s" else "NULL")
        parts.append(sge.func("coalesce", _quoted(value) if place == "L" else value, empty))
    return joined(parts) if parts else sge.Literal.string("")


def _quoted(value: Expression) -> Expression:
    def made(text: Expression) -> Expression:
        quote = sge.Literal.string("'")
        doubled = fn("REPLACE", text, "'", "''")
        escaped = fn("REPLACE", doubled, "\\", "\\\\")
        return when(
            (
                op(sge.GT, fn("STRPOS", text, "\\"), 0),
                joined([sge.Literal.string("E'"), escaped, quote]),
            ),
            otherwise=joined([quote, doubled, quote]),
        )

    return once(value, made)


def _quote_literal(arguments: Arguments) -> Expression:
    return _quoted(as_text(arguments[0], kind(arguments[0])))


def _quote_nullable(arguments: Arguments) -> Expression:
    return sge.func("coalesce", _quote_literal(arguments), sge.Literal.string("NULL"))


def _count_nulls(wanted: bool) -> Callable[[Arguments], Expression]:
    def made(arguments: Arguments) -> Expression:
        total: Expression = sge.Literal.number(0)
        for argument in arguments:
            one, other = (1, 0) if wanted else (0, 1)
            total = op(sge.Add, total, when((is_null(argument), one), otherwise=other))
        return total

    return made


TEXT_FUNCTIONS: dict[str, Callable[[Arguments], Expression]] = {
    **{
        name: _named(called)
        for name, called in (
            ("lower", "LOWER"),
            ("upper", "UPPER"),
            ("length", "CHAR_LENGTH"),
            ("char_length", "CHAR_LENGTH"),
            ("character_length", "CHAR_LENGTH"),
            ("octet_length", "OCTET_LENGTH"),
            ("reverse", "REVERSE"),
            ("strpos", "STRPOS"),
            ("position", "STRPOS"),
            ("starts_with", "STARTS_WITH"),
            ("replace", "REPLACE"),
        )
    },
    "bit_length": lambda arguments: op(sge.Mul, fn("OCTET_LENGTH", arguments[0]), 8),
    "btrim": _trim("TRIM"),
    "ltrim": _trim("LTRIM"),
    "rtrim": _trim("RTRIM"),
    "left": _left,
    "right": _right,
    "substring": _substring,
    "substr": _substring,
    "overlay": _overlay,
    "repeat": _repeat,
    "lpad": _padded("LPAD"),
    "rpad": _padded("RPAD"),
    "split_part": _split_part,
    "initcap": _initcap,
    "to_hex": _to_hex,
    "translate": _translate,
    "chr": _chr,
    "md5": lambda arguments: fn("TO_HEX", fn("MD5", arguments[0])),
    "concat": _concat,
    "concat_ws": _concat_ws,
    "format": _format,
    "quote_literal": _quote_literal,
    "quote_nullable": _quote_nullable,
    "num_nulls": _count_nulls(True),
    "num_nonnulls": _count_nulls(False),
    "text": lambda arguments: as_text(arguments[0], kind(arguments[0])),
}
