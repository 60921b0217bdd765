"""An English stem is written out as the words that have it: all that there can be."""

from __future__ import annotations

import itertools
import os
import random
import re
from collections.abc import Iterator
from typing import Any

import psycopg2
import pytest
import sqlglot.expressions as sge
from hypothesis import given, settings
from hypothesis import strategies as st

from ckanext.bqdatastore.engines.bigquery import stemming
from ckanext.bqdatastore.engines.bigquery.dialect import BigQueryDialect
from ckanext.bqdatastore.engines.bigquery.english_words import candidates, words, words_of_prefix
from ckanext.bqdatastore.engines.bigquery.stemmer import LANGUAGES, stem, stems
from ckanext.bqdatastore.engines.bigquery.stemming import with_stems
from ckanext.bqdatastore.model.errors import InvalidRequest
from ckanext.bqdatastore.model.query import ParameterNames
from ckanext.bqdatastore.query import fulltext
from ckanext.bqdatastore.query.fulltext.parser import LANGUAGES as CONFIGURATIONS
from ckanext.bqdatastore.query.fulltext.words import is_word, tokens

_ENDINGS = """
    s es ies ied sses ss us ed eed edly eedly ing ingly ying y ly li tional ational ation ator ate
    enci ency anci ancy abli able ably bli ible ibly biliti bility entli ently ent izer ize ization
    alism aliti ality alli ally al fulness ful fulli fully ousness ous ousli ously iveness ive
    iviti ivity lessli lessly less ogi ogist logi logy og alize icate iciti icity ical ic ness
    ative ance ence er ement ment ant ism iti ity ion sion tion e ee ie l ll tt bb dd rr at bl iz i
    """
_BEGINNINGS = """
    connect rel gener commun arsen organ univers past hop fl d t v l sk inn out cann earr herr
    even exc proc succ b a yo syz ebb add egg cr happ apolog possib fo-ba naïv größ
    """
ENDINGS, BEGINNINGS = _ENDINGS.split(), _BEGINNINGS.split()


@pytest.fixture(scope="module")
def composed() -> list[str]:
    """Words of up to five endings, of which the stemmer takes off as many as it can."""
    chosen = random.Random(5)
    made = {
        chosen.choice(BEGINNINGS) + "".join(chosen.choices(ENDINGS, k=chosen.randint(0, 5)))
        for _ in range(4000)
    }
    made |= {"".join(pair) for pair in itertools.product(BEGINNINGS, ENDINGS)}
    return sorted(made)


def test_every_word_is_among_those_of_its_stem(composed: list[str]) -> None:
    chosen = random.Random(7).sample(composed, 300)
    missing = [
        word
        for word, of in zip(chosen, stems(chosen, "english"), strict=True)
        if word not in candidates(of)
    ]
    assert missing == []


@settings(max_examples=100, deadline=None)
@given(
    st.text("abdeghilnoprstuyzö-", min_size=1, max_size=6),
    st.lists(st.sampled_from(ENDINGS), max_size=4),
)
def test_whatever_word_is_among_those_of_its_stem(beginning: str, endings: list[str]) -> None:
    word = beginning + "".join(endings)
    assert word in candidates(stem(word, "english"))


@pytest.mark.parametrize(
    "word",
    [
        *("skis", "skies", "sky", "dying", "lying", "tying", "idly", "gently", "ugly", "early"),
        *("only", "singly", "news", "howe", "atlas", "innings", "outing", "exceed", "yes", "by"),
    ],
)
def test_exceptions_are_among_those_of_their_stems(word: str) -> None:
    assert word in words(stem(word, "english"))


def test_all_words_of_a_stem_have_it() -> None:
    for wanted in ("connect", "relat", "fli", "b", "abl"):
        assert set(stems(words(wanted), "english")) == {wanted}


@pytest.mark.parametrize("wanted", ["connect", "abl", "relate", "nationall", "bee", "tie", "i"])
def test_an_english_stem_has_a_bounded_number_of_words(wanted: str) -> None:
    assert len(candidates(wanted)) <= 20_000
    assert len(words(wanted)) <= 15_000


def test_no_word_has_an_apostrophe() -> None:
    for text in ("the dog's", "dogs'", "o'neil's", "'quoted'", "a/b's.html?x='y'"):
        assert not [token for token in tokens(text) if is_word(token) and "'" in token]


def test_words_whose_stem_begins_so_do_or_are_listed(composed: list[str]) -> None:
    found = zip(composed, stems(composed, "english"), strict=True)
    beginnings = {
        (word, of[:length])
        for word, of in [*found, ("dying", "die"), ("vying", "vie")]
        for length in range(1, len(of) + 1)
        if not word.startswith(of[:length])
    }
    chosen = random.Random(3).sample(sorted(beginnings), 30)
    for word, beginning in [*chosen, ("dying", "di"), ("tying", "ti")]:
        assert word in words_of_prefix(beginning)


# What DuckDB's stemmer does otherwise than PostgreSQL 18's: it takes one of the two consonants away
# that follow an initial vowel ("adding", "egged").
_OTHERWISE = re.compile(r"[aeo](bb|dd|ff|gg|mm|nn|pp|rr|tt)(ed|edly|ing|ingly)s?")


@pytest.fixture(scope="module")
def postgresql() -> Iterator[Any]:
    connection = psycopg2.connect(os.environ["DEVSTACK_STOCK_WRITE_URL"])
    try:
        yield connection.cursor()
    finally:
        connection.close()


def test_stems_are_those_of_postgresql(composed: list[str], postgresql: Any) -> None:
    postgresql.execute("CREATE TEXT SEARCH DICTIONARY stems (TEMPLATE=snowball, LANGUAGE=english)")
    postgresql.execute(
        "SELECT (ts_lexize('stems', word))[1] FROM unnest(%s) WITH ORDINALITY AS w (word, place) "
        "ORDER BY place",
        [composed],
    )
    theirs = [row[0] for row in postgresql.fetchall()]
    ours = stems(composed, "english")
    others = [word for word, a, b in zip(composed, ours, theirs, strict=True) if a != b]
    assert [word for word in others if not _OTHERWISE.match(word)] == []


def test_stemmers_are_those_of_postgresqls_configurations() -> None:
    assert CONFIGURATIONS - {"simple"} == LANGUAGES


def _asked(text: str) -> dict[str, Any]:
    names = ParameterNames()
    search = fulltext.parse(text)
    dialect = BigQueryDialect()
    trees = fulltext.trees(search, [("a", "text")], dialect, names)
    tree = sge.select("*").from_("t").where(trees.condition)
    _, values = with_stems(tree, names.values, lambda _: ())
    return {name: each.value for name, each in values.items()}


def test_stems_of_one_kind_share_their_endings() -> None:
    lists = [value for value in _asked("connecting relations").values() if isinstance(value, tuple)]
    alone = [value for value in _asked("connecting").values() if isinstance(value, tuple)]
    assert len(alone) == 1
    assert 1 <= len(lists) <= 2


def test_more_words_than_bigquery_takes_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    # Each has endings of its own, and some thousands of words.
    alike = ("connect", "relate", "nation", "rational", "possible", "mystic", "legislate", "locali")
    long = " ".join(f"{first}{word}" for first in "bdfgmpt" for word in alike)
    monkeypatch.setattr(stemming, "_MOST_BYTES", 500_000)
    with pytest.raises(InvalidRequest, match="too many words"):
        _asked(long)
