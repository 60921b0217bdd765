"""The words of a stem.

BigQuery has no stemmer. What it can do is to look for words: so a stem is written out as the words
that have it. For English these are all there are. For other languages they are found by trying:
endings that the language's stemmer knows are put to the stem, and to the words so found. The
stemmer itself says which words have the stem, so nothing is found that should not be.
"""

from __future__ import annotations

import functools
import importlib
import itertools
import types
from collections.abc import Iterator
from typing import Any

from . import english_words
from .stemmer import LANGUAGES, having, stems

# Of words that are tried for a stem: it takes the stemmer some tenths of a second.
_MOST_TRIED = 50_000

# Of words that are looked for, the shortest, in languages of many endings.
_MOST_WORDS = 10_000

_MOST_ACCENTS = 2

_FIRST_LETTER, _LAST_LETTER = 0xDF, 0x52F


@functools.lru_cache(maxsize=256)
def words(wanted: str, language: str) -> tuple[str, ...]:
    """Words whose stem is `wanted`, in order."""
    if language not in LANGUAGES:
        return (wanted,)
    if language == "english":
        found = having(wanted, english_words.candidates(wanted), language)
    else:
        found = _search(wanted, language)
    return tuple(sorted(found))


def words_of_prefix(wanted: str, language: str) -> tuple[str, ...]:
    """Words whose stem begins with `wanted`, though they themselves do not; some others as well,
    all of which have such a stem."""
    found = {*words(wanted, language)}
    if language == "english":
        # The only longer stems that are not the beginning of the word: "dying" is of "die".
        found.update(words(f"{wanted}e", language))
    return tuple(sorted(found))


def _search(wanted: str, language: str) -> set[str]:
    endings, replaced = _endings(language)
    bases = set(_with_accents(wanted, _accents(language)))
    tried, found = set(bases), having(wanted, bases, language)
    for base in list(bases):
        bases.add(base[:-1])
        # A letter near the end may have been one of two.
        doubled = range(max(len(base) - 2, 1), len(base) + 1)
        bases.update(base[:place] + base[place - 1 :] for place in doubled)
    while bases and len(tried) < _MOST_TRIED:
        bases |= {base.removesuffix(end) for base in bases for end in replaced}
        new: set[str] = set()
        # What has the stem already is more likely to have it with one more ending.
        for base in sorted(bases, key=lambda each: (each not in found, len(each), each)):
            new.update([base + ending for ending in endings])
            if len(tried) + len(new) > _MOST_TRIED:
                break
        bases = new - tried
        tried |= new
        found |= having(wanted, bases, language)
    return set(sorted(found, key=lambda each: (len(each), each))[:_MOST_WORDS])


@functools.cache
def _endings(language: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Endings that the language's stemmer knows, and what it puts in their place."""
    stemmers = [
        value
        for module in _modules(language)
        for value in vars(module).values()
        if isinstance(value, type) and value.__module__ == module.__name__
    ]
    members = [member for stemmer in stemmers for member in vars(stemmer).values()]
    replaced = {text for member in members for text in _constants(member)}
    known = {
        str(each.s).lower()
        for member in members
        if isinstance(member, list)
        for each in member
        if hasattr(each, "s")
    }
    known = {ending for ending in known | replaced if ending.isalpha()}
    return tuple(sorted(known | set("".join(known)))), tuple(sorted(replaced))


def _modules(language: str) -> Iterator[types.ModuleType]:
    # What was `dutch` before has another name since there is a new one.
    for name in (language, f"{language}_porter"):
        try:
            yield importlib.import_module(f"snowballstemmer.{name}_stemmer")
        except ModuleNotFoundError:
            continue


def _constants(member: Any) -> Iterator[str]:
    if isinstance(member, types.FunctionType):
        for each in member.__code__.co_consts:
            if isinstance(each, str) and each.isalpha():
                yield each.lower()


@functools.cache
def _accents(language: str) -> dict[str, str]:
    """Letters in the place of which a stem has others: `á` and `a`, `ß` and `ss`."""
    letters = [
        letter
        for letter in map(chr, range(_FIRST_LETTER, _LAST_LETTER))
        if letter.isalpha() and letter.islower()
    ]
    plain: dict[str, str] = {}
    for end in ("", "bbbb"):
        found = stems([f"bbbbb{letter}{end}" for letter in letters], language)
        for letter, stem in zip(letters, found, strict=True):
            text = stem[5:].rstrip("b")
            if text and text != letter:
                plain[letter] = text
    return plain


def _with_accents(stem: str, accents: dict[str, str]) -> Iterator[str]:
    """The stem, with some of the accents that its word may have had."""
    yield stem
    places = [
        (start, start + len(plain), letter)
        for letter, plain in accents.items()
        for start in range(len(stem))
        if stem.startswith(plain, start)
    ]
    for number in range(1, _MOST_ACCENTS + 1):
        for chosen in itertools.combinations(sorted(places, reverse=True), number):
            word, end = stem, len(stem)
            for start, stop, letter in chosen:
                if stop > end:
                    break
                word, end = word[:start] + letter + word[stop:], start
            else:
                yield word
