"""API types and the lake's, beside what is the same wherever DuckDB reads and writes."""

from __future__ import annotations

import pyarrow as pa
import sqlglot.expressions as sge

from ...files.duckdb_types import duckdb_type, numeric_type

# What a new numeric column holds until a value asks for more: one digit. DuckLake only ever widens,
# so digits that no value has would be lost to the other side of the point.
NUMERIC_START = (1, 0)


def stored_type(api_type: str) -> sge.DataType:
    """The column type that keeps values of an API type."""
    return numeric_type(*NUMERIC_START) if api_type == "numeric" else duckdb_type(api_type)


def decimal_digits(data_type: pa.DataType) -> tuple[int, int]:
    """Digits before and after the point of an Arrow decimal."""
    return data_type.precision - data_type.scale, data_type.scale
