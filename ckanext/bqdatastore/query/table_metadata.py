"""`_table_metadata`: the list of tables and aliases, which the stock backend keeps as a view."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping, Sequence

import sqlglot.expressions as sge

from ..model.query import RESOURCES
from ..model.table import ID, Table

NAME = "_table_metadata"

TYPES = {ID: "int", "name": "name", "oid": "oid", "alias_of": "name"}


@dataclasses.dataclass(frozen=True)
class Listing(Table):
    """The list as a table that SQL can read.

    :param rows: names, each with what it is an alias of
    """

    rows: tuple[tuple[str, str | None], ...] = ()

    @property
    def types(self) -> dict[str, str]:
        return {**TYPES, ID: "text"}


def listing(tables: Sequence[str], aliases: Mapping[str, str]) -> Listing:
    return Listing(NAME, (), rows=tuple(_rows(tables, aliases)))


def listed(tree: sge.Expr, rows: Listing) -> sge.Expr:
    """A translated query with the list itself where its name stands; the tree is changed."""
    for table in list(tree.find_all(sge.Table)):
        if table.db == RESOURCES and table.name == NAME:
            table.replace(_relation(rows.rows, table.alias))
    return tree


def relation(tables: Sequence[str], aliases: Mapping[str, str]) -> sge.Expr:
    """The list as an inline relation; `_id` and `oid` are made from the names."""
    return _relation(_rows(tables, aliases), NAME)


def _rows(tables: Sequence[str], aliases: Mapping[str, str]) -> list[tuple[str, str | None]]:
    return [*((name, None) for name in tables), *aliases.items()]


def _relation(rows: Sequence[tuple[str, str | None]], alias: str) -> sge.Expr:
    name = sge.to_identifier(alias, quoted=True)
    values = [
        sge.Tuple(
            expressions=[
                sge.Literal.string(_digest(each, alias_of)[:16]),
                sge.Literal.string(each),
                sge.Literal.number(int(_digest(each, "")[:7], 16)),
                sge.Literal.string(alias_of) if alias_of else sge.cast(sge.null(), "text"),
            ]
        )
        for each, alias_of in rows or [("", None)]
    ]
    columns = [sge.to_identifier(column, quoted=True) for column in TYPES]
    listed = sge.Values(expressions=values, alias=sge.TableAlias(this=name, columns=columns))
    if rows:
        return listed
    # VALUES has a row at least, whose types count.
    return sge.select("*").from_(listed).where(sge.false()).subquery(name.copy())


def _digest(name: str, alias_of: str | None) -> str:
    return hashlib.md5(f"{name}{alias_of or ''}".encode(), usedforsecurity=False).hexdigest()
