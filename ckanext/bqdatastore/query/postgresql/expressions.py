"""The expressions of PostgreSQL's syntax tree, turned into neutral sqlglot expressions.

Functions keep PostgreSQL's names (`Anonymous`), so that what is checked is what was called; SQL's
own spellings (`EXTRACT`, `POSITION`, `TRIM`, `AT TIME ZONE`) are calls of the functions they mean.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import sqlglot.expressions as sge
from pglast import ast, enums
from pglast.enums import A_Expr_Kind, BoolExprType, BoolTestType, CoercionForm, GroupingSetKind

from ckanext.bqdatastore.model import numbers
from ckanext.bqdatastore.model.errors import InvalidRequest, NotPermitted
from ckanext.bqdatastore.model.query import operand

from . import statements
from .nodes import fields, identifier, refused
from .types import type_of_name

BINARY: dict[str, type[sge.Binary]] = {
    "+": sge.Add,
    "-": sge.Sub,
    "*": sge.Mul,
    "/": sge.Div,
    "%": sge.Mod,
    "^": sge.Pow,
    "=": sge.EQ,
    "<>": sge.NEQ,
    "<": sge.LT,
    "<=": sge.LTE,
    ">": sge.GT,
    ">=": sge.GTE,
    "||": sge.DPipe,
}
"""Operators with a node of their own; every other one is an `Operator` with PostgreSQL's sign."""

_OTHER_OPERATORS_WORDS = """
~ ~* !~ !~* ~~ ~~* !~~ !~~* -> ->> #> #>> @> <@ ? ?| ?& && & | # << >> ^@ #-
"""

OTHER_OPERATORS = frozenset(_OTHER_OPERATORS_WORDS.split())

IN_SQL = frozenset({"grouping", "array"})
"""Calls that are SQL's own syntax here, no functions: none can be called, or forbidden, by name."""

_PREFIX: dict[str, str] = {"@": "abs", "|/": "sqrt", "||/": "cbrt"}
"""Prefix operators that are a function by another name."""

_VALUE_FUNCTIONS: dict[str, Callable[[], sge.Expr]] = {
    "SVFOP_CURRENT_DATE": sge.CurrentDate,
    "SVFOP_CURRENT_TIMESTAMP": lambda: call("now"),
    "SVFOP_LOCALTIMESTAMP": lambda: sge.Cast(
        this=call("now"), to=sge.DataType(this=sge.DType.TIMESTAMP)
    ),
}

_EXCLUSIONS = {
    "FRAMEOPTION_EXCLUDE_CURRENT_ROW": "CURRENT ROW",
    "FRAMEOPTION_EXCLUDE_GROUP": "GROUP",
    "FRAMEOPTION_EXCLUDE_TIES": "TIES",
}


def expression(node: Any) -> sge.Expr:
    """:raises InvalidRequest: a form that is not allowed
    :raises NotPermitted: a function that nobody may use
    """
    reader = _READERS.get(type(node))
    if reader is None:
        raise refused(node)
    return reader(node)


def call(name: str, *arguments: sge.Expr) -> sge.Anonymous:
    """A call of the function that PostgreSQL knows as `name`."""
    return sge.Anonymous(this=name, expressions=list(arguments))


def _column(node: Any) -> sge.Expr:
    fields(node, "fields")
    parts = list(node.fields)
    if len(parts) == 3 and isinstance(parts[0], ast.String) and parts[0].sval == "public":
        parts = parts[1:]
    if len(parts) > 2:
        raise InvalidRequest("query", "A column is named column, table.column or public.…")
    table = identifier(parts[0].sval) if len(parts) == 2 else None
    if isinstance(parts[-1], ast.A_Star):
        return sge.Column(this=sge.Star(), table=table) if table else sge.Star()
    return sge.Column(this=identifier(parts[-1].sval), table=table)


def _constant(node: Any) -> sge.Expr:
    fields(node, "isnull val")
    if node.isnull:
        return sge.Null()
    value = node.val
    if isinstance(value, ast.Integer):
        return sge.Literal.number(value.ival)
    if isinstance(value, ast.Float):
        return sge.Literal.number(_number(str(value.fval)))
    if isinstance(value, ast.Boolean):
        return sge.Boolean(this=value.boolval)
    if isinstance(value, ast.String):
        return sge.Literal.string(value.sval)
    raise refused(value)


def _number(text: str) -> str:
    """A number that does not fit an int4, in decimal digits; an exponent stays."""
    text = text.replace("_", "").lower()
    if text.startswith(("0x", "0o", "0b")):
        value = int(text, 0)
        if value >= 10**numbers.MOST_DIGITS:
            raise InvalidRequest("query", f"number out of range: {text[:50]}")
        return str(value)
    numbers.exact(text)
    return text.lstrip("0") if text.isdigit() else text


def _cast(node: Any) -> sge.Expr:
    fields(node, "arg typeName")
    value, unit = expression(node.arg), None
    kind = type_of_name(node.typeName)
    if isinstance(kind, tuple):
        kind, unit = kind
        if not (isinstance(value, sge.Literal) and value.name.strip().lstrip("-+").isdigit()):
            raise InvalidRequest("query", "INTERVAL with fields takes a whole number")
        value = sge.Literal.string(f"{value.name.strip()} {unit}")
    return sge.Cast(this=value, to=kind)


def _operator(node: Any) -> sge.Expr:
    fields(node, "kind name lexpr rexpr")
    return _OPERATORS[node.kind](node)


def _sign(node: Any) -> str:
    names: tuple[Any, ...] = getattr(node, "name", None) or node.operName
    if len(names) != 1:
        raise InvalidRequest("query", "OPERATOR(schema.name) is not supported")
    return names[0].sval


def _plain(node: Any) -> sge.Expr:
    sign = _sign(node)
    if isinstance(node.lexpr, ast.RowExpr) and isinstance(node.rexpr, ast.RowExpr):
        return _rows_compared(sign, node.lexpr, node.rexpr)
    right = operand(expression(node.rexpr))
    if node.lexpr is not None:
        return binary(sign, operand(expression(node.lexpr)), right)
    if sign == "-":
        if isinstance(right, sge.Literal) and not right.is_string:
            return sge.Paren(this=sge.Neg(this=right))
        return sge.Neg(this=right)
    if sign == "+":
        return right
    if sign == "~":
        return sge.BitwiseNot(this=right)
    if sign in _PREFIX:
        return call(_PREFIX[sign], right)
    raise InvalidRequest("query", f"operator does not exist: {sign}")


def binary(sign: str, left: sge.Expr, right: sge.Expr) -> sge.Expr:
    """`left sign right`, sides already in brackets where they need them."""
    if sign in BINARY:
        return BINARY[sign](this=left, expression=right)
    if sign in OTHER_OPERATORS:
        return sge.Operator(this=left, operator=sge.Var(this=sign), expression=right)
    raise InvalidRequest("query", f"operator does not exist: {sign}")


def _rows_compared(sign: str, left: Any, right: Any) -> sge.Expr:
    """`(a, b) = (c, d)`: member by member, as PostgreSQL defines it."""
    if sign not in ("=", "<>") or len(left.args) != len(right.args):
        raise InvalidRequest("query", f"Rows cannot be compared with {sign} here")
    pairs = zip(left.args, right.args, strict=True)
    sides = [binary(sign, operand(expression(a)), operand(expression(b))) for a, b in pairs]
    return _balanced(sge.And if sign == "=" else sge.Or, [operand(side) for side in sides])


def _quantified(node: Any) -> sge.Expr:
    kind = sge.Any if node.kind == A_Expr_Kind.AEXPR_OP_ANY else sge.All
    right = kind(this=operand(expression(node.rexpr)))
    return binary(_sign(node), operand(expression(node.lexpr)), right)


def _distinct(node: Any) -> sge.Expr:
    kind = sge.NullSafeNEQ if node.kind == A_Expr_Kind.AEXPR_DISTINCT else sge.NullSafeEQ
    return kind(this=operand(expression(node.lexpr)), expression=operand(expression(node.rexpr)))


def _nullif(node: Any) -> sge.Expr:
    return sge.Nullif(this=expression(node.lexpr), expression=expression(node.rexpr))


def _in(node: Any) -> sge.Expr:
    if isinstance(node.lexpr, ast.RowExpr):
        return _row_in(node)
    values = [expression(value) for value in node.rexpr]
    tree = sge.In(this=operand(expression(node.lexpr)), expressions=values)
    return tree if _sign(node) == "=" else sge.Not(this=sge.Paren(this=tree))


def _row_in(node: Any) -> sge.Expr:
    """`(a, b) IN ((1, 2), ...)`: equal to one of them."""
    if not all(isinstance(row, ast.RowExpr) for row in node.rexpr):
        raise InvalidRequest("query", "A row can only be in a list of rows")
    tests = [_rows_compared("=", node.lexpr, row) for row in node.rexpr]
    found = _balanced(sge.Or, [operand(test) for test in tests])
    return found if _sign(node) == "=" else sge.Not(this=operand(found))


def _matched(node: Any) -> sge.Expr:
    """`LIKE`, `ILIKE` and `SIMILAR TO` by their operators; an escape is a call beside it."""
    sign, pattern = _sign(node), node.rexpr
    escape = None
    if isinstance(pattern, ast.FuncCall) and _called(pattern) in _ESCAPED:
        pattern, *given = pattern.args or ()
        escape = expression(given[0]) if given else None
    kind = _PATTERNS[node.kind]
    tree: sge.Expr = kind(
        this=operand(expression(node.lexpr)), expression=operand(expression(pattern))
    )
    if escape is not None:
        tree = sge.Escape(this=tree, expression=escape)
    return sge.Not(this=sge.Paren(this=tree)) if sign.startswith("!") else tree


def _called(node: Any) -> str:
    return ".".join(part.sval for part in node.funcname)


_ESCAPED = ("pg_catalog.like_escape", "pg_catalog.similar_to_escape")
"""The calls that PostgreSQL's grammar makes of a pattern with an escape character."""

_PATTERNS: dict[A_Expr_Kind, type[sge.Binary]] = {
    A_Expr_Kind.AEXPR_LIKE: sge.Like,
    A_Expr_Kind.AEXPR_ILIKE: sge.ILike,
    A_Expr_Kind.AEXPR_SIMILAR: sge.SimilarTo,
}


def _between(node: Any) -> sge.Expr:
    value = operand(expression(node.lexpr))
    low, high = (operand(expression(bound)) for bound in node.rexpr)
    symmetric = "SYM" in node.kind.name or None
    tree = sge.Between(this=value, low=low, high=high, symmetric=symmetric)
    return sge.Not(this=sge.Paren(this=tree)) if "NOT" in node.kind.name else tree


_OPERATORS: dict[A_Expr_Kind, Callable[[Any], sge.Expr]] = {
    A_Expr_Kind.AEXPR_OP: _plain,
    A_Expr_Kind.AEXPR_OP_ANY: _quantified,
    A_Expr_Kind.AEXPR_OP_ALL: _quantified,
    A_Expr_Kind.AEXPR_DISTINCT: _distinct,
    A_Expr_Kind.AEXPR_NOT_DISTINCT: _distinct,
    A_Expr_Kind.AEXPR_NULLIF: _nullif,
    A_Expr_Kind.AEXPR_IN: _in,
    A_Expr_Kind.AEXPR_LIKE: _matched,
    A_Expr_Kind.AEXPR_ILIKE: _matched,
    A_Expr_Kind.AEXPR_SIMILAR: _matched,
    A_Expr_Kind.AEXPR_BETWEEN: _between,
    A_Expr_Kind.AEXPR_NOT_BETWEEN: _between,
    A_Expr_Kind.AEXPR_BETWEEN_SYM: _between,
    A_Expr_Kind.AEXPR_NOT_BETWEEN_SYM: _between,
}


def _boolean(node: Any) -> sge.Expr:
    fields(node, "boolop args")
    if node.boolop == BoolExprType.NOT_EXPR:
        return sge.Not(this=operand(expression(node.args[0])))
    kind = sge.And if node.boolop == BoolExprType.AND_EXPR else sge.Or
    return _balanced(kind, [operand(expression(argument)) for argument in node.args])


def _balanced(kind: type[sge.Connector], sides: Sequence[sge.Expr]) -> sge.Expr:
    """All sides connected, in a tree whose depth grows with the logarithm of their number."""
    if len(sides) == 1:
        return sides[0]
    middle = len(sides) // 2
    left, right = _balanced(kind, sides[:middle]), _balanced(kind, sides[middle:])
    return sge.Paren(this=kind(this=left, expression=right))


def _null_test(node: Any) -> sge.Expr:
    fields(node, "arg nulltesttype argisrow")
    tree = sge.Is(this=operand(expression(node.arg)), expression=sge.Null())
    return sge.Not(this=sge.Paren(this=tree)) if node.nulltesttype else tree


def _boolean_test(node: Any) -> sge.Expr:
    fields(node, "arg booltesttype")
    name = BoolTestType(node.booltesttype).name.removeprefix("IS_")
    value: sge.Expr = (
        sge.Null()
        if name.endswith("UNKNOWN")
        else sge.Boolean(this=name.removeprefix("NOT_") == "TRUE")
    )
    tree = sge.Is(this=operand(expression(node.arg)), expression=value)
    return sge.Not(this=sge.Paren(this=tree)) if name.startswith("NOT_") else tree


def _case(node: Any) -> sge.Expr:
    fields(node, "arg args defresult")
    tree = sge.Case(this=expression(node.arg) if node.arg else None)
    for branch in node.args:
        fields(branch, "expr result")
        tree.append("ifs", sge.If(this=expression(branch.expr), true=expression(branch.result)))
    if node.defresult is not None:
        tree.set("default", expression(node.defresult))
    return sge.Paren(this=tree)


def _coalesce(node: Any) -> sge.Expr:
    fields(node, "args")
    first, *rest = (expression(argument) for argument in node.args)
    return sge.Coalesce(this=first, expressions=rest)


def _extreme(node: Any) -> sge.Expr:
    fields(node, "op args")
    first, *rest = (expression(argument) for argument in node.args)
    return (sge.Least if node.op else sge.Greatest)(this=first, expressions=rest)


def _value_function(node: Any) -> sge.Expr:
    fields(node, "op typmod")
    make = _VALUE_FUNCTIONS.get(node.op.name)
    if make is None:
        name = node.op.name.removeprefix("SVFOP_").lower()
        raise NotPermitted(f"Not authorized to call function {name}")
    return make()


def _array(node: Any) -> sge.Expr:
    fields(node, "elements list_start list_end")
    return sge.Array(expressions=[expression(item) for item in node.elements or ()])


def _indirection(node: Any) -> sge.Expr:
    fields(node, "arg indirection")
    tree = operand(expression(node.arg))
    for part in node.indirection:
        if isinstance(part, ast.String):
            tree = sge.Dot(this=tree, expression=identifier(str(part.sval)))
            continue
        if not isinstance(part, ast.A_Indices):
            raise InvalidRequest("query", "Fields of a row value are not supported")
        fields(part, "is_slice lidx uidx")
        bounds = [expression(bound) if bound else None for bound in (part.lidx, part.uidx)]
        index = sge.Slice(this=bounds[0], expression=bounds[1]) if part.is_slice else bounds[1]
        tree = sge.Bracket(this=tree, expressions=[index], offset=1)
    return sge.Paren(this=tree)


def _collate(node: Any) -> sge.Expr:
    fields(node, "arg collname")
    name = node.collname[-1].sval
    if name not in ("C", "POSIX", "ucs_basic", "default", "C.UTF-8", "C.utf8", "pg_c_utf8"):
        raise InvalidRequest("query", f'collation "{name}" is not supported')
    # Engines compare text by code point, which is what these collations mean.
    return expression(node.arg)


def _sublink(node: Any) -> sge.Expr:
    fields(node, "subLinkType testexpr operName subselect")
    subquery = sge.Subquery(this=statements.query(node.subselect))
    kind = node.subLinkType.name
    if kind == "EXISTS_SUBLINK":
        return sge.Exists(this=subquery.this)
    if kind == "EXPR_SUBLINK":
        return subquery
    if kind == "ARRAY_SUBLINK":
        return call("array", subquery)
    if kind in ("ANY_SUBLINK", "ALL_SUBLINK"):
        test = operand(expression(node.testexpr))
        if node.operName is None:
            return sge.In(this=test, query=subquery)
        quantifier = sge.Any if kind == "ANY_SUBLINK" else sge.All
        return binary(_sign(node), test, quantifier(this=subquery))
    raise refused(node)


def _function(node: Any) -> sge.Expr:
    fields(
        node,
        "funcname args agg_order agg_filter over agg_within_group agg_star agg_distinct funcformat",
    )
    names = [part.sval for part in node.funcname]
    spelt_in_sql = node.funcformat == CoercionForm.COERCE_SQL_SYNTAX
    if len(names) != 1 and not (spelt_in_sql and len(names) == 2):
        raise NotPermitted(f"Not authorized to call function {'.'.join(names)}")
    if names[-1] in IN_SQL:
        raise NotPermitted(f"Not authorized to call function {names[-1]}")
    arguments: list[sge.Expr] = (
        [sge.Star()] if node.agg_star else [expression(value) for value in node.args or ()]
    )
    if node.agg_distinct:
        arguments = [sge.Distinct(expressions=arguments)]
    tree: sge.Expr = call(names[-1], *arguments)
    if node.agg_order:
        ordering = statements.order(node.agg_order)
        if node.agg_within_group:
            tree = sge.WithinGroup(this=tree, expression=ordering)
        elif arguments:
            # The last argument carries the ORDER BY, as sqlglot writes `f(x, y ORDER BY z)`.
            ordering.set("this", tree.expressions[-1])
            tree.set("expressions", [*tree.expressions[:-1], ordering])
    if node.agg_filter is not None:
        condition = sge.Where(this=expression(node.agg_filter))
        tree = sge.Filter(this=tree, expression=condition)
    if node.over is not None:
        over = window(node.over)
        over.set("this", tree)
        tree = over
    return tree


def window(node: Any) -> sge.Window:
    """A window without its function; the name of the one it builds on is its `alias`."""
    fields(node, "name refname partitionClause orderClause frameOptions startOffset endOffset")
    # `OVER w` comes as a name only, `OVER (w ...)` as a reference.
    tree = sge.Window(partition_by=[expression(item) for item in node.partitionClause or ()])
    if node.orderClause:
        tree.set("order", statements.order(node.orderClause))
    if node.frameOptions & enums.FRAMEOPTION_NONDEFAULT:
        tree.set("spec", _frame(node))
    if node.refname:
        tree.set("alias", identifier(node.refname))
    elif node.name:
        tree.set("alias", identifier(node.name))
    return tree


def _frame(node: Any) -> sge.WindowSpec:
    def has(option: str) -> bool:
        return bool(node.frameOptions & getattr(enums, f"FRAMEOPTION_{option}"))

    kind = next(kind for kind in ("ROWS", "GROUPS", "RANGE") if has(kind))
    frame = sge.WindowSpec(kind=kind)
    for edge, offset in (("START", node.startOffset), ("END", node.endOffset)):
        side, key = None, edge.lower()
        value: Any = "CURRENT ROW"
        for direction in ("PRECEDING", "FOLLOWING"):
            if has(f"{edge}_UNBOUNDED_{direction}"):
                value, side = "UNBOUNDED", direction
            elif has(f"{edge}_OFFSET_{direction}"):
                value, side = operand(expression(offset)), direction
        frame.set(key, value)
        frame.set(f"{key}_side", side)
    for option, text in _EXCLUSIONS.items():
        if node.frameOptions & getattr(enums, option):
            frame.set("exclude", sge.Var(this=text))
    return frame


def grouping_set(node: Any, top: bool = False) -> sge.Expr:
    """One member of `GROUP BY`'s sets: a set, an expression or sets within."""
    if not isinstance(node, ast.GroupingSet):
        if not isinstance(node, ast.RowExpr):
            return expression(node)
        return sge.Tuple(expressions=[expression(member) for member in node.args or ()])
    fields(node, "kind content")
    members = [grouping_set(member) for member in node.content or ()]
    kind: Any = node.kind
    if kind == GroupingSetKind.GROUPING_SET_EMPTY:
        empty = sge.Tuple(expressions=[])
        return sge.GroupingSets(expressions=[empty]) if top else empty
    kinds: dict[GroupingSetKind, type[sge.Expr]] = {
        GroupingSetKind.GROUPING_SET_ROLLUP: sge.Rollup,
        GroupingSetKind.GROUPING_SET_CUBE: sge.Cube,
        GroupingSetKind.GROUPING_SET_SETS: sge.GroupingSets,
    }
    return kinds[kind](expressions=members)


def _grouping(node: Any) -> sge.Expr:
    fields(node, "args")
    return call("grouping", *(expression(argument) for argument in node.args))


_READERS: dict[type, Callable[[Any], sge.Expr]] = {
    ast.ColumnRef: _column,
    ast.A_Const: _constant,
    ast.TypeCast: _cast,
    ast.A_Expr: _operator,
    ast.BoolExpr: _boolean,
    ast.NullTest: _null_test,
    ast.BooleanTest: _boolean_test,
    ast.CaseExpr: _case,
    ast.CoalesceExpr: _coalesce,
    ast.MinMaxExpr: _extreme,
    ast.SQLValueFunction: _value_function,
    ast.A_ArrayExpr: _array,
    ast.A_Indirection: _indirection,
    ast.CollateClause: _collate,
    ast.SubLink: _sublink,
    ast.FuncCall: _function,
    ast.GroupingFunc: _grouping,
}
