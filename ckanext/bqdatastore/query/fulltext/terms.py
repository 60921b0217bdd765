"""What a query's words are to the columns of a document, apart from their letters.

That is all that the trees depend on, so queries of words of one form have the same trees, with
other values.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator, Sequence
from enum import Enum

from ...model.query import Parameter
from .parser import Node, Not, Search, Word, stemmer, stop_words
from .values import date_parts, is_value, may_have, only_value
from .words import is_run, spellings

FieldType = tuple[str, str]
"""A field's id and the name of its type."""

ROW_LANGUAGE = "english"
"""The stock trigger makes `_full_text` in PostgreSQL's default configuration, whatever language a
query is in."""


class Place(Enum):
    """Where a column may have a word, if it can only be the whole of a value or a part of it."""

    NOWHERE = "nowhere"
    AMONG_OTHERS = "among others"


@dataclasses.dataclass(frozen=True)
class Whole:
    """The column must equal one of the query's values.

    :param value: its number
    :param type: as which it is compared: `int8` or `text`
    """

    value: int
    type: str


@dataclasses.dataclass(frozen=True)
class DatePart:
    """One of these parts of the column must equal one of the query's values, a number."""

    value: int
    parts: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class Term:
    """What is to be known of one of a query's words.

    The numbers are those of the query's values.

    :param text: the word
    :param own: the language whose stemmer makes the document's lexemes for such words
    :param run: whether its tokens are runs of letters and digits
    :param caseless: whether it is of signs that are no letters of any script
    :param spelled: tokens that have the lexeme for sure
    :param stopped: tokens that are not in a document, although they may share the lexeme
    :param columns: for each of the document's columns, how it may have the word
    :param repeats: the query's earlier terms that may have the same lexeme
    """

    text: int
    own: str | None
    run: bool
    caseless: bool
    spelled: tuple[int, ...]
    stopped: tuple[int, ...]
    columns: tuple[Place | Whole | DatePart, ...]
    repeats: tuple[int, ...]


@dataclasses.dataclass(frozen=True)
class Form:
    """A query without its letters.

    :param tree: with numbers in place of its different words
    :param terms: of these, in order
    """

    tree: Node
    terms: tuple[Term, ...]

    @property
    def places(self) -> int:
        """In how many places words may be: as this grows, so do the trees."""
        places = itertools.chain.from_iterable(term.columns for term in self.terms)
        return sum(place is not Place.NOWHERE for place in places)


def form_of(
    search: Search, tree: Node, columns: Sequence[FieldType], whole_row: bool
) -> tuple[Form, Sequence[Parameter]]:
    """The form of a query of a document, and its values."""
    words = list(dict.fromkeys(words_of(tree)))
    values: dict[Parameter, int] = {}
    language = ROW_LANGUAGE if whole_row else search.language
    terms = tuple(
        _term(word, words[:position], language, columns, whole_row, values)
        for position, word in enumerate(words)
    )
    numbers = {word: str(position) for position, word in enumerate(words)}
    return Form(_numbered(tree, numbers), terms), list(values)


def words_of(tree: Node) -> Iterator[Word]:
    """The words of a tree of any depth, in order."""
    nodes = [tree]
    while nodes:
        node = nodes.pop()
        if isinstance(node, Word):
            yield node
        elif isinstance(node, Not):
            nodes.append(node.operand)
        else:
            nodes += (node.right, node.left)


def _numbered(node: Node, numbers: dict[Word, str]) -> Node:
    if isinstance(node, Word):
        return dataclasses.replace(node, text=numbers[node])
    if isinstance(node, Not):
        return Not(_numbered(node.operand, numbers))
    left, right = _numbered(node.left, numbers), _numbered(node.right, numbers)
    return dataclasses.replace(node, left=left, right=right)


def _term(
    word: Word,
    before: Sequence[Word],
    language: str,
    columns: Sequence[FieldType],
    whole_row: bool,
    values: dict[Parameter, int],
) -> Term:
    def number(value: object, type: str = "text") -> int:
        return values.setdefault(Parameter(value, type), len(values))

    def place(type: str) -> Place | Whole | DatePart:
        if not may_have(type, word):
            return Place.NOWHERE
        if is_value(word, type):
            only = only_value(type, word)
            return Place.NOWHERE if only is None else Whole(number(*only), only[1])
        parts = date_parts(word, type, whole_row)
        if parts is None:
            return Place.AMONG_OTHERS
        if not parts:
            return Place.NOWHERE
        return DatePart(number(int(word.text.lstrip("-t")), "int8"), tuple(parts))

    text = number(word.text)
    # The document's own stemmer, which need not be that of the query.
    own = stemmer(word.text, language)
    similar: Sequence[str] = ()
    if own is None:
        spelled = tuple(map(number, spellings(word.text)))
    else:
        stopped = stop_words(word.text, language)
        similar = [each for each in sorted(stopped) if _may_share_stem(each, word)]
        # The lexeme is the word's own by the stemmer of the query.
        spelled = (text,) if word.language == own and word.text not in stopped else ()
    return Term(
        text=text,
        own=own,
        run=is_run(word.text),
        caseless=word.text.isascii() and not any(map(str.isalpha, word.text)),
        spelled=spelled,
        stopped=tuple(map(number, similar)),
        columns=tuple(place(type) for _, type in columns),
        repeats=tuple(n for n, each in enumerate(before) if _may_be_one(each, word)),
    )


def _may_be_one(a: Word, b: Word) -> bool:
    """Whether two words may have the same lexeme."""
    return a.text == b.text or bool(a.language and b.language and a.text[0] == b.text[0])


def _may_share_stem(stop_word: str, word: Word) -> bool:
    """Whether a stop word may have the word's stem: as `does` has that of `doe`, `being` of `be`.

    English stems are words less at most four letters at the end.
    """
    shared = 1 if word.prefix else max(1, len(stop_word) - 4)
    return stop_word[:shared] == word.text[:shared]
