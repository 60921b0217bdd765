"""API types and DuckDB's, both ways."""

from __future__ import annotations

import pyarrow as pa
import sqlglot.expressions as sge

# What a new numeric column holds until a value asks for more: one digit. DuckLake only ever widens,
# so digits that no value has would be lost to the other side of the point.
NUMERIC_START = (1, 0)
ELEMENT_DIGITS = (38, 16)
"""Precision and scale of numbers in arrays, which do not widen."""
NUMERIC_DIGITS = 38

_STORED = {
    "text": "VARCHAR",
    "varchar": "VARCHAR",
    "bpchar": "VARCHAR",
    "name": "VARCHAR",
    "int2": "SMALLINT",
    "int4": "INTEGER",
    "int8": "BIGINT",
    "float4": "FLOAT",
    "float8": "DOUBLE",
    "numeric": "DECIMAL({}, {})".format(*NUMERIC_START),
    "bool": "BOOLEAN",
    "date": "DATE",
    "time": "TIME",
    "timestamp": "TIMESTAMP",
    "timestamptz": "TIMESTAMPTZ",
    # JSON is kept as the text that came in, UUIDs as their canonical text.
    "json": "VARCHAR",
    "jsonb": "VARCHAR",
    "nested": "VARCHAR",
    "uuid": "VARCHAR",
}

# Types that DuckDB infers for a file's columns, or gives to a result's, as the API names them.
_NAMED = {
    "VARCHAR": "text",
    "TINYINT": "int2",
    "SMALLINT": "int2",
    "UTINYINT": "int2",
    "INTEGER": "int4",
    "USMALLINT": "int4",
    "BIGINT": "int8",
    "UINTEGER": "int8",
    "HUGEINT": "numeric",
    "UHUGEINT": "numeric",
    "UBIGINT": "numeric",
    "FLOAT": "float4",
    "DOUBLE": "float8",
    "BOOLEAN": "bool",
    "DATE": "date",
    "TIME": "time",
    "TIMESTAMP": "timestamp",
    "TIMESTAMP_S": "timestamp",
    "TIMESTAMP_MS": "timestamp",
    "TIMESTAMP_NS": "timestamp",
    "TIMESTAMP WITH TIME ZONE": "timestamptz",
    "UUID": "uuid",
    "JSON": "json",
}


def stored_type(api_type: str) -> sge.DataType:
    """The column type that keeps values of an API type."""
    return sge.DataType.build(_stored_name(api_type), dialect="duckdb")


def _stored_name(api_type: str) -> str:
    if api_type == "_numeric":
        return "DECIMAL({}, {})[]".format(*ELEMENT_DIGITS)
    if api_type.startswith("_"):
        return f"{_stored_name(api_type[1:])}[]"
    return _STORED[api_type]


def numeric_type(precision: int, scale: int) -> sge.DataType:
    return sge.DataType.build(f"DECIMAL({precision}, {scale})", dialect="duckdb")


def api_type(duckdb_type: str) -> str:
    """The API type that shows a DuckDB type; what has no like of its own is shown as text."""
    if duckdb_type.endswith("[]"):
        return f"_{api_type(duckdb_type.removesuffix('[]'))}"
    if duckdb_type.startswith("DECIMAL"):
        return "numeric"
    return _NAMED.get(duckdb_type, "text")


def decimal_digits(data_type: pa.DataType) -> tuple[int, int]:
    """Digits before and after the point of an Arrow decimal."""
    return data_type.precision - data_type.scale, data_type.scale
