"""PostgreSQL fragments that `IDatastore` plugins add to a query, as trees.

They are read like the SQL of a caller: PostgreSQL's own parser takes them apart, names and types
are settled as PostgreSQL settles them, and only what an engine can say goes into the query. The
values of their placeholders become constants of the tree, as psycopg2 would write them.
"""

from __future__ import annotations

import datetime
import decimal
import logging
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import sqlglot.expressions as sge
from pglast import ast

from ..model.errors import DatastoreFault, InvalidRequest
from ..model.numbers import MOST_DIGITS
from ..model.query import column
from ..model.table import ID, Field, Table
from ..model.tree_size import one_statement
from . import guard
from .postgresql import binding, expressions, nodes, sizes, statements
from .postgresql.catalogue import AGGREGATES
from .postgresql.scopes import Relation
from .postgresql.types import TSVECTOR
from .search import Column, Order

log = logging.getLogger(__name__)

# SQLAlchemy's, by which the stock backend finds them.
_PLACEHOLDER = re.compile(r"(?<![:\w\\]):(\w+)(?!:)")

_SOURCE = "fragment"
_DEEPEST = 100
"""Levels of a fragment in the engine's words, so that the whole query can be written out."""
_INT4 = range(-(2**31), 2**31)


class Fragments:
    """Reads the fragments for one table.

    Each method takes the fragment, the values of its placeholders and the name of the plugin that
    sent it, and raises an InvalidRequest that names both where it cannot be joined to the query.

    :param types: field ids to API types, `_id` among them
    :param translate: says a tree in PostgreSQL's meaning in the engine's words
    """

    def __init__(self, types: Mapping[str, str], translate: Callable[[sge.Expr], sge.Expr]) -> None:
        self._types = types
        self._translate = translate
        fields = tuple(Field(name, type) for name, type in types.items() if name != ID)
        self._tables = {_SOURCE: Table(_SOURCE, fields)}

    def condition(self, fragment: str, values: Mapping[str, Any], plugin: str) -> sge.Expr:
        """A `where` fragment."""
        with _naming(plugin, fragment):
            select = _parsed("SELECT\n", fragment, values, "targetList")
            target, *others = select.targetList or (None,)
            if others or target is None or target.name:
                raise InvalidRequest("query", "it is not a single expression")
            tree, _ = self._select([], expressions.expression(target.val))
            return sge.paren(_unqualified(tree.args["where"].this), copy=False)

    def columns(self, fragment: str, values: Mapping[str, Any], plugin: str) -> list[Column]:
        """A `select` fragment: one column or several."""
        with _naming(plugin, fragment):
            select = _parsed("SELECT\n", fragment, values, "targetList")
            targets = list(statements.query(select).expressions)
            return self._outputs(targets)

    def order(self, fragment: str, values: Mapping[str, Any], plugin: str) -> list[Order]:
        """A `sort` fragment: one term or several."""
        with _naming(plugin, fragment):
            select = _parsed("SELECT 1 ORDER BY\n", fragment, values, "targetList sortClause")
            terms = statements.order(select.sortClause or ()).expressions
            if any(isinstance(term.this, sge.Literal) for term in terms):
                raise InvalidRequest("query", "only expressions can be sorted by, not positions")
            targets: list[sge.Expr] = [
                sge.Alias(this=term.this, alias=nodes.identifier("term")) for term in terms
            ]
            return [
                Order(
                    value,
                    bool(term.args["desc"]),
                    bool(term.args["nulls_first"]),
                    value.name if isinstance(value, sge.Column) else None,
                )
                for term, (_, value, _) in zip(terms, self._outputs(targets), strict=True)
            ]

    def _outputs(self, targets: list[sge.Expr]) -> list[Column]:
        tree, relation = self._select(targets)
        found: list[Column] = []
        outputs = zip(tree.expressions, relation.names, relation.types, strict=True)
        for target, name, type in outputs:
            value = _unqualified(target.this if isinstance(target, sge.Alias) else target)
            if type == TSVECTOR:
                raise InvalidRequest("query", f'"{name}" cannot be shown in a search')
            if isinstance(value, sge.Column):
                found.append((name, column(value.name), self._types[value.name]))
            else:
                found.append((name, value, type))
        return found

    def _select(
        self, targets: list[sge.Expr], condition: sge.Expr | None = None
    ) -> tuple[sge.Expr, Relation]:
        """The engine's `SELECT` of what a fragment says, and what it gives."""
        for part in [*targets, *([condition] if condition else [])]:
            _check_row_wise(part)
        one: list[sge.Expr] = [sge.Alias(this=sge.Literal.number(1), alias=nodes.identifier("one"))]
        select = sge.Select(
            expressions=targets or one,
            from_=sge.From(this=sge.Table(this=nodes.identifier(_SOURCE))),
        )
        if condition is not None:
            select.set("where", sge.Where(this=condition))
        bound, relation = binding.bound(select, self._tables)
        if sizes.made_for_one_row(bound) > sizes.LONGEST:
            raise InvalidRequest("query", "it makes texts or lists that are too long")
        translated = self._translate(bound)
        _check_depth(translated)
        return translated, relation


def _check_row_wise(tree: sge.Expr) -> None:
    """:raises InvalidRequest: it says something of other rows than its own"""
    several = (sge.Query, sge.Window, sge.Filter, sge.WithinGroup, sge.Star)
    calls = (call.name for call in tree.find_all(sge.Anonymous))
    if tree.find(*several) or any(name in AGGREGATES for name in calls):
        raise InvalidRequest("query", "only expressions over the columns of one row may be added")


def _check_depth(tree: sge.Expr) -> None:
    """:raises InvalidRequest: it has more levels than there may be"""
    level = [tree]
    for _ in range(_DEEPEST):
        level = [child for each in level for child in each.iter_expressions()]
        if not level:
            return
    raise InvalidRequest("query", "it is too deeply nested")


def _unqualified(tree: sge.Expr) -> sge.Expr:
    """The expression with columns of the one table there is."""
    for each in tree.find_all(sge.Column):
        each.set("table", None)
    return tree


@contextmanager
def _naming(plugin: str, fragment: str) -> Iterator[None]:
    try:
        with one_statement():
            yield
        return
    except DatastoreFault as fault:
        reasons = fault.messages if isinstance(fault, InvalidRequest) else [str(fault)]
        reason = "; ".join(reasons).rstrip(".")
    except RecursionError:
        reason = "it is too deeply nested"
    except Exception:
        # The last line of defence, as for a caller's SQL.
        log.exception("A fragment of the plugin %s broke down: %.2000s", plugin, fragment)
        reason = "it could not be understood"
    raise InvalidRequest("query", f"Plugin {plugin} added {fragment!r} to the query: {reason}.")


def _parsed(before: str, fragment: str, values: Mapping[str, Any], clauses: str) -> Any:
    """PostgreSQL's tree of a `SELECT` with the fragment in it, and with those clauses alone."""
    if not isinstance(fragment, str):
        raise InvalidRequest("query", "it is no text")
    text, constants = _numbered(fragment, values)
    select = guard.statement(before + text)
    nodes.fields(select, clauses)
    filled = _Filled(constants)
    filled.fill(select)
    if filled.missing:
        raise InvalidRequest("query", "a placeholder stands where no value can")
    guard.measure(select)
    return select


def _numbered(fragment: str, values: Mapping[str, Any]) -> tuple[str, list[Any]]:
    """The text with `$1`, `$2` … for its placeholders, and their values in that order."""
    found: list[Any] = []

    def number(value: Any) -> str:
        found.append(_constant(value))
        return f"${len(found)}"

    def numbered(match: re.Match[str]) -> str:
        name = match[1]
        if name not in values:
            raise InvalidRequest("query", f'there is no value for ":{name}"')
        value = values[name]
        if isinstance(value, tuple):  # psycopg2's form of a list for IN
            return f"({', '.join(number(each) for each in value)})"
        return number(value)

    return _PLACEHOLDER.sub(numbered, fragment).replace("\\:", ":"), found


class _Filled:
    """Puts constants in the place of `$1`, `$2` … in PostgreSQL's tree.

    :ivar missing: whose place was not found
    """

    def __init__(self, constants: Sequence[Any]) -> None:
        self._constants = constants
        self.missing = set(range(1, len(constants) + 1))

    def fill(self, node: Any) -> Any:
        if isinstance(node, ast.ParamRef):
            number: Any = node.number
            if not 0 < number <= len(self._constants):
                raise InvalidRequest("query", f"there is no parameter ${number}")
            self.missing.discard(number)
            return self._constants[number - 1]
        if isinstance(node, tuple):
            return tuple(self.fill(each) for each in node)
        if isinstance(node, ast.Node):
            for field in node:
                child = getattr(node, field)
                if isinstance(child, (tuple, ast.Node)):
                    setattr(node, field, self.fill(child))
        return node


def _constant(value: Any) -> Any:
    """A value as PostgreSQL's parser would have read psycopg2's spelling of it."""
    if value is None:
        return ast.A_Const(isnull=True)
    if isinstance(value, list):
        if not value:
            return _constant("{}")
        return ast.A_ArrayExpr(elements=tuple(_constant(each) for each in value))
    return ast.A_Const(isnull=False, val=_plain_constant(value))


def _plain_constant(value: Any) -> Any:
    if isinstance(value, bool):
        return ast.Boolean(boolval=value)
    if isinstance(value, int):
        if value in _INT4:
            return ast.Integer(ival=value)
        if abs(value) >= 10**MOST_DIGITS:  # Python does not write out the longest
            raise InvalidRequest("query", "value overflows numeric format")
        return ast.Float(fval=str(value))
    if isinstance(value, (float, decimal.Decimal)):
        if math.isfinite(value):
            return ast.Float(fval=str(value))
        return ast.String(sval=str(value))
    if isinstance(value, (datetime.date, datetime.time)):
        return ast.String(sval=value.isoformat())
    if isinstance(value, str):
        _check_text(value)
        return ast.String(sval=value)
    raise InvalidRequest("query", f"a value of type {type(value).__name__} cannot be sent")


def _check_text(value: str) -> None:
    """:raises InvalidRequest: PostgreSQL's client could not send it"""
    if "\0" in value:
        raise InvalidRequest("query", "a text with a null character cannot be sent")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise InvalidRequest("query", "a text that is no valid Unicode cannot be sent") from None
