"""The words of DuckDB that the translation is built from."""

from __future__ import annotations

import sqlglot.expressions as sge

from ckanext.bqdatastore.model.query import operand
from ckanext.bqdatastore.translation.terms import INTEGERS, Expression, fn, when

STORED: dict[str, str] = {
    "bool": "BOOLEAN",
    "int2": "SMALLINT",
    "int4": "INTEGER",
    "int8": "BIGINT",
    "float4": "FLOAT",
    "float8": "DOUBLE",
    "text": "VARCHAR",
    "date": "DATE",
    "time": "TIME",
    "timestamp": "TIMESTAMP",
    "timestamptz": "TIMESTAMPTZ",
    "interval": "INTERVAL",
    "json": "VARCHAR",
    "jsonb": "VARCHAR",
    "uuid": "VARCHAR",
    "tsvector": "VARCHAR[]",
}
"""DuckDB's type of each PostgreSQL type but `numeric`, which needs a precision."""

SCALE = 16
"""Digits after the point of a `numeric` that DuckDB computes in floating point, as PostgreSQL's
division gives; 22 are left before it."""

_INTEGER_DIGITS = {"int2": 5, "int4": 10, "int8": 19}


def stored(name: str, source: str = "numeric") -> sge.DataType:
    """DuckDB's type for a PostgreSQL type.

    :param source: what is cast, which says how many digits a `numeric` needs
    """
    if name.startswith("_"):
        element = stored(name[1:], source.removeprefix("_"))
        return sge.DataType(this=sge.DType.ARRAY, expressions=[element], nested=True)
    if name == "numeric":
        return decimal(_INTEGER_DIGITS[source], 0) if source in INTEGERS else decimal(38, SCALE)
    return sge.DataType.build(STORED[name], dialect="duckdb")


def decimal(precision: int, scale: int) -> sge.DataType:
    parameters = [
        sge.DataTypeParam(this=sge.Literal.number(digits)) for digits in (precision, scale)
    ]
    return sge.DataType(this=sge.DType.DECIMAL, expressions=parameters)


def cast(tree: Expression, to: str | sge.DataType) -> sge.Cast:
    """`tree` cast to a PostgreSQL type as DuckDB stores it, or to a DuckDB type."""
    return sge.Cast(this=tree, to=stored(to) if isinstance(to, str) else to)


def fails(message: str) -> Expression:
    """An expression that raises `message` where it is evaluated."""
    return fn("error", message)


def each(array: Expression, name: str, body: Expression) -> Expression:
    """`array` with `body` in the place of every element, which it calls `name`."""
    return fn("list_transform", array, sge.Lambda(this=body, expressions=[sge.to_identifier(name)]))


def element(name: str) -> sge.Column:
    """The element that `each` calls `name`."""
    return sge.column(sge.to_identifier(name))


def shown_bool(value: Expression) -> Expression:
    return when((value, "t"), (sge.Not(this=operand(value.copy())), "f"), otherwise=sge.Null())
