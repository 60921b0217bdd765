"""PostgreSQL's regular expressions in DuckDB's words: the functions, and the operators' test."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

import sqlglot.expressions as sge

from ckanext.bqdatastore.translation import literals
from ckanext.bqdatastore.translation.terms import (
    Expression,
    constant,
    fn,
    kind,
    text_of,
    unsupported,
    when,
)

from .terms import cast, fails

Arguments = Sequence[Expression]


def regexp_options(flags: str) -> str:
    """DuckDB's options for PostgreSQL's flags: there `.` matches a newline unless told not to."""
    if set(flags) - set("gicn"):
        raise unsupported(f'regular expression flags "{flags}"')
    options = "i" if "i" in flags else ""
    return options + ("m" if "n" in flags else "s") + ("g" if "g" in flags else "")


def _pattern(tree: Expression, read: Callable[[str], str] = literals.regex) -> Expression:
    """A regular expression for RE2; one that is not constant is taken as it comes."""
    text = text_of(tree)
    return tree if text is None else sge.Literal.string(read(text))


def matches(value: Expression, pattern: Expression, flags: str = "") -> Expression:
    return fn("regexp_matches", value, _pattern(pattern), regexp_options(flags).replace("g", ""))


def _regexp_like(arguments: Arguments) -> Expression:
    flags = constant(arguments[2], "flags") if len(arguments) == 3 else ""
    return matches(arguments[0], arguments[1], flags)


def _regexp_replace(arguments: Arguments) -> Expression:
    value, pattern, replacement, *rest = arguments
    if len(rest) > 1 or (rest and kind(rest[0]) != "text"):
        raise unsupported("regexp_replace with a start or a count")
    flags = constant(rest[0], "flags") if rest else ""
    new = constant(replacement, "a replacement")
    # `\&` is the whole match; RE2 says `\0`.
    new = re.sub(r"\\(.)", lambda m: r"\0" if m[1] == "&" else m.group(), new)
    return fn(
        "regexp_replace",
        value,
        _pattern(pattern, literals.regex_of_match),
        new,
        regexp_options(flags),
    )


def like(
    value: Expression, pattern: Expression, ignore_case: bool = False, escape: str = "\\"
) -> Expression:
    """LIKE and ILIKE by a regular expression, whose time grows with the text and no faster.

    DuckDB's own LIKE tries every way to match: `%a%a%b` takes minutes for a text of some hundred
    letters, and nothing can interrupt it. Only where the pattern is constant and has nothing but
    `%` in it does DuckDB go through the text once.

    :param escape: what takes its meaning from the next letter; empty for none
    """
    text = text_of(pattern)
    if text is None:
        expression = _regex_of_like(pattern, escape)
    elif not ignore_case and not set(text) & {"_", *escape}:
        return sge.Like(this=value, expression=pattern)
    else:
        found = literals.like(text, escape)
        if found is None:
            return fails("LIKE pattern must not end with escape character")
        expression = sge.Literal.string(found)
    return fn("regexp_full_match", value, expression, "si" if ignore_case else "s")


def _regex_of_like(pattern: Expression, escape: str) -> Expression:
    """The same for a pattern that is known row by row."""
    if escape in literals.WILD:
        raise unsupported(f'"{escape}" as an escape character of patterns that are not constant')
    result = fn("regexp_escape", cast(pattern, "text"))
    # `regexp_escape` puts a backslash before what is no letter, digit or `_`.
    quoted = escape if escape.isalnum() else f"\\{escape}"
    steps = [("\\%", ".*"), ("_", ".")]
    if escape:
        # What is escaped is out of the way, under letters of no text, while the wild ones change.
        hidden = {f"{quoted}{quoted}": "\1", f"{quoted}\\%": "\2", f"{quoted}_": "\3"}
        shown = {"\1": quoted, "\2": "%", "\3": "_"}
        steps = [*hidden.items(), (quoted, ""), *steps, *shown.items()]
    for old, new in steps:
        result = fn("replace", result, sge.Literal.string(old), sge.Literal.string(new))
    return result


def regexp_part(value: Expression, pattern: str, flags: str) -> Expression:
    """The first captured part of the first match, or all of it; NULL where nothing matches."""
    text = literals.regex_of_match(pattern)
    options = regexp_options(flags).replace("g", "")
    part = fn("regexp_extract", value, text, min(literals.groups(text), 1), options)
    return when(
        (fn("regexp_matches", value.copy(), text, options), part),
        otherwise=cast(sge.Null(), "text"),
    )


def _regexp_match(arguments: Arguments) -> Expression:
    value, pattern = (
        arguments[0],
        literals.regex_of_match(constant(arguments[1], "a regular expression")),
    )
    flags = constant(arguments[2], "flags") if len(arguments) == 3 else ""
    options = regexp_options(flags)
    count = literals.groups(pattern)
    places = range(1, count + 1) if count else (0,)
    parts = [fn("regexp_extract", value.copy(), pattern, place, options) for place in places]
    return when(
        (fn("regexp_matches", value.copy(), pattern, options), fn("list_value", *parts)),
        otherwise=cast(sge.Null(), "_text"),
    )


def _regexp_count(arguments: Arguments) -> Expression:
    if len(arguments) != 2:
        raise unsupported("regexp_count with a start or flags")
    return cast(
        fn(
            "len",
            fn(
                "regexp_extract_all",
                arguments[0],
                _pattern(arguments[1], literals.regex_of_match),
                0,
                "s",
            ),
        ),
        "int4",
    )


def _regexp_substr(arguments: Arguments) -> Expression:
    if len(arguments) != 2:
        raise unsupported("regexp_substr with a start or flags")
    pattern = literals.regex_of_match(constant(arguments[1], "a regular expression"))
    return when(
        (
            fn("regexp_matches", arguments[0], pattern, "s"),
            fn("regexp_extract", arguments[0].copy(), pattern, 0, "s"),
        ),
        otherwise=cast(sge.Null(), "text"),
    )


def _regexp_split(arguments: Arguments) -> Expression:
    flags = constant(arguments[2], "flags") if len(arguments) == 3 else ""
    return fn(
        "string_split_regex",
        arguments[0],
        _pattern(arguments[1], literals.regex_of_match),
        regexp_options(flags),
    )


PATTERN_FUNCTIONS: dict[str, Callable[[Arguments], Expression]] = {
    "regexp_like": _regexp_like,
    "regexp_replace": _regexp_replace,
    "regexp_match": _regexp_match,
    "regexp_count": _regexp_count,
    "regexp_substr": _regexp_substr,
    "regexp_split_to_array": _regexp_split,
}
