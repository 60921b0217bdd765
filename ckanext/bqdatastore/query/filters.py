"""Filters of `datastore_search` and `datastore_delete` as one condition.

The stock extension parses the request's filters into nested operations; here each becomes a
comparison with a bound value.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import sqlglot.expressions as sge

from ..model.errors import InvalidRequest
from ..model.query import Parameter, ParameterNames, column
from ..model.types import is_array


class FilterOperation(Protocol):
    """What `ckanext.datastore.filters.FilterOp` looks like."""

    @property
    def op(self) -> str: ...
    @property
    def field(self) -> str | None: ...
    @property
    def value(self) -> Any: ...


class ToParameter(Protocol):
    """Makes a value of the request comparable with a field of an API type."""

    def __call__(self, value: Any, type: str, *, listed: bool = False) -> Parameter:
        """
        :param listed: it is one of several that the field may be equal to
        """


_COMPARISONS: Mapping[str, type[sge.Binary]] = {
    "eq": sge.EQ,
    "gt": sge.GT,
    "gte": sge.GTE,
    "lt": sge.LT,
    "lte": sge.LTE,
}


def condition(
    operation: FilterOperation,
    types: Mapping[str, str],
    names: ParameterNames,
    to_parameter: ToParameter,
) -> sge.Expr | None:
    """The condition of an operation; None where it only names what plugins understand.

    :param types: field ids to API types, `_id` among them
    :raises InvalidRequest: an operator that does not exist, a value that cannot be compared
    """
    _check(operation, types)
    return _condition(operation, types, names, to_parameter)


def _check(operation: FilterOperation, types: Mapping[str, str]) -> None:
    """Every operation is one that exists: the stock backend knows before it compares anything."""
    if _is_custom(operation, types) or operation.op == "in" or operation.op in _COMPARISONS:
        return
    if operation.op not in ("$and", "$or"):
        raise InvalidRequest("filters", f"Unknown filter operation: {operation!r}")
    for each in operation.value:
        _check(each, types)


def _is_custom(operation: FilterOperation, types: Mapping[str, str]) -> bool:
    """Whether it is left to IDatastore plugins."""
    return bool(operation.field) and operation.field not in types


def _condition(
    operation: FilterOperation,
    types: Mapping[str, str],
    names: ParameterNames,
    to_parameter: ToParameter,
) -> sge.Expr | None:
    if _is_custom(operation, types):
        return None
    if operation.op in ("$and", "$or"):
        parts = [
            part
            for each in operation.value
            if (part := _condition(each, types, names, to_parameter)) is not None
        ]
        if not parts:
            return sge.true() if operation.op == "$and" else sge.false()
        return sge.paren(sge.and_(*parts) if operation.op == "$and" else sge.or_(*parts))

    field = str(operation.field)

    def bound(value: Any, listed: bool = False) -> sge.Expr:
        parameter = to_parameter(value, types[field], listed=listed)
        return names.bind(parameter.value, parameter.type)

    if operation.op == "in":
        if not operation.value:
            return sge.false()
        several = len(operation.value) > 1
        values = [bound(value, several) for value in operation.value]
        return sge.In(this=column(field), expressions=values)
    result = _COMPARISONS[operation.op](this=column(field), expression=bound(operation.value))
    if operation.op in ("lt", "lte") and is_array(types[field]):
        # DuckDB makes one BETWEEN of a lower and an upper bound, and then has none for arrays.
        return sge.func("coalesce", result, sge.false())
    return result
