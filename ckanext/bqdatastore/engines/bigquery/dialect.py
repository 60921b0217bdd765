"""How BigQuery says what a neutral tree cannot: the stock backend's forms of values, and casts."""

from __future__ import annotations

import json
from collections.abc import Sequence

import sqlglot.expressions as sge

from ..base import Column
from .forms import (
    as_text,
    call,
    field,
    float_text,
    is_no_number,
    joined,
    microseconds,
    moment,
    named_float,
    number,
    number_text,
    numeric_text,
    text,
    time_text,
    whole_seconds,
)
from .fulltext import BigQueryFullText
from .translate import translate
from .types import ELEMENT, LIST, data_type, scalar_type

_JSON_KINDS = frozenset(["json", "jsonb", "nested"])
_FLOATS = frozenset(["float4", "float8", "float"])
_INTEGERS = frozenset(["int2", "int4", "int8", "oid"])


class BigQueryDialect(BigQueryFullText):
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
        before = "["
        for _, value, type in columns:
            parts += [text(before), self._json(value, type)]
            before = ","
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
        return translate(tree)

    def bounded(
        self, tree: sge.Expr, outputs: Sequence[tuple[str, str]], most_bytes: int
    ) -> sge.Expr:
        """As it is: an answer comes from BigQuery in pages of a few megabytes."""
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
            quoted = call("CONCAT", text('"'), named_float(value), text('"'))
            return sge.If(this=is_no_number(value), true=quoted, false=number_text(value, type))
        if type in _INTEGERS or type in ("numeric", "bool"):
            return self._plain(value, type)
        if type in ("date", "time", "timestamp", "timestamptz", "uuid"):
            return call("CONCAT", text('"'), self._plain(value, type), text('"'))
        # Also `int`, the type of `_id`, which in the list of tables is a text.
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
            return float_text(value, type)
        if type == "numeric":
            return numeric_text(value)
        if type == "timestamp":
            return self._timestamp_text(value)
        if type == "timestamptz":
            return call("CONCAT", moment(value, type), text("+00:00"))
        if type == "time":
            return time_text(value)
        if type in _INTEGERS or type in ("int", "bool", "date"):
            return as_text(value)
        return value

    def _timestamp_text(self, value: sge.Expr) -> sge.Expr:
        seconds = whole_seconds(value)
        if not self._milliseconds:
            return seconds
        thousandths = call("DIV", microseconds(value.copy()), number(1000))
        padded = call("LPAD", as_text(thousandths), number(3), text("0"))
        return call("CONCAT", seconds, text("."), padded)
