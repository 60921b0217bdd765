"""A query's names and types, settled as PostgreSQL settles them: clauses and sources.

`bound` takes the tree that `statements` made and gives one in which every table is a DataStore
table or a CTE, every column says which source it is of, every `*` is spelt out, every expression
carries its PostgreSQL type and every cast that PostgreSQL makes unasked is written down.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import sqlglot.expressions as sge

from ckanext.bqdatastore.model import query as model_query
from ckanext.bqdatastore.model.errors import InvalidRequest
from ckanext.bqdatastore.model.table import Table
from ckanext.bqdatastore.model.tree_size import copied

from ..table_metadata import Listing
from . import documents, types
from .inference import Typing, cast, typed
from .nodes import identifier
from .scopes import Column, Names, Relation, Relations, Scope, merged

_MOST_COLUMNS = 1664
"""Of one `SELECT`, in PostgreSQL as here."""

_JOIN_KEYS = ("on", "using", "method", "kind", "side")
"""What a join has one of at least, and a comma none."""


def bound(tree: sge.Query, tables: Mapping[str, Table]) -> tuple[sge.Query, Relation]:
    """The settled tree and its output columns.

    :param tree: is used up
    :param tables: by the names that the query uses
    :raises InvalidRequest: what PostgreSQL would refuse as well
    """
    return _Binding(tables).query(tree, None, {})


class _Binding:
    def __init__(self, tables: Mapping[str, Table]) -> None:
        self._tables = tables
        self._names = Names()

    def _engine_name(self, relation: str) -> str:
        """What an engine calls a relation: names that begin with `_` are the translations' own."""
        return self._names.unique(f"r{relation}" if relation.startswith("_") else relation)

    def query(
        self, tree: sge.Query, outer: Scope | None, ctes: Relations
    ) -> tuple[sge.Query, Relation]:
        """A query and what it gives; untyped literals in its output are text from here on."""
        result, relation = self._query(tree, outer, ctes)
        kinds = ["text" if kind == types.UNKNOWN else kind for kind in relation.types]
        _coerce_outputs(result, kinds)
        return result, Relation(relation.names, tuple(kinds), relation.engine_names)

    def _query(
        self, tree: sge.Query, outer: Scope | None, ctes: Relations
    ) -> tuple[sge.Query, Relation]:
        if tree.args.get("with_"):
            ctes = self._with(tree.args["with_"], outer, ctes)
        if isinstance(tree, sge.SetOperation):
            return self._set_operation(tree, outer, ctes)
        if isinstance(tree, sge.Subquery):
            inner, relation = self._query(tree.this, outer, ctes)
            tree.set("this", inner)
            return tree, relation
        assert isinstance(tree, sge.Select)
        return _Select(self, tree, outer, ctes).bind()

    def _with(self, clause: sge.With, outer: Scope | None, ctes: Relations) -> Relations:
        known = dict(ctes)
        for cte in clause.expressions:
            body, relation = self.query(cte.this, outer, known)
            alias = cte.args["alias"]
            columns = [column.name for column in alias.columns]
            renamed = [column.name for column in relation.under(cte.alias, columns)]
            engine_name = self._engine_name(cte.alias)
            cte.set("this", body)
            cte.set("alias", sge.TableAlias(this=identifier(engine_name)))
            known[alias.name] = (
                engine_name,
                Relation(tuple(renamed), relation.types, relation.engine_names),
            )
        return known

    def _set_operation(
        self, tree: sge.SetOperation, outer: Scope | None, ctes: Relations
    ) -> tuple[sge.Query, Relation]:
        left, one = self._query(tree.this, outer, ctes)
        right, other = self._query(tree.expression, outer, ctes)
        where = tree.key.upper()
        if len(one.types) != len(other.types):
            raise InvalidRequest(
                "query", f"each {where} query must have the same number of columns"
            )
        kinds = [types.common(pair, where) for pair in zip(one.types, other.types, strict=True)]
        for side in (left, right):
            _coerce_outputs(side, kinds)
        tree.set("this", left)
        tree.set("expression", right)
        relation = Relation(one.names, tuple(kinds), one.engine_names)
        for ordered in tree.args["order"].expressions if tree.args.get("order") else ():
            place = _output_place(ordered.this, one.names, [None] * len(one.names))
            if place is None:
                raise InvalidRequest("query", f"invalid {where}/ORDER BY clause")
            ordered.set("this", sge.Literal.number(place))
        self.limits(tree, ctes)
        return tree, relation

    def limits(self, tree: sge.Query, ctes: Relations) -> None:
        typing = Typing(Scope(), lambda query, scope: self.query(query, scope, ctes))
        for key in ("limit", "offset"):
            clause = tree.args.get(key)
            if clause:
                clause.set("expression", cast(typing.bind(clause.expression), "int8"))

    def source(
        self, tree: sge.Expr, lateral: Scope | None, outer: Scope | None, ctes: Relations
    ) -> tuple[sge.Expr, Scope]:
        """One item of `FROM` and the scope that it makes.

        :param lateral: the sources to its left, which a `LATERAL` sub-query sees
        :param outer: what every sub-query sees
        """
        if isinstance(tree, sge.Paren):
            inner = tree.this
            joins = list(inner.args.pop("joins", None) or [])
            inner, scope = self.source(inner, lateral, outer, ctes)
            scope = self.joins(inner, joins, scope, lateral, outer, ctes)
            return sge.Paren(this=inner), scope
        if isinstance(tree, sge.Table):
            return self._table(tree, ctes)
        if isinstance(tree, sge.Values):
            return self._values(tree, outer, ctes)
        is_lateral = isinstance(tree, sge.Lateral)
        body = tree.this.this if is_lateral else tree.this
        query, relation = self.query(body, lateral if is_lateral else outer, ctes)
        name, columns = _alias(tree, "unnamed_subquery")
        engine_name = self._engine_name(name)
        alias = sge.TableAlias(this=identifier(engine_name))
        result: sge.Expr = sge.Subquery(this=query)
        if is_lateral:
            result = sge.Lateral(this=result)
        result.set("alias", alias)
        found = relation.under(engine_name, columns)
        # PostgreSQL lets nobody name a sub-query that has no alias.
        return result, Scope(outer, list(found), {name: found})

    def _table(self, tree: sge.Table, ctes: Relations) -> tuple[sge.Expr, Scope]:
        written = tree.name
        name, columns = _alias(tree, written)
        engine_name = self._engine_name(name)
        if not tree.args.get("db") and written in ctes:
            table, relation = ctes[written]
            result = sge.Table(this=identifier(table))
        else:
            if written not in self._tables:
                raise InvalidRequest("query", f'relation "{written}" does not exist')
            described = self._tables[written]
            fields = described.types
            if not isinstance(described, Listing):
                fields = documents.with_document(fields)
            relation = Relation(
                tuple(fields), tuple(map(types.canonical, fields.values())), tuple(fields)
            )
            result = model_query.table(described.name)
        result.set("alias", sge.TableAlias(this=identifier(engine_name)))
        found = relation.under(engine_name, columns)
        if result.args.get("db"):
            found = documents.computed(found)
        return result, Scope(None, list(found), {name: found})

    def _values(
        self, tree: sge.Values, outer: Scope | None, ctes: Relations
    ) -> tuple[sge.Expr, Scope]:
        typing = Typing(Scope(outer), lambda query, scope: self.query(query, scope, ctes))
        rows = [[typing.bind(value) for value in row.expressions] for row in tree.expressions]
        kinds = [
            types.common([typed(value) for value in column], "VALUES")
            for column in zip(*rows, strict=True)
        ]
        tuples = [
            sge.Tuple(expressions=[cast(v, kind) for v, kind in zip(row, kinds, strict=True)])
            for row in rows
        ]
        name, columns = _alias(tree, "*VALUES*")
        engine_name = self._engine_name(name)
        relation = Relation(tuple(columns), tuple(kinds), tuple(columns))
        alias = sge.TableAlias(
            this=identifier(engine_name), columns=[identifier(column) for column in columns]
        )
        found = relation.under(engine_name)
        return sge.Values(expressions=tuples, alias=alias), Scope(outer, list(found), {name: found})

    def joins(
        self,
        first: sge.Expr,
        joins: Sequence[sge.Join],
        scope: Scope,
        lateral: Scope | None,
        outer: Scope | None,
        ctes: Relations,
    ) -> Scope:
        """The scope of `first` with all that is joined to it."""
        # What stands before a comma is a source of its own: JOIN binds what follows the comma.
        before, current = Scope(outer), scope
        for join in joins:
            seen = Scope(lateral or outer).joined(before).joined(current)
            seen.parent = lateral or outer
            right_tree, right = self.source(join.this, seen, outer, ctes)
            join.set("this", right_tree)
            if not any(join.args.get(key) for key in _JOIN_KEYS):
                before, current = before.joined(current), right
                before.parent = outer
                continue
            names = self._shared_names(join, current, right)
            if names is None:
                current = current.joined(right)
                current.parent = outer
                if join.args.get("on"):
                    typing = self._typing(current, ctes)
                    join.set("on", cast(typing.bind(join.args["on"]), "bool"))
                continue
            current, pairs = merged(current, right, names, join.side)
            current.parent = outer
            join.set("using", None)
            join.set("method", None)
            join.set("on", self._pairs_equal(pairs, ctes))
        first.set("joins", list(joins))
        result = before.joined(current)
        result.parent = outer
        return result

    def _typing(self, scope: Scope, ctes: Relations) -> Typing:
        return Typing(scope, lambda query, outer: self.query(query, outer, ctes))

    def _shared_names(self, join: sge.Join, left: Scope, right: Scope) -> list[str] | None:
        if join.method == "NATURAL":
            theirs = {column.name for column in right.columns}
            return [column.name for column in left.columns if column.name in theirs]
        using = join.args.get("using")
        return [column.name for column in using] if using else None

    def _pairs_equal(self, pairs: Sequence[tuple[Column, Column]], ctes: Relations) -> sge.Expr:
        typing = self._typing(Scope(), ctes)
        conditions = [
            typing.operation(sge.EQ(this=one.reference(), expression=other.reference()), "=")
            for one, other in pairs
        ]
        return sge.and_(*conditions, copy=False) if conditions else sge.true()


class _Select:
    """One `SELECT` being bound."""

    def __init__(
        self, binding: _Binding, tree: sge.Select, outer: Scope | None, ctes: Relations
    ) -> None:
        self._binding = binding
        self._tree = tree
        self._outer = outer
        self._ctes = ctes
        self._scope = Scope(outer)
        self._names: list[str] = []
        self._places: dict[sge.Expr, int] = {}

    def bind(self) -> tuple[sge.Query, Relation]:
        tree = self._tree
        self._bind_sources()
        typing = self._typing = Typing(
            self._scope, lambda query, scope: self._binding.query(query, scope, self._ctes)
        )
        if tree.args.get("where"):
            condition = typing.bind(tree.args["where"].this)
            tree.args["where"].set("this", cast(condition, "bool"))
        outputs = self._bind_outputs()
        if tree.args.get("group"):
            self._bind_groups(tree.args["group"])
        if tree.args.get("having"):
            condition = typing.bind(tree.args["having"].this)
            tree.args["having"].set("this", cast(condition, "bool"))
        if tree.args.get("order"):
            self._bind_order(tree.args["order"])
        distinct = tree.args.get("distinct")
        if distinct and distinct.args.get("on"):
            on = [self._selected(item) for item in distinct.args["on"].expressions]
            distinct.set("on", sge.Tuple(expressions=on))
        if distinct:
            self._check_distinct(distinct)
        self._binding.limits(tree, self._ctes)
        return tree, outputs

    def _check_distinct(self, distinct: sge.Distinct) -> None:
        """`DISTINCT` is sorted by what it gives, `DISTINCT ON` by what it is on first."""
        order = self._tree.args.get("order")
        sorted_by = [self._ordered_value(item.this) for item in order.expressions] if order else []
        if not distinct.args.get("on"):
            if order and not all(isinstance(item.this, sge.Literal) for item in order.expressions):
                raise InvalidRequest(
                    "query",
                    "for SELECT DISTINCT, ORDER BY expressions must appear in select list",
                )
            return
        on = distinct.args["on"].expressions
        first = sorted_by[: len(set(on))]
        if any(value not in on for value in first):
            raise InvalidRequest(
                "query", "SELECT DISTINCT ON expressions must match initial ORDER BY expressions"
            )

    def _ordered_value(self, item: sge.Expr) -> sge.Expr:
        if isinstance(item, sge.Literal):
            target: sge.Expr = self._tree.expressions[int(item.name) - 1].this
            return target
        return item

    def _bind_sources(self) -> None:
        tree = self._tree
        source = tree.args.get("from_")
        if not source:
            return
        first, scope = self._binding.source(
            source.this, Scope(self._outer), self._outer, self._ctes
        )
        source.set("this", first)
        joins = tree.args.get("joins") or []
        self._scope = self._binding.joins(first, joins, scope, None, self._outer, self._ctes)
        # The joins are the SELECT's, as sqlglot has it.
        first.args.pop("joins", None)
        tree.set("joins", joins)

    def _bind_outputs(self) -> Relation:
        targets: list[tuple[str, sge.Expr]] = []
        for target in self._tree.expressions:
            if isinstance(target, sge.Alias):
                targets.append((target.alias, self._typing.bind(target.this)))
            else:
                table = target.table if isinstance(target, sge.Column) else None
                for column in self._scope.star(table or None):
                    targets.append((column.name, column.reference()))
                    _check_width(len(targets))
        _check_width(len(targets))
        names = Names()
        engine_names = [names.unique(name) for name, _ in targets]
        self._tree.set(
            "expressions",
            [
                sge.Alias(this=value, alias=identifier(engine_name))
                for engine_name, (_, value) in zip(engine_names, targets, strict=True)
            ],
        )
        self._names = [name for name, _ in targets]
        for place, (_, value) in enumerate(targets, 1):
            self._places.setdefault(value, place)
        kinds = tuple(typed(value) for _, value in targets)
        return Relation(tuple(self._names), kinds, tuple(engine_names))

    def _bind_groups(self, group: sge.Group) -> None:
        group.set("expressions", [self._grouped(item) for item in group.expressions])
        for key in ("rollup", "cube", "grouping_sets"):
            for clause in group.args.get(key) or ():
                self._bind_grouping(clause)

    def _bind_grouping(self, clause: sge.Expr) -> None:
        """The expressions of a set, in place; sets may hold sets."""
        members: list[sge.Expr] = []
        for member in clause.expressions:
            if isinstance(member, (sge.Tuple, sge.Rollup, sge.Cube, sge.GroupingSets)):
                self._bind_grouping(member)
                members.append(member)
            else:
                members.append(self._grouped(member))
        clause.set("expressions", members)

    def _grouped(self, item: sge.Expr) -> sge.Expr:
        """A member of `GROUP BY`: a bare name is a column before it is an output's name."""
        named = isinstance(item, sge.Column) and not item.table
        if named and self._scope.own(item.name):
            return self._typing.bind(item)
        place = self._place(item)
        if place is None:
            return self._typing.bind(item)
        return sge.Literal.number(place)

    def _bind_order(self, order: sge.Order) -> None:
        keys = []
        for ordered in order.expressions:
            value = self._sorted(ordered.this)
            if value is not None:
                ordered.set("this", value)
                keys.append(ordered)
        order.set("expressions", keys)
        if not keys:
            self._tree.set("order", None)

    def _sorted(self, item: sge.Expr) -> sge.Expr | None:
        """A member of `ORDER BY`: a bare name is an output's name before it is a column.

        A literal of what comes of it is a place; None for a constant, which sorts nothing.
        """
        place = self._place(item)
        if place is not None:
            return sge.Literal.number(place)
        found = self._typing.bind(item)
        selected = self._places.get(found)
        if selected is not None:
            return sge.Literal.number(selected)
        if isinstance(found, sge.Literal) and not found.is_string:
            raise InvalidRequest("query", f"position {found.name} is not in select list")
        return None if isinstance(_uncast(found), sge.Literal) else found

    def _selected(self, item: sge.Expr) -> sge.Expr:
        place = self._place(item)
        if place is None:
            return self._typing.bind(item)
        return copied(self._tree.expressions[place - 1].this)

    def _place(self, item: sge.Expr) -> int | None:
        return _output_place(item, self._names, [target.this for target in self._tree.expressions])


def _output_place(
    item: sge.Expr, names: Sequence[str], values: Sequence[sge.Expr | None]
) -> int | None:
    """The place, from 1, of the output that an ordinal or a bare name stands for."""
    if isinstance(item, (sge.Literal, sge.Null, sge.Boolean)):
        if isinstance(item, sge.Literal) and item.is_int and not item.is_string:
            place = int(item.name)
            if 1 <= place <= len(names):
                return place
            raise InvalidRequest("query", f"position {place} is not in select list")
        raise InvalidRequest("query", "non-integer constant in ORDER BY or GROUP BY")
    if not isinstance(item, sge.Column) or item.table:
        return None
    places = [place for place, name in enumerate(names, 1) if name == item.name]
    if len({values[place - 1] for place in places}) > 1:
        raise InvalidRequest("query", f'"{item.name}" is ambiguous')
    return places[0] if places else None


def _uncast(tree: sge.Expr) -> sge.Expr:
    while isinstance(tree, (sge.Cast, sge.Paren)):
        tree = tree.this
    return tree


def _check_width(columns: int) -> None:
    if columns > _MOST_COLUMNS:
        raise InvalidRequest("query", f"target lists can have at most {_MOST_COLUMNS} entries")


def _coerce_outputs(tree: sge.Query, kinds: Sequence[str]) -> None:
    """Cast what a query gives to `kinds`, in its own select lists."""
    if isinstance(tree, sge.SetOperation):
        _coerce_outputs(tree.this, kinds)
        _coerce_outputs(tree.expression, kinds)
    elif isinstance(tree, sge.Subquery):
        _coerce_outputs(tree.this, kinds)
    else:
        for target, kind in zip(tree.expressions, kinds, strict=True):
            target.set("this", cast(target.this, kind))


def _alias(tree: sge.Expr, default: str) -> tuple[str, list[str]]:
    alias = tree.args.get("alias")
    if alias is None:
        return default, []
    return alias.name, [column.name for column in alias.columns]
