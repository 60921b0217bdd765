"""PostgreSQL fragments that `IDatastore` plugins add to a query, joined to its tree."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import sqlglot
import sqlglot.expressions as sge
from sqlglot.errors import SqlglotError

from ..model.errors import InvalidRequest
from ..model.query import Parameter, ParameterNames


def condition(
    fragment: str, values: Mapping[str, Any], names: ParameterNames, plugin: str
) -> sge.Expr:
    """A `where` fragment with `:name` placeholders as a condition.

    :param plugin: who sent it, for the error
    :raises InvalidRequest: it is not one PostgreSQL expression, or a placeholder has no value
    """
    tree = _expression(fragment, plugin)
    for placeholder in list(tree.find_all(sge.Placeholder)):
        if placeholder.name not in values:
            raise _refused(plugin, fragment, f'there is no value for ":{placeholder.name}"')
        value = values[placeholder.name]
        bound = names.bind(value, _type_of(value))
        if placeholder is tree:
            return bound
        placeholder.replace(bound)
    return sge.paren(tree)


def _expression(fragment: str, plugin: str) -> sge.Expr:
    try:
        tree: sge.Expr = sqlglot.parse_one(fragment, read="postgres", into=sge.Condition)
    except SqlglotError:
        raise _refused(plugin, fragment, "it is not a single expression") from None
    if tree.find(sge.Query, sge.Table, sge.Command, sge.DDL, sge.DML):
        raise _refused(plugin, fragment, "only an expression over the table's columns may be added")
    return tree


def _refused(plugin: str, fragment: str, reason: str) -> InvalidRequest:
    return InvalidRequest("query", f"Plugin {plugin} added {fragment!r} to the query: {reason}.")


def _type_of(value: Any) -> str:
    return Parameter(
        value, {bool: "bool", int: "int8", float: "float8"}.get(type(value), "text")
    ).type
