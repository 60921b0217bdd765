"""Answers of queries as Arrow: over REST, or the Storage API where much is coming."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa
from google.cloud.bigquery import SchemaField
from google.cloud.bigquery.table import RowIterator

from .types import shown_batch, shown_schema

_ARROW = {
    "STRING": pa.string(),
    "JSON": pa.string(),
    "BYTES": pa.binary(),
    "INTEGER": pa.int64(),
    "INT64": pa.int64(),
    "FLOAT": pa.float64(),
    "FLOAT64": pa.float64(),
    "BOOLEAN": pa.bool_(),
    "BOOL": pa.bool_(),
    "DATE": pa.date32(),
    "TIME": pa.time64("us"),
    "DATETIME": pa.timestamp("us"),
    "TIMESTAMP": pa.timestamp("us", "UTC"),
    "NUMERIC": pa.decimal128(38, 9),
    "BIGNUMERIC": pa.decimal256(76, 38),
    "INTERVAL": pa.month_day_nano_interval(),
}


def schema(rows: RowIterator) -> pa.Schema:
    """What every batch of the answer has."""
    return shown_schema(_stored_schema(rows))


def batches(rows: RowIterator, storage_client: Any = None) -> Iterator[pa.RecordBatch]:
    """The answer's batches, each fetched when it is asked for."""
    stored = _stored_schema(rows)
    for batch in rows.to_arrow_iterable(bqstorage_client=storage_client):
        yield shown_batch(pa.RecordBatch.from_arrays(_cast(batch, stored), schema=stored))


def read(rows: RowIterator) -> pa.Table:
    """The whole answer."""
    return pa.Table.from_batches(list(batches(rows)), schema(rows))


def _cast(batch: pa.RecordBatch, stored: pa.Schema) -> list[pa.Array]:
    return [
        values if values.type == field.type else values.cast(field.type)
        for values, field in zip(batch.columns, stored, strict=True)
    ]


def _stored_schema(rows: RowIterator) -> pa.Schema:
    return _fields(rows.schema)


def _fields(fields: Sequence[SchemaField]) -> pa.Schema:
    return pa.schema([pa.field(field.name, _type(field)) for field in fields])


def _type(field: SchemaField) -> pa.DataType:
    if field.field_type in ("RECORD", "STRUCT"):
        one: pa.DataType = pa.struct(list(_fields(field.fields)))
    else:
        one = _ARROW.get(field.field_type, pa.string())
    return pa.list_(one) if field.mode == "REPEATED" else one
