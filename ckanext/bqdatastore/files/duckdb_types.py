"""API types and DuckDB's, both ways."""

from __future__ import annotations

import sqlglot.expressions as sge

ELEMENT_DIGITS = (38, 16)
"""Precision and scale of numbers in arrays, which do not widen."""
NUMERIC_DIGITS = 38

_NAMES = {
    "text": "VARCHAR",
    "varchar": "VARCHAR",
    "bpchar": "VARCHAR",
    "name": "VARCHAR",
    "int2": "SMALLINT",
    "int4": "INTEGER",
    "int8": "BIGINT",
    "float4": "FLOAT",
    "float8": "DOUBLE",
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


def duckdb_type(api_type: str) -> sge.DataType:
    """The type of an API type's values; a single `numeric` has one by its digits."""
    return sge.DataType.build(_name(api_type), dialect="duckdb")


def _name(api_type: str) -> str:
    if api_type == "_numeric":
        return "DECIMAL({}, {})[]".format(*ELEMENT_DIGITS)
    if api_type.startswith("_"):
        return f"{_name(api_type[1:])}[]"
    return _NAMES[api_type]


def numeric_type(precision: int, scale: int) -> sge.DataType:
    return sge.DataType.build(f"DECIMAL({precision}, {scale})", dialect="duckdb")


def api_type(duckdb_type: str) -> str:
    """The API type that shows a DuckDB type; what has no like of its own is shown as text."""
    if duckdb_type.endswith("[]"):
        return f"_{api_type(duckdb_type.removesuffix('[]'))}"
    if duckdb_type.startswith("DECIMAL"):
        return "numeric"
    return _NAMED.get(duckdb_type, "text")
