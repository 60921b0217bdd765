"""PostgreSQL's arrays in BigQuery's words. One is a struct, so that it can be null, of a list of
structs, so that its elements can."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import sqlglot.expressions as sge

from ckanext.bqdatastore.translation.terms import (
    Expression,
    fn,
    is_null,
    kind,
    op,
    text_of,
    unsupported,
    when,
    whole_number,
)

from ..forms import joined as joined_items
from ..forms import unnested
from .casts import output
from .terms import cast, element, item, items, made_of, no_items, once

Arguments = Sequence[Expression]


def array(tree: sge.Array) -> Expression:
    if not tree.expressions:
        # The cast around it says of what there is nothing.
        return tree
    return made_of(sge.Array(expressions=[element(each) for each in tree.expressions]))


def _unless_null(value: Expression, result: Expression, name: str) -> Expression:
    return when((is_null(value), cast(sge.Null(), name)), otherwise=result)


def _rows(list_: Expression) -> Expression:
    return unnested(list_, "_e", "_p")


def _ordered(select: sge.Select) -> Expression:
    place = sge.Ordered(this=sge.column("_p"), nulls_first=True)
    return sge.Array(expressions=[select.order_by(place, copy=False)])


def _changed(value: Expression, build: Callable[[Expression], Expression]) -> Expression:
    """The array with something else in the place of each element."""

    def made(one: Expression) -> Expression:
        select = sge.select(element(build(item("_e")))).from_(_rows(items(one)))
        return _unless_null(one, made_of(_ordered(select)), kind(value))

    return once(value, made)


def _filtered(value: Expression, test: Expression) -> Expression:
    def made(one: Expression) -> Expression:
        select = sge.select(element(item("_e"))).from_(_rows(items(one))).where(test)
        return _unless_null(one, made_of(_ordered(select)), kind(value))

    return once(value, made)


def _same(one: Expression, other: Expression) -> Expression:
    return op(sge.NullSafeEQ, one, other)


def bracket(tree: sge.Bracket) -> Expression:
    """An element or a slice; places before the first are nothing."""
    index, value = tree.expressions[0], tree.this
    if not isinstance(index, sge.Slice):
        taken = sge.Bracket(this=items(value), expressions=[fn("SAFE_ORDINAL", index)])
        return sge.Dot(this=taken, expression=sge.to_identifier("element", quoted=True))
    place = op(sge.Add, sge.column("_p"), 1)
    test: Expression = op(sge.GTE, place, index.this or sge.Literal.number(1))
    if index.expression:
        test = op(sge.And, test, op(sge.LTE, place, index.expression))
    return _filtered(value, test)


def _length(value: Expression) -> Expression:
    return fn("ARRAY_LENGTH", items(value))


def _array_length(arguments: Arguments) -> Expression:
    length = fn("NULLIF", _length(arguments[0]), 0)
    if whole_number(arguments[1]) == 1:
        return length
    return when((op(sge.EQ, arguments[1], 1), length), otherwise=cast(sge.Null(), "int8"))


def _array_lower(arguments: Arguments) -> Expression:
    there = op(sge.GT, _length(arguments[0]), 0)
    if whole_number(arguments[1]) != 1:
        there = op(sge.And, there, op(sge.EQ, arguments[1], 1))
    return when((there, 1), otherwise=cast(sge.Null(), "int8"))


def _array_ndims(arguments: Arguments) -> Expression:
    return when((op(sge.GT, _length(arguments[0]), 0), 1), otherwise=cast(sge.Null(), "int8"))


def concatenated(left: Expression, right: Expression) -> Expression:
    """Arrays, or an array and an element; of two arrays one that is null does not count."""
    name = kind(left) if kind(left).startswith("_") else kind(right)
    empty = no_items(name)
    lists = [
        sge.func("coalesce", items(side), empty)
        if kind(side).startswith("_")
        else sge.Array(expressions=[element(side)])
        for side in (left, right)
    ]
    both = made_of(fn("ARRAY_CONCAT", *lists))
    if kind(left) == kind(right):
        missing = op(sge.And, is_null(left), is_null(right))
        return when((missing, cast(sge.Null(), name)), otherwise=both)
    return both


def _array_position(arguments: Arguments) -> Expression:
    if len(arguments) != 2:
        raise unsupported("array_position with a start")
    found = sge.select(fn("MIN", op(sge.Add, sge.column("_p"), 1))).from_(
        _rows(items(arguments[0]))
    )
    return found.where(_same(item("_e"), arguments[1])).subquery()


def _array_positions(arguments: Arguments) -> Expression:
    def made(one: Expression) -> Expression:
        select = sge.select(element(op(sge.Add, sge.column("_p"), 1))).from_(_rows(items(one)))
        places = _ordered(select.where(_same(item("_e"), arguments[1])))
        return _unless_null(one, made_of(places), "_int4")

    return once(arguments[0], made)


def _array_to_string(arguments: Arguments) -> Expression:
    value, separator, *rest = arguments
    text = text_of(separator)
    if text is None:
        raise unsupported("array_to_string with a separator that is not a constant")

    def made(one: Expression) -> Expression:
        shown = item("_e")
        shown.type = sge.DataType.build(_typed(kind(value)[1:]))
        texts: Expression = output(shown)
        if rest:
            texts = sge.func("coalesce", texts, rest[0])
        everything = sge.func(
            "coalesce", joined_items(texts, text, items(one), "_e"), sge.Literal.string("")
        )
        return _unless_null(one, everything, "text")

    return once(value, made)


def _typed(name: str) -> sge.DataType:
    return sge.DataType(this=_NODES[name])


_NODES = {
    "bool": sge.DType.BOOLEAN,
    "int2": sge.DType.SMALLINT,
    "int4": sge.DType.INT,
    "int8": sge.DType.BIGINT,
    "float8": sge.DType.DOUBLE,
    "text": sge.DType.TEXT,
    "date": sge.DType.DATE,
    "time": sge.DType.TIME,
    "timestamp": sge.DType.TIMESTAMP,
    "timestamptz": sge.DType.TIMESTAMPTZ,
    "uuid": sge.DType.UUID,
    "numeric": sge.DType.DECIMAL,
    "float4": sge.DType.FLOAT,
    "interval": sge.DType.INTERVAL,
    "json": sge.DType.JSON,
    "jsonb": sge.DType.JSONB,
}


def _string_to_array(arguments: Arguments) -> Expression:
    value, separator, *rest = arguments
    is_letters = isinstance(separator, sge.Cast) and isinstance(separator.this, sge.Null)
    delimiter = "" if is_letters else text_of(separator)
    if delimiter is None:
        raise unsupported("string_to_array with a separator that is not a constant")

    def made(one: Expression) -> Expression:
        whole = sge.Array(expressions=[one])
        parts = whole if not delimiter and not is_letters else fn("SPLIT", one, delimiter)
        part: Expression = sge.column("_e")
        if rest:
            part = fn("NULLIF", part, rest[0])
        listed = made_of(_ordered(sge.select(element(part)).from_(_rows(parts))))
        return when(
            (is_null(one), cast(sge.Null(), "_text")),
            (op(sge.EQ, one, ""), made_of(no_items("_text"))),
            otherwise=listed,
        )

    return once(value, made)


def _array_replace(arguments: Arguments) -> Expression:
    value, old, new = arguments
    return _changed(value, lambda each: when((_same(each, old), new), otherwise=each))


def contained(outer: Expression, inner: Expression) -> Expression:
    """Whether all elements of one array are in another."""

    def of(one: Expression) -> Expression:
        def within(other: Expression) -> Expression:
            theirs = sge.select(sge.Literal.number(1)).from_(unnested(items(one), "_o"))
            found = sge.Exists(this=theirs.where(op(sge.EQ, item("_o"), item("_e"))))
            missing = sge.select(sge.Literal.number(1)).from_(unnested(items(other), "_e"))
            lacking = sge.Exists(this=missing.where(sge.Not(this=found)))
            null = op(sge.Or, is_null(one), is_null(other))
            return when((null, cast(sge.Null(), "bool")), otherwise=sge.Not(this=lacking))

        return once(inner, within)

    return once(outer, of)


def overlaps(left: Expression, right: Expression) -> Expression:
    def of(one: Expression) -> Expression:
        def with_(other: Expression) -> Expression:
            theirs = sge.select(sge.Literal.number(1)).from_(unnested(items(one), "_o"))
            found = sge.Exists(this=theirs.where(op(sge.EQ, item("_o"), item("_e"))))
            both = sge.select(sge.Literal.number(1)).from_(unnested(items(other), "_e"))
            shared = sge.Exists(this=both.where(found))
            null = op(sge.Or, is_null(one), is_null(other))
            return when((null, cast(sge.Null(), "bool")), otherwise=shared)

        return once(right, with_)

    return once(left, of)


def _array_fill(arguments: Arguments) -> Expression:
    value, lengths, *rest = arguments
    list_ = lengths.find(sge.Array)
    count = whole_number(list_.expressions[0].expressions[0].this) if list_ else None
    if rest or list_ is None or len(list_.expressions) != 1 or count is None or count > 100_000:
        raise unsupported("array_fill but with one constant length")
    series = unnested(fn("GENERATE_ARRAY", 1, count), "_e")
    return made_of(sge.Array(expressions=[sge.select(element(value)).from_(series)]))


def of_query(tree: sge.Expr, name: str) -> Expression:
    """`ARRAY (SELECT ...)`, in the order of the query."""
    query = tree.this if isinstance(tree, sge.Subquery) else tree
    if not isinstance(query, sge.Select) or query.args.get("distinct"):
        raise unsupported("ARRAY of a query with DISTINCT or a set operation")
    output_ = query.expressions[0]
    order = query.args.get("order")
    for each in order.expressions if order else ():
        if isinstance(each.this, sge.Literal):
            each.set("this", output_.this)
    query.set("expressions", [element(output_.this)])
    return made_of(sge.Array(expressions=[query]))


ARRAY_FUNCTIONS: dict[str, Callable[[Arguments], Expression]] = {
    "array_length": _array_length,
    "array_upper": _array_length,
    "array_lower": _array_lower,
    "array_ndims": _array_ndims,
    "cardinality": lambda arguments: _length(arguments[0]),
    "array_cat": lambda arguments: concatenated(*arguments),
    "array_append": lambda arguments: concatenated(*arguments),
    "array_prepend": lambda arguments: concatenated(*arguments),
    "array_position": _array_position,
    "array_positions": _array_positions,
    "array_remove": lambda arguments: _filtered(
        arguments[0], op(sge.NullSafeNEQ, item("_e"), arguments[1])
    ),
    "array_replace": _array_replace,
    "array_to_string": _array_to_string,
    "string_to_array": _string_to_array,
    "array_fill": _array_fill,
}
