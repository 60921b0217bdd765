"""Forms of values in BigQuery's SQL: texts as PostgreSQL writes them, and the nodes they take."""

from __future__ import annotations

import sqlglot.expressions as sge

from .types import ELEMENT, LIST, data_type

# PostgreSQL writes a float8 with an exponent from here on.
_PLAIN_FLOAT_LIMIT = 1e15


def moment(value: sge.Expr, type: str) -> sge.Expr:
    """A timestamp as PostgreSQL writes it, with `T` and no zone: as many digits as it has."""
    function = "FORMAT_DATETIME" if type == "timestamp" else "FORMAT_TIMESTAMP"
    seconds = whole_seconds(value, function)
    digits = call("LPAD", as_text(microseconds(value.copy())), number(6), text("0"))
    fraction = call("RTRIM", call("CONCAT", text("."), digits), text("0"))
    return call("CONCAT", seconds, call("RTRIM", fraction, text(".")))


def whole_seconds(value: sge.Expr, function: str = "FORMAT_DATETIME") -> sge.Expr:
    """A timestamp without its fraction; years before 1000 have fewer digits in BigQuery."""
    shown = call(function, text("%Y-%m-%dT%H:%M:%S"), value)
    return call("LPAD", shown, number(len("2020-01-31T10:00:00")), text("0"))


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


def array_of_casts(array: sge.Expr, type: str) -> sge.Expr:
    """An array column with its elements, which are staged as another type, in their own type."""
    element = sge.Cast(this=field(sge.column("_element"), ELEMENT), to=data_type(type))
    elements = (
        sge.select(element.as_(ELEMENT, quoted=True))
        .from_(unnested(field(array.copy(), LIST), "_element", "_place"))
        .order_by(sge.Ordered(this=sge.column("_place"), nulls_first=True))
    )
    elements.set("kind", "STRUCT")
    whole = sge.PropertyEQ(
        this=sge.to_identifier(LIST), expression=sge.Array(expressions=[elements])
    )
    return sge.If(
        this=array.copy().is_(sge.null()),
        true=sge.null(),
        false=sge.Struct(expressions=[whole]),
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
