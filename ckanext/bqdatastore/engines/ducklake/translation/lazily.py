"""What PostgreSQL does not work out where it need not, and DuckDB would for every row.

A division by zero behind `b <> 0 AND`, or of a row that `FILTER` leaves out, is no error. DuckDB
keeps to that in a `CASE`, and in conditions of a whole query.
"""

from __future__ import annotations

from collections.abc import Iterator

import sqlglot.expressions as sge

from ckanext.bqdatastore.model.tree_size import copied
from ckanext.bqdatastore.translation.terms import Expression, when


def may_fail(tree: Expression) -> bool:
    """Whether there are values for which it is an error."""
    for node in tree.walk():
        if isinstance(node, sge.Anonymous) and node.name == "error":
            return True
        if isinstance(node, sge.Cast) and not isinstance(node.this, (sge.Literal, sge.Null)):
            return True
    return False


def connected(tree: sge.Connector) -> Expression:
    """`AND` or `OR`, whose later parts are worked out where the earlier ones have not decided."""
    if _is_condition(tree):
        return tree
    *earlier, last = _parts(tree, type(tree))
    if not any(may_fail(part) for part in (*earlier[1:], last)):
        return tree
    decided = sge.Boolean(this=isinstance(tree, sge.Or))
    branches = [
        (part if decided.this else sge.Not(this=sge.Paren(this=part)), decided.copy())
        for part in map(copied, earlier)
    ]
    return when(*branches, otherwise=tree)


def _parts(tree: Expression, kind: type[Expression]) -> Iterator[Expression]:
    inner = tree
    while isinstance(inner, sge.Paren):
        inner = inner.this
    if isinstance(inner, kind):
        yield from _parts(inner.this, kind)
        yield from _parts(inner.expression, kind)
    else:
        yield tree


def _is_condition(tree: sge.Connector) -> bool:
    """Whether it is a part of the same, or of what DuckDB does one after the other by itself."""
    around = tree.parent
    while isinstance(around, sge.Paren):
        around = around.parent
    if isinstance(around, type(tree)):
        return True
    while isinstance(around, (sge.Paren, sge.Connector)):
        around = around.parent
    return isinstance(around, (sge.Where, sge.Having)) and isinstance(around.parent, sge.Select)


def of_rows(call: Expression, condition: Expression) -> None:
    """Let an aggregate's arguments be worked out for the rows that its `FILTER` takes."""
    for argument in list(call.expressions):
        for value in _values(argument):
            if may_fail(value):
                kept = when((copied(condition), value.copy()), otherwise=sge.Null())
                kept.type = value.type
                value.replace(kept)


def _values(argument: Expression) -> Iterator[Expression]:
    if isinstance(argument, sge.Order):
        yield from _values(argument.this)
        yield from (ordered.this for ordered in argument.expressions)
    elif isinstance(argument, sge.Distinct):
        yield from list(argument.expressions)
    else:
        yield argument
