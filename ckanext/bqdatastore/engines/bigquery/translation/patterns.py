"""LIKE, SIMILAR TO and PostgreSQL's regular expressions in BigQuery's words, which are RE2's."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

import sqlglot.expressions as sge

from ckanext.bqdatastore.translation import literals
from ckanext.bqdatastore.translation.regexes import Regex, translated
from ckanext.bqdatastore.translation.terms import (
    Expression,
    constant,
    fn,
    is_null,
    kind,
    op,
    text_of,
    unsupported,
    when,
)

from ..forms import unnested
from .terms import cast, element, fails, made_of

Arguments = Sequence[Expression]


def like(
    value: Expression, pattern: Expression, ignore_case: bool = False, escape: str = "\\"
) -> Expression:
    """:param escape: what takes its meaning from the next letter; empty for none"""
    if escape != "\\":
        written = text_of(pattern)
        if written is None:
            raise unsupported("LIKE with an escape character and a pattern that is not a constant")
        escaped = _with_backslashes(written, escape)
        if escaped is None:
            return fails("LIKE pattern must not end with escape character")
        pattern = sge.Literal.string(escaped)
    if ignore_case:
        value, pattern = fn("LOWER", value), fn("LOWER", pattern)
    return sge.Paren(this=sge.Like(this=_bracketed(value), expression=_bracketed(pattern)))


def _bracketed(tree: Expression) -> Expression:
    return sge.Paren(this=tree) if isinstance(tree, (sge.Binary, sge.Unary)) else tree


def _with_backslashes(pattern: str, escape: str) -> str | None:
    """The pattern with BigQuery's escape character; None for one that ends with its own."""
    letters, found = iter(pattern), []
    for letter in letters:
        if escape and letter == escape:
            following = next(letters, None)
            if following is None:
                return None
            found.append(f"\\{following}" if following in "%_\\" else following)
        else:
            found.append("\\\\" if letter == "\\" else letter)
    return "".join(found)


def similar(value: Expression, pattern: Expression, escape: str | None = None) -> Expression:
    written = _of_test(literals.similar(constant(pattern, "a SIMILAR TO pattern"), escape), "")
    return fn("REGEXP_CONTAINS", value, rf"(?s)\A(?:{written})\z")


def matches(value: Expression, pattern: Expression, flags: str = "") -> Expression:
    written = constant(pattern, "a regular expression")
    return fn("REGEXP_CONTAINS", value, _flagged(_of_test(written, flags), flags))


def _of_test(pattern: str, flags: str) -> str:
    """A regular expression of which is asked only whether it matches."""
    return _in_any_text(translated(pattern, newline="n" in flags)).text


def _of_match(pattern: str, flags: str) -> Regex:
    """A regular expression of which the match is wanted."""
    return _in_any_text(translated(pattern, wanted=True, newline="n" in flags))


def _in_any_text(regex: Regex) -> Regex:
    if regex.ascii:
        raise unsupported("edges of words within a regular expression")
    return regex


def _flagged(expression: str, flags: str) -> str:
    """With PostgreSQL's flags: there `.` matches a newline unless told not to."""
    if set(flags) - set("gicn"):
        raise unsupported(f'regular expression flags "{flags}"')
    options = ("i" if "i" in flags else "") + ("m" if "n" in flags else "s")
    return f"(?{options}){expression}"


def _capturing(expression: str, wanted: int) -> str:
    """The regular expression with one of its groups captured (0: all of it), and no other."""
    found, count = [], 0
    for piece in re.findall(
        r"\\.|\[\^?\]?(?:\\.|\[:\w+:\]|[^\]\\])*\]|\(\?[^:)]*[:)]|\(|.", expression, re.S
    ):
        if piece == "(":
            count += 1
            piece = "(" if count == wanted else "(?:"
        found.append(piece)
    return "".join(found) if wanted else f"({''.join(found)})"


def part_of_match(value: Expression, pattern: str, flags: str, whole: bool = False) -> Expression:
    """The first captured part of the first match, or all of it; NULL where nothing matches."""
    regex = _of_match(pattern, flags)
    place = 0 if whole else min(regex.groups, 1)
    return fn("REGEXP_EXTRACT", value, _flagged(_capturing(regex.text, place), flags))


def _regexp_match(arguments: Arguments) -> Expression:
    value, flags = arguments[0], constant(arguments[2], "flags") if len(arguments) == 3 else ""
    regex = _of_match(constant(arguments[1], "a regular expression"), flags)
    expression = regex.text
    places = range(1, regex.groups + 1) if regex.groups else (0,)
    parts = [
        element(fn("REGEXP_EXTRACT", value, _flagged(_capturing(expression, place), flags)))
        for place in places
    ]
    found = fn("REGEXP_CONTAINS", value, _flagged(expression, flags))
    return when((found, made_of(sge.Array(expressions=parts))), otherwise=cast(sge.Null(), "_text"))


def _regexp_replace(arguments: Arguments) -> Expression:
    value, pattern, replacement, *rest = arguments
    if len(rest) > 1 or (rest and kind(rest[0]) != "text"):
        raise unsupported("regexp_replace with a start or a count")
    flags = constant(rest[0], "flags") if rest else ""
    expression = _of_match(constant(pattern, "a regular expression"), flags).text
    new = constant(replacement, "a replacement")
    if "g" in flags:
        everywhere = _flagged(expression, flags)
        return when(
            # Beside a match of more RE2 finds none of nothing.
            (fn("REGEXP_CONTAINS", "", everywhere), fails(_EMPTY_MATCH)),
            otherwise=fn("REGEXP_REPLACE", value, everywhere, _replacement(new, 0)),
        )
    # BigQuery replaces every match: here all up to the first is one.
    first = rf"\A((?s:.*?))(?:{expression})"
    return fn("REGEXP_REPLACE", value, _flagged(first, flags), r"\1" + _replacement(new, 1))


def _replacement(text: str, more: int) -> str:
    """A replacement in RE2's words, its groups counted after `more` others.

    :raises Untranslatable: the whole match in one that has no group of its own
    """

    def group(match: re.Match[str]) -> str:
        letter = match[1]
        if letter == "&":
            if more:
                raise unsupported(r"\& in a replacement without the flag g")
            return r"\0"
        if letter.isdigit() and letter != "0":
            if int(letter) + more > 9:
                raise unsupported("so many groups in a replacement")
            return f"\\{int(letter) + more}"
        return r"\\" if letter == "\\" else rf"\\{letter}"

    return re.sub(r"\\(.)", group, text, flags=re.S)


def _regexp_like(arguments: Arguments) -> Expression:
    flags = constant(arguments[2], "flags") if len(arguments) == 3 else ""
    return matches(arguments[0], arguments[1], flags)


def _regexp_count(arguments: Arguments) -> Expression:
    if len(arguments) != 2:
        raise unsupported("regexp_count with a start or flags")
    expression = _of_match(constant(arguments[1], "a regular expression"), "").text
    found = fn("REGEXP_EXTRACT_ALL", arguments[0], _flagged(_capturing(expression, 0), ""))
    return fn("ARRAY_LENGTH", found)


def _regexp_substr(arguments: Arguments) -> Expression:
    if len(arguments) != 2:
        raise unsupported("regexp_substr with a start or flags")
    written = constant(arguments[1], "a regular expression")
    return part_of_match(arguments[0], written, "", whole=True)


_BREAK = "\x01"
"""Marks where a text is split: one that has it is refused."""

_MARKED = "splitting a text with the character U+0001 is not supported"
_EMPTY_MATCH = "a regular expression that matches nothing at all is not supported here"


def _regexp_split(arguments: Arguments) -> Expression:
    flags = constant(arguments[2], "flags") if len(arguments) == 3 else ""
    expression = _of_match(constant(arguments[1], "a regular expression"), flags).text
    marked = fn("REGEXP_REPLACE", arguments[0], _flagged(expression, flags), _BREAK)
    rows = unnested(fn("SPLIT", marked, _BREAK), "_e", "_p")
    place = sge.Ordered(this=sge.column("_p"), nulls_first=True)
    parts = sge.select(element(sge.column("_e"))).from_(rows).order_by(place)
    listed = made_of(sge.Array(expressions=[parts]))
    return when(
        (fn("REGEXP_CONTAINS", "", _flagged(expression, flags)), fails(_EMPTY_MATCH)),
        (op(sge.GT, fn("STRPOS", arguments[0], _BREAK), 0), fails(_MARKED)),
        (is_null(arguments[0]), cast(sge.Null(), "_text")),
        otherwise=listed,
    )


PATTERN_FUNCTIONS: dict[str, Callable[[Arguments], Expression]] = {
    "regexp_like": _regexp_like,
    "regexp_replace": _regexp_replace,
    "regexp_match": _regexp_match,
    "regexp_count": _regexp_count,
    "regexp_substr": _regexp_substr,
    "regexp_split_to_array": _regexp_split,
}
