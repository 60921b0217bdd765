"""How BigQuery says what a neutral tree cannot: the stock backend's forms of values, and casts."""

from __future__ import annotations

import json
from collections.abc import Sequence

import sqlglot.expressions as sge

from ..base import Column
from .types import ELEMENT, LIST, data_type, scalar_type

_JSON_KINDS = frozenset(["json", "jsonb", "nested"])
_FLOATS = frozenset(["float4", "float8", "float"])
_INTEGERS = frozenset(["int", "int2", "int4", "int8", "oid"])

# PostgreSQL writes a float8 with an exponent from here on.
_PLAIN_FLOAT_LIMIT = 1e15


class BigQueryDialect:
    """The dialect of the BigQuery engine.

    :param milliseconds: whether timestamps show them (`ckan.datastore.ms_in_timestamp`)
    """

    name = "bigquery"

    def __init__(self, milliseconds: bool = True) -> None:
        self._milliseconds = milliseconds

    def json_object(self, columns: Sequence[Column]) -> sge.Expr:
        parts: list[sge.Expr] = []
        before = "{"
        for name, value, type in columns:
            parts += [text(f"{before}{json.dumps(name, ensure_ascii=False)}:")]
            parts += [self._json(value, type)]
            before = ","
        return call("CONCAT", *parts, text("}" if columns else "{}"))

    def json_array(self, columns: Sequence[Column]) -> sge.Expr:
        parts: list[sge.Expr] = []
        for number, (_, value, type) in enumerate(columns):
            parts += [text("," if number else "["), self._json(value, type)]
        return call("CONCAT", *parts, text("]" if columns else "[]"))

    def copy_text(self, value: sge.Expr, type: str) -> sge.Expr:
        if type == "bool":
            return sge.Case(
                ifs=[
                    sge.If(this=value.copy(), true=text("t")),
                    sge.If(this=sge.not_(value.copy()), true=text("f")),
                ]
            )
        if type == "timestamptz":
            return call("REPLACE", self._plain(value, type), text("T"), text(" "))
        if type == "nested":
            return sge.func("coalesce", value, text("null"))
        if type.startswith("_"):
            return self._array_json(value, type)
        return self._plain(value, type)

    def cast(self, value: sge.Expr, type: str) -> sge.Expr:
        return sge.Cast(this=value, to=data_type(scalar_type(type)))

    def translate(self, tree: sge.Expr) -> sge.Expr:
        if not isinstance(tree, sge.Query):
            raise TypeError(f"not a query: {type(tree).__name__}")
        return tree

    # Forms of values

    def _json(self, value: sge.Expr, type: str) -> sge.Expr:
        """A value as JSON text; `null` for a null."""
        if type.startswith("_"):
            return self._array_json(value, type)
        return sge.func("coalesce", self._scalar_json(value, type), text("null"))

    def _scalar_json(self, value: sge.Expr, type: str) -> sge.Expr:
        """A value as JSON text; null for a null."""
        if type in _JSON_KINDS:
            return value
        if type in _FLOATS:
            # JSON has no NaN: PostgreSQL puts it, and the infinities, in quotes.
            plain = self._plain(value, type)
            special = sge.or_(call("IS_NAN", value.copy()), call("IS_INF", value.copy()))
            quoted = call("CONCAT", text('"'), plain.copy(), text('"'))
            return sge.If(this=special, true=quoted, false=plain)
        if type in _INTEGERS or type in ("numeric", "bool"):
            return self._plain(value, type)
        if type in ("date", "time", "timestamp", "timestamptz", "uuid"):
            return call("CONCAT", text('"'), self._plain(value, type), text('"'))
        return call("TO_JSON_STRING", value)

    def _array_json(self, value: sge.Expr, type: str) -> sge.Expr:
        item = field(sge.column("_item"), ELEMENT)
        element = self._json(item, type[1:])
        if type[1:] == "timestamp":
            element = sge.func("coalesce", self._whole_moment(item, "timestamp"), text("null"))
        return sge.Case(
            ifs=[sge.If(this=value.is_(sge.null()), true=text("null"))],
            default=call(
                "CONCAT",
                text("["),
                sge.func(
                    "coalesce",
                    joined(element, ",", field(value.copy(), LIST), "_item"),
                    text(""),
                ),
                text("]"),
            ),
        )

    def _whole_moment(self, value: sge.Expr, type: str) -> sge.Expr:
        return call("CONCAT", text('"'), moment(value, type), text('"'))

    def _plain(self, value: sge.Expr, type: str) -> sge.Expr:
        """A value as its text; null for a null."""
        if type in _FLOATS:
            return float_text(value)
        if type == "numeric":
            return numeric_text(value)
        if type == "timestamp":
            return self._timestamp_text(value)
        if type == "timestamptz":
            return call("CONCAT", moment(value, type), text("+00:00"))
        if type == "time":
            return time_text(value)
        if type in _INTEGERS or type in ("bool", "date"):
            return as_text(value)
        return value

    def _timestamp_text(self, value: sge.Expr) -> sge.Expr:
        seconds = call("FORMAT_DATETIME", text("%Y-%m-%dT%H:%M:%S"), value)
        if not self._milliseconds:
            return seconds
        thousandths = call("DIV", microseconds(value.copy()), number(1000))
        padded = call("LPAD", as_text(thousandths), number(3), text("0"))
        return call("CONCAT", seconds, text("."), padded)


def moment(value: sge.Expr, type: str) -> sge.Expr:
    """A timestamp as PostgreSQL writes it, with `T` and no zone: as many digits as it has."""
    function = "FORMAT_DATETIME" if type == "timestamp" else "FORMAT_TIMESTAMP"
    seconds = call(function, text("%Y-%m-%dT%H:%M:%S"), value)
    digits = call("LPAD", as_text(microseconds(value.copy())), number(6), text("0"))
    fraction = call("RTRIM", call("CONCAT", text("."), digits), text("0"))
    return call("CONCAT", seconds, call("RTRIM", fraction, text(".")))


def microseconds(value: sge.Expr) -> sge.Expr:
    part = sge.Extract(this=sge.Var(this="MICROSECOND"), expression=value)
    return call("MOD", part, number(1_000_000))


def time_text(value: sge.Expr) -> sge.Expr:
    return call(
        "REGEXP_REPLACE", as_text(value), pattern(r"(\.[0-9]*[1-9])0+$|\.0+$"), pattern(r"\1")
    )


def numeric_text(value: sge.Expr) -> sge.Expr:
    """Zeros at the end are the column's, not the value's."""
    return call(
        "REGEXP_REPLACE",
        as_text(value),
        pattern(r"\.0*$|(\.[0-9]*[1-9])0+$"),
        pattern(r"\1"),
    )


def float_text(value: sge.Expr) -> sge.Expr:
    """A float's shortest text, as PostgreSQL writes it."""
    whole = sge.and_(
        sge.EQ(this=call("TRUNC", value.copy()), expression=value.copy()),
        sge.LT(this=call("ABS", value.copy()), expression=sge.convert(_PLAIN_FLOAT_LIMIT)),
    )
    return sge.Case(
        ifs=[
            sge.If(this=call("IS_NAN", value.copy()), true=text("NaN")),
            sge.If(
                this=call("IS_INF", value.copy()),
                true=sge.If(
                    this=sge.GT(this=value.copy(), expression=number(0)),
                    true=text("Infinity"),
                    false=text("-Infinity"),
                ),
            ),
            sge.If(this=whole, true=as_text(sge.Cast(this=value.copy(), to=data_type("INT64")))),
        ],
        default=as_text(value.copy()),
    )


def joined(element: sge.Expr, separator: str, array: sge.Expr, variable: str) -> sge.Expr:
    """The texts of an array's elements in order as one; null for none.

    :param element: a text of `variable`, which stands for one element
    """
    # No API of sqlglot's makes an order within an aggregate: it is the aggregate's own argument.
    place = sge.column("_place")
    ordered = sge.Order(this=element, expressions=[sge.Ordered(this=place, nulls_first=True)])
    aggregate = sge.GroupConcat(this=ordered, separator=text(separator))
    return sge.select(aggregate).from_(unnested(array, variable, "_place")).subquery()


def unnested(array: sge.Expr, variable: str, place: str | None = None) -> sge.Expr:
    """An array as a relation of its elements."""
    return sge.Unnest(
        expressions=[array],
        alias=sge.TableAlias(columns=[sge.to_identifier(variable)]),
        offset=sge.to_identifier(place) if place else None,
    )


def field(value: sge.Expr, name: str) -> sge.Expr:
    """A field of a struct."""
    return sge.Dot(this=value, expression=sge.to_identifier(name, quoted=True))


def call(name: str, *arguments: sge.Expr) -> sge.Expr:
    return sge.Anonymous(this=name, expressions=list(arguments))


def text(value: str) -> sge.Expr:
    return sge.Literal.string(value)


def pattern(value: str) -> sge.Expr:
    return sge.Literal.string(value)


def number(value: int) -> sge.Expr:
    return sge.Literal.number(value)


def as_text(value: sge.Expr) -> sge.Expr:
    return sge.Cast(this=value, to=data_type("STRING"))
