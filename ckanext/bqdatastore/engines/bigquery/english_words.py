"""The words of an English stem: the steps of the stemmer, backwards.

Snowball's English stemmer (https://snowballstem.org/algorithms/english/stemmer.html) takes a word
through seven steps, each of which changes its end once or not at all. So there are finitely many
words of a stem, and they are among those that the steps, each turned round, make of it. Conditions
of the steps are left out here: there are too many words, and never too few.

The step before the first takes off `'s`: tokens have no apostrophes.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator, Sequence

from . import stemmer

_Change = tuple[str, str]
"""An ending of a word, and what the step puts in its place."""


def _dropped(endings: str) -> list[_Change]:
    return [(ending, "") for ending in endings.split()]


_STEP_1A: Sequence[_Change] = (
    ("s", ""), ("sses", "ss"), ("ies", "i"), ("ies", "ie"), ("ied", "i"), ("ied", "ie"),
)  # fmt: skip
_STEP_1C: Sequence[_Change] = (("y", "i"),)
_STEP_2: Sequence[_Change] = (
    ("tional", "tion"), ("ational", "ate"), ("ation", "ate"), ("ator", "ate"),
    ("enci", "ence"), ("anci", "ance"), ("abli", "able"), ("bli", "ble"), ("biliti", "ble"),
    ("entli", "ent"), ("izer", "ize"), ("ization", "ize"),
    ("alism", "al"), ("aliti", "al"), ("alli", "al"),
    ("fulness", "ful"), ("fulli", "ful"), ("ousness", "ous"), ("ousli", "ous"),
    ("iveness", "ive"), ("iviti", "ive"), ("lessli", "less"),
    ("ogi", "og"), ("ogist", "og"), ("li", ""),
)  # fmt: skip
_STEP_3: Sequence[_Change] = (
    ("tional", "tion"), ("ational", "ate"), ("alize", "al"),
    ("icate", "ic"), ("iciti", "ic"), ("ical", "ic"),
    *_dropped("ful ness ative"),
)  # fmt: skip
_STEP_4: Sequence[_Change] = _dropped(
    "al ance ence er ic able ible ant ement ment ent ism ate iti ous ive ize ion"
)
_STEP_5: Sequence[_Change] = (("e", ""), ("ll", "l"))

_EXCEPTIONS = {
    "ski": ("skis",),
    "sky": ("skies",),
    "idl": ("idly",),
    "gentl": ("gently",),
    "ugli": ("ugly",),
    "earli": ("early",),
    "onli": ("only",),
    "singl": ("singly",),
}
"""Stems of words that take no steps."""

_DOUBLED = frozenset("bdfgmnprt")
_PAST = ("ed", "edly", "ing", "ingly")


@functools.lru_cache(maxsize=256)
def words(stem: str) -> tuple[str, ...]:
    """All words of the stem, in order."""
    return tuple(sorted(stemmer.having(stem, candidates(stem), "english")))


def words_of_prefix(stem: str) -> tuple[str, ...]:
    """All words that do not begin with `stem`, but have a stem which does; and some that do."""
    # The only longer stems that are not the beginning of the word: "dying" is of "die".
    return tuple(sorted({*words(stem), *words(f"{stem}e")}))


def candidates(stem: str) -> set[str]:
    """All words of the stem, and some others; at most some 12,000."""
    words = {stem}
    for before in _BACKWARDS:
        words.update([each for word in words for each in before(word)])
    words.update(_EXCEPTIONS.get(stem, ()))
    return words


def _before(changes: Iterable[_Change]) -> Callable[[str], Iterator[str]]:
    def words(word: str) -> Iterator[str]:
        for ending, replacement in changes:
            if word.endswith(replacement):
                yield word[: len(word) - len(replacement)] + ending

    return words


def _before_1b(word: str) -> Iterator[str]:
    """It puts an `e` back, or takes one of two consonants, once it has taken off the ending."""
    last = word[-1:]
    for ending in _PAST:
        yield word + ending
        if last == "e":
            yield word[:-1] + ending
        if last in _DOUBLED:
            yield word + last + ending
    if word.endswith("ee"):
        yield word + "d"
        yield word + "dly"
    if word.endswith("ie"):
        yield word[:-2] + "ying"


_BACKWARDS = (
    *(_before(step) for step in (_STEP_5, _STEP_4, _STEP_3, _STEP_2, _STEP_1C)),
    _before_1b,
    _before(_STEP_1A),
)
