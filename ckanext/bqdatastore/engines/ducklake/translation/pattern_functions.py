"""PostgreSQL's regular expressions in DuckDB's words: the functions, and the operators' test."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

import sqlglot.expressions as sge

from ckanext.bqdatastore.model.tree_size import copied
from ckanext.bqdatastore.translation import literals
from ckanext.bqdatastore.translation.regexes import Regex, translated
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


def _read(pattern: str, flags: str = "", wanted: bool = False) -> Regex:
    """A constant regular expression, for RE2.

    :param wanted: whether its match is, and not only whether there is one
    """
    return translated(pattern, wanted, newline="n" in flags)


def _pattern(tree: Expression, flags: str = "", wanted: bool = False) -> Expression:
    """The same of any: one that is no constant must be of what PostgreSQL and RE2 read alike."""
    text = text_of(tree)
    if text is not None:
        return sge.Literal.string(_read(text, flags, wanted).text)
    if wanted or "n" in flags:
        raise unsupported("a regular expression that is not a constant, whose match is wanted")
    return when(
        (fn("regexp_matches", tree, _OTHERWISE_READ), fails(_NOT_CONSTANT)), otherwise=tree.copy()
    )


_OTHERWISE_READ = r"[\\{]|\[[:.=]|\(\?|^\*\*\*"
_NOT_CONSTANT = (
    "backslashes, braces, classes and options in regular expressions that are not constants"
    " are not supported"
)
_BEYOND_ASCII = "edges of words are not supported in texts with letters beyond ASCII"


def _for(value: Expression, regex: Regex, result: Expression) -> Expression:
    """`result` of matching `value`, refused where RE2's meaning of the expression is another."""
    if not regex.ascii:
        return result
    beyond = fn("regexp_matches", value.copy(), r"[^\x00-\x7F]")
    return when((beyond, fails(_BEYOND_ASCII)), otherwise=result)


def _constant(tree: Expression, flags: str = "") -> Regex:
    """A regular expression whose match is wanted."""
    return _read(constant(tree, "a regular expression"), flags, wanted=True)


def matches(value: Expression, pattern: Expression, flags: str = "") -> Expression:
    options = regexp_options(flags).replace("g", "")
    text = text_of(pattern)
    if text is None:
        return fn("regexp_matches", value, _pattern(pattern, flags), options)
    regex = _read(text, flags)
    return _for(value, regex, fn("regexp_matches", value, regex.text, options))


def whole_match(value: Expression, pattern: str) -> Expression:
    """Whether all of a text matches a constant regular expression."""
    regex = _read(pattern)
    return fn("regexp_full_match", value, regex.text, "s")


def _regexp_like(arguments: Arguments) -> Expression:
    flags = constant(arguments[2], "flags") if len(arguments) == 3 else ""
    return matches(arguments[0], arguments[1], flags)


def _rewritten(replacement: str, groups: int) -> str:
    """A replacement for RE2, whose `\\0` is the whole match."""

    def part(found: re.Match[str]) -> str:
        letter = found[1]
        if letter == "&":
            return r"\0"
        if letter and letter in "123456789":
            return found.group() if int(letter) <= groups else ""
        return r"\\" if letter == "\\" else rf"\\{letter}"

    return re.sub(r"\\(.?)", part, replacement, flags=re.S)


def _regexp_replace(arguments: Arguments) -> Expression:
    value, pattern, replacement, *rest = arguments
    if len(rest) > 1 or (rest and kind(rest[0]) != "text"):
        raise unsupported("regexp_replace with a start or a count")
    flags = constant(rest[0], "flags") if rest else ""
    regex = _constant(pattern, flags)
    new = _rewritten(constant(replacement, "a replacement"), regex.groups)
    options = regexp_options(flags)
    return _for(value, regex, fn("regexp_replace", value, regex.text, new, options))


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
    regex = _read(pattern, flags, wanted=True)
    options = regexp_options(flags).replace("g", "")
    part = fn("regexp_extract", value, regex.text, min(regex.groups, 1), options)
    return _where_found(value, regex, options, part, "text")


def _where_found(
    value: Expression, regex: Regex, options: str, result: Expression, kind: str
) -> Expression:
    """`result` where there is a match, else NULL."""
    found = fn("regexp_matches", value.copy(), regex.text, options)
    return _for(value, regex, when((found, result), otherwise=cast(sge.Null(), kind)))


def _regexp_match(arguments: Arguments) -> Expression:
    value = arguments[0]
    flags = constant(arguments[2], "flags") if len(arguments) == 3 else ""
    regex, options = _constant(arguments[1], flags), regexp_options(flags)
    places = range(1, regex.groups + 1) if regex.groups else (0,)
    parts = [fn("regexp_extract", copied(value), regex.text, place, options) for place in places]
    return _where_found(value, regex, options, fn("list_value", *parts), "_text")


def _regexp_count(arguments: Arguments) -> Expression:
    if len(arguments) != 2:
        raise unsupported("regexp_count with a start or flags")
    regex = _constant(arguments[1])
    found = fn("regexp_extract_all", arguments[0], regex.text, 0, "s")
    return _for(arguments[0], regex, cast(fn("len", found), "int4"))


def _regexp_substr(arguments: Arguments) -> Expression:
    if len(arguments) != 2:
        raise unsupported("regexp_substr with a start or flags")
    regex = _constant(arguments[1])
    part = fn("regexp_extract", arguments[0].copy(), regex.text, 0, "s")
    return _where_found(arguments[0], regex, "s", part, "text")


def _regexp_split(arguments: Arguments) -> Expression:
    flags = constant(arguments[2], "flags") if len(arguments) == 3 else ""
    regex = _constant(arguments[1], flags)
    parts = fn("string_split_regex", arguments[0], regex.text, regexp_options(flags))
    return _for(arguments[0], regex, parts)


PATTERN_FUNCTIONS: dict[str, Callable[[Arguments], Expression]] = {
    "regexp_like": _regexp_like,
    "regexp_replace": _regexp_replace,
    "regexp_match": _regexp_match,
    "regexp_count": _regexp_count,
    "regexp_substr": _regexp_substr,
    "regexp_split_to_array": _regexp_split,
}
