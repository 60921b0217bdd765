"""API types and BigQuery's, both ways, and Arrow columns in the form that a load takes."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc
import sqlglot.expressions as sge
from google.cloud.bigquery import SchemaField

# What a new numeric column holds until a value asks for more: digits before and after the point.
NUMERIC_START = (9, 3)
NUMERIC_DIGITS = 38

# NUMERIC's own limits; what needs more is a BIGNUMERIC.
_NUMERIC_WHOLE = 29
_NUMERIC_SCALE = 9

# An array column may be null and so may its elements; neither may a REPEATED column. This is how
# Parquet has lists, and how BigQuery loads them.
LIST = "list"
ELEMENT = "element"

_STORED = {
    "text": "STRING",
    "varchar": "STRING",
    "bpchar": "STRING",
    "name": "STRING",
    "int": "INT64",
    "int2": "INT64",
    "int4": "INT64",
    "int8": "INT64",
    "float4": "FLOAT64",
    "float8": "FLOAT64",
    "bool": "BOOL",
    "date": "DATE",
    "time": "TIME",
    "timestamp": "DATETIME",
    "timestamptz": "TIMESTAMP",
    # JSON is kept as the text that came in: BigQuery's JSON sorts keys and rounds numbers.
    "json": "STRING",
    "jsonb": "STRING",
    "nested": "STRING",
    "uuid": "STRING",
}

_CLUSTERABLE = frozenset(["INT64", "STRING", "BOOL", "DATE", "DATETIME", "TIMESTAMP", "NUMERIC"])


def scalar_type(api_type: str) -> str:
    """BigQuery's type of a scalar API type, as query parameters name it."""
    return "BIGNUMERIC" if api_type == "numeric" else _STORED[api_type]


def numeric_type(whole: int, scale: int) -> str:
    """The narrowest type for numbers of so many digits before and after the point."""
    name = "NUMERIC" if whole <= _NUMERIC_WHOLE and scale <= _NUMERIC_SCALE else "BIGNUMERIC"
    return f"{name}({max(whole + scale, 1)}, {scale})"


def numeric_digits(stored: str) -> tuple[int, int]:
    """Digits before and after the point that a type of `numeric_type` holds."""
    precision, scale = map(int, stored[stored.index("(") + 1 : -1].split(","))
    return precision - scale, scale


def stored_type(api_type: str) -> str:
    """The type of a new column that keeps values of an API type."""
    if api_type.startswith("_"):
        return f"STRUCT<{LIST} ARRAY<STRUCT<{ELEMENT} {element_type(api_type[1:])}>>>"
    return numeric_type(*NUMERIC_START) if api_type == "numeric" else _STORED[api_type]


def element_type(api_type: str) -> str:
    """The type of an array's elements, which do not widen."""
    return scalar_type(api_type)


def data_type(name: str) -> sge.DataType:
    return sge.DataType.build(name, dialect="bigquery")


def is_clusterable(api_type: str) -> bool:
    """Whether BigQuery may keep rows sorted by a column of the type."""
    return not api_type.startswith("_") and (
        api_type == "numeric" or _STORED[api_type] in _CLUSTERABLE
    )


def staged_field(name: str, api_type: str) -> SchemaField:
    """A column of a staging table; numbers are staged as text, which loses none of their digits."""
    if api_type.startswith("_"):
        element = SchemaField(ELEMENT, _staged_type(api_type[1:]))
        return SchemaField(
            name, "RECORD", fields=[SchemaField(LIST, "RECORD", "REPEATED", fields=[element])]
        )
    return SchemaField(name, _staged_type(api_type))


def _staged_type(api_type: str) -> str:
    return "STRING" if api_type == "numeric" else _STORED[api_type]


def is_staged_as_text(api_type: str) -> bool:
    """Whether values are staged as text, and kept as something else."""
    return api_type in ("numeric", "_numeric")


def staged_array(values: pa.ChunkedArray, api_type: str) -> pa.ChunkedArray:
    """Values as `staged_field` takes them."""
    if api_type.startswith("_"):
        return pa.chunked_array(
            [_staged_list(chunk, api_type[1:]) for chunk in values.chunks],
            type=staged_arrow(api_type),
        )
    if api_type == "float4":
        # The double with the shortest digits that mean this float, not the one nearest to it.
        return values.cast(pa.string()).cast(pa.float64())
    if pa.types.is_decimal(values.type):
        return pa.chunked_array([_plain_texts(chunk) for chunk in values.chunks], pa.string())
    return values.cast(staged_arrow(api_type))


def _plain_texts(numbers: pa.Array) -> pa.Array:
    """Decimals as texts without exponents, which Arrow gives to the very small."""
    texts = numbers.cast(pa.string())
    small = pc.fill_null(pc.match_substring(texts, "E"), False)
    if not pc.any(small, min_count=0).as_py():
        return texts
    plain = pa.array([f"{number:f}" for number in numbers.filter(small).to_pylist()], pa.string())
    return pc.replace_with_mask(texts, small, plain)


def _staged_list(values: pa.ListArray, api_type: str) -> pa.StructArray:
    elements = staged_array(pa.chunked_array([values.values]), api_type).combine_chunks()
    items = pa.StructArray.from_arrays([elements], names=[ELEMENT])
    lists = pa.ListArray.from_arrays(values.offsets, items)
    return pa.StructArray.from_arrays([lists], names=[LIST], mask=pc.is_null(values))


def staged_arrow(api_type: str) -> pa.DataType:
    """The type of what `staged_array` makes."""
    if api_type.startswith("_"):
        element = pa.struct([(ELEMENT, staged_arrow(api_type[1:]))])
        return pa.struct([(LIST, pa.list_(element))])
    return _ARROW[_staged_type(api_type)]


_ARROW = {
    "STRING": pa.string(),
    "INT64": pa.int64(),
    "FLOAT64": pa.float64(),
    "BOOL": pa.bool_(),
    "DATE": pa.date32(),
    "TIME": pa.time64("us"),
    "DATETIME": pa.timestamp("us"),
    "TIMESTAMP": pa.timestamp("us", "UTC"),
}


def shown_batch(batch: pa.RecordBatch) -> pa.RecordBatch:
    """An answer's batch with arrays as lists."""
    arrays = [_shown(array) for array in batch.columns]
    return pa.RecordBatch.from_arrays(arrays, names=batch.schema.names)


def shown_schema(schema: pa.Schema) -> pa.Schema:
    empty = pa.RecordBatch.from_arrays([pa.array([], each.type) for each in schema], schema.names)
    return shown_batch(empty).schema


def _shown(array: pa.Array) -> pa.Array:
    if not pa.types.is_struct(array.type) or array.type.num_fields != 1:
        return array
    if array.type.field(0).name != LIST:
        return array
    lists = array.field(0)
    present = pc.is_valid(array)
    elements = lists.flatten().field(0)
    lengths = pc.if_else(present, pc.fill_null(pc.list_value_length(lists), 0), 0)
    ends = pc.cumulative_sum(lengths.cast(pa.int32()))
    offsets = pa.concat_arrays([pa.array([0], pa.int32()), ends])
    return pa.ListArray.from_arrays(offsets, elements, mask=pc.invert(present))
