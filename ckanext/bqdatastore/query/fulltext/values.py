"""Which words the values of a type can have: most columns need not be read for most words."""

from __future__ import annotations

import re

from .parser import Word
from .words import is_word

_INTEGERS = frozenset(["int2", "int4", "int8", "int", "integer", "smallint", "bigint"])
_NUMBERS = _INTEGERS | {"float4", "float8", "numeric"}
PLAIN = frozenset(["text", "varchar", "bpchar", "name"])
_DATES = frozenset(["date", "timestamp", "timestamptz"])
_TIMES = frozenset(["time", "timestamp", "timestamptz"])
_ALPHABETS: dict[str, tuple[str, tuple[str, ...]]] = {
    **dict.fromkeys(_INTEGERS, ("-0123456789", ())),
    "float4": ("-+.e0123456789", ("nan", "infinity")),
    "float8": ("-+.e0123456789", ("nan", "infinity")),
    "numeric": ("-.0123456789", ()),
    "bool": ("", ("true", "false")),
    "date": ("-0123456789", ()),
    "time": (".0123456789", ()),
    "timestamp": ("-.t0123456789", ()),
    "timestamptz": ("-+.t0123456789", ()),
    "uuid": ("-0123456789abcdef", ()),
}
"""For a type: the characters of its tokens that are no words, and its words. Other types may have
any token."""

TOKENS_OF_VALUE = {
    **dict.fromkeys(_NUMBERS, 1), "bool": 1, "date": 3, "time": 3, "timestamp": 6, "timestamptz": 8
}  # fmt: skip
"""How many tokens every value of a type has, in a row."""

_INT8 = range(-(2**63), 2**63)


def may_have(type: str, word: Word) -> bool:
    """Whether a value of the type may have the word among its tokens."""
    if type not in _ALPHABETS:
        return True
    characters, words = _ALPHABETS[type]
    if is_word(word.text):
        # Stems keep the first two letters of their words (but "dying", "lying", "tying").
        start = word.text[:2]
        if type == "uuid":
            return set(start) <= set(characters)
        return any(each.startswith(start) for each in words)
    return set(word.text) <= set(characters)


def only_value(type: str, word: Word) -> tuple[object, str] | None:
    """What a value of a type of numbers must equal to be the word, and the type to bind it as.

    None where no value does. The value is compared as text if that is the type to bind.
    """
    if type in _INTEGERS:
        canonical = re.fullmatch(r"-?[1-9][0-9]*|0", word.text)
        fits = canonical and int(word.text) in _INT8
        return (int(word.text), "int8") if fits else None
    if type == "numeric" and re.fullmatch(r"-?[0-9]+\.[0-9]+", word.text):
        # Zeros at the end are not kept with the value, so they make no difference here either.
        return word.text.rstrip("0").rstrip("."), "text"
    return word.text, "text"


def is_value(word: Word, type: str) -> bool:
    """Whether the word, in a column of the type, can only be the whole of a value."""
    return type in _NUMBERS and not word.prefix and not is_word(word.text)


def date_parts(word: Word, type: str, in_row: bool) -> list[str] | None:
    """The parts of a date or time that the word may be; None where it may be more than one part.

    `2013-01-02T03:04:05+00:00`, as a row shows it, is `2013 -01 -02 t03 04 05 +00 00`.
    """
    if type not in _DATES | _TIMES or word.prefix or is_word(word.text):
        return None
    parts: list[str] = []
    if re.fullmatch(r"[0-9]{4,}", word.text) and type in _DATES:
        parts = ["year"]
    elif re.fullmatch(r"-[0-9]{2}", word.text) and type in _DATES:
        parts = ["month", "day"]
    elif re.fullmatch(r"t[0-9]{2}", word.text) and type != "time" and in_row and type in _TIMES:
        parts = ["hour"]
    elif re.fullmatch(r"[0-9]{2}", word.text) and type in _TIMES:
        parts = ["minute", "second"] if in_row and type != "time" else ["hour", "minute", "second"]
    # Fractions of seconds, and the zone, are left to the text.
    zone = type == "timestamptz" and word.text in ("00", "+00")
    return None if zone or "." in word.text else parts
