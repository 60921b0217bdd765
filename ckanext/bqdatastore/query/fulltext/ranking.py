"""How well a row matches, as PostgreSQL's `ts_rank` has it."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import sqlglot.expressions as sge

from .dialect import Lexeme
from .document import Document, all_of, any_of
from .parser import And, Node, Phrase, Word
from .terms import FieldType, words_of
from .values import PLAIN
from .words import GRAMMAR


class Ranking:
    """The tree for the rank of a document's rows."""

    def __init__(self, document: Document) -> None:
        self._document = document

    def tree(self) -> sge.Expr:
        """`calc_rank`: by the kind of the topmost node, over the query's different lexemes."""
        tree = self._document.form.tree
        words = list(dict.fromkeys(words_of(tree)))
        if isinstance(tree, And | Phrase) and len(words) > 1:
            # Where no two words occur together PostgreSQL says 1e-20, not 0; others are far larger.
            share = _share(self._rank_and(tree, words))
            return real(sge.Paren(this=sge.Add(this=share, expression=_double(1e-20))))
        return real(_share(self._rank_or(words)))

    def _rank_or(self, words: Sequence[Word]) -> sge.Expr:
        terms: list[sge.Expr] = []
        for position, word in enumerate(words):
            weight = self._weight(word)
            same = self._repeats(words, position)
            if same is not None:
                weight = sge.Case(ifs=[sge.If(this=same, true=_double(0.0))], default=weight)
            terms.append(weight)
        # All weights are D, 0.1; the sum of all 1/n^2 is 1.64493406685.
        each = sge.Div(this=_double(0.1 / 1.64493406685), expression=self._size(words))
        return sge.Mul(this=_sum(terms), expression=sge.Paren(this=each))

    def _weight(self, word: Word) -> sge.Expr:
        """How much one word's occurrences weigh."""
        dialect = self._document.dialect
        lexeme = self._document.lexeme(word)
        columns = self._document.columns_with(word)
        if word.prefix and columns:
            tokens = self._document.tokens(self._document.joined(columns, lexeme))
            return dialect.full_text_prefix_weight(tokens, lexeme)
        counts = [_number_if(test, sge.Literal.number(1)) for test in self._document.equal(word)]
        if columns:
            counts.append(self._count_in_texts(lexeme, columns))
        return dialect.full_text_weight(_sum(counts)) if counts else _double(0.0)

    def _count_in_texts(self, lexeme: Lexeme, columns: Sequence[FieldType]) -> sge.Expr:
        """How often the columns, as text, have the lexeme.

        Where runs of letters and digits do, each column is counted by itself: an engine has a
        column's different texts once.
        """
        dialect = self._document.dialect
        tokens = self._document.tokens(self._document.joined(columns, lexeme))
        result = dialect.full_text_count(tokens, lexeme)
        texts = [(self._document.text(name, type), type in PLAIN) for name, type in columns]
        possible = [(text, plain, self._document.possible(text, lexeme)) for text, plain in texts]
        if not lexeme.run or not all(tests for _, _, tests in possible):
            return result
        # How often a word is in a text depends on more than whether it is.
        exact = dataclasses.replace(lexeme, stemmer=None)
        counts: list[sge.Expr] = []
        unsure: list[sge.Expr] = []
        for text, plain, tests in possible:
            if not plain:
                unsure += tests
                continue
            compound = dialect.full_text_is_compound(text.copy(), exact, GRAMMAR)
            unsure.append(all_of(*(each.copy() for each in tests), compound))
            found = dialect.full_text_count(self._document.runs(text.copy(), lexeme), lexeme)
            counts.append(_number_if(all_of(*tests), found))
        if not counts:
            return result
        return sge.Case(ifs=[sge.If(this=any_of(*unsure), true=result)], default=_sum(counts))

    def _rank_and(self, tree: Node, words: Sequence[Word]) -> sge.Expr:
        def of_tokens(tokens: sge.Expr) -> sge.Expr:
            lists = []
            for position, word in enumerate(words):
                places = self._document.dialect.full_text_positions(
                    tokens.copy(), self._document.lexeme(word)
                )
                same = self._repeats(words, position)
                if same is not None:
                    nowhere = self._document.dialect.full_text_no_positions()
                    places = sge.Case(ifs=[sge.If(this=same, true=nowhere)], default=places)
                lists.append(places)
            return self._document.dialect.full_text_proximity(lists)

        result = self._document.dialect.full_text_with(self._document.all_tokens(tree), of_tokens)
        if all(self._repeats(words, position) is None for position in range(len(words))):
            return result
        alone = sge.EQ(this=self._size(words), expression=sge.Literal.number(1))
        return sge.Case(ifs=[sge.If(this=alone, true=self._rank_or(words))], default=result)

    def _size(self, words: Sequence[Word]) -> sge.Expr:
        """How many different lexemes the words have."""
        ones: list[sge.Expr] = []
        for position in range(len(words)):
            same = self._repeats(words, position)
            new = sge.true() if same is None else sge.not_(same)
            ones.append(_number_if(new, sge.Literal.number(1)))
        return _sum(ones)

    def _repeats(self, words: Sequence[Word], position: int) -> sge.Expr | None:
        """Whether a word has the lexeme of an earlier one; None where it cannot."""
        own = words[position]
        tests: list[sge.Expr] = [
            sge.EQ(
                this=self._document.lexeme(own).value.copy(),
                expression=self._document.lexeme(words[each]).value.copy(),
            )
            for each in self._document.term(own).repeats
        ]
        return any_of(*tests) if tests else None


def _share(value: sge.Expr) -> sge.Expr:
    """Normalization 32: x / (x + 1)."""
    one = sge.Literal.number(1)
    more = sge.Paren(this=sge.Add(this=one.copy(), expression=value))
    return sge.Sub(this=one, expression=sge.Div(this=one.copy(), expression=more))


def _sum(terms: Sequence[sge.Expr]) -> sge.Expr:
    total = terms[0]
    for term in terms[1:]:
        total = sge.Add(this=total, expression=term)
    return sge.Paren(this=total) if len(terms) > 1 else total


def _number_if(test: sge.Expr, number: sge.Expr) -> sge.Expr:
    return sge.Case(ifs=[sge.If(this=test, true=number)], default=sge.Literal.number(0))


def _double(value: float) -> sge.Expr:
    return sge.Cast(this=sge.Literal.number(repr(value)), to=sge.DType.DOUBLE.into_expr())


def real(value: sge.Expr) -> sge.Expr:
    """PostgreSQL's ranks are float4: rows that differ by less are equal."""
    return sge.Cast(this=value, to=sge.DType.FLOAT.into_expr())
