"""Large operands said once: DuckDB has no LET, but a lambda over a list of one struct is one.

What PostgreSQL does with a value is often said in several parts here, each of which has the value
in it. Nested in each other such calls would grow as powers of the number of parts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import sqlglot.expressions as sge

from ckanext.bqdatastore.model.tree_size import copied
from ckanext.bqdatastore.translation.growth import size
from ckanext.bqdatastore.translation.terms import Expression, fn

from .division import is_quotient, marked_as_quotient

LARGE = 40
"""Nodes beyond which an operand is not repeated. DuckDB works repeated ones out once by itself, and
faster than a lambda."""

_OPERANDS = "_operands"
_PLACE = "operand"

_NO_VALUES = (sge.Select, sge.SetOperation, sge.Any, sge.All, sge.Order, sge.Distinct, sge.Slice)
_FOREIGN = (sge.Column, sge.Query, sge.Window)


def with_operands_once(tree: Expression, rule: Callable[[Any], Expression]) -> Expression:
    """What `rule` makes of a node whose operands are translated.

    If one of them is large it sees names in their place. Where it says each of them once, they are
    put back; else they become members of one struct, and what the rule made a lambda over it.
    """
    hidden: list[Expression] = []
    if any(size(operand) > LARGE for operand in _operands(tree)):
        hidden = [operand for operand in _operands(tree) if not _is_constant(operand)]
    if not any(size(operand) > LARGE for operand in hidden):
        return rule(tree)
    for number, operand in enumerate(hidden):
        operand.replace(_named(f"v{number}", operand))
    result = rule(tree)
    places = _places(result, len(hidden))
    if max(map(len, places)) > 1 and not result.find(sge.Query):
        return _over_struct(hidden, result)
    for operand, found in zip(hidden, places, strict=True):
        for again, place in enumerate(found):
            value = copied(operand) if again else operand
            if place is result:
                result = value
            else:
                place.replace(value)
    return result


def _operands(tree: Expression) -> Iterator[Expression]:
    """The values that a node works with; not those of clauses, which are no values of one row."""
    for child in tree.iter_expressions():
        if isinstance(child, sge.Slice):
            yield from child.iter_expressions()
        elif isinstance(child.type, sge.DataType) and not isinstance(child, _NO_VALUES):
            yield child


def _is_constant(tree: Expression) -> bool:
    """Whether rules may want to see what it is."""
    calls = (call.name for call in tree.find_all(sge.Anonymous))
    return tree.find(*_FOREIGN) is None and all(name == "list_value" for name in calls)


def _named(name: str, operand: Expression) -> Expression:
    """A name in the place of an operand, of the same kind where that tells rules something."""
    member: Expression = sge.column(sge.to_identifier(name), table=sge.to_identifier(_OPERANDS))
    member.type = operand.type
    if isinstance(operand, sge.Cast):
        member = sge.Cast(this=member, to=operand.to.copy())
    elif not isinstance(operand, sge.Column):
        member = sge.Paren(this=member)
    member.type = operand.type
    member.meta[_PLACE] = True
    return marked_as_quotient(member) if is_quotient(operand) else member


def _places(tree: Expression, count: int) -> list[list[Expression]]:
    """Where each of the names stands."""
    found: list[list[Expression]] = [[] for _ in range(count)]
    for column in tree.find_all(sge.Column):
        if column.table == _OPERANDS:
            parent = column.parent
            whole = parent if parent is not None and parent.meta.get(_PLACE) else column
            found[int(column.name[1:])].append(whole)
    return found


def _over_struct(members: list[Expression], body: Expression) -> Expression:
    struct = sge.Struct(
        expressions=[
            sge.PropertyEQ(this=sge.to_identifier(f"v{number}"), expression=member)
            for number, member in enumerate(members)
        ]
    )
    over = sge.Lambda(this=body, expressions=[sge.to_identifier(_OPERANDS)])
    return fn("list_extract", fn("list_transform", fn("list_value", struct), over), 1)
