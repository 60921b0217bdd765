"""What full-text search asks of an engine: the few things that only it can say."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Protocol

import sqlglot.expressions as sge

from ...model.fulltext import Body
from .words import Grammar


@dataclasses.dataclass(frozen=True)
class Lexeme:
    """A word of the query as a dialect looks for it in a document.

    :param value: the lexeme, a constant expression
    :param stemmer: the language whose stemmer makes a document's lexemes; None: tokens are lexemes
    :param prefix: whether a lexeme that begins with `value` will do
    :param run: whether its tokens are runs of letters and digits
    :param caseless: whether a text has it as it is written, or not at all
    :param spellings: what the token pattern may match for this one; where there is a stemmer, some
        tokens that surely have the lexeme
    :param stop_words: tokens which are not in the vector although they may share the lexeme
    """

    value: sge.Expr
    stemmer: str | None
    prefix: bool
    run: bool
    caseless: bool
    spellings: tuple[sge.Expr, ...]
    stop_words: tuple[sge.Expr, ...]


class FullTextDialect(Protocol):
    """What full-text search needs of an engine's dialect.

    Lists are arrays: of tokens (text), of positions (integers from 1). An argument is used as it
    is at most once, and copied for any further use.
    """

    def full_text_value(self, value: sge.Expr, type: str, in_row: bool) -> sge.Expr:
        """A value as text: as `row_to_json` shows it in a row, else as a cast to text does."""

    def full_text_equals(
        self, value: sge.Expr, type: str, word: sge.Expr, in_row: bool
    ) -> sge.Expr:
        """Whether a number, as `full_text_value` has it, is the word."""

    def full_text_lexeme(self, word: sge.Expr, stemmer: str | None) -> sge.Expr:
        """A word's lexeme."""

    def full_text_may_contain(self, text: sge.Expr, lexeme: Lexeme) -> sge.Expr | None:
        """A cheap test which every text with the lexeme passes; None where there is none."""

    def full_text_is_compound(self, text: sge.Expr, lexeme: Lexeme, grammar: Grammar) -> sge.Expr:
        """Whether the text's runs do not tell all about the lexeme."""

    def full_text_runs(
        self, text: sge.Expr, letter: sge.Expr, lexeme: Lexeme, grammar: Grammar
    ) -> sge.Expr:
        """The runs of letters and digits of a text, or those alone that may have the lexeme.

        :param letter: `grammar.letter` as an expression
        """

    def full_text_tokens(
        self, text: sge.Expr, token: sge.Expr, grammar: Grammar, counted: bool
    ) -> sge.Expr:
        """The tokens of a text.

        :param token: `grammar.token` as an expression
        :param counted: leave out what takes up no position
        """

    def full_text_contains(self, tokens: sge.Expr, lexeme: Lexeme) -> sge.Expr:
        """Whether the tokens have the lexeme."""

    def full_text_count(self, tokens: sge.Expr, lexeme: Lexeme) -> sge.Expr:
        """How often the lexeme occurs."""

    def full_text_positions(self, tokens: sge.Expr, lexeme: Lexeme) -> sge.Expr:
        """Where in the list the lexeme is."""

    def full_text_document(self, texts: Sequence[sge.Expr]) -> sge.Expr:
        """The texts as one, a space between them, nulls left out."""

    def full_text_blanks(self, value: sge.Expr, number: int) -> sge.Expr:
        """A list of so many empty tokens; of none for a null."""

    def full_text_joined(self, lists: Sequence[sge.Expr]) -> sge.Expr:
        """Token lists one after the other."""

    def full_text_date_part(self, value: sge.Expr, part: str) -> sge.Expr:
        """A part of a date or time as a number: year, month, day, hour, minute, or second.

        Null for the second where that has a fraction.
        """

    def full_text_with(self, value: sge.Expr, body: Body) -> sge.Expr:
        """`body` of a value that is computed once."""

    def full_text_no_positions(self) -> sge.Expr:
        """The empty position list."""

    def full_text_shift(self, positions: sge.Expr, distance: int) -> sge.Expr: ...
    def full_text_union(self, a: sge.Expr, b: sge.Expr) -> sge.Expr: ...
    def full_text_intersection(self, a: sge.Expr, b: sge.Expr) -> sge.Expr: ...
    def full_text_difference(self, a: sge.Expr, b: sge.Expr) -> sge.Expr: ...
    def full_text_not_empty(self, positions: sge.Expr) -> sge.Expr: ...

    def full_text_weight(self, count: sge.Expr) -> sge.Expr:
        """`1/1 + 1/4 + ... + 1/count^2`"""

    def full_text_prefix_weight(self, tokens: sge.Expr, lexeme: Lexeme) -> sge.Expr:
        """The sum of `full_text_weight` over the different lexemes that begin so."""

    def full_text_proximity(self, positions: Sequence[sge.Expr]) -> sge.Expr:
        """`calc_rank_and` of PostgreSQL for position lists of different lexemes, weights D."""
