"""Full-text search as trees: which rows a query matches, and how well, as PostgreSQL has it.

There is no index and no second copy of the data: a row's document is made from its columns when
it is searched. Where stock asks `_full_text @@ query`, the tree asks each column for each word.
The few things that only an engine can say are methods of its dialect, see `FullTextDialect`.
"""

from __future__ import annotations

import dataclasses
import itertools
import re
from collections.abc import Iterator, Sequence
from typing import Protocol

import sqlglot.expressions as sge

from ..model.fulltext import Body
from ..model.query import ParameterNames, column
from . import fulltext_words
from .fulltext_parser import And, Node, Not, Or, Phrase, Search, Word, parse, stemmer, stop_words
from .fulltext_words import GRAMMAR, Grammar

__all__ = ["FullTextDialect", "Lexeme", "Search", "condition", "parse", "rank"]

FieldType = tuple[str, str]
"""A field's id and the name of its type."""

ROW_LANGUAGE = "english"
"""The stock trigger makes `_full_text` in PostgreSQL's default configuration, whatever language a
query is in."""


@dataclasses.dataclass(frozen=True)
class Lexeme:
    """A word of the query as a dialect looks for it in a document.

    :param value: the lexeme, a constant expression
    :param stemmer: the language whose stemmer makes a document's lexemes; None: tokens are lexemes
    :param prefix: whether a lexeme that begins with `value` will do
    :param run: whether its tokens are runs of letters and digits
    :param spellings: where tokens are lexemes, what the token pattern may match for this one
    :param stop_words: tokens which are not in the vector although they may share the lexeme
    """

    value: sge.Expr
    stemmer: str | None
    prefix: bool
    run: bool
    spellings: tuple[sge.Expr, ...]
    stop_words: tuple[sge.Expr, ...]


class FullTextDialect(Protocol):
    """What full-text search needs of an engine's dialect.

    Lists are arrays: of tokens (text), of positions (integers from 1). An argument is used as it
    is at most once, and copied for any further use.
    """

    def full_text_value(self, value: sge.Expr, type: str, in_row: bool) -> sge.Expr:
        """A value as text: as `row_to_json` shows it in a row, else as a cast to text does."""

    def full_text_lexeme(self, word: sge.Expr, stemmer: str | None) -> sge.Expr:
        """A word's lexeme."""

    def full_text_may_contain(self, text: sge.Expr, lexeme: Lexeme) -> sge.Expr | None:
        """A cheap test which every text with the lexeme passes; None where there is none."""

    def full_text_is_compound(self, text: sge.Expr, lexeme: Lexeme, grammar: Grammar) -> sge.Expr:
        """Whether the text's runs do not tell all about the lexeme."""

    def full_text_runs(self, text: sge.Expr, grammar: Grammar) -> sge.Expr:
        """The runs of letters and digits of a text."""

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


def condition(
    search: Search,
    columns: Sequence[FieldType],
    dialect: FullTextDialect,
    names: ParameterNames,
    *,
    whole_row: bool = True,
) -> sge.Expr:
    """Which rows match: `vector @@ query`.

    :param columns: the fields of the document, in order
    :param whole_row: the document is the row (the stock `_full_text`), not one field alone
    """
    if search.tree is None or not columns:
        return sge.false()
    return _Document(search, columns, dialect, names, whole_row).condition(search.tree)


def rank(
    search: Search,
    columns: Sequence[FieldType],
    dialect: FullTextDialect,
    names: ParameterNames,
    *,
    whole_row: bool = True,
) -> sge.Expr:
    """How well a matching row matches: `ts_rank(vector, query, 32)`; parameters as `condition`."""
    if search.tree is None or not columns:
        return _real(sge.Literal.number(0))
    return _Document(search, columns, dialect, names, whole_row).rank(search.tree)


_INTEGERS = frozenset(["int2", "int4", "int8", "int", "integer", "smallint", "bigint"])
_NUMBERS = _INTEGERS | {"float4", "float8", "numeric"}
_PLAIN = frozenset(["text", "varchar", "bpchar", "name"])
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

_TOKENS_OF_VALUE = {
    **dict.fromkeys(_NUMBERS, 1), "bool": 1, "date": 3, "time": 3, "timestamp": 6, "timestamptz": 8
}  # fmt: skip
"""How many tokens every value of a type has, in a row."""

_INT8 = range(-(2**63), 2**63)


def _may_have(type: str, word: Word) -> bool:
    """Whether a value of the type may have the word among its tokens."""
    if type not in _ALPHABETS:
        return True
    characters, words = _ALPHABETS[type]
    if fulltext_words.is_word(word.text):
        # Stems keep the first two letters of their words (but "dying", "lying", "tying").
        start = word.text[:2]
        if type == "uuid":
            return set(start) <= set(characters)
        return any(each.startswith(start) for each in words)
    return set(word.text) <= set(characters)


def _only_value(type: str, word: Word) -> tuple[object, str] | None:
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


def _is_value(word: Word, type: str) -> bool:
    """Whether the word, in a column of the type, can only be the whole of a value."""
    return type in _NUMBERS and not word.prefix and not fulltext_words.is_word(word.text)


def _date_parts(word: Word, type: str, in_row: bool) -> list[str] | None:
    """The parts of a date or time that the word may be; None where it may be more than one part.

    `2013-01-02T03:04:05+00:00`, as a row shows it, is `2013 -01 -02 t03 04 05 +00 00`.
    """
    if type not in _DATES | _TIMES or word.prefix or fulltext_words.is_word(word.text):
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


class _Document:
    """The trees for one query over one document."""

    def __init__(
        self,
        search: Search,
        columns: Sequence[FieldType],
        dialect: FullTextDialect,
        names: ParameterNames,
        whole_row: bool,
    ) -> None:
        self._columns = columns
        self._dialect = dialect
        self._names = names
        self._whole_row = whole_row
        self._language = ROW_LANGUAGE if whole_row else search.language
        self._lexemes: dict[Word, Lexeme] = {}
        self._token = names.bind(GRAMMAR.token)

    # Conditions

    def condition(self, tree: Node) -> sge.Expr:
        holds = self._holds(tree)
        if not _has_negation(tree):
            return holds
        # The vector of nothing but nulls is null, which matches no query, not even `!word`.
        given = [sge.not_(column(name).is_(sge.null())) for name, _ in self._columns]
        return sge.and_(sge.or_(*given), holds)

    def _holds(self, node: Node) -> sge.Expr:
        if isinstance(node, Word):
            return self._occurs(node)
        if isinstance(node, Not):
            return sge.not_(sge.func("coalesce", self._holds(node.operand), sge.false()))
        if isinstance(node, And):
            return sge.and_(self._holds(node.left), self._holds(node.right))
        if isinstance(node, Or):
            return sge.or_(self._holds(node.left), self._holds(node.right))
        return self._phrase_holds(node)

    def _occurs(self, word: Word) -> sge.Expr:
        """Whether a column has the word."""
        if not word.unweighted:
            return sge.false()
        tests = self._equal(word)
        columns = self._columns_with(word)
        if columns:
            tests.append(self._in_texts(self._lexeme(word), columns))
        return sge.or_(*tests) if tests else sge.false()

    def _in_texts(self, lexeme: Lexeme, columns: Sequence[FieldType]) -> sge.Expr:
        """Whether one of the columns, as text, has the lexeme.

        The pattern of tokens takes milliseconds to compile wherever it is written, so it is
        written once, for all columns. In plain text, runs of letters and digits mostly do.
        """
        dialect = self._dialect
        result = dialect.full_text_contains(self._tokens(self._document(columns, lexeme)), lexeme)
        plain = [self._text(name, type) for name, type in columns if type in _PLAIN]
        other = [self._text(name, type) for name, type in columns if type not in _PLAIN]
        cheap = [test for text in [*plain, *other] for test in self._possible(text, lexeme)]
        if lexeme.run and cheap:
            sure: list[sge.Expr] = []
            unsure = [test for text in other for test in self._possible(text, lexeme)]
            for text in plain:
                compound = dialect.full_text_is_compound(text.copy(), lexeme, GRAMMAR)
                runs = dialect.full_text_runs(text.copy(), GRAMMAR)
                found = dialect.full_text_contains(runs, lexeme)
                possible = self._possible(text, lexeme)
                sure.append(sge.and_(*possible, sge.not_(compound), found))
                unsure.append(sge.and_(*possible, compound))
            ifs = [sge.If(this=sge.or_(*sure), true=sge.true())] if sure else []
            ifs.append(sge.If(this=sge.or_(*unsure), true=result))
            result = sge.Case(ifs=ifs, default=sge.false())
        return sge.and_(sge.or_(*cheap), result) if cheap else result

    def _possible(self, text: sge.Expr, lexeme: Lexeme) -> list[sge.Expr]:
        """The cheap test which rules the lexeme out for most texts, if there is one."""
        test = self._dialect.full_text_may_contain(text.copy(), lexeme)
        return [] if test is None else [test]

    def _document(self, columns: Sequence[FieldType], lexeme: Lexeme) -> sge.Expr:
        """Those of the columns that may have the lexeme, as one text."""
        texts = []
        for name, type in columns:
            text = self._text(name, type)
            for cheap in self._possible(text, lexeme):
                text = sge.Case(ifs=[sge.If(this=cheap, true=text)])
            texts.append(text)
        return self._dialect.full_text_document(texts)

    def _columns_with(self, word: Word) -> list[FieldType]:
        """The columns that may have the word among other tokens."""
        return [
            (name, type)
            for name, type in self._columns
            if _may_have(type, word)
            and not _is_value(word, type)
            and _date_parts(word, type, self._whole_row) is None
        ]

    def _equal(self, word: Word) -> list[sge.Expr]:
        """Tests of columns, or of their parts, which can have the word only as the whole."""
        tests: list[sge.Expr] = []
        for name, type in self._columns:
            if not _may_have(type, word):
                continue
            if _is_value(word, type) and (only := _only_value(type, word)) is not None:
                value, bound_as = only
                own = column(name) if bound_as == "int8" else self._text(name, type)
                tests.append(sge.EQ(this=own, expression=self._names.bind(value, bound_as)))
            for part in _date_parts(word, type, self._whole_row) or ():
                number = self._names.bind(int(word.text.lstrip("-t")), "int8")
                own = self._dialect.full_text_date_part(column(name), part)
                tests.append(sge.EQ(this=own, expression=number))
        return tests

    def _text(self, name: str, type: str) -> sge.Expr:
        return self._dialect.full_text_value(column(name), type, self._whole_row)

    def _tokens(self, text: sge.Expr, counted: bool = False) -> sge.Expr:
        return self._dialect.full_text_tokens(text, self._token.copy(), GRAMMAR, counted)

    def _all_tokens(self, tree: Node) -> sge.Expr:
        """The document's tokens in order; such as no word of the query can be may be empty.

        Only columns with any text are read, those beside each other as one text.
        """
        lists: list[sge.Expr] = []
        texts: list[sge.Expr] = []
        for name, type in self._columns:
            number = _TOKENS_OF_VALUE.get(type)
            if number is None or any(_may_have(type, word) for word in _words(tree)):
                texts.append(self._text(name, type))
                continue
            if type == "timestamptz" and not self._whole_row:
                number -= 1
            if texts:
                lists.append(self._tokens(self._dialect.full_text_document(texts), counted=True))
                texts = []
            lists.append(self._dialect.full_text_blanks(column(name), number))
        if texts:
            lists.append(self._tokens(self._dialect.full_text_document(texts), counted=True))
        return lists[0] if len(lists) == 1 else self._dialect.full_text_joined(lists)

    def _lexeme(self, word: Word) -> Lexeme:
        if word not in self._lexemes:
            self._lexemes[word] = self._new_lexeme(word)
        return self._lexemes[word]

    def _new_lexeme(self, word: Word) -> Lexeme:
        value = self._dialect.full_text_lexeme(self._names.bind(word.text), word.language)
        run = fulltext_words.is_run(word.text)
        # The document's own stemmer, which need not be that of the query.
        own = stemmer(word.text, self._language)
        if own is None:
            others = fulltext_words.spellings(word.text)[1:]
            return Lexeme(value, None, word.prefix, run, (value, *self._bound(others)), ())
        similar = [
            each
            for each in sorted(stop_words(word.text, self._language))
            if _may_share_stem(each, word)
        ]
        return Lexeme(value, own, word.prefix, run, (), self._bound(similar))

    def _bound(self, texts: Sequence[str]) -> tuple[sge.Expr, ...]:
        return tuple(self._names.bind(text) for text in texts)

    # Phrases

    def _phrase_holds(self, node: Phrase) -> sge.Expr:
        matched = self._dialect.full_text_with(
            self._all_tokens(node), lambda tokens: self._phrase_matches(node, tokens)
        )
        # Reading a row's tokens in order is dear: first see that the words are there at all.
        needed = [self._occurs(word) for word in _required(node)]
        if not needed:
            return matched
        return sge.Case(ifs=[sge.If(this=sge.and_(*needed), true=matched)], default=sge.false())

    def _phrase_matches(self, node: Phrase, tokens: sge.Expr) -> sge.Expr:
        found = self._places(node, tokens)
        if found.inverted:
            return sge.true()
        return self._dialect.full_text_not_empty(found.places)

    def _places(self, node: Node, tokens: sge.Expr) -> _Positions:
        """As `TS_phrase_execute`, with sets in place of its merge."""
        if isinstance(node, Word):
            if not node.unweighted:
                return _Positions(self._dialect.full_text_no_positions())
            return _Positions(self._dialect.full_text_positions(tokens.copy(), self._lexeme(node)))
        if isinstance(node, Not):
            return _inverse(self._places(node.operand, tokens))
        left = self._places(node.left, tokens)
        right = self._places(node.right, tokens)
        if isinstance(node, Phrase):
            return self._both(
                self._shifted(left, node.distance + right.width),
                right,
                node.distance + left.width + right.width,
            )
        width = max(left.width, right.width)
        left = self._shifted(left, width - left.width)
        right = self._shifted(right, width - right.width)
        if isinstance(node, And):
            return self._both(left, right, width)
        return _inverse(self._both(_inverse(left), _inverse(right), width))

    def _shifted(self, part: _Positions, distance: int) -> _Positions:
        if not distance:
            return part
        places = self._dialect.full_text_shift(part.places, distance)
        return dataclasses.replace(part, places=places)

    def _both(self, left: _Positions, right: _Positions, width: int) -> _Positions:
        dialect = self._dialect
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

    # Ranks

    def rank(self, tree: Node) -> sge.Expr:
        """`calc_rank`: by the kind of the topmost node, over the query's different lexemes."""
        words = list(dict.fromkeys(_words(tree)))
        if isinstance(tree, And | Phrase) and len(words) > 1:
            # Where no two words occur together PostgreSQL says 1e-20, not 0.
            return _real(sge.func("greatest", _share(self._rank_and(tree, words)), _double(1e-20)))
        return _real(_share(self._rank_or(words)))

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
        return sge.Mul(this=_sum(terms), expression=sge.paren(each))

    def _weight(self, word: Word) -> sge.Expr:
        """How much one word's occurrences weigh."""
        dialect = self._dialect
        lexeme = self._lexeme(word)
        if word.prefix:
            return dialect.full_text_prefix_weight(self._all_tokens(word), lexeme)
        counts = [_number_if(test, sge.Literal.number(1)) for test in self._equal(word)]
        columns = self._columns_with(word)
        if columns:
            counts.append(self._count_in_texts(lexeme, columns))
        return dialect.full_text_weight(_sum(counts)) if counts else _double(0.0)

    def _count_in_texts(self, lexeme: Lexeme, columns: Sequence[FieldType]) -> sge.Expr:
        """How often the columns, as text, have the lexeme.

        Where runs of letters and digits do, each column is counted by itself: an engine has a
        column's different texts once.
        """
        dialect = self._dialect
        tokens = self._tokens(self._document(columns, lexeme))
        result = dialect.full_text_count(tokens, lexeme)
        texts = [(self._text(name, type), type in _PLAIN) for name, type in columns]
        possible = [(text, plain, self._possible(text, lexeme)) for text, plain in texts]
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
            unsure.append(sge.and_(*tests, dialect.full_text_is_compound(text, exact, GRAMMAR)))
            found = dialect.full_text_count(dialect.full_text_runs(text.copy(), GRAMMAR), lexeme)
            counts.append(_number_if(sge.and_(*tests), found))
        if not counts:
            return result
        return sge.Case(ifs=[sge.If(this=sge.or_(*unsure), true=result)], default=_sum(counts))

    def _rank_and(self, tree: Node, words: Sequence[Word]) -> sge.Expr:
        def of_tokens(tokens: sge.Expr) -> sge.Expr:
            lists = []
            for position, word in enumerate(words):
                places = self._dialect.full_text_positions(tokens.copy(), self._lexeme(word))
                same = self._repeats(words, position)
                if same is not None:
                    nowhere = self._dialect.full_text_no_positions()
                    places = sge.Case(ifs=[sge.If(this=same, true=nowhere)], default=places)
                lists.append(places)
            return self._dialect.full_text_proximity(lists)

        result = self._dialect.full_text_with(self._all_tokens(tree), of_tokens)
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
            sge.EQ(this=self._lexeme(own).value.copy(), expression=self._lexeme(each).value.copy())
            for each in words[:position]
            if each.text == own.text
            or (own.language and each.language and each.text[0] == own.text[0])
        ]
        return sge.or_(*tests) if tests else None


def _has_negation(node: Node) -> bool:
    if isinstance(node, Word):
        return False
    if isinstance(node, Not):
        return True
    return _has_negation(node.left) or _has_negation(node.right)


def _words(node: Node) -> Iterator[Word]:
    if isinstance(node, Word):
        yield node
    elif isinstance(node, Not):
        yield from _words(node.operand)
    else:
        yield from itertools.chain(_words(node.left), _words(node.right))


def _required(node: Node) -> Iterator[Word]:
    """Words without which the node cannot hold."""
    if isinstance(node, Word):
        yield node
    elif isinstance(node, And | Phrase):
        yield from itertools.chain(_required(node.left), _required(node.right))


def _inverse(part: _Positions) -> _Positions:
    return dataclasses.replace(part, inverted=not part.inverted)


def _may_share_stem(stop_word: str, word: Word) -> bool:
    """Whether a stop word may have the word's stem: as `does` has that of `doe`, `being` of `be`.

    English stems are words less at most four letters at the end.
    """
    shared = 1 if word.prefix else max(1, len(stop_word) - 4)
    return stop_word[:shared] == word.text[:shared]


def _share(value: sge.Expr) -> sge.Expr:
    """Normalization 32: x / (x + 1)."""
    one = sge.Literal.number(1)
    more = sge.paren(sge.Add(this=one.copy(), expression=value))
    return sge.Sub(this=one, expression=sge.Div(this=one.copy(), expression=more))


def _sum(terms: Sequence[sge.Expr]) -> sge.Expr:
    total = terms[0]
    for term in terms[1:]:
        total = sge.Add(this=total, expression=term)
    return sge.paren(total) if len(terms) > 1 else total


def _number_if(test: sge.Expr, number: sge.Expr) -> sge.Expr:
    return sge.Case(ifs=[sge.If(this=test, true=number)], default=sge.Literal.number(0))


def _double(value: float) -> sge.Expr:
    return sge.cast(sge.Literal.number(repr(value)), "double")


def _real(value: sge.Expr) -> sge.Expr:
    """PostgreSQL's ranks are float4: rows that differ by less are equal."""
    return sge.cast(value, sge.DataType.build("float"))
