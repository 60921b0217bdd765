"""Full-text search as trees: which rows a query matches, and how well, as PostgreSQL has it.

There is no index and no second copy of the data: a row's document is made from its columns when
it is searched. Where stock asks `_full_text @@ query`, the tree asks each column for each word.
The few things that only an engine can say are methods of its dialect, see `FullTextDialect`.
"""

from __future__ import annotations

from collections.abc import Sequence

import sqlglot.expressions as sge

from ...model.query import ParameterNames
from .dialect import FullTextDialect, Lexeme
from .document import Document, FieldType
from .parser import Search, parse
from .ranking import Ranking, real

__all__ = ["FullTextDialect", "Lexeme", "Search", "condition", "parse", "rank", "screen"]


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
    return Document(search, columns, dialect, names, whole_row).condition(search.tree)


def screen(
    search: Search, columns: Sequence[FieldType], dialect: FullTextDialect, names: ParameterNames
) -> sge.Expr | None:
    """A cheap test that all matching rows pass, and none besides whose rank is above zero.

    None where there is no such test, or where ranks above zero do not tell which rows match.
    """
    if search.tree is None or not columns:
        return None
    return Document(search, columns, dialect, names, True).screen(search.tree)


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
        return real(sge.Literal.number(0))
    return Ranking(Document(search, columns, dialect, names, whole_row)).tree(search.tree)
