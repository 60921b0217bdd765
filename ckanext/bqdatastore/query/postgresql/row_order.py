"""The order of a join that asks for none: for small tables, that of their rows.

SQL leaves it open. PostgreSQL joins small tables row by row, and clients that page through such a
join, or take its first rows, have come to rely on that.
"""

from __future__ import annotations

from collections.abc import Callable

import sqlglot.expressions as sge

from ckanext.bqdatastore.model.query import RESOURCES
from ckanext.bqdatastore.model.table import ID

from .catalogue import AGGREGATES
from .nodes import identifier

_MOST_ROWS = 1_000_000
"""So many rows, if each of one table met each of the others, are sorted in no time."""

_DEFINITE = ("order", "group", "having", "distinct")


def in_row_order(tree: sge.Query, rows: Callable[[str], float]) -> sge.Query:
    """A bound query, sorted by its tables' rows where it is a join of few that has no order.

    :param rows: how many rows a table has at most; asked only where it matters
    """
    if not isinstance(tree, sge.Select) or not tree.args.get("joins"):
        return tree
    if any(tree.args.get(key) for key in _DEFINITE) or _aggregates(tree):
        return tree
    sources = [tree.args["from_"].this, *(join.this for join in tree.args["joins"])]
    if not all(isinstance(source, sge.Table) and source.db == RESOURCES for source in sources):
        return tree
    meetings = 1.0
    for source in sources:
        meetings *= max(rows(source.name), 1)
        if meetings > _MOST_ROWS:
            return tree
    places = [sge.Column(this=identifier(ID), table=identifier(each.alias)) for each in sources]
    ordered = [sge.Ordered(this=place, desc=False, nulls_first=False) for place in places]
    tree.set("order", sge.Order(expressions=ordered))
    return tree


def _aggregates(tree: sge.Select) -> bool:
    return any(call.name in AGGREGATES for call in tree.find_all(sge.Anonymous))
