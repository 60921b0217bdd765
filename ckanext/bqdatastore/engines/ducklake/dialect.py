"""How DuckDB says what a neutral tree cannot: the stock backend's forms of values, and casts."""

from __future__ import annotations

from collections.abc import Sequence

import sqlglot.expressions as sge

from ..base import Column
from .answer_size import measured
from .fulltext import DuckDBFullText, call
from .translate import translate
from .types import stored_type

_JSON_KINDS = frozenset(["json", "jsonb", "nested"])
_FLOATS = frozenset(["float4", "float8"])

# PostgreSQL writes floats with an exponent from here on.
_PLAIN_LIMITS = {"float4": 1e6, "float8": 1e15}
# DuckDB has no exponent up to here.
_DUCKDB_PLAIN_FLOAT_END = 9999999999999998.0


_ELEMENT = sge.column("x")


def _of_each(value: sge.Expr, body: sge.Expr) -> sge.Expr:
    """The list of what `body` is of each `_ELEMENT`."""
    return call(
        "list_transform", value, sge.Lambda(this=body, expressions=[sge.to_identifier("x")])
    )


def _varchar(value: sge.Expr) -> sge.Cast:
    return sge.Cast(this=value, to=sge.DType.TEXT.into_expr())


def _in_utc(value: sge.Expr) -> sge.Expr:
    """A point in time as a timestamp; DuckDB's calendars take three times as long."""
    return call("make_timestamp", call("epoch_us", value.copy()))


def _if_finite(value: sge.Expr, text: sge.Expr) -> sge.Expr:
    return sge.Case(
        ifs=[sge.If(this=call("isfinite", value.copy()), true=text)], default=_varchar(value)
    )


def _with_exponent(value: sge.Expr) -> sge.Expr:
    """A float that DuckDB writes in full as PostgreSQL writes it: `-1.5e+15`."""
    plain = _varchar(call("abs", value.copy()))
    digits = call("rtrim", call("replace", plain, ".", ""), "0")
    rest = call("substr", digits.copy(), sge.convert(2))
    exponent = sge.Sub(this=call("strpos", plain.copy(), "."), expression=sge.convert(2))
    negative = sge.LT(this=value.copy(), expression=sge.convert(0))
    longer = sge.NEQ(this=rest.copy(), expression=sge.Literal.string(""))
    return call(
        "concat",
        sge.Case(ifs=[sge.If(this=negative, true=sge.Literal.string("-"))]),
        call("substr", digits, sge.convert(1), sge.convert(1)),
        sge.Case(ifs=[sge.If(this=longer, true=sge.Literal.string("."))]),
        rest,
        "e+",
        call("lpad", _varchar(exponent), sge.convert(2), "0"),
    )


class DuckLakeDialect(DuckDBFullText):
    """The dialect of the DuckLake engine.

    :param milliseconds: whether timestamps show them (`ckan.datastore.ms_in_timestamp`)
    """

    name = "duckdb"

    def __init__(self, milliseconds: bool = True) -> None:
        self._timestamp_format = "%Y-%m-%dT%H:%M:%S.%g" if milliseconds else "%Y-%m-%dT%H:%M:%S"

    def json_object(self, columns: Sequence[Column]) -> sge.Expr:
        arguments: list[sge.Expr] = []
        for name, value, type in columns:
            arguments += [sge.Literal.string(name), self._json(value, type)]
        return _varchar(call("json_object", *arguments))

    def json_array(self, columns: Sequence[Column]) -> sge.Expr:
        return _varchar(
            call("json_array", *(self._json(value, type) for _, value, type in columns))
        )

    def copy_text(self, value: sge.Expr, type: str) -> sge.Expr:
        if type == "bool":
            return sge.Case(
                ifs=[
                    sge.If(this=value.copy(), true=sge.Literal.string("t")),
                    sge.If(this=sge.not_(value.copy()), true=sge.Literal.string("f")),
                ]
            )
        if type in _FLOATS:
            return self._float_text(value, type)
        if type == "numeric":
            return self._numeric_text(value)
        if type == "timestamp":
            return call("strftime", value, self._timestamp_format)
        if type == "timestamptz":
            text = sge.DPipe(this=_varchar(_in_utc(value)), expression=sge.Literal.string("+00"))
            return _if_finite(value, text)
        if type == "nested":
            return sge.func("coalesce", value, sge.Literal.string("null"))
        if type.startswith("_"):
            return sge.func("coalesce", self._array_text(value, type), sge.Literal.string("null"))
        return _varchar(value)

    def cast(self, value: sge.Expr, type: str) -> sge.Expr:
        if type == "numeric":
            # Which precision a number needs is the number's own affair: the client binds it so.
            return value
        return sge.Cast(this=value, to=stored_type(type))

    def translate(self, tree: sge.Expr) -> sge.Expr:
        if not isinstance(tree, sge.Query):
            raise TypeError(f"not a query: {type(tree).__name__}")
        return translate(tree)

    def bounded(
        self, tree: sge.Expr, outputs: Sequence[tuple[str, str]], most_bytes: int
    ) -> sge.Expr:
        return measured(tree, outputs, most_bytes)

    def _json(self, value: sge.Expr, type: str) -> sge.Expr:
        """A value as DuckDB's JSON functions should see it, to come out in the stock form."""
        if type in _JSON_KINDS:
            return sge.cast(value, "JSON", dialect="duckdb")
        if type in _FLOATS:
            return self._float_json(value, type)
        if type == "timestamp":
            return call("strftime", value, self._timestamp_format)
        if type.startswith("_"):
            return self._element_json(value, type)
        if type == "timestamptz":
            day = _varchar(sge.cast(_in_utc(value), "DATE", dialect="duckdb"))
            time = _varchar(sge.cast(_in_utc(value), "TIME", dialect="duckdb"))
            ends = (sge.Literal.string("T"), sge.Literal.string("+00:00"))
            return _if_finite(value, call("concat", day, ends[0], time, ends[1]))
        if type in ("date", "time", "uuid"):
            return _varchar(value)
        return value

    def _element_json(self, value: sge.Expr, type: str) -> sge.Expr:
        element_type = type[1:]
        if element_type in (
            "text",
            "varchar",
            "bpchar",
            "bool",
            "numeric",
        ) or element_type.startswith("int"):
            return value
        element = _ELEMENT.copy()
        if element_type == "timestamp":
            body: sge.Expr = sge.func(
                "replace", _varchar(element), sge.Literal.string(" "), sge.Literal.string("T")
            )
        else:
            body = self._json(element, element_type)
        return _of_each(value, body)

    def _array_text(self, value: sge.Expr, type: str) -> sge.Expr:
        """An array's JSON, with numbers as PostgreSQL writes them: DuckDB's JSON rewrites them."""
        if type == "_numeric":
            element = self._numeric_text(_ELEMENT.copy())
        elif type[1:] in _FLOATS:
            text, quote = self._float_text(_ELEMENT.copy(), type[1:]), sge.Literal.string('"')
            quoted = sge.DPipe(this=quote, expression=text.copy())
            element = sge.Case(
                ifs=[sge.If(this=call("isfinite", _ELEMENT.copy()), true=text)],
                default=sge.DPipe(this=quoted, expression=quote.copy()),
            )
        else:
            return _varchar(call("to_json", self._element_json(value, type)))
        items = _of_each(value, sge.func("coalesce", element, sge.Literal.string("null")))
        # Of no array and of an empty one, the text is null.
        joined = sge.func("coalesce", call("array_to_string", items, ","), sge.Literal.string(""))
        whole = call("concat", "[", joined, "]")
        return sge.Case(ifs=[sge.If(this=sge.not_(value.copy().is_(sge.null())), true=whole)])

    def _float_json(self, value: sge.Expr, type: str) -> sge.Expr:
        # JSON has no NaN: PostgreSQL puts it, and the infinities, in quotes. A float4 goes by its
        # own shortest text, not by the float8 next to it.
        number = (
            value if type == "float8" else sge.cast(_varchar(value), "DOUBLE", dialect="duckdb")
        )
        return sge.Case(
            ifs=[
                sge.If(
                    this=call("isfinite", value.copy()),
                    true=call("to_json", number.copy()),
                ),
                sge.If(
                    this=sge.not_(value.copy().is_(sge.null())),
                    true=call("to_json", self._float_text(value, type)),
                ),
            ]
        )

    def _float_text(self, value: sge.Expr, type: str) -> sge.Expr:
        limit = sge.convert(_PLAIN_LIMITS[type])
        whole = sge.and_(
            sge.EQ(this=call("trunc", value.copy()), expression=value.copy()),
            sge.LT(this=call("abs", value.copy()), expression=limit),
        )
        named = [("nan", "NaN"), ("inf", "Infinity"), ("-inf", "-Infinity")]
        text = _varchar(value.copy())
        return sge.Case(
            ifs=[
                sge.If(
                    this=whole,
                    true=_varchar(sge.cast(value.copy(), "BIGINT", dialect="duckdb")),
                ),
                sge.If(
                    this=sge.Between(
                        this=call("abs", value.copy()),
                        low=limit.copy(),
                        high=sge.convert(_DUCKDB_PLAIN_FLOAT_END),
                    ),
                    true=_with_exponent(value),
                ),
                *(
                    sge.If(
                        this=sge.EQ(this=text.copy(), expression=sge.Literal.string(ours)),
                        true=sge.Literal.string(theirs),
                    )
                    for ours, theirs in named
                ),
            ],
            default=text,
        )

    def _numeric_text(self, value: sge.Expr) -> sge.Expr:
        # The scale is that of the column's widest value: zeros at the end are not the value's.
        text = _varchar(value)
        shortened = call("rtrim", call("rtrim", text, "0"), ".")
        return sge.Case(
            ifs=[sge.If(this=call("contains", text.copy(), "."), true=shortened)],
            default=text.copy(),
        )
