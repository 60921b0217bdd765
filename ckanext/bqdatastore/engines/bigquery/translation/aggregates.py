"""PostgreSQL's aggregate and window functions in BigQuery's words.

BigQuery has no FILTER: what is filtered out becomes NULL, which aggregates pass over.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

import sqlglot.expressions as sge

from ckanext.bqdatastore.translation.terms import (
    FLOATS,
    INTEGERS,
    JSONS,
    Expression,
    fn,
    is_null,
    joined,
    kind,
    op,
    text_of,
    unsupported,
    when,
)

from .casts import as_text
from .documents import member, or_null
from .numbers import from_float, quotient, refuse_float4
from .terms import aggregated, cast, element, exact, integer, made_of, scale_of, scaled


@dataclasses.dataclass(frozen=True)
class Call:
    """A call of an aggregate, taken apart.

    :param arguments: translated
    :param order: what is in its ORDER BY
    :param condition: its FILTER
    :param over: what its OVER says, without the call
    """

    name: str
    arguments: Sequence[Expression]
    distinct: bool = False
    order: Sequence[sge.Ordered] = ()
    condition: Expression | None = None
    over: sge.Window | None = None

    @property
    def kind(self) -> str:
        return kind(self.arguments[0]) if self.arguments else ""

    def filtered(self, value: Expression) -> Expression:
        if self.condition is None:
            return value
        return sge.If(this=self.condition, true=value, false=sge.Null())

    def called(self, name: str, *arguments: Expression, order: bool = False) -> Expression:
        """The call as BigQuery has it.

        :param order: whether the order matters
        """
        first, *others = arguments
        given: list[Expression] = [first, *others]
        if self.distinct:
            given[0] = sge.Distinct(expressions=[first])
        if order and self.order:
            if self.over is not None:
                raise unsupported(f"{self.name}(... ORDER BY) OVER")
            given[-1] = sge.Order(this=given[-1], expressions=self._keys())
        return self.windowed(fn(name, *given))

    def windowed(self, call: Expression) -> Expression:
        if self.over is None:
            return aggregated(call)
        window = self.over.copy()
        window.set("this", call)
        return aggregated(window)

    def _keys(self) -> list[sge.Ordered]:
        if not self.distinct:
            return [key for each in self.order for key in sort_keys(each)]
        if len(self.order) != 1 or self.order[0].this != self.arguments[0]:
            raise unsupported("DISTINCT in an aggregate that is ordered by something else")
        (only,) = self.order
        return [plain_key(only.this, bool(only.args.get("desc")))]


def plain_key(value: Expression, descending: bool) -> sge.Ordered:
    """A key with nulls where BigQuery has them by itself, which sqlglot then does not say."""
    return sge.Ordered(this=value, desc=descending, nulls_first=not descending)


def sort_keys(ordered: sge.Ordered) -> list[sge.Ordered]:
    """Keys that put nulls, and NaN, where PostgreSQL has them."""
    value, descending = ordered.this, bool(ordered.args.get("desc"))
    keys = []
    if bool(ordered.args.get("nulls_first")) == descending:
        keys.append(
            plain_key(
                sge.Paren(this=sge.Is(this=value, expression=sge.Null())),
                bool(ordered.args.get("nulls_first")),
            )
        )
    else:
        keys.append(plain_key(is_null(value), bool(ordered.args.get("nulls_first"))))
    if kind(value) in FLOATS and not isinstance(value, sge.Literal):
        keys.append(plain_key(fn("IS_NAN", value), descending))
    return [*keys, plain_key(value, descending)]


def aggregate(call: Call) -> Expression:
    rule = _AGGREGATES.get(call.name)
    if rule is None:
        raise unsupported(f"{call.name}()")
    return rule(call)


# Rules

Rule = Callable[[Call], Expression]


def _count(call: Call) -> Expression:
    if isinstance(call.arguments[0], sge.Star):
        if call.condition is None:
            return call.windowed(fn("COUNT", sge.Star()))
        return call.windowed(fn("COUNTIF", call.condition))
    if call.distinct and (call.kind.startswith("_") or call.kind in JSONS):
        raise unsupported("count(DISTINCT) of arrays and JSON")
    return call.called("COUNT", call.filtered(call.arguments[0]))


def _sum(call: Call) -> Expression:
    if call.kind == "interval":
        raise unsupported("sums of intervals")
    refuse_float4(call.arguments[0])
    value = call.arguments[0]
    if call.kind in ("int8", "numeric"):
        value = exact(value)
    result = call.called("SUM", call.filtered(value))
    return scaled(result, 0) if call.kind == "int8" else result


def _average(call: Call) -> Expression:
    refuse_float4(call.arguments[0])
    if call.kind == "float8":
        return call.called("AVG", call.filtered(call.arguments[0]))
    if call.kind not in (*INTEGERS, "numeric"):
        raise unsupported(f"averages of {call.kind}")
    value = call.filtered(exact(call.arguments[0]))
    total = call.called("SUM", value)
    if call.kind != "numeric":
        scaled(total, 0)
    count = scaled(call.called("COUNT", value), 0)
    average = quotient(total, count)
    result = when((op(sge.EQ, count, 0), cast(sge.Null(), "numeric")), otherwise=average)
    return aggregated(scaled(result, scale_of(average)))


def _extreme(name: str) -> Rule:
    def rule(call: Call) -> Expression:
        if call.kind.startswith("_") or call.kind in (*JSONS, "interval"):
            raise unsupported(f"{call.name}() of this type")
        value = call.arguments[0]
        if call.kind in FLOATS and name == "MIN":
            # NaN is the greatest, and in BigQuery the result wherever there is one.
            number = sge.If(this=fn("IS_NAN", value), true=sge.Null(), false=value)
            found = [call.called("MIN", call.filtered(each)) for each in (number, value)]
            return aggregated(sge.func("coalesce", *found))
        return call.called(name, call.filtered(value))

    return rule


def _same(name: str) -> Rule:
    return lambda call: call.called(name, *map(call.filtered, call.arguments))


def _moment(name: str) -> Rule:
    """Variances and their like, which BigQuery computes in doubles."""

    def rule(call: Call) -> Expression:
        refuse_float4(*call.arguments)
        values = [call.filtered(cast(each, "float8")) for each in call.arguments]
        result = call.called(name, *values)
        return result if call.kind in FLOATS else aggregated(from_float(result))

    return rule


def _array_agg(call: Call) -> Expression:
    if call.distinct or call.over is not None or call.kind.startswith("_"):
        raise unsupported("array_agg() with DISTINCT, OVER or of arrays")
    value = call.filtered(element(call.arguments[0]))
    if call.condition is not None:
        # What the filter leaves out is no element; a null that it leaves in is one.
        plain = dataclasses.replace(call, order=())
        listed: Expression = sge.IgnoreNulls(this=fn("ARRAY_AGG", value))
        if call.order:
            keys = call._keys()
            listed = fn("ARRAY_AGG", sge.Order(this=sge.IgnoreNulls(this=value), expressions=keys))
        found = plain.windowed(listed)
    else:
        found = call.called("ARRAY_AGG", value, order=True)
    return aggregated(
        when((is_null(found), cast(sge.Null(), f"_{call.kind}")), otherwise=made_of(found))
    )


def _string_agg(call: Call) -> Expression:
    value, separator = call.arguments
    if text_of(separator) is None:
        raise unsupported("string_agg() with a separator that is not a constant")
    return call.called("STRING_AGG", call.filtered(value), separator, order=True)


def _json_agg(call: Call) -> Expression:
    if call.distinct:
        raise unsupported("json_agg with DISTINCT")
    listed = call.called(
        "STRING_AGG",
        call.filtered(or_null(call.arguments[0])),
        sge.Literal.string(", "),
        order=True,
    )
    return aggregated(joined([sge.Literal.string("["), listed, sge.Literal.string("]")]))


def _json_object_agg(call: Call) -> Expression:
    if call.distinct:
        raise unsupported("json_object_agg with DISTINCT")
    key, value = call.arguments
    listed = call.called(
        "STRING_AGG",
        call.filtered(member(as_text(key, kind(key)), value)),
        sge.Literal.string(", "),
        order=True,
    )
    return aggregated(joined([sge.Literal.string("{"), listed, sge.Literal.string("}")]))


def _grouping(call: Call) -> Expression:
    total: Expression | None = None
    for argument in call.arguments:
        one = aggregated(fn("GROUPING", argument))
        total = one if total is None else op(sge.Add, op(sge.Mul, total, 2), one)
    assert total is not None
    return aggregated(total)


_IN_FRAMES = ("first_value", "last_value", "nth_value")


def _place(name: str) -> Rule:
    """Functions of windows alone."""

    def rule(call: Call) -> Expression:
        if call.condition is not None:
            raise unsupported(f"{call.name}() with FILTER")
        if call.over is not None and call.name not in _IN_FRAMES:
            # To these a frame means nothing, and BigQuery refuses it.
            call.over.set("spec", None)
        return call.windowed(fn(name, *call.arguments))

    return rule


def ordered_set(call: Call, ordered: Sequence[sge.Ordered]) -> Expression:
    """`percentile_cont` and `percentile_disc`: of the sorted values the one at its place."""
    if call.name not in ("percentile_cont", "percentile_disc") or len(ordered) != 1:
        raise unsupported(f"{call.name} WITHIN GROUP")
    fraction, (key,) = call.arguments[0], ordered
    refuse_float4(key.this)
    if kind(fraction).startswith("_") or kind(key.this) == "interval":
        raise unsupported("percentiles by an array of fractions, or of intervals")
    value = call.filtered(key.this)
    order = [plain_key(key.this, bool(key.args.get("desc")))]
    if kind(key.this) in FLOATS:
        order.insert(0, plain_key(fn("IS_NAN", key.this), bool(key.args.get("desc"))))
    sorted_ = aggregated(
        fn("ARRAY_AGG", sge.Order(this=sge.IgnoreNulls(this=value), expressions=order))
    )
    count = aggregated(fn("COUNT", value))

    def at(place: Expression) -> Expression:
        return sge.Bracket(this=sorted_, expressions=[fn("SAFE_OFFSET", integer(place))])

    if call.name == "percentile_disc":
        place = op(sge.Sub, fn("CEIL", op(sge.Mul, fraction, count)), 1)
        return aggregated(at(fn("GREATEST", place, 0)))
    place = op(sge.Mul, fraction, op(sge.Sub, count, 1))
    low, high = fn("FLOOR", place), fn("CEIL", place)
    between = op(sge.Mul, op(sge.Sub, place, low), op(sge.Sub, at(high), at(low)))
    return aggregated(
        when((op(sge.EQ, low, high), at(low)), otherwise=op(sge.Add, at(low), between))
    )


_AGGREGATES: dict[str, Rule] = {
    "count": _count,
    "sum": _sum,
    "avg": _average,
    "min": _extreme("MIN"),
    "max": _extreme("MAX"),
    "bool_and": _same("LOGICAL_AND"),
    "every": _same("LOGICAL_AND"),
    "bool_or": _same("LOGICAL_OR"),
    "bit_and": _same("BIT_AND"),
    "bit_or": _same("BIT_OR"),
    "bit_xor": _same("BIT_XOR"),
    "any_value": _same("ANY_VALUE"),
    **{
        name: _moment(called)
        for name, called in (
            ("stddev", "STDDEV_SAMP"),
            ("stddev_samp", "STDDEV_SAMP"),
            ("stddev_pop", "STDDEV_POP"),
            ("variance", "VAR_SAMP"),
            ("var_samp", "VAR_SAMP"),
            ("var_pop", "VAR_POP"),
            ("corr", "CORR"),
            ("covar_pop", "COVAR_POP"),
            ("covar_samp", "COVAR_SAMP"),
        )
    },
    "array_agg": _array_agg,
    "string_agg": _string_agg,
    "json_agg": _json_agg,
    "jsonb_agg": _json_agg,
    "json_object_agg": _json_object_agg,
    "jsonb_object_agg": _json_object_agg,
    "grouping": _grouping,
    **{
        name: _place(name.upper())
        for name in (
            *("row_number", "rank", "dense_rank", "percent_rank", "cume_dist", "ntile"),
            *("lag", "lead", "first_value", "last_value", "nth_value"),
        )
    },
}

AGGREGATES = frozenset([*_AGGREGATES, "percentile_cont", "percentile_disc", "mode"])
"""Functions over many rows, by PostgreSQL's names."""
