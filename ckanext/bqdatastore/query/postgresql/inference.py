"""A query's expressions, settled as PostgreSQL settles them: columns, types and casts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import sqlglot.expressions as sge

from ckanext.bqdatastore.model import numbers
from ckanext.bqdatastore.model.errors import InvalidRequest, NotPermitted
from ckanext.bqdatastore.model.query import COMPARED_AS

from . import types
from .catalogue import AGGREGATES, FUNCTIONS
from .expressions import BINARY
from .scopes import Relation, Scope
from .types import UNKNOWN

_SIGNS = {kind: sign for sign, kind in BINARY.items()}
_COMPARED = {sge.Like: "~~", sge.ILike: "~~*", sge.NullSafeEQ: "=", sge.NullSafeNEQ: "="}

_INT4 = range(-(2**31), 2**31)
_INT8 = range(-(2**63), 2**63)

_Tree = TypeVar("_Tree", bound=sge.Expr)

Subqueries = Callable[[sge.Query, Scope], tuple[sge.Query, Relation]]


def typed(tree: sge.Expr) -> str:
    """The PostgreSQL type that an expression was given."""
    assert isinstance(tree.type, sge.DataType), tree
    return types.name(tree.type)


def with_type(tree: _Tree, kind: str) -> _Tree:
    """`tree`, marked as of PostgreSQL type `kind`."""
    tree.type = types.node(kind)
    return tree


def cast(tree: sge.Expr, kind: str) -> sge.Expr:
    """`tree` as type `kind`, where PostgreSQL would cast it unasked.

    :raises InvalidRequest: it would not
    """
    source = typed(tree)
    if source == kind:
        return tree
    if isinstance(tree, sge.Literal):
        if tree.is_string and kind == "text":
            return with_type(tree, kind)
        if not tree.is_string and kind in ("numeric", "int8") and source != "numeric":
            return with_type(tree, kind)
    assignable = kind == "int8" and source in ("numeric", "float4", "float8")
    if not types.implicit(source, kind) and not assignable:
        expected = "argument of a condition" if kind == "bool" else "expression"
        raise InvalidRequest(
            "query",
            f"{expected} must be type {types.shown(kind)}, not type {types.shown(source)}",
        )
    return with_type(sge.Cast(this=tree, to=types.node(kind)), kind)


class Typing:
    """Gives the expressions of one scope their types.

    :param subqueries: binds a sub-query that sees the scope
    """

    def __init__(self, scope: Scope, subqueries: Subqueries) -> None:
        self._scope = scope
        self._subqueries = subqueries

    def bind(self, tree: sge.Expr) -> sge.Expr:
        """The same expression with its columns resolved; `tree` is used up.

        :raises InvalidRequest: what PostgreSQL would refuse as well
        """
        rule = _RULES.get(type(tree))
        if rule is None and type(tree) in _SIGNS:
            rule = Typing._binary
        if rule is None:
            raise InvalidRequest("message", f"Invalid query AST element: {tree.key}")
        result = rule(self, tree)
        assert result.type is not None, tree
        return result

    def _column(self, tree: sge.Column) -> sge.Expr:
        return self._scope.column(tree.name, tree.table or None).reference()

    def _literal(self, tree: sge.Literal) -> sge.Expr:
        if tree.is_string:
            return with_type(tree, UNKNOWN)
        text = tree.name
        if not text.lstrip("-").isdigit():
            plain = format(numbers.exact(text), "f")
            return with_type(sge.Literal(this=plain, is_string=False), "numeric")
        value = int(text)
        kind = "int4" if value in _INT4 else "int8" if value in _INT8 else "numeric"
        return with_type(tree, kind)

    def _boolean(self, tree: sge.Boolean) -> sge.Expr:
        return with_type(tree, "bool")

    def _null(self, tree: sge.Null) -> sge.Expr:
        return with_type(tree, UNKNOWN)

    def _current_date(self, tree: sge.CurrentDate) -> sge.Expr:
        return with_type(tree, "date")

    def _paren(self, tree: sge.Paren) -> sge.Expr:
        inner = self.bind(tree.this)
        tree.set("this", inner)
        return with_type(tree, typed(inner))

    def _cast(self, tree: sge.Cast) -> sge.Expr:
        kind = types.name(tree.to)
        if isinstance(tree.this, sge.Array) and not tree.this.expressions:
            return with_type(tree, kind) if kind.startswith("_") else self.bind(tree.this)
        inner = self.bind(tree.this)
        if not types.castable(typed(inner), kind):
            raise InvalidRequest(
                "query",
                f"cannot cast type {types.shown(typed(inner))} to {types.shown(kind)}",
            )
        tree.set("this", inner)
        return with_type(tree, kind)

    def _binary(self, tree: sge.Binary) -> sge.Expr:
        return self._operation(tree, _SIGNS[type(tree)])

    def _operator(self, tree: sge.Operator) -> sge.Expr:
        return self._operation(tree, tree.args["operator"].name)

    def _operation(self, tree: sge.Expr, sign: str) -> sge.Expr:
        tree.set("this", self.bind(tree.this))
        if isinstance(tree.expression, (sge.Any, sge.All)):
            return self._quantified(tree, sign)
        tree.set("expression", self.bind(tree.expression))
        return self.operation(tree, sign)

    def operation(self, tree: sge.Expr, sign: str) -> sge.Expr:
        """A binary expression whose sides are bound, cast as the operator `sign` wants them."""
        left, right = tree.this, tree.expression
        found = types.operator(sign, (typed(left), typed(right)))
        tree.set("this", cast(left, found.arguments[0]))
        tree.set("expression", cast(right, found.arguments[1]))
        return with_type(tree, found.result)

    def _quantified(self, tree: sge.Expr, sign: str) -> sge.Expr:
        """`x = ANY (array or sub-query)`."""
        left, quantifier = tree.this, tree.expression
        if isinstance(quantifier.this, sge.Subquery):
            query, element = self._one_column(quantifier.this.this)
            found = types.operator(sign, (typed(left), element))
            _recast(query, found.arguments[1])
            quantifier.set("this", with_type(sge.Subquery(this=query), found.arguments[1]))
        else:
            array = self.bind(quantifier.this)
            if typed(array) == UNKNOWN:
                array = cast(array, f"_{typed(left)}")
            if not typed(array).startswith("_"):
                raise InvalidRequest("query", "op ANY/ALL (array) requires array on right side")
            found = types.operator(sign, (typed(left), typed(array)[1:]))
            quantifier.set("this", cast(array, f"_{found.arguments[1]}"))
        with_type(quantifier, found.arguments[1])
        tree.set("this", cast(left, found.arguments[0]))
        return with_type(tree, "bool")

    def _compared(self, tree: sge.Binary) -> sge.Expr:
        tree.set("this", self.bind(tree.this))
        tree.set("expression", self.bind(tree.expression))
        if isinstance(tree, (sge.NullSafeEQ, sge.NullSafeNEQ)):
            for side in (tree.this, tree.expression):
                if isinstance(side, sge.Null):
                    return with_type(tree, "bool")
        return self.operation(tree, _COMPARED.get(type(tree), "~~"))

    def _escape(self, tree: sge.Escape) -> sge.Expr:
        tree.set("this", self.bind(tree.this))
        tree.set("expression", cast(self.bind(tree.expression), "text"))
        return with_type(tree, "bool")

    def _in(self, tree: sge.In) -> sge.Expr:
        left = self.bind(tree.this)
        if tree.args.get("query"):
            query, element = self._one_column(tree.args["query"].this)
            found = types.operator("=", (typed(left), element))
            _recast(query, found.arguments[1])
            tree.set("query", sge.Subquery(this=query))
            tree.set("this", cast(left, found.arguments[0]))
            return with_type(tree, "bool")
        values = [self.bind(value) for value in tree.expressions]
        kinds = {typed(value) for value in values} - {UNKNOWN}
        try:
            kind = types.common([typed(left), *map(typed, values)], "IN")
        except InvalidRequest:
            # In PostgreSQL's words: `IN` is `=` again and again.
            for other in kinds:
                types.operator("=", (typed(left), other))
            raise
        types.operator("=", (kind, kind))
        if kind == "float4" and kinds | {typed(left)} - {UNKNOWN} != {kind}:
            # PostgreSQL has one type for two constants and more; all else is compared by `=`.
            if len(values) == 1:
                return self.operation(sge.EQ(this=left, expression=values[0]), "=")
            if any(value.find(sge.Column) for value in values):
                raise InvalidRequest(
                    "query", "IN of real and other numbers that fields make is not supported: use ="
                )
        tree.set("this", cast(left, kind))
        tree.set("expressions", [cast(value, kind) for value in values])
        return with_type(tree, "bool")

    def _between(self, tree: sge.Between) -> sge.Expr:
        value, low, high = (self.bind(tree.args[key]) for key in ("this", "low", "high"))
        first = types.operator(">=", (typed(value), typed(low))).arguments
        last = types.operator("<=", (typed(value), typed(high))).arguments
        if first[0] == last[0]:
            tree.set("this", cast(value, first[0]))
            tree.set("low", cast(low, first[1]))
            tree.set("high", cast(high, last[1]))
            return with_type(tree, "bool")
        # An engine casts the value for each bound.
        tree.set("this", value)
        tree.set("low", cast(low, first[1]))
        tree.set("high", cast(high, last[1]))
        tree.meta[COMPARED_AS] = (first[0], last[0])
        return with_type(tree, "bool")

    def _connector(self, tree: sge.Connector) -> sge.Expr:
        tree.set("this", cast(self.bind(tree.this), "bool"))
        tree.set("expression", cast(self.bind(tree.expression), "bool"))
        return with_type(tree, "bool")

    def _not(self, tree: sge.Not) -> sge.Expr:
        tree.set("this", cast(self.bind(tree.this), "bool"))
        return with_type(tree, "bool")

    def _is(self, tree: sge.Is) -> sge.Expr:
        value = self.bind(tree.this)
        if isinstance(tree.expression, sge.Boolean):
            value = cast(value, "bool")
        tree.set("this", value)
        with_type(tree.expression, "bool")
        return with_type(tree, "bool")

    def _prefix(self, tree: sge.Unary) -> sge.Expr:
        digits = tree.this.name.isdigit()
        inner = self.bind(tree.this)
        sign = "-" if isinstance(tree, sge.Neg) else "~"
        if sign == "-" and isinstance(inner, sge.Literal) and not inner.is_string:
            # So that the least int4 is one, as in PostgreSQL's own grammar.
            # (`Literal.number` would make an operator of the sign.)
            negative = sge.Literal(this=f"-{inner.name}", is_string=False)
            return self._literal(negative) if digits else with_type(negative, "numeric")
        found = types.operator(sign, (typed(inner),))
        tree.set("this", cast(inner, found.arguments[0]))
        return with_type(tree, found.result)

    def _case(self, tree: sge.Case) -> sge.Expr:
        subject = self.bind(tree.this) if tree.this else None
        branches = tree.args["ifs"]
        conditions = [self.bind(branch.this) for branch in branches]
        if subject is not None:
            kinds = [typed(subject), *map(typed, conditions)]
            kind = types.common(kinds, "CASE/WHEN")
            if kind == "float4" and {*kinds} - {UNKNOWN} != {kind}:
                kind = "float8"  # PostgreSQL: by `=`, each by itself
            tree.set("this", cast(subject, kind))
            conditions = [cast(condition, kind) for condition in conditions]
        else:
            conditions = [cast(condition, "bool") for condition in conditions]
        default = self.bind(tree.args.get("default") or sge.Null())
        results = [self.bind(branch.args["true"]) for branch in branches]
        kind = types.common([typed(default), *map(typed, results)], "CASE")
        ifs = [
            sge.If(this=condition, true=cast(result, kind))
            for condition, result in zip(conditions, results, strict=True)
        ]
        tree.set("ifs", ifs)
        tree.set("default", cast(default, kind))
        return with_type(tree, kind)

    def _alternatives(self, tree: sge.Expr) -> sge.Expr:
        """`COALESCE`, `GREATEST` and `LEAST`."""
        values = [self.bind(value) for value in (tree.this, *tree.expressions)]
        kind = types.common(map(typed, values), tree.key.upper())
        first, *rest = (cast(value, kind) for value in values)
        tree.set("this", first)
        tree.set("expressions", rest)
        return with_type(tree, kind)

    def _nullif(self, tree: sge.Nullif) -> sge.Expr:
        left, right = self.bind(tree.this), self.bind(tree.expression)
        found = types.operator("=", (typed(left), typed(right)))
        tree.set("this", cast(left, found.arguments[0]))
        tree.set("expression", cast(right, found.arguments[1]))
        return with_type(tree, found.arguments[0])

    def _array(self, tree: sge.Array) -> sge.Expr:
        values = [self.bind(value) for value in tree.expressions]
        if not values:
            raise InvalidRequest("query", "cannot determine type of empty array")
        kind = types.common(map(typed, values), "ARRAY")
        if kind.startswith("_"):
            raise InvalidRequest("query", "Arrays of more than one dimension are not supported")
        tree.set("expressions", [cast(value, kind) for value in values])
        return with_type(tree, f"_{kind}")

    def _bracket(self, tree: sge.Bracket) -> sge.Expr:
        base = self.bind(tree.this)
        index = tree.expressions[0]
        kind = typed(base)
        if kind == "jsonb" and not isinstance(index, sge.Slice):
            arrow = sge.Operator(
                this=base, operator=sge.Var(this="->"), expression=self.bind(index)
            )
            return self.operation(arrow, "->")
        if not kind.startswith("_"):
            raise InvalidRequest(
                "query", f"cannot subscript type {types.shown(kind)}: it is not an array"
            )
        tree.set("this", base)
        if isinstance(index, sge.Slice):
            for key in ("this", "expression"):
                if index.args.get(key):
                    index.set(key, cast(self.bind(index.args[key]), "int4"))
            return with_type(tree, kind)
        tree.set("expressions", [cast(self.bind(index), "int4")])
        return with_type(tree, kind[1:])

    def _part(self, tree: sge.Dot) -> sge.Expr:
        """`(field).json`: how clients of the stock backend reach the JSON of a field."""
        inner, name = self.bind(tree.this), tree.expression.name
        while isinstance(inner, sge.Paren):
            inner = inner.this
        if typed(inner) != types.NESTED or name != "json":
            raise InvalidRequest("query", "Fields of a row value are not supported")
        return cast(inner, "json")

    def _subquery(self, tree: sge.Subquery) -> sge.Expr:
        query, kind = self._one_column(tree.this)
        return with_type(sge.Subquery(this=query), kind)

    def _one_column(self, tree: sge.Query) -> tuple[sge.Query, str]:
        query, relation = self._subqueries(tree, self._scope)
        if len(relation.types) != 1:
            raise InvalidRequest("query", "subquery must return only one column")
        return query, relation.types[0]

    def _exists(self, tree: sge.Exists) -> sge.Expr:
        query, _ = self._subqueries(tree.this, self._scope)
        return with_type(sge.Exists(this=query), "bool")

    def _function(self, tree: sge.Anonymous) -> sge.Expr:
        return self._call(tree, ())

    def _call(self, tree: sge.Anonymous, ordered: Sequence[sge.Expr]) -> sge.Expr:
        """A call, its arguments cast; `ordered` are those of `WITHIN GROUP`, bound already."""
        name = tree.name
        if name == "array":
            query, kind = self._one_column(tree.expressions[0].this)
            tree.set("expressions", [with_type(sge.Subquery(this=query), kind)])
            return with_type(tree, f"_{kind}")
        if name == "grouping":
            tree.set("expressions", [self.bind(argument) for argument in tree.expressions])
            return with_type(tree, "int4")
        if name not in FUNCTIONS:
            raise NotPermitted(f"Not authorized to call function {name}")
        if len(tree.expressions) == 1 and isinstance(tree.expressions[0], sge.Star):
            if name != "count":
                raise InvalidRequest("query", f"function {name}() does not exist")
            return with_type(tree, "int8")
        if name == "count" and not tree.expressions:
            raise InvalidRequest(
                "query", "count(*) must be used to call a parameterless aggregate function"
            )
        holders = [self._argument(argument, name) for argument in tree.expressions]
        arguments = [argument for values, _ in holders for argument in values]
        kinds = [typed(argument) for argument in (*arguments, *ordered)]
        found = types.function(name, kinds)
        wanted = iter(found.arguments)
        tree.set(
            "expressions",
            [whole([cast(value, next(wanted)) for value in values]) for values, whole in holders],
        )
        for value in ordered:
            kind = next(wanted)
            assert value.parent is not None
            value.parent.set("this", cast(value, kind))
        return with_type(tree, found.result)

    def _argument(
        self, tree: sge.Expr, name: str
    ) -> tuple[list[sge.Expr], Callable[[list[sge.Expr]], sge.Expr]]:
        """The values of one argument, and the argument with their casts in their place."""
        if isinstance(tree, sge.Order):
            self._check_aggregate(name, "ORDER BY")
            for ordered in tree.expressions:
                ordered.set("this", self.bind(ordered.this))
            values, whole = self._argument(tree.this, name)
            return values, lambda casts: _with(tree, "this", whole(casts))
        if isinstance(tree, sge.Distinct):
            self._check_aggregate(name, "DISTINCT")
            values = [self.bind(value) for value in tree.expressions]
            return values, lambda casts: _with(tree, "expressions", casts)
        return [self.bind(tree)], lambda casts: casts[0]

    @staticmethod
    def _check_aggregate(name: str, what: str) -> None:
        if name not in AGGREGATES:
            raise InvalidRequest(
                "query", f"{what} specified, but {name} is not an aggregate function"
            )

    def _within_group(self, tree: sge.WithinGroup) -> sge.Expr:
        ordered = []
        for item in tree.expression.expressions:
            item.set("this", self.bind(item.this))
            ordered.append(item.this)
        tree.set("this", self._call(tree.this, ordered))
        return with_type(tree, typed(tree.this))

    def _filter(self, tree: sge.Filter) -> sge.Expr:
        tree.set("this", self.bind(tree.this))
        condition = tree.expression
        condition.set("this", cast(self.bind(condition.this), "bool"))
        return with_type(tree, typed(tree.this))

    def _window(self, tree: sge.Window) -> sge.Expr:
        tree.set("this", self.bind(tree.this))
        tree.set("partition_by", [self.bind(item) for item in tree.args.get("partition_by") or ()])
        order = tree.args.get("order")
        kinds = []
        for item in order.expressions if order else ():
            item.set("this", self.bind(item.this))
            kinds.append(typed(item.this))
        frame = tree.args.get("spec") or sge.WindowSpec()
        for key in ("start", "end"):
            offset = frame.args.get(key)
            if not isinstance(offset, sge.Expr):
                continue
            offset = self.bind(offset)
            if frame.args["kind"] != "RANGE":
                offset = cast(offset, "int8")
            elif typed(offset) == UNKNOWN:
                dated = kinds and kinds[0] in ("date", "time", "timestamp", "timestamptz")
                offset = cast(offset, "interval" if dated else (kinds or ["int8"])[0])
            frame.set(key, offset)
        return with_type(tree, typed(tree.this))


def _with(tree: sge.Expr, key: str, value: Any) -> sge.Expr:
    tree.set(key, value)
    return tree


def _recast(query: sge.Query, kind: str) -> None:
    """Cast the one column that a sub-query gives."""
    if isinstance(query, sge.SetOperation):
        _recast(query.this, kind)
        _recast(query.expression, kind)
    elif isinstance(query, sge.Subquery):
        _recast(query.this, kind)
    else:
        target = query.expressions[0]
        target.set("this", cast(target.this, kind))


_RULES: dict[type, Callable[..., sge.Expr]] = {
    sge.Column: Typing._column,
    sge.Literal: Typing._literal,
    sge.Boolean: Typing._boolean,
    sge.Null: Typing._null,
    sge.CurrentDate: Typing._current_date,
    sge.Paren: Typing._paren,
    sge.Cast: Typing._cast,
    sge.Operator: Typing._operator,
    sge.Like: Typing._compared,
    sge.ILike: Typing._compared,
    sge.SimilarTo: Typing._compared,
    sge.NullSafeEQ: Typing._compared,
    sge.NullSafeNEQ: Typing._compared,
    sge.Escape: Typing._escape,
    sge.In: Typing._in,
    sge.Between: Typing._between,
    sge.And: Typing._connector,
    sge.Or: Typing._connector,
    sge.Not: Typing._not,
    sge.Is: Typing._is,
    sge.Neg: Typing._prefix,
    sge.BitwiseNot: Typing._prefix,
    sge.Case: Typing._case,
    sge.Coalesce: Typing._alternatives,
    sge.Greatest: Typing._alternatives,
    sge.Least: Typing._alternatives,
    sge.Nullif: Typing._nullif,
    sge.Array: Typing._array,
    sge.Bracket: Typing._bracket,
    sge.Dot: Typing._part,
    sge.Subquery: Typing._subquery,
    sge.Exists: Typing._exists,
    sge.Anonymous: Typing._function,
    sge.WithinGroup: Typing._within_group,
    sge.Filter: Typing._filter,
    sge.Window: Typing._window,
}
