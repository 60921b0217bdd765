"""A bound PostgreSQL query in BigQuery's words.

The tree's expressions carry their PostgreSQL types. Only what is known here to mean the same in
both, or what can be said so that it does, goes through; anything else is refused by name.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence

import sqlglot.expressions as sge

from ...model.errors import InvalidRequest, Unsupported
from ...model.query import WHOLE
from ...model.tree_size import one_statement
from ...translation import literals
from ...translation.growth import grown, size
from ...translation.terms import (
    FLOATS,
    INTEGERS,
    JSONS,
    Expression,
    Untranslatable,
    constant,
    fn,
    kind,
    op,
    unsupported,
    when,
)
from .fulltext import BigQueryFullText
from .translation import arrays, comparisons, documents, moments, numbers, patterns, queries, texts
from .translation.aggregates import AGGREGATES, Call, aggregate, ordered_set, sort_keys
from .translation.casts import converted, numeric_literal
from .translation.intervals import interval_text
from .translation.terms import begin, exact

# How a row's document names the types of its fields.
_DOCUMENT_TYPES = {"int2": "int8", "int4": "int8", "float4": "float8", "json": "nested"}

# What says the same in both.
_SAME = (
    sge.Subquery, sge.Table, sge.TableAlias, sge.From, sge.Join, sge.Where, sge.Group,
    sge.Having, sge.Order, sge.Ordered, sge.Limit, sge.Offset, sge.With, sge.CTE,
    sge.Alias, sge.Column, sge.Identifier, sge.Null, sge.Boolean,
    sge.Star, sge.Paren, sge.And, sge.Or, sge.Not, sge.Is, sge.Case, sge.If, sge.Placeholder,
    sge.DataType, sge.DataTypeParam, sge.Exists, sge.Neg, sge.Distinct, sge.Coalesce, sge.Var,
    sge.Tuple, sge.Slice, sge.Any, sge.All, sge.Rollup, sge.Cube, sge.GroupingSets,
    sge.BitwiseNot, sge.WindowSpec,
)  # fmt: skip

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*")


def translate(tree: sge.Expr) -> sge.Expr:
    """The same query for BigQuery; `tree` stays as it is.

    :param tree: as `query.guard.bind` gives it
    :raises Unsupported: what is not known to have PostgreSQL's result
    """
    begin()
    try:
        with one_statement():
            result = _translated(tree.copy())
        _show_intervals(result)
    except Untranslatable as fault:
        raise Unsupported("bigquery", f"{fault.feature} in datastore_search_sql") from None
    except RecursionError:
        raise InvalidRequest("message", "Query is too deeply nested") from None
    # Parts of it stand in several places.
    result = result.copy()
    _name_outputs(result)
    return result


def _name_outputs(tree: sge.Expr) -> None:
    """Give outputs names that BigQuery takes, each another; they are read by their places."""
    while isinstance(tree, (sge.Subquery, sge.SetOperation)):
        tree = tree.this
    used: set[str] = set()
    for place, target in enumerate(tree.expressions):
        if not isinstance(target, sge.Alias):
            continue
        if not _NAME.fullmatch(target.alias) or target.alias.lower() in used:
            target.set("alias", sge.to_identifier(f"_output_{place}", quoted=True))
        used.add(target.alias.lower())


def _is_place(ordered: sge.Ordered) -> bool:
    return isinstance(ordered.this, sge.Literal)


def _show_intervals(tree: sge.Expr) -> None:
    """Intervals leave as PostgreSQL's texts: Arrow has no type for BigQuery's."""
    order = tree.args.get("order")
    sorted_by = {each.this.name for each in order.expressions if _is_place(each)} if order else ()
    if isinstance(tree, sge.SetOperation):
        inner: sge.Expr = tree
        while isinstance(inner, (sge.Subquery, sge.SetOperation)):
            inner = inner.this
        if any(kind(target.this) == "interval" for target in inner.expressions):
            raise unsupported("set operations of intervals")
        return
    if isinstance(tree, sge.Subquery):
        _show_intervals(tree.this)
        return
    for place, target in enumerate(tree.expressions):
        if not isinstance(target, sge.Alias) or kind(target.this) != "interval":
            continue
        if tree.args.get("distinct") or str(place + 1) in sorted_by:
            raise unsupported("answers sorted by an interval, or DISTINCT")
        target.set("this", interval_text(target.this))


# The walk


def _translated(tree: Expression) -> Expression:
    before = None
    if isinstance(tree, (sge.Window, sge.Filter, sge.WithinGroup)) or _is_aggregate(tree):
        result = _call(tree)
    elif isinstance(tree, sge.Select):
        result = _select(tree)
    else:
        rule = _RULES.get(type(tree))
        if rule is None and not isinstance(tree, _SAME):
            raise unsupported(type(tree).__name__.upper())
        _translate_children(tree)
        before = size(tree) - 1
        result = rule(tree) if rule else tree
        if result is not tree and isinstance(tree, WHOLE) and not isinstance(result, WHOLE):
            result = sge.Paren(this=result)
    result.type = tree.type
    grown(result, before)
    return result


def _translate_children(tree: Expression, skip: Sequence[str] = ()) -> None:
    for key, value in list(tree.args.items()):
        if key in skip or isinstance(value, (sge.DataType, sge.TableAlias, sge.Identifier)):
            continue
        if isinstance(value, sge.Expr):
            tree.set(key, _translated(value))
        elif isinstance(value, list):
            translated = [
                _translated(item) if isinstance(item, sge.Expr) else item for item in value
            ]
            tree.set(key, translated)


def _select(tree: sge.Select) -> Expression:
    if tree.args.get("group"):
        # Before anything is said otherwise: the same is selected and grouped by.
        queries.group(tree)
    _translate_children(tree)
    distinct = tree.args.get("distinct")
    if distinct is not None and distinct.args.get("on"):
        queries.distinct_on(tree)
    order = tree.args.get("order")
    if order is None:
        return tree
    if tree.args.get("distinct") and _sorts_floats(tree, order):
        return queries.sorted_outside(tree, order)
    _order(tree, order)
    return tree


def _sorts_floats(tree: sge.Query, order: sge.Order) -> bool:
    first: Expression = tree
    while isinstance(first, (sge.Subquery, sge.SetOperation)):
        first = first.this
    places = [int(each.this.name) for each in order.expressions if _is_place(each)]
    return any(kind(first.expressions[place - 1].this) in FLOATS for place in places)


def _set_operation(tree: sge.SetOperation) -> Expression:
    if not tree.args.get("distinct") and not isinstance(tree, sge.Union):
        raise unsupported(f"{tree.key.upper()} ALL")
    order = tree.args.get("order")
    if order is not None and _sorts_floats(tree, order):
        return queries.sorted_outside(tree, order)
    return tree


def _order(tree: sge.Select, order: sge.Order) -> None:
    """NaN is PostgreSQL's greatest float and BigQuery's least."""
    keys: list[sge.Ordered] = []
    for each in order.expressions:
        value = each.this
        if isinstance(value, sge.Literal):
            value = tree.expressions[int(value.name) - 1]
            value = value.this if isinstance(value, sge.Alias) else value
        if kind(value).startswith("_") or kind(value) in JSONS:
            raise unsupported("ORDER BY with arrays or JSON")
        if kind(value) in FLOATS:
            keys += sort_keys(_with_value(each, value))
        else:
            keys.append(each)
    order.set("expressions", keys)


def _with_value(ordered: sge.Ordered, value: Expression) -> sge.Ordered:
    named = sge.Ordered(**{**ordered.args, "this": value})
    return named


def _is_aggregate(tree: Expression) -> bool:
    return isinstance(tree, sge.Anonymous) and tree.name in AGGREGATES


def _call(tree: Expression) -> Expression:
    """A call of an aggregate with what stands around it."""
    over, condition, ordered = None, None, None
    call = tree
    while not isinstance(call, sge.Anonymous):
        if isinstance(call, sge.Window):
            over = _window(call)
        elif isinstance(call, sge.Filter):
            condition = _translated(call.expression.this)
        else:
            _translate_children(call.expression)
            ordered = call.expression.expressions
        call = call.this
    found = _taken_apart(call, condition, over)
    if ordered is not None:
        if over is not None:
            raise unsupported(f"{call.name} WITHIN GROUP with OVER")
        return ordered_set(found, ordered)
    return aggregate(found)


def _taken_apart(
    call: sge.Anonymous, condition: Expression | None, over: sge.Window | None
) -> Call:
    arguments: list[Expression] = []
    distinct, order = False, []
    for each in call.expressions:
        value = each
        if isinstance(value, sge.Order):
            _translate_children(value, skip=("this",))
            order = list(value.expressions)
            value = value.this
        if isinstance(value, sge.Distinct):
            distinct = True
            arguments += [_translated(one) for one in value.expressions]
        elif isinstance(value, sge.Star):
            arguments.append(value)
        else:
            arguments.append(_translated(value))
    return Call(call.name, arguments, distinct, order, condition, over)


_FRAMES = ("ROWS", "RANGE")


def _window(tree: sge.Window) -> sge.Window:
    """What is in OVER; the call is not in it."""
    window = sge.Window(**{key: value for key, value in tree.args.items() if key != "this"})
    _translate_children(window)
    window.set(
        "partition_by",
        [queries.partition_key(each) for each in window.args.get("partition_by") or ()],
    )
    order, frame = window.args.get("order"), window.args.get("spec")
    if frame is not None and (frame.args.get("exclude") or frame.args.get("kind") not in _FRAMES):
        raise unsupported("GROUPS and EXCLUDE in windows")
    offsets = [frame.args.get(key) for key in ("start", "end")] if frame is not None else []
    in_range = frame is not None and frame.args.get("kind") == "RANGE"
    if in_range and any(isinstance(each, sge.Expr) for each in offsets):
        raise unsupported("RANGE with offsets in windows")
    if order is not None:
        keys = [key for each in order.expressions for key in sort_keys(each)]
        window.set("order", sge.Order(expressions=keys))
    return window


# Rules for nodes: their parts are translated


def _literal(tree: sge.Literal) -> Expression:
    if tree.is_string or kind(tree) != "numeric":
        return tree
    return numeric_literal(tree.name)


def _arithmetic(tree: sge.Binary) -> Expression:
    kinds = [kind(side) for side in (tree.this, tree.expression)]
    if all(name in (*INTEGERS, *FLOATS, "numeric") for name in kinds):
        return numbers.computed(tree)
    if isinstance(tree, sge.Mul):
        return moments.multiplied(tree)
    return moments.added(tree)


def _divide(tree: sge.Div) -> Expression:
    return moments.multiplied(tree) if kind(tree.this) == "interval" else numbers.divided(tree)


def _modulo(tree: sge.Mod) -> Expression:
    return numbers.remainder(tree.this, tree.expression)


def _power(tree: sge.Pow) -> Expression:
    return numbers.NUMBER_FUNCTIONS["power"]([tree.this, tree.expression])


def _concatenate(tree: sge.DPipe) -> Expression:
    left, right = tree.this, tree.expression
    if kind(tree) in JSONS:
        raise unsupported("the merging of jsonb with ||")
    if kind(tree).startswith("_"):
        return arrays.concatenated(left, right)
    return texts.concatenated(left, right)


def _like(tree: sge.Binary) -> Expression:
    if isinstance(tree.parent, sge.Escape):
        return tree
    return patterns.like(tree.this, tree.expression, isinstance(tree, sge.ILike))


def _escape(tree: sge.Escape) -> Expression:
    escape = literals.escape_character(constant(tree.expression, "an escape character"))
    test = tree.this
    if isinstance(test, sge.SimilarTo):
        return patterns.similar(test.this, test.expression, escape)
    return patterns.like(test.this, test.expression, isinstance(test, sge.ILike), escape)


def _similar(tree: sge.SimilarTo) -> Expression:
    if isinstance(tree.parent, sge.Escape):
        return tree
    return patterns.similar(tree.this, tree.expression)


def _matched(flags: str, negated: bool) -> Callable[[sge.Operator], Expression]:
    def rule(tree: sge.Operator) -> Expression:
        found = patterns.matches(tree.this, tree.expression, flags)
        return sge.Not(this=found) if negated else found

    return rule


def _liked(ignore_case: bool, negated: bool) -> Callable[[sge.Operator], Expression]:
    def rule(tree: sge.Operator) -> Expression:
        found = patterns.like(tree.this, tree.expression, ignore_case)
        return sge.Not(this=found) if negated else found

    return rule


def _arrow(take: Callable[..., Expression], path: bool) -> Callable[[sge.Operator], Expression]:
    def rule(tree: sge.Operator) -> Expression:
        keys = documents.keys_of(tree.expression) if path else [tree.expression]
        return take(tree.this, keys, path)

    return rule


def _has_keys(node: type[sge.Connector]) -> Callable[[sge.Operator], Expression]:
    def rule(tree: sge.Operator) -> Expression:
        tests = [documents.has_key(tree.this, key) for key in documents.keys_of(tree.expression)]
        result = tests[0]
        for test in tests[1:]:
            result = op(node, result, test)
        return result

    return rule


def _contains(outer: Expression, inner: Expression) -> Expression:
    if kind(outer) in JSONS:
        raise unsupported("the operators @> and <@ on jsonb")
    return arrays.contained(outer, inner)


_OPERATORS: Mapping[str, Callable[[sge.Operator], Expression]] = {
    "~": _matched("", False),
    "~*": _matched("i", False),
    "!~": _matched("", True),
    "!~*": _matched("i", True),
    "~~": _liked(False, False),
    "!~~": _liked(False, True),
    "~~*": _liked(True, False),
    "!~~*": _liked(True, True),
    "^@": lambda tree: fn("STARTS_WITH", tree.this, tree.expression),
    "->": _arrow(documents.extract, False),
    "->>": _arrow(documents.extract_text, False),
    "#>": _arrow(documents.extract, True),
    "#>>": _arrow(documents.extract_text, True),
    "?": lambda tree: documents.has_key(tree.this, tree.expression),
    "?|": _has_keys(sge.Or),
    "?&": _has_keys(sge.And),
    "@>": lambda tree: _contains(tree.this, tree.expression),
    "<@": lambda tree: _contains(tree.expression, tree.this),
    "&&": lambda tree: arrays.overlaps(tree.this, tree.expression),
    "&": numbers.bits(sge.BitwiseAnd),
    "|": numbers.bits(sge.BitwiseOr),
    "#": numbers.bits(sge.BitwiseXor),
    "<<": lambda tree: numbers.shifted(tree, True),
    ">>": lambda tree: numbers.shifted(tree, False),
}


def _operator(tree: sge.Operator) -> Expression:
    sign = tree.args["operator"].name
    rule = _OPERATORS.get(sign)
    if rule is None:
        raise unsupported(f"the operator {sign}")
    if isinstance(tree.expression, (sge.Any, sge.All)):
        return _any_pattern(tree, rule)
    return rule(tree)


def _any_pattern(tree: sge.Operator, rule: Callable[[sge.Operator], Expression]) -> Expression:
    """`LIKE ANY (array)` by a constant array: one test for each of its elements."""
    quantifier = tree.expression
    connector = sge.Or if isinstance(quantifier, sge.Any) else sge.And
    result: Expression | None = None
    for item in documents.keys_of(quantifier.this):
        one = sge.Operator(this=tree.this, operator=tree.args["operator"], expression=item)
        test = rule(one)
        result = test if result is None else op(connector, result, test)
    return result or sge.Boolean(this=connector is sge.And)


def _nullif(tree: sge.Nullif) -> Expression:
    left, right = tree.this, tree.expression
    same = comparisons.compared(sge.EQ, left, right, kind(left), kind(right))
    return when((same, sge.Null()), otherwise=left)


def _case(tree: sge.Case) -> Expression:
    if tree.this and kind(tree.this) in (*FLOATS, *JSONS):
        raise unsupported("CASE of this type")
    if kind(tree) == "numeric":
        for branch in tree.args["ifs"]:
            branch.set("true", _exactly(branch.args["true"]))
        tree.set("default", _exactly(tree.args["default"]))
    return tree


def _coalesce(tree: sge.Coalesce) -> Expression:
    if kind(tree) != "numeric":
        return tree
    first, *others = (_exactly(each) for each in (tree.this, *tree.expressions))
    return sge.func("coalesce", first, *others)


def _exactly(value: Expression) -> Expression:
    return value if isinstance(value, sge.Null) else exact(value)


def _current_date(tree: sge.CurrentDate) -> Expression:
    return fn("CURRENT_DATE", "UTC")


def _lateral(tree: sge.Lateral) -> Expression:
    raise unsupported("LATERAL")


def _document(fields: Sequence[Expression]) -> Expression:
    """The texts of a row's fields; a list that leaves BigQuery can hold no null."""
    values = [
        _FULL_TEXT.full_text_value(field, _document_type(kind(field)), True) for field in fields
    ]
    return sge.Array(
        expressions=[sge.func("coalesce", each, sge.Literal.string("")) for each in values]
    )


def _document_type(name: str) -> str:
    return "_text" if name.startswith("_") else _DOCUMENT_TYPES.get(name, name)


_FULL_TEXT = BigQueryFullText()


def _function(tree: sge.Anonymous) -> Expression:
    name = tree.name.lower()
    if name == "row_document":
        return _document(tree.expressions)
    if name == "at_most":  # BigQuery counts what a query takes by itself
        return tree.expressions[0]
    if name == "array":
        return arrays.of_query(tree.expressions[0], kind(tree))
    rule = _FUNCTIONS.get(name)
    if rule is None:
        raise unsupported(f"{name}()")
    return rule(tree.expressions)


_FUNCTIONS: Mapping[str, Callable[[Sequence[Expression]], Expression]] = {
    **numbers.NUMBER_FUNCTIONS,
    **texts.TEXT_FUNCTIONS,
    **patterns.PATTERN_FUNCTIONS,
    **moments.TIME_FUNCTIONS,
    **arrays.ARRAY_FUNCTIONS,
    **documents.JSON_FUNCTIONS,
}

_RULES: Mapping[type[sge.Expr], Callable[..., Expression]] = {
    sge.Literal: _literal,
    sge.Cast: converted,
    sge.Add: _arithmetic,
    sge.Sub: _arithmetic,
    sge.Mul: _arithmetic,
    sge.Div: _divide,
    sge.Mod: _modulo,
    sge.Pow: _power,
    sge.DPipe: _concatenate,
    **dict.fromkeys((sge.EQ, sge.NEQ, sge.LT, sge.LTE, sge.GT, sge.GTE), comparisons.compare),
    sge.NullSafeEQ: comparisons.alike,
    sge.NullSafeNEQ: comparisons.alike,
    sge.In: comparisons.contained,
    sge.Between: comparisons.between,
    sge.Like: _like,
    sge.ILike: _like,
    sge.SimilarTo: _similar,
    sge.Escape: _escape,
    sge.Operator: _operator,
    sge.Array: arrays.array,
    sge.Bracket: arrays.bracket,
    sge.Nullif: _nullif,
    sge.Case: _case,
    sge.Coalesce: _coalesce,
    sge.Greatest: numbers.extreme,
    sge.Least: numbers.extreme,
    sge.CurrentDate: _current_date,
    sge.Union: _set_operation,
    sge.Intersect: _set_operation,
    sge.Except: _set_operation,
    sge.Values: queries.values,
    sge.Lateral: _lateral,
    sge.Anonymous: _function,
}
