"""Full-text search as trees: which rows a query matches, and how well, as PostgreSQL has it.

There is no index and no second copy of the data: a row's document is made from its columns when
it is searched. Where stock asks `_full_text @@ query`, the tree asks each column for each word.
The few things that only an engine can say are methods of its dialect, see `FullTextDialect`.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import sqlglot.expressions as sge

from ...model.query import ParameterNames
from ...model.recent import Recent
from .dialect import FullTextDialect, Lexeme
from .document import Document
from .parser import Search, parse, refuse
from .ranking import Ranking, real
from .terms import FieldType, form_of, words_of
from .words import GRAMMAR

__all__ = ["FullTextDialect", "Lexeme", "Search", "Trees", "check_length", "parse", "trees"]

# Most trees are of some 1,000 nodes, and these take 0.3 MB.
_KEPT_TREES = 30
_MOST_PLACES_KEPT = 60

# Of the trees of one request, which take some milliseconds for each place.
_MOST_WORDS = 100
_MOST_PLACES = 1_000
_FEW_WORDS = 3
"""Words of one search; fields that they are looked for in, word by word; words that may be looked
for in however many fields."""


def check_length(searches: Sequence[tuple[Search, Sequence[FieldType]]]) -> None:
    """Refuse searches whose trees would take too long to make.

    :param searches: all those of a request, each with the fields that it is for
    :raises InvalidRequest:
    """
    places = 0
    for search, columns in searches:
        words = sum(1 for _ in words_of(search.tree)) if search.tree else 0
        most = min(_MOST_WORDS, max(_FEW_WORDS, _MOST_PLACES // max(len(columns), 1)))
        places += words * len(columns)
        if words > most or (words > _FEW_WORDS and places > _MOST_PLACES):
            refuse(
                f"the query has {words} words; at most {most} can be searched for in "
                f"{len(columns)} fields at once"
            )


class Trees:
    """What a query comes to. The trees may be those of others too: nobody changes them.

    :ivar condition: which rows match: `vector @@ query`
    :ivar screen: a cheap test that all matching rows pass, and none besides whose rank is above
        zero; None where there is no such test, or where the rank does not tell which rows match
    """

    def __init__(self, document: Document | None) -> None:
        self._document = document
        self._rank: sge.Expr | None = None
        self.condition = document.condition() if document else sge.false()
        self.screen = document.screen() if document else None

    def rank(self) -> sge.Expr:
        """How well a matching row matches: `ts_rank(vector, query, 32)`. Made if asked for."""
        if self._rank is None:
            zero = real(sge.Literal.number(0))
            self._rank = Ranking(self._document).tree() if self._document else zero
        return self._rank


_kept: Recent[Hashable, Trees] = Recent(_KEPT_TREES)


def trees(
    search: Search,
    columns: Sequence[FieldType],
    dialect: FullTextDialect,
    names: ParameterNames,
    *,
    whole_row: bool = True,
) -> Trees:
    """
    :param columns: the fields of the document, in order
    :param names: gets the values of the placeholders
    :param whole_row: the document is the row (the stock `_full_text`), not one field alone
    """
    if search.tree is None or not columns:
        return Trees(None)
    form, values = form_of(search, search.tree, columns, whole_row)
    token, letter = names.bind(GRAMMAR.token), names.bind(GRAMMAR.letter)
    bound = [names.bind(each.value, each.type) for each in values]
    # One placeholder follows the other, so the name of the first tells those of all.
    key = (form, tuple(columns), dialect, token.name, whole_row)
    kept = _kept.get(key)
    if kept is None:
        kept = Trees(Document(form, columns, dialect, bound, token, letter, whole_row))
        if form.places <= _MOST_PLACES_KEPT:
            _kept.put(key, kept)
    return kept
