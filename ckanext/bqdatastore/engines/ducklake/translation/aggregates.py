"""PostgreSQL's aggregate and window functions in DuckDB's words.

Each is a call, which FILTER, WITHIN GROUP and OVER are put around, and a finish for what comes of
it: mostly the cast to the type that PostgreSQL gives.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import sqlglot.expressions as sge

from ckanext.bqdatastore.translation.terms import (
    INTEGERS,
    Expression,
    fn,
    joined,
    kind,
    op,
    text_of,
    unsupported,
    when,
)

from .division import mean, quotient
from .functions import numeric
from .json_functions import NULL_KEY, json_text, key_text
from .terms import cast, decimal, fails

Finish = Callable[[Expression], Expression]


def _as_it_is(tree: Expression) -> Expression:
    return tree


def _cast(to: str) -> Finish:
    return lambda tree: cast(tree, to)


def _sum(source: str) -> Finish:
    if source == "interval":
        raise unsupported("sums of intervals")
    if source == "int8":
        return lambda tree: cast(tree, decimal(38, 0))
    if source in INTEGERS:
        return _cast("int8")
    return _cast("float4") if source == "float4" else _as_it_is


def _mean(source: str) -> Finish:
    if source == "interval":
        raise unsupported("averages of intervals")
    return _as_it_is if source in ("float4", "float8") else numeric


def _average(divide: Callable[[Expression, Expression], Expression]) -> Finish:
    """The sum divided by the count, each with what is around the call of `avg`."""
    return lambda call: divide(_called("sum", call), _called("count", call.copy()))


def _called(name: str, call: Expression) -> Expression:
    inner = call
    while not isinstance(inner, sge.Anonymous):
        inner = inner.this
    inner.set("this", name)
    return call


def _finish(name: str, source: str) -> Finish:
    if name == "sum":
        return _sum(source)
    if name == "avg" and source in (*INTEGERS, "numeric"):
        return _average(quotient if source == "numeric" else mean)
    if name in _MEANS:
        return _mean(source)
    if name in ("corr", "regr_slope"):
        # Where the numbers do not vary DuckDB says NaN.
        return lambda tree: fn("nullif", tree, cast(sge.Literal.string("NaN"), "float8"))
    return _cast(_TYPES[name]) if name in _TYPES else _as_it_is


_MEANS = ("avg", "stddev", "stddev_pop", "stddev_samp", "var_pop", "var_samp", "variance")
_TYPES = {"ntile": "int4", "regr_count": "int8", "grouping": "int4", "bool_and": "bool"}

_NAMES = {
    "array_agg": "list",
    "every": "bool_and",
}

_AGGREGATES_WORDS = """
any_value array_agg avg bit_and bit_or bit_xor bool_and bool_or corr count covar_pop covar_samp
cume_dist dense_rank every first_value grouping json_agg json_object_agg jsonb_agg
jsonb_object_agg lag last_value lead max min mode nth_value ntile percent_rank percentile_cont
percentile_disc rank regr_avgx regr_avgy regr_count regr_intercept regr_r2 regr_slope regr_sxx
regr_sxy regr_syy row_number stddev stddev_pop stddev_samp string_agg sum var_pop var_samp
variance
"""

AGGREGATES = frozenset(_AGGREGATES_WORDS.split())
"""Functions over many rows, by PostgreSQL's names."""


def aggregate(name: str, arguments: Sequence[Expression]) -> tuple[Expression, Finish]:
    """The call, and what its result goes through.

    :param arguments: translated; one may be a `Distinct` or an `Order`
    """
    if name in ("json_agg", "jsonb_agg"):
        return _json_list(arguments[0]), _within("[", "]")
    if name == "json_object_agg":
        return _object_members(arguments, " : "), _object("{ ", " }")
    if name == "jsonb_object_agg":
        return _object_members(arguments, ": "), _object("{", "}")
    arguments = _distinct_first(arguments)
    if name == "string_agg":
        arguments[-1] = _separator(arguments[-1])
    first = _value(arguments[0]) if arguments else None
    if name == "array_agg" and first is not None and kind(first).startswith("_"):
        raise unsupported("arrays of arrays")
    finish = _finish(name, kind(first) if first is not None else "")
    return fn(_NAMES.get(name, name), *arguments), finish


def _separator(last: Expression) -> Expression:
    """The separator of `string_agg`, perhaps with an order behind it: a constant text."""
    if isinstance(last, sge.Order):
        last.set("this", _separator(last.this))
        return last
    if isinstance(last, sge.Cast) and isinstance(last.this, sge.Null):
        return sge.Literal.string("")
    if text_of(last) is None:
        raise unsupported("string_agg with a separator that is not a constant")
    return last


def _distinct_first(arguments: Sequence[Expression]) -> list[Expression]:
    """`DISTINCT` before the first argument only: with more, sqlglot would make one tuple."""
    if not arguments:
        return []
    last = arguments[-1]
    inner = last.this if isinstance(last, sge.Order) else last
    if not isinstance(inner, sge.Distinct) or len(inner.expressions) == 1:
        return list(arguments)
    first, *others = inner.expressions
    if isinstance(last, sge.Order):
        last.set("this", others[-1])
        others[-1] = last
    return [sge.Distinct(expressions=[first]), *others]


def ordered_set(
    name: str, arguments: Sequence[Expression], ordered: Sequence[sge.Ordered]
) -> tuple[Expression, Finish]:
    """A call of an ordered-set aggregate.

    :param ordered: what is in its `WITHIN GROUP (ORDER BY ...)`
    """
    if name not in _ORDERED_SETS or len(ordered) != 1:
        raise unsupported(f"{name} WITHIN GROUP")
    value = ordered[0].this
    if name == "mode":
        # The first of the most frequent, in the order asked for.
        return fn("mode", sge.Order(this=value, expressions=[ordered[0]])), _as_it_is
    fraction = arguments[0]
    if kind(fraction).startswith("_"):
        raise unsupported("percentiles by an array of fractions")
    if ordered[0].args.get("desc"):
        fraction = sge.Neg(this=fraction)
    return fn(_ORDERED_SETS[name], value, fraction), _as_it_is


_ORDERED_SETS = {
    "mode": "mode",
    "percentile_cont": "quantile_cont",
    "percentile_disc": "quantile_disc",
}


def _value(argument: Expression) -> Expression:
    while isinstance(argument, (sge.Order, sge.Distinct)):
        argument = argument.this if isinstance(argument, sge.Order) else argument.expressions[0]
    return argument


def _json_list(argument: Expression) -> Expression:
    """The items of a JSON array as text: DuckDB's own aggregate makes numbers doubles."""
    value = argument.this if isinstance(argument, sge.Order) else argument
    if isinstance(value, sge.Distinct):
        raise unsupported("json_agg with DISTINCT")
    # PostgreSQL begins a new line for an array in an array.
    comma = ", \n " if kind(value).startswith("_") else ", "
    return _concatenated(argument, value, json_text(value), comma)


def _object_members(arguments: Sequence[Expression], colon: str) -> Expression:
    """The members of a JSON object as text: DuckDB's own aggregate takes no ORDER BY or FILTER."""
    key, argument = arguments
    value = argument.this if isinstance(argument, sge.Order) else argument
    name = fn("coalesce", key_text(key), _NO_KEY)
    member = joined([name, sge.Literal.string(colon), json_text(value)])
    return _concatenated(argument, value, member, ", ")


def _concatenated(
    argument: Expression, value: Expression, text: Expression, comma: str
) -> Expression:
    """`string_agg` of a text that is made of `value`, in the order of `argument`, if it has one."""
    separator: Expression = sge.Literal.string(comma)
    if argument is not value:
        argument.set("this", separator)
        separator = argument
    return fn("string_agg", text, separator)


_NO_KEY = "\x01"
"""What JSON never holds stands for a key that is NULL: FILTER may yet leave its row out."""


def _object(opening: str, closing: str) -> Finish:
    def finish(tree: Expression) -> Expression:
        is_null_key = op(sge.GT, fn("strpos", tree, _NO_KEY), 0)
        result = _within(opening, closing)(tree.copy())
        return when((is_null_key, fails(NULL_KEY)), otherwise=result)

    return finish


def _within(opening: str, closing: str) -> Finish:
    return lambda tree: joined([sge.Literal.string(opening), tree, sge.Literal.string(closing)])
