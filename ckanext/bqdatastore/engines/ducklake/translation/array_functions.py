"""PostgreSQL's array functions in DuckDB's words."""

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

from .casts import as_text
from .terms import cast, each, element, fails, shown_bool, stored

Arguments = Sequence[Expression]


def _length(array: Expression) -> Expression:
    return cast(fn("len", array), "int4")


def _array_length(arguments: Arguments) -> Expression:
    array, dimension = arguments
    length = fn("nullif", _length(array), 0)
    if whole_number(dimension) == 1:
        return length
    return when((op(sge.EQ, dimension, 1), length), otherwise=cast(sge.Null(), "int4"))


def _array_lower(arguments: Arguments) -> Expression:
    array, dimension = arguments
    there = op(sge.And, op(sge.EQ, dimension, 1), op(sge.GT, fn("len", array), 0))
    return when((there, cast(sge.Literal.number(1), "int4")), otherwise=cast(sge.Null(), "int4"))


def _array_ndims(arguments: Arguments) -> Expression:
    there = op(sge.GT, fn("len", arguments[0]), 0)
    return when((there, cast(sge.Literal.number(1), "int4")), otherwise=cast(sge.Null(), "int4"))


def _same(one: Expression, other: Expression) -> Expression:
    return op(sge.NullSafeEQ, one, other)


def _array_position(arguments: Arguments) -> Expression:
    if len(arguments) != 2:
        raise unsupported("array_position with a start")
    return cast(fn("list_position", *arguments), "int4")


def _array_positions(arguments: Arguments) -> Expression:
    array, wanted = arguments
    places = fn("range", 1, op(sge.Add, fn("len", array), 1))
    test = _same(fn("list_extract", array.copy(), element("i")), wanted)
    return cast(_filtered(places, "i", test), stored("_int4"))


def _filtered(array: Expression, name: str, test: Expression) -> Expression:
    return fn("list_filter", array, sge.Lambda(this=test, expressions=[sge.to_identifier(name)]))


def _array_remove(arguments: Arguments) -> Expression:
    array, unwanted = arguments
    return _filtered(array, "x", op(sge.NullSafeNEQ, element("x"), unwanted))


def _array_replace(arguments: Arguments) -> Expression:
    array, old, new = arguments
    chosen = when((_same(element("x"), old), new), otherwise=element("x"))
    return each(array, "x", chosen)


def _array_to_string(arguments: Arguments) -> Expression:
    array, separator, *rest = arguments
    value = element("x")
    name = kind(array)[1:]
    text = shown_bool(value) if name == "bool" else as_text(value, name)
    if rest:
        text = fn("coalesce", text, rest[0])
    if text_of(separator) is None:
        # DuckDB wants a constant there. With it before each, the first is one too many.
        text = op(sge.DPipe, separator, text)
        length = op(sge.Add, fn("length", separator.copy()), 1)
        result = fn("substring", fn("array_to_string", each(array, "x", text), ""), length)
        missing = op(sge.Or, is_null(array.copy()), is_null(separator.copy()))
        return when((missing, cast(sge.Null(), "text")), otherwise=fn("coalesce", result, ""))
    result = fn("array_to_string", each(array, "x", text), separator)
    # DuckDB gives an empty list no text.
    return when(
        (is_null(array.copy()), cast(sge.Null(), "text")), otherwise=fn("coalesce", result, "")
    )


def _string_to_array(arguments: Arguments) -> Expression:
    value, separator, *rest = arguments
    parts: Expression = fn("string_split", value, separator)
    if isinstance(separator, sge.Cast) and isinstance(separator.this, sge.Null):
        parts = fn("string_split", value, "")
    elif text_of(separator) == "":
        parts = fn("list_value", value)
    elif text_of(separator) is None:
        raise unsupported("string_to_array with a separator that is not a constant")
    if rest:
        parts = each(parts, "x", fn("nullif", element("x"), rest[0]))
    empty = cast(fn("list_value"), stored("_text"))
    missing = (is_null(value.copy()), cast(sge.Null(), stored("_text")))
    return when(missing, (op(sge.EQ, value.copy(), ""), empty), otherwise=parts)


def _array_fill(arguments: Arguments) -> Expression:
    value, lengths, *rest = arguments
    if rest:
        raise unsupported("array_fill with lower bounds")
    count = fn("list_extract", lengths, 1)
    checked = when(
        (op(sge.NEQ, fn("len", lengths.copy()), 1), fails("only one dimension is supported")),
        (op(sge.GT, count, 100_000), fails("array size exceeds the maximum allowed")),
        otherwise=count.copy(),
    )
    return each(fn("range", cast(checked, "int8")), "x", value)


def _concat_arrays(arguments: Arguments) -> Expression:
    one, other = arguments
    both = fn("list_concat", one, other)
    return when(
        (op(sge.And, is_null(one.copy()), is_null(other.copy())), sge.Null()), otherwise=both
    )


ARRAY_FUNCTIONS: dict[str, Callable[[Arguments], Expression]] = {
    "array_length": _array_length,
    "array_upper": _array_length,
    "array_lower": _array_lower,
    "array_ndims": _array_ndims,
    "array_cat": _concat_arrays,
    "array_prepend": lambda arguments: fn("list_prepend", *arguments),
    "array_append": lambda arguments: fn("list_append", *arguments),
    "array_position": _array_position,
    "array_positions": _array_positions,
    "array_remove": _array_remove,
    "array_replace": _array_replace,
    "array_to_string": _array_to_string,
    "array_fill": _array_fill,
    "string_to_array": _string_to_array,
}
