"""Stems of words, and the words of a stem.

BigQuery has no stemmer. What it can do is to look for words: so a stem is written out as the words
that have it. They are made by putting the endings of the language to the stem, and the stemmer
then says which of them really have it. So nothing is found that should not be; a word with an
ending that is not listed here is not found.
"""

from __future__ import annotations

import functools
import itertools

import snowballstemmer

_ENGLISH_DERIVED = (
    "", "e", "y", "i", "al", "ally", "ance", "ancy", "ence", "ency", "er", "or", "ic", "ical",
    "ically", "able", "ably", "ability", "ible", "ibly", "ibility", "ant", "ent", "ement", "ment",
    "ism", "ist", "ate", "ator", "ation", "ational", "ative", "iti", "ity", "ous", "ously",
    "ousness", "ive", "ively", "iveness", "ivity", "ize", "izer", "ization", "ise", "ion", "ional",
    "ful", "fully", "fulness", "ness", "less", "lessly", "ly", "li", "like", "icate", "icity",
    "iciti", "alism", "ality", "alize", "logy", "logi", "ed", "ing", "eed", "ying", "ies", "ied",
)  # fmt: skip
_ENGLISH_INFLECTED = (
    "", "s", "es", "ed", "d", "ing", "ings", "er", "ers", "ly", "edly", "ingly", "'s", "'", "s'",
    "ness", "y",
)  # fmt: skip
_OTHER_ENDINGS = (
    "", "a", "e", "i", "o", "u", "y", "s", "n", "m", "r", "t", "as", "es", "os", "is", "en", "em",
    "er", "et", "ern", "est", "ens", "ung", "ungen", "heit", "keit", "lich", "isch", "ig", "ige",
    "ed", "ing", "ant", "ante", "ants", "ent", "aient", "ait", "ais", "ons", "ez", "ée", "ées",
    "é", "és", "eur", "eurs", "euse", "ment", "ments", "tion", "tions", "ción", "ciones", "mente",
    "ar", "ir", "ado", "ada", "ados", "adas", "ido", "ida", "idos", "idas", "ando", "endo", "amos",
    "aba", "are", "ere", "ire", "ato", "ata", "ati", "ate", "ção", "ções", "ou", "ene", "ane",
    "erne", "ene", "het", "or", "orna", "arna", "na", "de", "te", "ten", "den", "je", "jes",
)  # fmt: skip

_VOWELS = "aeiouy"


@functools.cache
def _stemmer(language: str) -> snowballstemmer.stemmer:
    return snowballstemmer.stemmer(language)


def is_known(language: str) -> bool:
    """Whether there is a stemmer for the language."""
    return language in snowballstemmer.algorithms()


@functools.lru_cache(maxsize=4096)
def stem(word: str, language: str) -> str:
    """A word's stem; the word itself where the language has no stemmer."""
    if not is_known(language):
        return word
    return str(_stemmer(language).stemWord(word))


@functools.lru_cache(maxsize=1024)
def words(wanted: str, language: str) -> tuple[str, ...]:
    """Words whose stem is `wanted`, in order."""
    if not is_known(language):
        return (wanted,)
    found = {
        word
        for base in _bases(wanted, language)
        for ending in _endings(language)
        if stem(word := base + ending, language) == wanted
    }
    return tuple(sorted(found))


@functools.cache
def _endings(language: str) -> tuple[str, ...]:
    if language != "english":
        return _OTHER_ENDINGS
    both = {
        first + second for first, second in itertools.product(_ENGLISH_DERIVED, _ENGLISH_INFLECTED)
    }
    return tuple(sorted(both))


def _bases(wanted: str, language: str) -> list[str]:
    """What the stem may have been before the stemmer changed its end."""
    bases = [wanted]
    if language == "english":
        if wanted.endswith("i"):
            bases += [wanted[:-1], f"{wanted[:-1]}y"]
        if wanted.endswith("e"):
            bases.append(wanted[:-1])
        if wanted.endswith("ie"):
            bases.append(wanted[:-2])
        if wanted.endswith("l"):
            bases += [wanted[:-1], f"{wanted}l"]
        if wanted[-1:].isalpha() and wanted[-1:] not in _VOWELS:
            bases.append(wanted + wanted[-1])
    elif len(wanted) > 2:
        bases.append(wanted[:-1])
    return bases
