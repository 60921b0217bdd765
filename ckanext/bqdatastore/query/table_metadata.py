"""`_table_metadata`: the list of tables and aliases, which the stock backend keeps as a view."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence

import sqlglot.expressions as sge

from ..model.table import ID

NAME = "_table_metadata"

TYPES = {ID: "int", "name": "name", "oid": "oid", "alias_of": "name"}


def relation(tables: Sequence[str], aliases: Mapping[str, str]) -> sge.Expr:
    """The list as an inline relation; `_id` and `oid` are made from the names."""
    rows = [(name, None) for name in tables] + list(aliases.items())
    values = [
        sge.Tuple(
            expressions=[
                sge.Literal.string(_digest(name, alias_of)[:17]),
                sge.Literal.string(name),
                sge.Literal.number(int(_digest(name, "")[:7], 16)),
                sge.Literal.string(alias_of) if alias_of else sge.null(),
            ]
        )
        for name, alias_of in rows
    ]
    if not values:
        nothing = sge.select(*(sge.cast(sge.null(), "text").as_(name) for name in TYPES))
        return nothing.where(sge.false()).subquery(NAME)
    columns = [sge.to_identifier(name, quoted=True) for name in TYPES]
    return sge.Values(
        expressions=values,
        alias=sge.TableAlias(this=sge.to_identifier(NAME, quoted=True), columns=columns),
    )


def _digest(name: str, alias_of: str | None) -> str:
    return hashlib.md5(f"{name}{alias_of or ''}".encode(), usedforsecurity=False).hexdigest()
