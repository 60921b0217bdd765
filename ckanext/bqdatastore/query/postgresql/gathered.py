"""Where a query makes, row by row, others of a long text or list that it has put together before.

An aggregate's value is as long as its rows make it, and an engine's memory limit counts it once.
But of `x || name`, where `x` is the value of a sub-query, some thousand come at once that no limit
counts. Only the engine can tell how long `x` is: here it is found where that must be asked.
"""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Iterable, Mapping
from typing import Any

import sqlglot.expressions as sge

from .catalogue import AGGREGATES
from .sizes import CHOOSING, PUTTING_TOGETHER, is_long

AT_MOST = "at_most"
"""`at_most(value, bytes)`: the value; an engine that has to ends the query where it is longer."""


class _Kind(enum.IntEnum):
    """What a value is: of its own row; put together, and counted as often as it is there; or put
    together once for many rows."""

    USUAL = 0
    COUNTED = 1
    SHARED = 2


@dataclasses.dataclass(frozen=True)
class _Relation:
    """
    :param others: of columns that are not known by name
    """

    columns: Mapping[str, _Kind] = dataclasses.field(default_factory=dict)
    others: _Kind = _Kind.USUAL
    one_row: bool = False

    def kind(self, name: str) -> _Kind:
        return self.columns.get(name, self.others)


_Relations = Mapping[str, _Relation]


@dataclasses.dataclass(frozen=True)
class _Scope:
    """
    :param own: what a select reads
    :param outer: what the selects around it read
    :param repeated: whether it may be worked out for each of many rows around it
    """

    own: _Relations
    outer: _Relations
    ctes: _Relations
    repeated: bool

    def many_beside(self, name: str) -> bool:
        """Whether a row of a source may meet many of the others."""
        return any(not each.one_row for other, each in self.own.items() if other != name)

    @property
    def many(self) -> bool:
        return self.repeated or self.many_beside("")


def checked(tree: sge.Query, longest: int) -> sge.Query:
    """A bound query with `at_most` around what it has put together and makes others of.

    :param longest: bytes that such a value may have
    """
    if not any(call.name in PUTTING_TOGETHER for call in tree.find_all(sge.Anonymous)):
        return tree
    search = _Search()
    search.query(tree, {}, {}, False)
    for value in search.found:
        call = sge.Anonymous(this=AT_MOST)
        call.type = value.type
        value.replace(call)
        call.set("expressions", [value, sge.Literal.number(longest)])
    return tree


class _Search:
    """
    :ivar found: the values whose length must be asked
    """

    def __init__(self) -> None:
        self.found: list[sge.Expr] = []

    def query(self, tree: Any, outer: _Relations, ctes: _Relations, repeated: bool) -> _Relation:
        clause = tree.args.get("with_")
        for cte in clause.expressions if clause else ():
            ctes = {**ctes, cte.alias: self.query(cte.this, outer, ctes, repeated)}
        if isinstance(tree, sge.Subquery):
            return self.query(tree.this, outer, ctes, repeated)
        if isinstance(tree, sge.SetOperation):
            one, other = (
                self.query(side, outer, ctes, repeated) for side in (tree.this, tree.expression)
            )
            return _either(one, other)
        own: dict[str, _Relation] = {}
        for each in [tree.args.get("from_"), *(tree.args.get("joins") or ())]:
            if each is not None:
                self._source(each.this, own, outer, ctes, repeated)
        scope = _Scope(own, outer, ctes, repeated)
        for key, value in tree.args.items():
            for part in value if isinstance(value, list) else [value]:
                if isinstance(part, sge.Join):
                    part = part.args.get("on")
                if isinstance(part, sge.Expr) and key not in ("with_", "from_", "expressions"):
                    self._value(part, scope, False)
        kinds = [self._value(each, scope, False) for each in tree.expressions]
        one_row = _has_one_row(tree, own.values())
        if one_row:
            kinds = [min(kind, _Kind.COUNTED) for kind in kinds]
        names = (each.alias_or_name for each in tree.expressions)
        columns = dict(zip(names, kinds, strict=True)) if isinstance(tree, sge.Select) else {}
        return _Relation(columns, max(kinds, default=_Kind.USUAL), one_row)

    def _source(
        self,
        tree: Any,
        own: dict[str, _Relation],
        outer: _Relations,
        ctes: _Relations,
        repeated: bool,
    ) -> None:
        if isinstance(tree, sge.Table):
            found = None if tree.args.get("db") else ctes.get(tree.name)
            own[tree.alias_or_name] = found or _Relation()
        elif isinstance(tree, sge.Lateral):
            many = any(not each.one_row for each in own.values())
            found = self.query(tree.this, {**outer, **own}, ctes, repeated or many)
            own[tree.alias_or_name] = found
        else:
            own[tree.alias_or_name] = self.query(tree, outer, ctes, repeated)
        for join in tree.args.get("joins") or ():
            self._source(join.this, own, outer, ctes, repeated)

    def _value(self, tree: Any, scope: _Scope, made_of: bool) -> _Kind:
        """What kind an expression's value is.

        :param made_of: whether another is made of it
        """
        if isinstance(tree, sge.Query):
            around = {**scope.outer, **scope.own}
            kind = self.query(tree, around, scope.ctes, scope.many).others
            return self._whole(tree, kind, scope.many, made_of)
        if isinstance(tree, sge.Column):
            own = scope.own.get(tree.table)
            relation = own or scope.outer.get(tree.table, _Relation())
            many = own is None or scope.repeated or scope.many_beside(tree.table)
            return self._whole(tree, relation.kind(tree.name), many, made_of)
        if isinstance(tree, sge.Window):
            kind = self._parts(tree, scope, not _puts_values(tree))
            together = _call_within(tree).name in PUTTING_TOGETHER
            return self._whole(tree, _Kind.SHARED if together else kind, True, made_of)
        if isinstance(tree, sge.Anonymous) and tree.name in PUTTING_TOGETHER:
            self._parts(tree, scope, made_of=not _puts_values(tree))
            return self._whole(tree, _Kind.COUNTED, _is_array(tree) and scope.many, made_of)
        if isinstance(tree, sge.Anonymous) and tree.name in CHOOSING:
            return min(self._parts(tree, scope, made_of=False), _Kind.COUNTED)
        if _looks_only(tree):
            self._parts(tree, scope, made_of=False)
            return _Kind.USUAL
        if _hands_on(tree):
            return self._parts(tree, scope, made_of)
        kind = self._parts(tree, scope, made_of=True)
        return min(kind, _Kind.COUNTED) if is_long(tree) else _Kind.USUAL

    def _parts(self, tree: sge.Expr, scope: _Scope, made_of: bool) -> _Kind:
        parts = (
            self._value(each, scope, made_of)
            for each in tree.iter_expressions()
            if not isinstance(each, (sge.DataType, sge.Identifier, sge.TableAlias))
        )
        return max(parts, default=_Kind.USUAL)

    def _whole(self, tree: sge.Expr, kind: _Kind, many: bool, made_of: bool) -> _Kind:
        """A value that was put together elsewhere.

        :param many: whether it is there for many rows
        """
        if not is_long(tree):
            return _Kind.USUAL
        if kind is _Kind.COUNTED and many:
            kind = _Kind.SHARED
        if kind is _Kind.SHARED and made_of:
            self.found.append(tree)
            return _Kind.USUAL
        return kind


def _either(one: _Relation, other: _Relation) -> _Relation:
    """Rows of both, under the names of the first."""
    largest = max(one.others, other.others)
    if len(one.columns) != len(other.columns):  # rows of VALUES have no names
        return _Relation({}, largest)
    pairs = zip(one.columns.items(), other.columns.values(), strict=True)
    return _Relation({name: max(kind, theirs) for (name, kind), theirs in pairs}, largest)


def _has_one_row(tree: Any, sources: Iterable[_Relation]) -> bool:
    if not isinstance(tree, sge.Select):
        return False
    if not tree.args.get("group") and any(_aggregates(each) for each in tree.expressions):
        return True
    limit = tree.args.get("limit")
    return all(each.one_row for each in sources) or bool(limit and limit.expression.name == "1")


def _aggregates(tree: sge.Expr) -> bool:
    """Whether it has an aggregate of this select's own."""
    if isinstance(tree, (sge.Query, sge.Window)):
        return False
    if isinstance(tree, sge.Anonymous) and tree.name in AGGREGATES:
        return True
    return any(map(_aggregates, tree.iter_expressions()))


def _call_within(tree: Any) -> Any:
    while not isinstance(tree, sge.Anonymous):
        tree = tree.this
    return tree


def _is_array(call: sge.Anonymous) -> bool:
    """Whether it is `ARRAY(SELECT ...)`, which is no aggregate but a sub-query."""
    return call.name == "array"


def _puts_values(tree: sge.Expr) -> bool:
    """Whether an aggregate keeps its values as they are, in memory that is counted."""
    return _call_within(tree).name in ("string_agg", "array_agg", "array", "count")


_LOOKING = (
    *(sge.EQ, sge.NEQ, sge.LT, sge.LTE, sge.GT, sge.GTE, sge.NullSafeEQ, sge.NullSafeNEQ),
    *(sge.Is, sge.In, sge.Between, sge.Exists),
)
_PATTERNS = (sge.Like, sge.ILike, sge.SimilarTo)
_LOOKING_SIGNS = ("~", "!~", "~*", "!~*", "~~", "!~~", "~~*", "!~~*", "^@")
_LOOKING_CALLS = (
    *("length", "char_length", "character_length", "octet_length", "bit_length"),
    *("array_length", "array_lower", "array_upper", "array_ndims", "cardinality"),
    *("count", "num_nulls", "num_nonnulls", "starts_with", "strpos", "position"),
)
_HANDING_ON = (
    *(sge.Paren, sge.Alias, sge.Case, sge.If, sge.Coalesce, sge.Nullif, sge.Greatest, sge.Least),
    *(sge.Bracket, sge.Slice, sge.Filter, sge.Any, sge.All),
)
_OF_TEXT = (sge.DType.TEXT, sge.DType.JSON, sge.DType.JSONB, sge.DType.UNKNOWN)


def _looks_only(tree: sge.Expr) -> bool:
    """Whether it only looks at its operands, and makes none of their length.

    Operators of lists do not: to compare a list with those of many rows takes longer than a time
    limit lets DuckDB, which does not look at it in between.
    """
    if isinstance(tree, sge.Anonymous):
        return tree.name in _LOOKING_CALLS
    if isinstance(tree, sge.Operator):
        if tree.args["operator"].name not in _LOOKING_SIGNS:
            return False
        return "~" not in tree.args["operator"].name or isinstance(tree.expression, sge.Literal)
    if isinstance(tree, _PATTERNS):
        # A pattern that is no constant becomes another, step by step.
        return isinstance(tree.expression, sge.Literal)
    return isinstance(tree, _LOOKING)


def _hands_on(tree: Any) -> bool:
    """Whether its value is one of its operands, or it is a part of a query and no value."""
    if isinstance(tree, sge.Cast):
        source = tree.this.type
        return bool(source) and source.this in _OF_TEXT and tree.to.this in _OF_TEXT
    return isinstance(tree, _HANDING_ON) or not tree.type
