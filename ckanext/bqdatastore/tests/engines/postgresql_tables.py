"""One small table that holds every type of the API, in PostgreSQL and in DuckDB."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ckanext.bqdatastore.model.table import Field, Table

NAME = "t"
"""The name under which the cases know it."""

RESOURCE = "0a1b2c3d-resource"
"""The name that it has in DuckDB: the guard puts one for the other."""

_COLUMNS: dict[str, tuple[str, str]] = {
    "name": ("text", "VARCHAR"),
    "i2": ("int2", "SMALLINT"),
    "i4": ("int4", "INTEGER"),
    "i8": ("int8", "BIGINT"),
    "n": ("numeric", "DECIMAL(12, 4)"),
    "f4": ("float4", "FLOAT"),
    "f8": ("float8", "DOUBLE"),
    "b": ("bool", "BOOLEAN"),
    "d": ("date", "DATE"),
    "tm": ("time", "TIME"),
    "ts": ("timestamp", "TIMESTAMP"),
    "tz": ("timestamptz", "TIMESTAMPTZ"),
    "j": ("json", "VARCHAR"),
    "jb": ("jsonb", "VARCHAR"),
    "u": ("uuid", "VARCHAR"),
    "ta": ("_text", "VARCHAR[]"),
    "ia": ("_int4", "INTEGER[]"),
}
"""Each column's type in the API, which is PostgreSQL's, and in DuckDB."""

TABLE = Table(RESOURCE, tuple(Field(name, kind) for name, (kind, _) in _COLUMNS.items()))

_OBJECT = '{"a": 1, "b": {"c": [1, 2, "x"]}, "t": "word", "n": null}'
_ROWS = """
apple|1|10|100|1.5|1.5|2.5|t|2020-01-15|10:20:30|2020-01-15 10:20:30.5
Banana|-2|-7|-5000000000|-2.75|-0.25|-3.5|f|1999-12-31|23:59:59.5|1999-12-31 23:59:59
||||||||||
héllo wörld|3|7|7|0.0001|1.1|0.1|t|2024-02-29|00:00:00|2024-02-29 12:00:00.123456
apple|3|0|0|100|0|1e15||1969-07-20|12:30:00|1969-07-20 20:17:40
|0|2147483647|9223372036854775807|12345678.125|12.5|-0.0001|f|2000-01-01|06:07:08|2000-01-01
"""
_NESTED: tuple[tuple[Any, ...], ...] = (
    (_OBJECT, _OBJECT, "550e8400-e29b-41d4-a716-446655440000", ["x", "y"], [1, 2, 3]),
    ("[1, 2, 3]", "[1, 2, 3]", "00000000-0000-0000-0000-000000000001", ["z", None], []),
    (None, None, None, None, None),
    (
        '{"a": "7.5", "arr": []}',
        '{"a": "7.5", "arr": []}',
        "ffffffff-ffff-ffff-ffff-ffffffffffff",
        [],
        [5, None, -1],
    ),
    ('"str"', '"str"', "550e8400-e29b-41d4-a716-446655440001", ["a,b", 'q"c'], [2]),
    ("true", "true", "123e4567-e89b-12d3-a456-426614174000", ["apple"], [10, 20]),
)
_EMPTY_TEXT_IN_ROW = 5


def rows() -> list[list[Any]]:
    """The rows, `_id` first, as texts that both databases read."""
    found = []
    plain = _ROWS.strip().split("\n")
    for place, (line, nested) in enumerate(zip(plain, _NESTED, strict=True)):
        values: list[Any] = [value or None for value in line.split("|")]
        if place == _EMPTY_TEXT_IN_ROW:
            values[0] = ""
        moment = values[-1] and f"{values[-1]}{'' if ':' in values[-1] else ' 00:00:00'}+00"
        values.append(moment)
        found.append([place + 1, *values, *nested])
    return found


def create_in_postgresql(cursor: Any) -> None:
    types = [(name, kind if kind[0] != "_" else f"{kind[1:]}[]") for name, (kind, _) in columns()]
    declared = ", ".join(f"{name} {kind}" for name, kind in types)
    cursor.execute(f"CREATE TABLE {NAME} (_id int4 PRIMARY KEY, _full_text tsvector, {declared})")
    casts = ", ".join(["%s, NULL", *(f"%s::{kind}" for _, kind in types)])
    cursor.executemany(f"INSERT INTO {NAME} VALUES ({casts})", rows())


def create_in_duckdb(connection: Any) -> None:
    declared = ", ".join(f"{name} {kind}" for name, (_, kind) in columns())
    connection.execute("CREATE SCHEMA resources")
    table = f'resources."{RESOURCE}"'
    connection.execute(f"CREATE TABLE {table} (_id BIGINT, {declared})")
    marks = ", ".join("?" for _ in range(len(_COLUMNS) + 1))
    connection.executemany(f"INSERT INTO {table} VALUES ({marks})", rows())


def columns() -> Sequence[tuple[str, tuple[str, str]]]:
    return tuple(_COLUMNS.items())
