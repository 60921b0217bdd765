"""Forms of values in BigQuery's SQL: texts as PostgreSQL writes them, and the nodes they take."""

from __future__ import annotations

import sqlglot.expressions as sge

from .types import ELEMENT, LIST, data_type

# PostgreSQL writes floats with an exponent from here on.
_PLAIN_FLOAT_LIMIT, _PLAIN_FLOAT4_LIMIT = 1e15, 1e6


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


def float_text(value: sge.Expr, type: str = "float8") -> sge.Expr:
    """A float's shortest text, as PostgreSQL writes it."""
    return sge.Case(
        ifs=[sge.If(this=is_no_number(value), true=named_float(value))],
        default=number_text(value, type),
    )


def is_no_number(value: sge.Expr) -> sge.Expr:
    """Whether a float is one of those that have names."""
    return sge.or_(call("IS_NAN", value.copy()), call("IS_INF", value.copy()))


def named_float(value: sge.Expr) -> sge.Expr:
    positive = sge.GT(this=value.copy(), expression=number(0))
    infinite = sge.If(this=positive, true=text("Infinity"), false=text("-Infinity"))
    return sge.If(this=call("IS_NAN", value.copy()), true=text("NaN"), false=infinite)


def number_text(value: sge.Expr, type: str = "float8") -> sge.Expr:
    """A finite float with the fewest digits that mean it."""
    size = call("ABS", value.copy())
    if type == "float4":
        # Kept as the double with its digits, of which there are nine at most.
        digits = call("REGEXP_REPLACE", _format("%.8e", value), pattern(r"\.?0+e"), text("e"))
        large = sge.GTE(this=size, expression=sge.convert(_PLAIN_FLOAT4_LIMIT))
        return sge.If(this=large, true=digits, false=_format("%.9g", value))
    whole = sge.and_(
        sge.EQ(this=call("TRUNC", value.copy()), expression=value.copy()),
        sge.LT(this=size, expression=sge.convert(_PLAIN_FLOAT_LIMIT)),
        # An integer is no -0.
        sge.NEQ(this=value.copy(), expression=number(0)),
    )
    large = sge.GTE(this=size.copy(), expression=sge.convert(_PLAIN_FLOAT_LIMIT))
    exponential = sge.If(
        this=_means("%.16g", value), true=_format("%.15e", value), false=_format("%.16e", value)
    )
    return sge.Case(
        ifs=[
            sge.If(this=whole, true=as_text(sge.Cast(this=value.copy(), to=data_type("INT64")))),
            sge.If(this=_means("%.15g", value), true=_format("%.15g", value)),
            sge.If(this=large, true=exponential),
            sge.If(this=_means("%.16g", value), true=_format("%.16g", value)),
        ],
        default=_format("%.17g", value),
    )


def _format(format: str, value: sge.Expr) -> sge.Expr:
    return call("FORMAT", text(format), value.copy())


def _means(format: str, value: sge.Expr) -> sge.Expr:
    """Whether a float written so is read as the same one again."""
    read = sge.TryCast(this=_format(format, value), to=data_type("FLOAT64"))
    return sge.EQ(this=read, expression=value.copy())


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


def among(value: sge.Expr, array: sge.Expr) -> sge.Expr:
    """Whether a value is an element of an array."""
    return sge.In(this=value, unnest=sge.Unnest(expressions=[array]))


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
