"""How values travel between Arrow and PostgreSQL: as CSV of plain types, by COPY.

A carrier is the type of a column on the way. Dates and times travel as the integers that Arrow
keeps, so that none is beyond either side's calendar in text.
"""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Mapping, Sequence

import pyarrow as pa
from psycopg2 import sql
from pyarrow import csv

from ..model import types
from ..model.errors import InvalidRequest
from ..records.ingest import BadValue, column

Column = tuple[pa.ChunkedArray | pa.Array, str]
"""Values, and their API type."""


@dataclasses.dataclass(frozen=True)
class Carrier:
    """How values of one type travel.

    :param type: the carrying column's type in PostgreSQL
    :param arrow: and in Arrow
    :param into: SQL that makes the value of a carried one
    :param out: SQL that makes what is carried of a value
    """

    type: str
    arrow: pa.DataType
    into: str = "{0}"
    out: str = "{0}"


_EPOCH = "date '1970-01-01'"
# In two steps: an interval's factor is a double, which has not enough digits for all microseconds.
_TIMESTAMP = (
    "(timestamp '1970-01-01' + {0} / 86400000000 * interval '1 day'"
    " + {0} % 86400000000 * interval '1 microsecond')"
)
_MICROSECONDS = "(extract(epoch FROM {0}) * 1000000)::int8"

_CARRIERS: Mapping[str, Carrier] = {
    "text": Carrier("text", pa.string()),
    "varchar": Carrier("text", pa.string(), "{0}::varchar"),
    "bpchar": Carrier("text", pa.string(), "{0}::bpchar"),
    "name": Carrier("text", pa.string(), "{0}::name"),
    "int2": Carrier("int2", pa.int16()),
    "int4": Carrier("int4", pa.int32()),
    "int8": Carrier("int8", pa.int64()),
    "float4": Carrier("float4", pa.float32()),
    "float8": Carrier("float8", pa.float64()),
    # A column here has one scale for all its values, which is none of theirs.
    "numeric": Carrier("numeric", pa.string(), "trim_scale({0})"),
    "bool": Carrier("bool", pa.bool_()),
    "date": Carrier("int4", pa.int32(), f"({_EPOCH} + {{0}})", f"({{0}} - {_EPOCH})"),
    "time": Carrier(
        "int8",
        pa.int64(),
        "CASE {0} WHEN 86400000000 THEN time '24:00'"
        " ELSE time '00:00' + {0} * interval '1 microsecond' END",
        _MICROSECONDS,
    ),
    "timestamp": Carrier("int8", pa.int64(), _TIMESTAMP, _MICROSECONDS),
    "timestamptz": Carrier("int8", pa.int64(), f"{_TIMESTAMP} AT TIME ZONE 'UTC'", _MICROSECONDS),
    "json": Carrier("text", pa.string(), "{0}::json"),
    "jsonb": Carrier("text", pa.string(), "{0}::jsonb"),
    "uuid": Carrier("text", pa.string(), "{0}::uuid"),
    types.NESTED: Carrier(
        "text",
        pa.string(),
        "CASE WHEN {0} IS NOT NULL THEN ROW({0}::json, '')::nested END",
        "({0}).json",
    ),
}

_EACH = (
    "CASE WHEN {{0}} IS NOT NULL THEN ARRAY(SELECT {of_element}"
    " FROM unnest({{0}}) WITH ORDINALITY AS u(e, n) ORDER BY n) END"
)


def carrier_type(type_name: str) -> sql.SQL:
    """The type of the column that carries values of an API type."""
    if types.is_array(type_name):
        return sql.SQL("_" + _CARRIERS[types.element_type(type_name)].type)
    return sql.SQL(_CARRIERS[type_name].type)


def value_of(carried: sql.Composable, type_name: str) -> sql.Composed:
    """SQL that makes a value of an API type from what carried it."""
    if types.is_array(type_name):
        element = _CARRIERS[types.element_type(type_name)].into
        return sql.SQL(_each(element)).format(carried)
    return sql.SQL(_CARRIERS[type_name].into).format(carried)


def carried_of(value: sql.Composable, type_name: str) -> sql.Composed:
    """SQL that makes what is carried from a value of an API type."""
    if types.is_array(type_name):
        element = _CARRIERS[types.element_type(type_name)].out
        return sql.SQL(_each(element)).format(value)
    return sql.SQL(_CARRIERS[type_name].out).format(value)


def _each(of_element: str) -> str:
    if of_element == "{0}":
        return of_element
    return _EACH.format(of_element=of_element.format("e"))


def to_csv(columns: Sequence[Column]) -> io.BytesIO:
    """Columns as CSV for COPY: null is nothing, empty text is `""`."""
    names = [str(number) for number in range(len(columns))]
    carried = [_carried(values, type_name) for values, type_name in columns]
    text = io.BytesIO()
    csv.write_csv(
        # In one piece: after an empty one pyarrow writes what happens to be in memory.
        pa.table(carried, names=names).combine_chunks(),
        text,
        csv.WriteOptions(include_header=False, quoting_style="needed"),
    )
    text.seek(0)
    return text


def from_csv(text: io.BytesIO, fields: Mapping[str, str]) -> pa.Table:
    """What COPY wrote, as columns of the Arrow types of `model.types`.

    :param fields: names of the columns to their API types, in order
    :raises InvalidRequest: a value that PostgreSQL holds and no engine does
    """
    names = list(fields)
    if not text.getbuffer().nbytes:
        empty = [pa.array([], types.arrow_type(each)) for each in fields.values()]
        return pa.Table.from_arrays(empty, names=names)
    numbers = [str(number) for number in range(len(names))]
    carried = csv.read_csv(
        text,
        # One block: no value may be longer than one.
        csv.ReadOptions(
            column_names=numbers, block_size=min(text.getbuffer().nbytes + 1, 2**31 - 1)
        ),
        csv.ParseOptions(newlines_in_values=True, ignore_empty_lines=False),
        csv.ConvertOptions(
            column_types=dict(zip(numbers, map(_carrying, fields.values()), strict=True)),
            null_values=[""],
            true_values=["t"],
            false_values=["f"],
            strings_can_be_null=True,
            quoted_strings_can_be_null=False,
        ),
    )
    values = []
    for (name, type_name), found in zip(fields.items(), carried.columns, strict=True):
        try:
            values.append(_value(found.combine_chunks(), type_name))
        except BadValue as bad:
            raise InvalidRequest("records", f'"{name}": {bad.refusal}') from None
    return pa.Table.from_arrays(values, names=names)


def _carrying(type_name: str) -> pa.DataType:
    return pa.string() if types.is_array(type_name) else _CARRIERS[type_name].arrow


def _carried(values: pa.ChunkedArray | pa.Array, type_name: str) -> pa.ChunkedArray | pa.Array:
    if not types.is_array(type_name):
        return values.cast(_CARRIERS[type_name].arrow)
    carrier = _CARRIERS[types.element_type(type_name)].arrow
    texts = values.cast(pa.list_(carrier)).cast(pa.list_(pa.string())).to_pylist()
    return pa.array([None if each is None else _array_literal(each) for each in texts], pa.string())


def _array_literal(elements: Sequence[str | None]) -> str:
    return "{" + ",".join("NULL" if each is None else _quoted(each) for each in elements) + "}"


def _quoted(element: str) -> str:
    escaped = element.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _value(carried: pa.Array, type_name: str) -> pa.Array:
    """:raises BadValue:"""
    if types.is_array(type_name):
        element = types.element_type(type_name)
        carrier = "numeric" if element == "numeric" else _CARRIERS[element].type
        found = column(carried.to_pylist(), f"_{carrier}")
        return found if element == "numeric" else found.cast(types.arrow_type(type_name))
    if type_name == "numeric":
        return column(carried.to_pylist(), "numeric")
    return carried.cast(types.arrow_type(type_name))
