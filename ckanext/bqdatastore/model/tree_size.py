"""How large the trees of one statement may grow, counted where nodes are made.

A short text can stand for a tree without end: what is said twice of an operand is said four times
of the operand within it. Whoever repeats a part of a tree, or makes many nodes of one, says so
here before.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeVar

import sqlglot.expressions as sge

from .errors import InvalidRequest

LARGEST = 100_000
"""Nodes that may be made for one statement in all, of which no tree has more either."""

_Tree = TypeVar("_Tree", bound=sge.Expr)


class _Allowance:
    def __init__(self) -> None:
        self.left = LARGEST


_allowance: ContextVar[_Allowance | None] = ContextVar("allowance", default=None)


@contextmanager
def one_statement() -> Iterator[None]:
    """What is made within counts together; within another one it is part of that."""
    if _allowance.get() is not None:
        yield
        return
    token = _allowance.set(_Allowance())
    try:
        yield
    finally:
        _allowance.reset(token)


def spend(nodes: int) -> None:
    """So many nodes are going to be made.

    :raises InvalidRequest: they are more than there may be
    """
    allowance = _allowance.get()
    if allowance is None:
        return
    allowance.left -= nodes
    if allowance.left < 0:
        raise too_large()


def too_large() -> InvalidRequest:
    return InvalidRequest(
        "message", "The query is too large once translated; ask for less in one query"
    )


def copied(tree: _Tree) -> _Tree:
    """A copy of the tree, which is counted.

    :raises InvalidRequest: see `spend`
    """
    spend(sum(1 for _ in tree.walk()))
    return tree.copy()
