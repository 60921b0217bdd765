"""What every reader of PostgreSQL's syntax tree needs: its fields, its names, its refusals."""

from __future__ import annotations

from typing import Any

import sqlglot.expressions as sge
from pglast import ast

from ckanext.bqdatastore.model.errors import InvalidRequest

_PLACES = frozenset({"location", "stmt_location", "stmt_len", "rexpr_list_start", "rexpr_list_end"})


def refused(node: Any) -> InvalidRequest:
    """The error for a kind of node that is not allowed, in the stock backend's words."""
    return InvalidRequest("message", f"Invalid query AST element: {type(node).__name__}")


def fields(node: ast.Node, allowed: str) -> None:
    """Refuse a node that sets any field but those named (separated by spaces)."""
    names = allowed.split()
    for field in node:
        value = getattr(node, field)
        if field in _PLACES or field in names or value is None or value is False or value == ():
            continue
        if isinstance(value, int) and value == 0:
            continue
        raise InvalidRequest("message", f"Invalid query AST element: {type(node).__name__}.{field}")


def identifier(name: str) -> sge.Identifier:
    """A name as PostgreSQL has read it: already folded, so exact from here on."""
    return sge.to_identifier(name, quoted=True)


def name_of(node: Any) -> str | None:
    """The output name that PostgreSQL gives an expression; None where it says `?column?`.

    The rules of `FigureColname` in PostgreSQL's `parse_target.c`.
    """
    return _figured(node)[0]


def _figured(node: Any) -> tuple[str | None, int]:
    """A name and its strength: a weak one gives way to a cast's or a CASE's own."""
    rule = _NAMES.get(type(node))
    return rule(node) if rule else (None, 0)


def _of_cast(node: Any) -> tuple[str | None, int]:
    name, strength = _figured(node.arg)
    return (name, strength) if strength > 1 else (node.typeName.names[-1].sval, 1)


def _of_case(node: Any) -> tuple[str | None, int]:
    name, strength = _figured(node.defresult)
    return (name, strength) if strength > 1 else ("case", 1)


def _of_column(node: Any) -> tuple[str | None, int]:
    last = node.fields[-1]
    return (last.sval, 2) if isinstance(last, ast.String) else (None, 0)


def _of_indirection(node: Any) -> tuple[str | None, int]:
    for part in reversed(node.indirection):
        if isinstance(part, ast.String):
            return part.sval, 2
    return _figured(node.arg)


def _of_sublink(node: Any) -> tuple[str | None, int]:
    kind = node.subLinkType.name
    if kind == "EXPR_SUBLINK":
        select = node.subselect
        while select.larg:
            select = select.larg
        if not select.targetList:
            return "column1", 2
        target = select.targetList[0]
        return (target.name, 2) if target.name else _figured(target.val)
    named = {"EXISTS_SUBLINK": ("exists", 2), "ARRAY_SUBLINK": ("array", 2)}
    return named.get(kind, (None, 0))


def _of_operator(node: Any) -> tuple[str | None, int]:
    return ("nullif", 2) if node.kind.name == "AEXPR_NULLIF" else (None, 0)


def _of_value(node: Any) -> tuple[str | None, int]:
    name = node.op.name.removeprefix("SVFOP_").removesuffix("_N").lower()
    return name, 2


_NAMES: dict[type, Any] = {
    ast.ColumnRef: _of_column,
    ast.A_Indirection: _of_indirection,
    ast.FuncCall: lambda node: (node.funcname[-1].sval, 2),
    ast.A_Expr: _of_operator,
    ast.TypeCast: _of_cast,
    ast.CollateClause: lambda node: _figured(node.arg),
    ast.GroupingFunc: lambda node: ("grouping", 2),
    ast.SubLink: _of_sublink,
    ast.CaseExpr: _of_case,
    ast.A_ArrayExpr: lambda node: ("array", 2),
    ast.RowExpr: lambda node: ("row", 2),
    ast.CoalesceExpr: lambda node: ("coalesce", 2),
    ast.MinMaxExpr: lambda node: (("least" if node.op else "greatest"), 2),
    ast.SQLValueFunction: _of_value,
}
