"""Stems in a statement for BigQuery, which has no stemmer: each is written out as its words.

For English these are known; for other languages somebody has to find those that there are.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

import pyarrow as pa
import sqlglot.expressions as sge

from ...model.errors import InvalidRequest
from ...model.query import Parameter, Query
from . import english_words, stemmer
from .forms import among, call, number

STEM = "STEM"
"""Of a word of the query and a language: its stem."""

HAS_STEM = "HAS_STEM"
"""Of a token, a stem, a language and whether a longer stem that begins so will do as well."""

# BigQuery takes requests of 10 MB. An element of a list is `{"value": "..."}, ` in it.
_MOST_BYTES = 8_000_000
_ELEMENT_BYTES = 15


class Stem(NamedTuple):
    """What tokens are asked for.

    :param prefix: whether a longer stem that begins so will do as well
    """

    text: str
    language: str
    prefix: bool


Words = Callable[[Stem], Sequence[str]]
"""The words of a stem that is not English, in order: all that are in the documents."""


def stems_of_list(query: Query) -> pa.RecordBatch | None:
    """The answer to a query for the stems of a list of words, which needs no BigQuery.

    None where the query is another.
    """
    stem = query.tree.find(sge.Anonymous)
    if stem is None or stem.name != STEM or not isinstance(stem.expressions[0], sge.Column):
        return None
    listed = query.tree.find(sge.Placeholder)
    assert listed is not None
    words = list(query.parameters[listed.name].value)
    stems = stemmer.stems(words, stem.expressions[1].name)
    return pa.record_batch(
        {"word": pa.array(words, pa.string()), "stem": pa.array(stems, pa.string())}
    )


def foreign(
    tree: sge.Expr, values: Mapping[str, Parameter]
) -> Iterator[tuple[sge.Anonymous, Stem]]:
    """The tree's tests for stems that are not English."""
    for each in tree.find_all(sge.Anonymous):
        if each.name == HAS_STEM and each.expressions[2].name != "english":
            yield each, _asked(each, values)


def with_stems(
    tree: sge.Expr, values: Mapping[str, Parameter], words: Words
) -> tuple[sge.Expr, dict[str, Parameter]]:
    """The tree without `STEM` and `HAS_STEM`, and its parameters with what took their place.

    :raises InvalidRequest: there are more words than BigQuery takes
    """
    bound = dict(values)
    calls = [each for each in tree.find_all(sge.Anonymous) if each.name in (STEM, HAS_STEM)]
    if not calls:
        return tree, bound
    tree = tree.copy()

    def bind(value: object, type: str) -> sge.Placeholder:
        for name, known in bound.items():
            if known == Parameter(value, type):
                return sge.Placeholder(this=name)
        name = f"stem{len(bound)}"
        bound[name] = Parameter(value, type)
        return sge.Placeholder(this=name)

    def one_of(token: sge.Expr, words: Sequence[str]) -> sge.Expr:
        if not words:
            return sge.false()
        # All begin in the same way: most tokens need not be looked up, and stems of one kind have
        # the same endings.
        start = _common_start(words[0], words[-1])
        ends = tuple(word[len(start) :] for word in words)
        end = call("SUBSTR", token.copy(), number(len(start) + 1))
        begins = call("STARTS_WITH", token, bind(start, "text"))
        return sge.paren(sge.and_(begins, among(end, bind(ends, "_text"))))

    def known(node: sge.Expr) -> sge.Expr:
        if not isinstance(node, sge.Anonymous):
            return node
        if node.name == STEM:
            return bind(_stem_text(node, bound), "text")
        if node.name != HAS_STEM:
            return node
        token, asked = node.expressions[0], _asked(node, bound)
        if asked.language != "english":
            return one_of(token, words(asked))
        if not asked.prefix:
            return one_of(token, english_words.words(asked.text))
        longer = call("STARTS_WITH", token.copy(), bind(asked.text, "text"))
        others = one_of(token, english_words.words_of_prefix(asked.text))
        return sge.paren(sge.or_(longer, others))

    tree = tree.transform(known, copy=False)
    used = {each.name for each in tree.find_all(sge.Placeholder)}
    bound = {name: value for name, value in bound.items() if name in used}
    _refuse_too_many(bound.values())
    return tree, bound


def _asked(test: sge.Anonymous, values: Mapping[str, Parameter]) -> Stem:
    _, stem, language, prefix = test.expressions
    return Stem(_stem_text(stem, values), language.name, bool(prefix.this))


def _stem_text(stem: sge.Expr, values: Mapping[str, Parameter]) -> str:
    if isinstance(stem, sge.Anonymous):
        word, language = stem.expressions
        return stemmer.stem(str(values[word.name].value), language.name)
    return str(values[stem.name].value)


def _common_start(a: str, b: str) -> str:
    same = itertools.takewhile(lambda pair: pair[0] == pair[1], zip(a, b, strict=False))
    return "".join(letter for letter, _ in same)


def _refuse_too_many(parameters: Iterable[Parameter]) -> None:
    """
    :raises InvalidRequest: the lists of words are longer than BigQuery takes
    """
    lists = [each.value for each in parameters if each.type == "_text"]
    size = sum(len(text.encode()) + _ELEMENT_BYTES for texts in lists for text in texts)
    if size > _MOST_BYTES:
        raise InvalidRequest(
            "q",
            "The query has too many words: with all their forms they are longer than BigQuery "
            "takes. Ask for fewer.",
        )
