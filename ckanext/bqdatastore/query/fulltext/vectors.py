"""The text of `_full_text`: each row's lexemes and their places, as `tsvector` shows them."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from itertools import chain
from typing import Protocol

import sqlglot.expressions as sge

from ...model.query import ParameterNames, Query, column
from .terms import ROW_LANGUAGE
from .words import STOP_WORDS, is_word, tokens

Document = Sequence[str | None]
"""The texts of a row's fields, in order."""

Stems = Callable[[Sequence[str]], Mapping[str, str]]
"""The English stems of different words."""

_LAST_PLACE = 16_383
_MOST_PLACES = 256
"""PostgreSQL counts no further, and keeps no more of one lexeme."""

_NUMBER = re.compile(r" ?[-+]?[0-9]+(?:\.[0-9]+)?", re.ASCII)


class Stemming(Protocol):
    """What a query for stems needs of an engine's dialect."""

    def full_text_lexeme(self, word: sge.Expr, stemmer: str | None) -> sge.Expr: ...


def stems_query(words: Sequence[str], dialect: Stemming) -> Query:
    """Words and their English stems, as two columns."""
    names = ParameterNames()
    alias = sge.TableAlias(this=sge.to_identifier("words"), columns=[sge.to_identifier("word")])
    source = sge.Unnest(expressions=[names.bind(list(words), "_text")], alias=alias)
    stem = dialect.full_text_lexeme(column("word"), ROW_LANGUAGE)
    return Query(sge.select(column("word"), stem.as_("stem")).from_(source), names.values)


def vectors(documents: Sequence[Document | None], stems: Stems) -> list[str | None]:
    """The text of each document's vector; None for a row of nulls."""
    written = [_written(document or ()) for document in documents]
    tokens_of = {text: _tokens(text) for text in dict.fromkeys(chain.from_iterable(written))}
    words = {token for found in tokens_of.values() for token in found if is_word(token)}
    asked = sorted(words - STOP_WORDS)
    # A stop word takes up a place and has no lexeme.
    lexeme_of = {**(stems(asked) if asked else {}), **dict.fromkeys(STOP_WORDS)}
    lexemes_of = {
        text: [lexeme_of.get(token, token) for token in found] for text, found in tokens_of.items()
    }
    return [_vector(texts, lexemes_of) for texts in written]


def _written(document: Document) -> list[str]:
    """The texts as they stand in the document: a blank before each but the first."""
    texts = [text for text in document if text is not None]
    return [*texts[:1], *(f" {text}" for text in texts[1:])]


def _tokens(text: str) -> list[str]:
    if _NUMBER.fullmatch(text):
        return [text.strip()]
    return tokens(text)


def _vector(texts: Sequence[str], lexemes_of: Mapping[str, Sequence[str | None]]) -> str | None:
    if not texts:
        return None
    places: dict[str, list[int]] = {}
    place = 0
    for text in texts:
        for lexeme in lexemes_of[text]:
            place += 1
            if lexeme is not None:
                places.setdefault(lexeme, []).append(min(place, _LAST_PLACE))
    # Code points sort as their UTF-8 bytes do, by which PostgreSQL sorts lexemes.
    return " ".join(f"'{_quoted(lexeme)}':{_listed(places[lexeme])}" for lexeme in sorted(places))


def _quoted(lexeme: str) -> str:
    return lexeme.replace("\\", "\\\\").replace("'", "''")


def _listed(places: Sequence[int]) -> str:
    if len(places) == 1:
        return str(places[0])
    different = list(dict.fromkeys(places))
    return ",".join(map(str, different[:_MOST_PLACES]))
