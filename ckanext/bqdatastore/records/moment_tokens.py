"""Texts of dates and times cut into tokens, and the words that have a meaning in them.

What a token is depends on its punctuation alone, as PostgreSQL cuts: a run of digits with colons
is a time, with two equal separators a date, with none a number whose meaning comes later.
"""

from __future__ import annotations

import re

from .refusal import BLANKS


class Unreadable(ValueError):
    """The text is no date or time."""

    message = 'invalid input syntax for type {type}: "{text}"'


class OutOfRange(Unreadable):
    """It is one, with a part that no calendar or clock has."""

    message = 'date/time field value out of range: "{text}"'


class ZoneOutOfRange(Unreadable):
    """It has an offset from UTC that no zone has."""

    message = 'time zone displacement out of range: "{text}"'


class UnknownZone(Unreadable):
    """It has the name of no zone where a zone's should be."""

    message = 'time zone "{args[0]}" not recognized'


_TOKEN = re.compile(
    r"""
      (?P<time>   \d+ : [\d:.]*)
    | (?P<date>   \d+ (?:
                      (?P<delimiter> [-/]) \d+ (?: (?P=delimiter) (?: \d | (?P=delimiter))* )?
                    | (?P<dot> \.) \d+ (?P=dot) [\d.]*
                    | (?P<other> [-/]) (?: [0-9A-Za-z] | (?P=other))*
                    | \. (?!\d) (?: [0-9A-Za-z.])*
                  ))
    | (?P<number> \d+ (?: \.\d+ )? | \.\d*)
    | (?P<zone>   [+-] [ \t\n\v\f\r]* \d [\d:.-]*)
    | (?P<special>[+-] [ \t\n\v\f\r]* [A-Za-z]+)
    | (?P<word>   [A-Za-z]+)
    | (?P<bad>    [+-] | [^!-/:-@\[-`{-~ \t\n\v\f\r])
    """,
    re.VERBOSE | re.ASCII,
)
_WORD_TAIL = re.compile(r"[-+/_.:0-9A-Za-z]*", re.ASCII)
_MOST_TOKENS = 25
_LONGEST = 128 + _MOST_TOKENS


def tokens(text: str) -> list[tuple[str, str]]:
    """The text's tokens in lower case, each after its kind: a name of a group in `_TOKEN`.

    :raises Unreadable: it has a character that stands in no date or time, or is far too long
    """
    found: list[tuple[str, str]] = []
    at = length = 0
    while match := _TOKEN.search(text, at):
        kind, token = str(match.lastgroup), match[0]
        at = match.end()
        if kind == "bad":
            raise Unreadable
        if kind == "word":
            follows = text[at : at + 1]
            # A month's name stops before a digit, a zone's (`Etc/GMT+5`) goes on.
            joins = "-/." if token.lower() in KEYWORDS else "-/.+0123456789"
            if follows and follows in joins and (tail := _WORD_TAIL.match(text, at)):
                kind, token, at = "date", token + tail[0], tail.end()
        if kind in ("zone", "special"):
            token = token[0] + token[1:].strip(BLANKS)
        found.append((kind, token.lower()))
        length += len(token) + 1
        if len(found) > _MOST_TOKENS or length > _LONGEST:
            raise Unreadable
    return found


# Words

_MONTHS = (
    ("january", "jan"),
    ("february", "feb"),
    ("march", "mar"),
    ("april", "apr"),
    ("may",),
    ("june", "jun"),
    ("july", "jul"),
    ("august", "aug"),
    ("september", "sep", "sept"),
    ("october", "oct"),
    ("november", "nov"),
    ("december", "dec"),
)
_WEEKDAYS = (
    ("sunday", "sun"),
    ("monday", "mon"),
    ("tuesday", "tue", "tues"),
    ("wednesday", "wed", "weds"),
    ("thursday", "thu", "thur", "thurs"),
    ("friday", "fri"),
    ("saturday", "sat"),
)
_HALVES = ("am", "pm")
_ERAS = ("ad", "bc")
_NAMED = ("now", "today", "tomorrow", "yesterday", "epoch", "allballs", "infinity")

KEYWORDS: dict[str, tuple[str, int | str]] = {
    **{word: ("month", 1 + index) for index, words in enumerate(_MONTHS) for word in words},
    **{word: ("weekday", index) for index, words in enumerate(_WEEKDAYS) for word in words},
    **{word: ("half", word) for word in _HALVES},
    **{word: ("era", word) for word in _ERAS},
    **{word: ("named", word) for word in _NAMED},
    "+infinity": ("named", "infinity"),
    "-infinity": ("named", "-infinity"),
    "at": ("filler", 0),
    "on": ("filler", 0),
    "t": ("then_time", 0),
    "dst": ("summer", 3600),
}
"""Words in lower case: what each is, and its value."""
