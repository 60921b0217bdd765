"""PostgreSQL's own syntax tree of a query, turned into a neutral sqlglot tree, clause by clause.

An allow-list twice over: a kind of node that no reader here takes is refused, and so is a field of
a node that its reader does not name. Nothing of the caller's text is copied, only names and values.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import sqlglot.expressions as sge
from pglast import ast
from pglast.enums import JoinType, LimitOption, SetOperation, SortByDir, SortByNulls

from ckanext.bqdatastore.model.errors import InvalidRequest, NotPermitted
from ckanext.bqdatastore.model.tree_size import copied

from . import expressions
from .nodes import fields, identifier, name_of, refused

_SET_OPERATIONS: dict[SetOperation, type[sge.SetOperation]] = {
    SetOperation.SETOP_UNION: sge.Union,
    SetOperation.SETOP_INTERSECT: sge.Intersect,
    SetOperation.SETOP_EXCEPT: sge.Except,
}

_JOINS: dict[JoinType, dict[str, str]] = {
    JoinType.JOIN_INNER: {"kind": "INNER"},
    JoinType.JOIN_LEFT: {"side": "LEFT"},
    JoinType.JOIN_RIGHT: {"side": "RIGHT"},
    JoinType.JOIN_FULL: {"side": "FULL"},
}

_SCHEMA = "public"
"""The only schema that a table may be qualified with: where the stock backend keeps resources."""


def query(node: Any) -> sge.Query:
    """The tree of a `SELECT`, `VALUES` or set operation.

    :raises InvalidRequest: a form that is not allowed
    :raises NotPermitted: a table or function that nobody may use
    """
    if not isinstance(node, ast.SelectStmt):
        raise refused(node)
    fields(
        node,
        "distinctClause targetList fromClause whereClause groupClause havingClause windowClause"
        " valuesLists sortClause limitOffset limitCount limitOption withClause op all larg rarg",
    )
    if node.op:
        tree: sge.Query = _set_operation(node)
    elif node.valuesLists:
        tree = _values(node.valuesLists)
    else:
        tree = _select(node)
    tree = _modifiers(tree, node)
    _inline_windows(tree, node.windowClause or ())
    return tree


def _select(node: Any) -> sge.Select:
    tree = sge.Select(expressions=[_target(target) for target in node.targetList or ()])
    if not tree.expressions:
        raise InvalidRequest("query", "SELECT without columns is not supported")
    sources = [from_item(item) for item in node.fromClause or ()]
    if sources:
        tree.set("from_", sge.From(this=sources[0]))
        joins = list(sources[0].args.pop("joins", None) or [])
        for source in sources[1:]:
            inner = list(source.args.pop("joins", None) or [])
            joins += [sge.Join(this=source), *inner]
        tree.set("joins", joins)
    if node.whereClause:
        tree.set("where", sge.Where(this=expression(node.whereClause)))
    if node.groupClause:
        tree.set("group", _group(node.groupClause))
    if node.havingClause:
        tree.set("having", sge.Having(this=expression(node.havingClause)))
    if node.distinctClause:
        # `SELECT DISTINCT` is a list of one nothing.
        on = [expression(item) for item in node.distinctClause if item is not None]
        tree.set("distinct", sge.Distinct(on=sge.Tuple(expressions=on) if on else None))
    return tree


def _target(node: Any) -> sge.Expr:
    fields(node, "name val")
    if isinstance(node.val, ast.ColumnRef) and isinstance((node.val.fields or ())[-1], ast.A_Star):
        return expression(node.val)
    return sge.Alias(
        this=expression(node.val), alias=identifier(node.name or name_of(node.val) or "?column?")
    )


def _set_operation(node: Any) -> sge.Query:
    kind = _SET_OPERATIONS[node.op]
    sides = [_bracketed(query(side)) for side in (node.larg, node.rarg)]
    return kind(this=sides[0], expression=sides[1], distinct=not node.all)


def _bracketed(tree: sge.Query) -> sge.Query:
    """A side of a set operation, in brackets unless it is a plain `SELECT`."""
    plain = isinstance(tree, sge.Select) and not any(
        tree.args.get(key) for key in ("with_", "order", "limit", "offset")
    )
    return tree if plain else sge.Subquery(this=tree)


def _values(lists: Sequence[Any]) -> sge.Query:
    """`VALUES` as `SELECT * FROM (VALUES ...) AS "*VALUES*"`, as PostgreSQL's planner has it."""
    rows = [sge.Tuple(expressions=[expression(value) for value in row]) for row in lists]
    widths = {len(row.expressions) for row in rows}
    if len(widths) != 1:
        raise InvalidRequest("query", "VALUES lists must all be the same length")
    names = [identifier(f"column{position + 1}") for position in range(widths.pop())]
    table = sge.Values(
        expressions=rows, alias=sge.TableAlias(this=identifier("*VALUES*"), columns=names)
    )
    return sge.Select(expressions=[sge.Star()], from_=sge.From(this=table))


def _modifiers(tree: sge.Query, node: Any) -> sge.Query:
    if node.withClause:
        tree.set("with_", _with(node.withClause))
    if node.sortClause:
        tree.set("order", order(node.sortClause))
    if node.limitOption == LimitOption.LIMIT_OPTION_WITH_TIES:
        raise InvalidRequest("query", "FETCH ... WITH TIES is not supported")
    if node.limitCount and not isinstance(limit := expression(node.limitCount), sge.Null):
        tree.set("limit", sge.Limit(expression=limit))
    if node.limitOffset and not isinstance(offset := expression(node.limitOffset), sge.Null):
        tree.set("offset", sge.Offset(expression=offset))
    return tree


def _with(node: Any) -> sge.With:
    fields(node, "ctes recursive")
    if node.recursive:
        raise InvalidRequest("query", "WITH RECURSIVE is not supported")
    found = []
    for cte in node.ctes:
        fields(cte, "ctename aliascolnames ctematerialized ctequery")
        columns = [identifier(column.sval) for column in cte.aliascolnames or ()]
        found.append(
            sge.CTE(
                this=query(cte.ctequery),
                alias=sge.TableAlias(this=identifier(cte.ctename), columns=columns),
            )
        )
    names = [cte.alias for cte in found]
    for name in names:
        if names.count(name) > 1:
            raise InvalidRequest("query", f'WITH query name "{name}" specified more than once')
    return sge.With(expressions=found)


def from_item(node: Any) -> sge.Expr:
    """A table, sub-query or join; what is joined to it is in its `joins`."""
    if isinstance(node, ast.RangeVar):
        return _table(node)
    if isinstance(node, ast.RangeSubselect):
        return _derived(node)
    if isinstance(node, ast.JoinExpr):
        return _join(node)
    if isinstance(node, ast.RangeFunction):
        raise NotPermitted(f"Not authorized to call function {_function_names(node)} in FROM")
    raise refused(node)


def _table(node: Any) -> sge.Table:
    fields(node, "catalogname schemaname relname inh relpersistence alias")
    if node.catalogname is not None:
        raise InvalidRequest("message", f"Catalog cannot be provided: {node.catalogname}")
    if node.schemaname not in (None, _SCHEMA):
        raise NotPermitted("Not authorized to access tables in other schemas")
    if node.relname.startswith("pg_"):
        raise NotPermitted("Not authorized to access system tables")
    table = sge.Table(this=identifier(node.relname), alias=_alias(node.alias))
    if node.schemaname:
        table.set("db", identifier(node.schemaname))
    return table


def _derived(node: Any) -> sge.Expr:
    fields(node, "lateral subquery alias")
    subquery = sge.Subquery(this=query(node.subquery), alias=_alias(node.alias))
    if not node.lateral:
        return subquery
    alias = subquery.args.pop("alias")
    return sge.Lateral(this=subquery, alias=alias)


def _alias(node: Any) -> sge.TableAlias | None:
    if node is None:
        return None
    fields(node, "aliasname colnames")
    columns = [identifier(column.sval) for column in node.colnames or ()]
    return sge.TableAlias(this=identifier(node.aliasname), columns=columns)


def _join(node: Any) -> sge.Expr:
    fields(node, "jointype isNatural larg rarg usingClause quals")
    left, right = from_item(node.larg), from_item(node.rarg)
    if right.args.get("joins"):
        right = sge.Paren(this=right)
    join = sge.Join(this=right, **_JOINS[node.jointype])
    if node.isNatural:
        join.set("method", "NATURAL")
    elif node.usingClause:
        join.set("using", [identifier(column.sval) for column in node.usingClause])
    elif node.quals is not None:
        join.set("on", expression(node.quals))
    else:
        join.set("kind", "CROSS")
    left.set("joins", [*(left.args.get("joins") or []), join])
    return left


def _function_names(node: Any) -> str:
    """The first function of a `FROM` clause's function call, for the message."""
    call = node.functions[0][0]
    if isinstance(call, ast.FuncCall):
        return ".".join(part.sval for part in call.funcname or ())
    return type(call).__name__


def _group(items: Sequence[Any]) -> sge.Group:
    group = sge.Group()
    for item in items:
        _add_grouping(group, item)
    return group


def _add_grouping(group: sge.Group, item: Any) -> None:
    if isinstance(item, ast.GroupingSet):
        grouping = expressions.grouping_set(item, top=True)
        key: dict[type[sge.Expr], str] = {
            sge.Rollup: "rollup",
            sge.Cube: "cube",
            sge.GroupingSets: "grouping_sets",
        }
        group.append(key[type(grouping)], grouping)
    else:
        group.append("expressions", expression(item))


def order(items: Sequence[Any]) -> sge.Order:
    """An `ORDER BY`, with PostgreSQL's place for nulls spelt out."""
    return sge.Order(expressions=[_ordered(item) for item in items])


def _ordered(node: Any) -> sge.Ordered:
    fields(node, "node sortby_dir sortby_nulls")
    if node.sortby_dir == SortByDir.SORTBY_USING:
        raise InvalidRequest("query", "ORDER BY ... USING is not supported")
    descending = node.sortby_dir == SortByDir.SORTBY_DESC
    nulls_first = (
        descending
        if node.sortby_nulls == SortByNulls.SORTBY_NULLS_DEFAULT
        else node.sortby_nulls == SortByNulls.SORTBY_NULLS_FIRST
    )
    return sge.Ordered(this=expression(node.node), desc=descending, nulls_first=nulls_first)


def _inline_windows(tree: sge.Query, clause: Sequence[Any]) -> None:
    """Put the definitions of the `WINDOW` clause where its names are used.

    Sub-queries were read first, so whatever still has a name is of this `SELECT`.
    """
    known: dict[str, sge.Window] = {}
    for node in clause:
        definition = expressions.window(node)
        # Of a definition, `name` is its own and `refname` what it builds on.
        _inherit(definition, node.refname, known)
        known[node.name] = definition
    for use in tree.find_all(sge.Window):
        if use.args.get("alias"):
            _inherit(use, use.alias, known)


def _inherit(window: sge.Window, name: str | None, known: Mapping[str, sge.Window]) -> None:
    window.set("alias", None)
    if name is None:
        return
    if name not in known:
        raise InvalidRequest("query", f'window "{name}" does not exist')
    for key in ("partition_by", "order", "spec"):
        inherited = known[name].args.get(key)
        if inherited and not window.args.get(key):
            again: Any = (
                [copied(item) for item in inherited] if key == "partition_by" else copied(inherited)
            )
            window.set(key, again)


def expression(node: Any) -> sge.Expr:
    return expressions.expression(node)
