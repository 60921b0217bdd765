"""`_full_text`, which every table of the stock backend has: `SELECT *` shows it, so ours does.

Here it is no column but a call, `row_document(field, ...)`, which an engine makes a list of the
fields' texts. What PostgreSQL shows, the lexemes with their places, is made of the rows that leave
in the end (`query.fulltext.vectors`).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import sqlglot.expressions as sge

from ckanext.bqdatastore.model.table import ID

from . import types
from .nodes import identifier
from .scopes import Column, Names

FULL_TEXT = "_full_text"
ROW_DOCUMENT = "row_document"

_PAGE = "page"


def with_document(fields: Mapping[str, str]) -> dict[str, str]:
    """The columns of a table with `_full_text` where the stock backend has it."""
    return {ID: fields[ID], FULL_TEXT: types.TSVECTOR, **fields}


def computed(columns: Sequence[Column]) -> tuple[Column, ...]:
    """The columns of a table with the call in the place of `_full_text`."""
    of_row = [
        column
        for position, column in enumerate(columns)
        if column.type != types.TSVECTOR and position > 0  # the first is `_id`
    ]
    document = sge.Anonymous(
        this=ROW_DOCUMENT, expressions=[column.reference() for column in of_row]
    )
    return tuple(
        dataclasses.replace(column, tree=document) if column.type == types.TSVECTOR else column
        for column in columns
    )


def last(tree: sge.Query) -> sge.Query:
    """The query with its outermost documents made after all else: of the rows that leave alone.

    Sorting would else carry the texts of a whole table.
    """
    if not isinstance(tree, sge.Select) or tree.args.get("distinct") or tree.args.get("group"):
        return tree
    outputs = tree.expressions
    if not any(_is_document(output.this) for output in outputs):
        return tree
    names = Names()
    places: dict[sge.Expr, str] = {}
    for output in outputs:
        names.unique(output.alias)
        if isinstance(output.this, sge.Column):
            places.setdefault(output.this, output.alias)
    inner, added, outer = [], [], []
    for output in outputs:
        value: sge.Expr = _of_page(output.alias, output.this)
        kept = output
        if _is_document(output.this):
            for field in output.this.expressions:
                if field not in places:
                    places[field] = names.unique("field")
                    added.append(_named(field.copy(), places[field]))
            fields = [_of_page(places[field], field) for field in output.this.expressions]
            value = sge.Anonymous(this=ROW_DOCUMENT, expressions=fields)
            value.type = output.this.type
            # `ORDER BY` counts the outputs, so each keeps its place.
            kept = _named(sge.Null(), output.alias)
        inner.append(kept)
        outer.append(_named(value, output.alias))
    tree.set("expressions", inner + added)
    page = sge.Subquery(this=tree, alias=sge.TableAlias(this=identifier(_PAGE)))
    limit = tree.args.get("limit")
    return sge.Select(
        expressions=outer, from_=sge.From(this=page), limit=limit.copy() if limit else None
    )


def _is_document(tree: sge.Expr) -> bool:
    return isinstance(tree, sge.Anonymous) and tree.name == ROW_DOCUMENT


def _of_page(name: str, value: sge.Expr) -> sge.Column:
    column = sge.Column(this=identifier(name), table=identifier(_PAGE))
    column.type = value.type
    return column


def _named(value: sge.Expr, name: str) -> sge.Alias:
    return sge.Alias(this=value, alias=identifier(name))
