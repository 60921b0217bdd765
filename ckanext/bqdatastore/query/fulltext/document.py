"""One query over one document: which rows have its words, and where."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator, Sequence

import sqlglot.expressions as sge

from ...model.query import column
from .dialect import FullTextDialect, Lexeme
from .parser import And, Node, Not, Or, Phrase, Word
from .terms import DatePart, FieldType, Form, Place, Term, Whole, words_of
from .values import PLAIN, TOKENS_OF_VALUE
from .words import GRAMMAR


@dataclasses.dataclass(frozen=True)
class _Positions:
    """Where in the document a part of a phrase ends.

    :param places: position list
    :param width: how many positions before its end the part begins
    :param inverted: the part is everywhere but in `places`
    """

    places: sge.Expr
    width: int = 0
    inverted: bool = False


class Document:
    """The trees for one query over one document.

    :param columns: the fields of the document, in order
    :param values: placeholders of the query's values
    :param token: the placeholder of `GRAMMAR.token`; `letter` that of `GRAMMAR.letter`
    :param whole_row: the document is the row (the stock `_full_text`), not one field alone
    """

    def __init__(
        self,
        form: Form,
        columns: Sequence[FieldType],
        dialect: FullTextDialect,
        values: Sequence[sge.Expr],
        token: sge.Expr,
        letter: sge.Expr,
        whole_row: bool,
    ) -> None:
        self.form = form
        self._columns = columns
        self.dialect = dialect
        self._values = values
        self._token = token
        self._letter = letter
        self._whole_row = whole_row
        self._lexemes: dict[Word, Lexeme] = {}

    # Conditions

    def condition(self) -> sge.Expr:
        """Which rows match."""
        tree = self.form.tree
        holds = self._holds(tree)
        if not _has_negation(tree):
            return holds
        # The vector of nothing but nulls is null, which matches no query, not even `!word`.
        given = [sge.not_(column(name).is_(sge.null())) for name, _ in self._columns]
        return sge.and_(sge.or_(*given), holds)

    def screen(self) -> sge.Expr | None:
        """What is cheap of `condition`, where the rank tells the rest; see `fulltext.Trees`."""
        if not self._whole_row or not _any_will_do(self.form.tree):
            return None
        tests: list[sge.Expr] = []
        for word in words_of(self.form.tree):
            tests += self.equal(word)
            for name, type in self.columns_with(word):
                cheap = self.possible(self.text(name, type), self.lexeme(word))
                if not cheap:
                    return None
                tests += cheap
        return any_of(*tests) if tests else None

    def _holds(self, node: Node) -> sge.Expr:
        if isinstance(node, Word):
            return self._occurs(node)
        if isinstance(node, Not):
            return sge.not_(sge.func("coalesce", self._holds(node.operand), sge.false()))
        if isinstance(node, Phrase):
            return self._phrase_holds(node)
        join = all_of if isinstance(node, And) else any_of
        return join(*map(self._holds, _operands(node)))

    def _occurs(self, word: Word) -> sge.Expr:
        """Whether a column has the word."""
        if not word.unweighted:
            return sge.false()
        tests = self.equal(word)
        columns = self.columns_with(word)
        if columns:
            tests.append(self._in_texts(self.lexeme(word), columns))
        return any_of(*tests) if tests else sge.false()

    def _in_texts(self, lexeme: Lexeme, columns: Sequence[FieldType]) -> sge.Expr:
        """Whether one of the columns, as text, has the lexeme.

        The pattern of tokens takes milliseconds to compile wherever it is written, so it is
        written once, for all columns. In plain text, runs of letters and digits mostly do.
        """
        dialect = self.dialect
        result = dialect.full_text_contains(self.tokens(self.joined(columns, lexeme)), lexeme)
        plain = [self.text(name, type) for name, type in columns if type in PLAIN]
        other = [self.text(name, type) for name, type in columns if type not in PLAIN]
        cheap = [test for text in [*plain, *other] for test in self.possible(text, lexeme)]
        if lexeme.run and cheap:
            sure: list[sge.Expr] = []
            unsure = [test for text in other for test in self.possible(text, lexeme)]
            for text in plain:
                compound = dialect.full_text_is_compound(text.copy(), lexeme, GRAMMAR)
                runs = self.runs(text.copy(), lexeme)
                found = dialect.full_text_contains(runs, lexeme)
                possible = self.possible(text, lexeme)
                unsure.append(all_of(*self.possible(text, lexeme), compound.copy()))
                sure.append(all_of(*possible, sge.not_(compound, copy=False), found))
            ifs = [sge.If(this=any_of(*sure), true=sge.true())] if sure else []
            ifs.append(sge.If(this=any_of(*unsure), true=result))
            result = sge.Case(ifs=ifs, default=sge.false())
        return all_of(any_of(*cheap), result) if cheap else result

    def possible(self, text: sge.Expr, lexeme: Lexeme) -> list[sge.Expr]:
        """The cheap test which rules the lexeme out for most texts, if there is one."""
        test = self.dialect.full_text_may_contain(text.copy(), lexeme)
        return [] if test is None else [test]

    def joined(self, columns: Sequence[FieldType], lexeme: Lexeme) -> sge.Expr:
        """Those of the columns that may have the lexeme, as one text."""
        texts = []
        for name, type in columns:
            text = self.text(name, type)
            for cheap in self.possible(text, lexeme):
                text = sge.Case(ifs=[sge.If(this=cheap, true=text)])
            texts.append(text)
        return self.dialect.full_text_document(texts)

    def columns_with(self, word: Word) -> list[FieldType]:
        """The columns that may have the word among other tokens."""
        return [
            each
            for each, place in zip(self._columns, self.term(word).columns, strict=True)
            if place is Place.AMONG_OTHERS
        ]

    def equal(self, word: Word) -> list[sge.Expr]:
        """Tests of columns, or of their parts, which can have the word only as the whole."""
        tests: list[sge.Expr] = []
        for (name, type), place in zip(self._columns, self.term(word).columns, strict=True):
            if isinstance(place, Whole):
                tests.append(self._equals(name, type, place))
            elif isinstance(place, DatePart):
                for part in place.parts:
                    own = self.dialect.full_text_date_part(column(name), part)
                    tests.append(sge.EQ(this=own, expression=self._value(place.value)))
        return tests

    def _equals(self, name: str, type: str, place: Whole) -> sge.Expr:
        value = self._value(place.value)
        if place.type == "int8":
            return sge.EQ(this=column(name), expression=value)
        return self.dialect.full_text_equals(column(name), type, value, self._whole_row)

    def text(self, name: str, type: str) -> sge.Expr:
        return self.dialect.full_text_value(column(name), type, self._whole_row)

    def tokens(self, text: sge.Expr, counted: bool = False) -> sge.Expr:
        return self.dialect.full_text_tokens(text, self._token.copy(), GRAMMAR, counted)

    def runs(self, text: sge.Expr, lexeme: Lexeme) -> sge.Expr:
        return self.dialect.full_text_runs(text, self._letter.copy(), lexeme, GRAMMAR)

    def all_tokens(self, tree: Node) -> sge.Expr:
        """The document's tokens in order; such as no word of the query can be may be empty.

        Only columns with any text are read, those beside each other as one text.
        """
        lists: list[sge.Expr] = []
        texts: list[sge.Expr] = []
        places = zip(*(self.term(word).columns for word in words_of(tree)), strict=True)
        for (name, type), places_of_words in zip(self._columns, places, strict=True):
            number = TOKENS_OF_VALUE.get(type)
            if number is None or any(each is not Place.NOWHERE for each in places_of_words):
                texts.append(self.text(name, type))
                continue
            if type == "timestamptz" and not self._whole_row:
                number -= 1
            if texts:
                lists.append(self.tokens(self.dialect.full_text_document(texts), counted=True))
                texts = []
            lists.append(self.dialect.full_text_blanks(column(name), number))
        if texts:
            lists.append(self.tokens(self.dialect.full_text_document(texts), counted=True))
        return lists[0] if len(lists) == 1 else self.dialect.full_text_joined(lists)

    def term(self, word: Word) -> Term:
        return self.form.terms[int(word.text)]

    def lexeme(self, word: Word) -> Lexeme:
        if word not in self._lexemes:
            self._lexemes[word] = self._new_lexeme(word)
        return self._lexemes[word]

    def _new_lexeme(self, word: Word) -> Lexeme:
        term = self.term(word)
        return Lexeme(
            value=self.dialect.full_text_lexeme(self._value(term.text), word.language),
            stemmer=term.own,
            prefix=word.prefix,
            run=term.run,
            caseless=term.caseless,
            spellings=tuple(map(self._value, term.spelled)),
            stop_words=tuple(map(self._value, term.stopped)),
        )

    def _value(self, number: int) -> sge.Expr:
        return self._values[number].copy()

    # Phrases

    def _phrase_holds(self, node: Phrase) -> sge.Expr:
        matched = self.dialect.full_text_with(
            self.all_tokens(node), lambda tokens: self._phrase_matches(node, tokens)
        )
        # Reading a row's tokens in order is dear: first see that the words are there at all.
        needed = [self._occurs(word) for word in _required(node)]
        if not needed:
            return matched
        return sge.Case(ifs=[sge.If(this=all_of(*needed), true=matched)], default=sge.false())

    def _phrase_matches(self, node: Phrase, tokens: sge.Expr) -> sge.Expr:
        found = self._places(node, tokens)
        if found.inverted:
            return sge.true()
        return self.dialect.full_text_not_empty(found.places)

    def _places(self, node: Node, tokens: sge.Expr) -> _Positions:
        """As `TS_phrase_execute`, with sets in place of its merge."""
        if isinstance(node, Word):
            if not node.unweighted:
                return _Positions(self.dialect.full_text_no_positions())
            return _Positions(self.dialect.full_text_positions(tokens.copy(), self.lexeme(node)))
        if isinstance(node, Not):
            return _inverse(self._places(node.operand, tokens))
        parts = [self._places(each, tokens) for each in _operands(node)]
        if isinstance(node, Phrase):
            # Each ends before what follows it, which is as wide as it is.
            shifts = [0]
            for distance, part in zip(_distances(node), reversed(parts), strict=False):
                shifts.insert(0, shifts[0] + distance + part.width)
            width = shifts[0] + parts[0].width
        else:
            width = max(part.width for part in parts)
            shifts = [width - part.width for part in parts]
        parts = list(itertools.starmap(self._shifted, zip(parts, shifts, strict=True)))
        if isinstance(node, Or):
            return _inverse(self._all(list(map(_inverse, parts)), width))
        return self._all(parts, width)

    def _shifted(self, part: _Positions, distance: int) -> _Positions:
        if not distance:
            return part
        places = self.dialect.full_text_shift(part.places, distance)
        return dataclasses.replace(part, places=places)

    def _all(self, parts: Sequence[_Positions], width: int) -> _Positions:
        """Where all of them end: by halves, for functions of functions may not be of any depth."""
        if len(parts) == 1:
            return parts[0]
        half = len(parts) // 2
        return self._both(self._all(parts[:half], width), self._all(parts[half:], width), width)

    def _both(self, left: _Positions, right: _Positions, width: int) -> _Positions:
        dialect = self.dialect
        if left.inverted and right.inverted:
            union = dialect.full_text_union(left.places, right.places)
            return _Positions(union, width, inverted=True)
        if left.inverted:
            left, right = right, left
        if right.inverted:
            places = dialect.full_text_difference(left.places, right.places)
        else:
            places = dialect.full_text_intersection(left.places, right.places)
        return _Positions(places, width)


def _operands(node: And | Or | Phrase) -> list[Node]:
    """What is joined by one kind of operator, in order: trees of it may not be of any depth."""
    first: Node = node
    last: list[Node] = []
    while isinstance(first, type(node)):
        last.append(first.right)
        first = first.left
    return [first, *reversed(last)]


def _distances(node: Node) -> Iterator[int]:
    """Those between the operands of a phrase, from the last on."""
    while isinstance(node, Phrase):
        yield node.distance
        node = node.left


def _has_negation(node: Node) -> bool:
    if isinstance(node, Word):
        return False
    return isinstance(node, Not) or any(map(_has_negation, _operands(node)))


def _any_will_do(node: Node) -> bool:
    """Whether each of the words makes a row match, and nothing else does."""
    if isinstance(node, Or):
        return all(map(_any_will_do, _operands(node)))
    return isinstance(node, Word) and node.unweighted


def _required(node: Node) -> Iterator[Word]:
    """Words without which the node cannot hold."""
    if isinstance(node, Word):
        yield node
    elif isinstance(node, And | Phrase):
        yield from itertools.chain.from_iterable(map(_required, _operands(node)))


def _inverse(part: _Positions) -> _Positions:
    return dataclasses.replace(part, inverted=not part.inverted)


# sqlglot's builders copy what they are given; what is built here is nobody else's.


def all_of(*conditions: sge.Expr) -> sge.Expr:
    return sge.and_(*conditions, copy=False)


def any_of(*conditions: sge.Expr) -> sge.Expr:
    return sge.or_(*conditions, copy=False)
