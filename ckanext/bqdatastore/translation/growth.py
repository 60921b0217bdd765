"""How much larger a tree becomes in the words of an engine, which is bounded."""

from __future__ import annotations

from ..model.tree_size import LARGEST, spend, too_large
from .terms import Expression

_SIZE = "size"


def size(tree: Expression) -> int:
    """Nodes in the tree, each as often as it stands there."""
    return _counted(tree)[0]


def grown(tree: Expression, before: int | None = None) -> None:
    """The tree is a translation: so large, and so much larger than what it was made of.

    :param before: nodes of the tree with its parts translated; None where they were moved about
    :raises InvalidRequest: it is too large, or all that was made for the statement
    """
    now, new = _counted(tree)
    tree.meta[_SIZE] = now
    if now > LARGEST:
        raise too_large()
    spend(new if before is None else now - before)


def _counted(tree: Expression) -> tuple[int, int]:
    """All nodes, and those in no part that was counted before; such a part is not walked again."""
    total, new, stack = 0, 0, [tree]
    while stack:
        node = stack.pop()
        known = node.meta.get(_SIZE) if node._meta else None
        if known is not None:
            total += known
        else:
            total, new = total + 1, new + 1
            stack.extend(node.iter_expressions())
    return total, new
