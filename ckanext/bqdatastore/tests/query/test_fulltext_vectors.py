"""Vectors as PostgreSQL writes them; the differential suite compares many with PostgreSQL's own."""

from __future__ import annotations

from collections.abc import Sequence

from ckanext.bqdatastore.query.fulltext.vectors import Document, vectors


def _stems(words: Sequence[str]) -> dict[str, str]:
    return {word: word.removesuffix("s") for word in words}


def _vector(*texts: str | None) -> str | None:
    (found,) = vectors([texts], _stems)
    return found


def test_lexemes_are_sorted_and_places_counted_across_fields() -> None:
    assert _vector("cats b", None, "Cat a -5") == "'-5':5 'b':2 'cat':1,3"


def test_stop_words_take_up_a_place() -> None:
    assert _vector("the cat of the house") == "'cat':2 'house':5"


def test_a_row_of_nulls_has_no_vector_and_one_of_empty_texts_an_empty_one() -> None:
    documents: list[Document | None] = [[None, None], [""], None]
    assert vectors(documents, _stems) == [None, "", None]


def test_quotes_are_doubled() -> None:
    assert _vector("example.org/a'b") == "'/a''b':3 'example.org':2 'example.org/a''b':1"


def test_no_more_than_256_places_of_a_lexeme_and_none_beyond_16383() -> None:
    vector = _vector("x " * 300)
    assert vector is not None
    assert vector.count(",") == 255
    assert _vector("1 " * 20_000 + "end") is not None
    assert str(_vector("1 " * 20_000 + "end")).startswith("'1':1,2,3")
    assert str(_vector("1 " * 20_000 + "end")).endswith("'end':16383")


def test_only_words_are_stemmed() -> None:
    assert _vector("cats cats2 10s") == "'10s':3 'cat':1 'cats2':2"
