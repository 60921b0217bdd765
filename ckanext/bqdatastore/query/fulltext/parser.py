"""Text search queries as PostgreSQL's `plainto_tsquery` and `to_tsquery` read them.

`parse` gives a small tree of words; the grammar and the treatment of stop words are those of
`tsquery.c`, `to_tsany.c` and `tsquery_cleanup.c`.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

from ...model.errors import InvalidRequest
from .words import STOP_WORDS, is_word, tokens

SIMPLE = "simple"

_CONFIGURATIONS = """
    simple arabic basque catalan danish dutch english finnish french german greek hindi
    hungarian indonesian irish italian lithuanian nepali norwegian portuguese romanian russian
    serbian spanish swedish tamil turkish
    """
LANGUAGES = frozenset(_CONFIGURATIONS.split())
"""The configurations of PostgreSQL for which engines have a stemmer of the same make."""

_ENGLISH_FOR_ASCII = frozenset(["hindi", "russian"])
"""Configurations in which PostgreSQL treats words of ASCII letters as English."""

_MAX_DISTANCE = 16384

_DEEPEST = 30
"""Parentheses and negations within each other, at most."""


@dataclasses.dataclass(frozen=True)
class Word:
    """One operand.

    :param text: the token, in lower case and not stemmed
    :param language: whose stemmer makes the lexeme; None where the token is the lexeme
    :param prefix: whether any lexeme that begins so will do (`:*`)
    :param unweighted: whether a lexeme without a weight will do (all in the DataStore are so)
    """

    text: str
    language: str | None
    prefix: bool = False
    unweighted: bool = True


@dataclasses.dataclass(frozen=True)
class Not:
    operand: Node


@dataclasses.dataclass(frozen=True)
class And:
    left: Node
    right: Node


@dataclasses.dataclass(frozen=True)
class Or:
    left: Node
    right: Node


@dataclasses.dataclass(frozen=True)
class Phrase:
    """`left <distance> right`"""

    left: Node
    right: Node
    distance: int


Node = Word | Not | And | Or | Phrase


@dataclasses.dataclass(frozen=True)
class Search:
    """A parsed query.

    :param tree: None where no word but stop words is asked for: such a query matches nothing
    :param language: the configuration, a member of `LANGUAGES`
    """

    tree: Node | None
    language: str


def parse(text: str, *, language: str = "english", plain: bool = True) -> Search:
    """The query that `text` asks.

    :param plain: every word must occur (`plainto_tsquery`); else `text` has operators
    :raises InvalidRequest: a syntax error, or there is no such language
    """
    name = language.lower().removeprefix("pg_catalog.")
    if name not in LANGUAGES:
        refuse(f'text search configuration "{language}" does not exist')
    if not plain:
        return Search(_Parser(text, name).query(), name)
    words = [word for word in _words(text, name) if word is not None]
    tree: Node | None = None
    for word in words:
        tree = word if tree is None else And(tree, word)
    return Search(tree, name)


def refuse(reason: str) -> NoReturn:
    """Say of a query what is wrong with it."""
    raise InvalidRequest("query", "Invalid query", {"info": {"orig": [reason]}})


def _words(text: str, language: str) -> list[Word | None]:
    """The tokens of `text` as operands, in order; None for a stop word."""
    return [
        None if is_word(token) and token in stop_words(token, language)
        else Word(token, stemmer(token, language))
        for token in tokens(text)
    ]  # fmt: skip


def stop_words(token: str, language: str) -> frozenset[str]:
    """The stop words that a configuration knows for words like `token`.

    Only those of English are known here; PostgreSQL has lists for 14 further languages.
    """
    english = language == "english" or (language in _ENGLISH_FOR_ASCII and token.isascii())
    return STOP_WORDS if english else frozenset()


def stemmer(token: str, language: str) -> str | None:
    if language == SIMPLE or not is_word(token):
        return None
    return "english" if language in _ENGLISH_FOR_ASCII and token.isascii() else language


@dataclasses.dataclass(frozen=True)
class _Operand:
    """A part of the query as written.

    :param node: None where only stop words are left of it
    :param before: how far the parent phrase's distance to the left grows by stop words removed
    :param after: the same to the right
    """

    node: Node | None
    before: int = 0
    after: int = 0


def _joined(kind: type[And] | type[Or], left: _Operand, right: _Operand) -> _Operand:
    if left.node is None and right.node is None:
        gap = max(left.before, right.before)
        return _Operand(None, gap, gap)
    if left.node is None:
        return right
    if right.node is None:
        return left
    return _Operand(kind(left.node, right.node))


def _followed(left: _Operand, right: _Operand, distance: int) -> _Operand:
    """`left <distance> right`; where a side is gone, its width goes to the neighbours."""
    if left.node is None and right.node is None:
        gap = left.before + distance + right.before
        return _Operand(None, gap, gap)
    if left.node is None:
        return _Operand(right.node, left.before + distance + right.before, right.after)
    if right.node is None:
        return _Operand(left.node, left.before, left.after + distance + right.after)
    phrase = Phrase(left.node, right.node, distance + left.after + right.before)
    return _Operand(phrase, left.before, right.after)


class _Parser:
    """Recursive descent over `|`, `&`, `<N>`, `!`, parentheses and operands, loosest first."""

    _PHRASE = re.compile(r"<(-|[0-9]+)>")
    _DELIMITERS = frozenset("!&|()")

    def __init__(self, text: str, language: str) -> None:
        self._text = text
        self._language = language
        self._position = 0
        self._depth = 0

    def query(self) -> Node | None:
        if not self._peek():
            return None
        operand = self._disjunction()
        if self._peek():
            self._syntax_error()
        return operand.node

    def _disjunction(self) -> _Operand:
        operand = self._conjunction()
        while self._take("|"):
            operand = _joined(Or, operand, self._conjunction())
        return operand

    def _conjunction(self) -> _Operand:
        operand = self._phrase()
        while self._take("&"):
            operand = _joined(And, operand, self._phrase())
        return operand

    def _phrase(self) -> _Operand:
        operand = self._negation()
        while (distance := self._take_distance()) is not None:
            operand = _followed(operand, self._negation(), distance)
        return operand

    def _negation(self) -> _Operand:
        if self._take("!"):
            with self._deeper():
                inner = self._negation()
            node = None if inner.node is None else Not(inner.node)
            return dataclasses.replace(inner, node=node)
        if self._take("("):
            with self._deeper():
                inner = self._disjunction()
            if not self._take(")"):
                self._syntax_error()
            return inner
        return self._operand()

    @contextmanager
    def _deeper(self) -> Iterator[None]:
        self._depth += 1
        if self._depth > _DEEPEST:
            refuse(f"the query has more than {_DEEPEST} parentheses and negations in each other")
        yield
        self._depth -= 1

    def _operand(self) -> _Operand:
        """One word, or several joined by `<->` where the text holds several tokens."""
        text = self._value()
        weights, prefix = self._weights()
        words = _words(text, self._language)
        # Stop words at either end leave no gap in the phrase; those in between do.
        while words and words[0] is None:
            words.pop(0)
        while words and words[-1] is None:
            words.pop()
        operand: _Operand | None = None
        for word in words:
            if word is not None:
                word = dataclasses.replace(
                    word, prefix=prefix, unweighted=not weights or "d" in weights
                )
            each = _Operand(word)
            operand = each if operand is None else _followed(operand, each, 1)
        return operand or _Operand(None)

    def _value(self) -> str:
        """The text of an operand, quotes and backslashes resolved."""
        character = self._peek()
        if not character:
            refuse(f'no operand in tsquery: "{self._text}"')
        if character in self._DELIMITERS or character == ":":
            self._syntax_error()
        quoted = self._take("'")
        letters: list[str] = []
        while self._position < len(self._text):
            character = self._text[self._position]
            if character == "\\":
                self._position += 1
                if self._position >= len(self._text):
                    refuse(f'there is no escaped character: "{self._text}"')
                character = self._text[self._position]
            elif quoted and character == "'":
                self._position += 1
                if self._text[self._position : self._position + 1] != "'":
                    if not letters:
                        self._syntax_error()
                    return "".join(letters)
            elif not quoted and (
                character in self._DELIMITERS or character.isspace() or character in ":<"
            ):
                break
            letters.append(character)
            self._position += 1
        if quoted or not letters:
            self._syntax_error()
        return "".join(letters)

    def _weights(self) -> tuple[frozenset[str], bool]:
        if self._text[self._position : self._position + 1] != ":":
            return frozenset(), False
        self._position += 1
        start = self._position
        while self._text[self._position : self._position + 1].lower() in tuple("abcd*"):
            self._position += 1
        letters = self._text[start : self._position].lower()
        return frozenset(letters) - {"*"}, "*" in letters

    def _peek(self) -> str:
        """The next character that is no space; empty at the end."""
        while self._text[self._position : self._position + 1].isspace():
            self._position += 1
        return self._text[self._position : self._position + 1]

    def _take(self, character: str) -> bool:
        if self._peek() != character:
            return False
        self._position += 1
        return True

    def _take_distance(self) -> int | None:
        self._peek()
        match = self._PHRASE.match(self._text, self._position)
        if match is None:
            return None
        self._position = match.end()
        distance = 1 if match[1] == "-" else int(match[1])
        if distance > _MAX_DISTANCE:
            refuse(
                "distance in phrase operator must be an integer value between zero and "
                f"{_MAX_DISTANCE} inclusive"
            )
        return distance

    def _syntax_error(self) -> NoReturn:
        refuse(f'syntax error in tsquery: "{self._text}"')
