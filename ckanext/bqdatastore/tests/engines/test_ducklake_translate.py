"""PostgreSQL's SQL through the guard and the translation: DuckDB answers as PostgreSQL does.

PostgreSQL itself says what is right, at the time of the test (`DEVSTACK_POSTGRES_SUPERUSER_URL`,
which `python -m devstack run` sets).
"""

from __future__ import annotations

import dataclasses
import datetime
import decimal
import json
import math
import os
import random
import struct
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import psycopg2
import psycopg2.extensions
import pyarrow as pa
import pytest
import sqlglot.expressions as sge
import yaml

from ckanext.bqdatastore.engines.ducklake.connection import extension_file
from ckanext.bqdatastore.engines.ducklake.translate import translate
from ckanext.bqdatastore.engines.ducklake.translation import division, sharing
from ckanext.bqdatastore.model.errors import DatastoreFault
from ckanext.bqdatastore.query import guard

from . import postgresql_tables

HERE = Path(__file__).parent
CASES = yaml.safe_load((HERE / "sql_cases.yaml").read_text(encoding="utf-8"))
ALLOWED = frozenset(
    (HERE.parents[1] / "engines/ducklake/allowed_functions.txt").read_text().split()
)
SAME = [(section, case) for section, cases in CASES["same"].items() for case in cases]
LAZY = "only where needed"

_POSTGRESQL = os.environ.get("DEVSTACK_POSTGRES_SUPERUSER_URL")
needs_postgresql = pytest.mark.skipif(not _POSTGRESQL, reason="run with `python -m devstack run`")

_OIDS = {
    16: "bool",
    20: "int8",
    21: "int2",
    23: "int4",
    25: "text",
    114: "json",
    700: "float4",
    701: "float8",
    1043: "varchar",
    1082: "date",
    1083: "time",
    1114: "timestamp",
    1184: "timestamptz",
    1186: "interval",
    3614: "tsvector",
    1700: "numeric",
    2950: "uuid",
    3802: "jsonb",
    1000: "_bool",
    1005: "_int2",
    1007: "_int4",
    1009: "_text",
    1016: "_int8",
    1022: "_float8",
    1182: "_date",
    1231: "_numeric",
}
_DUCKDB = {
    "BOOLEAN": "bool",
    "SMALLINT": "int2",
    "INTEGER": "int4",
    "BIGINT": "int8",
    "FLOAT": "float4",
    "DOUBLE": "float8",
    "VARCHAR": "text",
    "DATE": "date",
    "TIME": "time",
    "TIMESTAMP": "timestamp",
    "TIMESTAMP WITH TIME ZONE": "timestamptz",
    "INTERVAL": "interval",
}
_KEPT_AS_TEXT = ("json", "jsonb", "uuid", "varchar")


@dataclasses.dataclass(frozen=True)
class Answer:
    """Names, PostgreSQL's types and rows; `stored` is the types that DuckDB really gave."""

    names: list[str]
    types: list[str]
    rows: list[list[Any]]
    stored: list[str]


@pytest.fixture(scope="module")
def cursor() -> Iterator[Any]:
    """A cursor on a database of its own, whose texts are compared by code point."""
    server = psycopg2.connect(_POSTGRESQL)
    server.autocommit = True
    name = f"translate_{uuid.uuid4().hex[:12]}"
    with server.cursor() as admin:
        admin.execute(
            f"CREATE DATABASE {name} TEMPLATE template0 LC_COLLATE 'C' LC_CTYPE 'C.UTF-8'"
        )
    connection = psycopg2.connect(_POSTGRESQL, dbname=name)
    connection.autocommit = True
    # As text, so that nothing is lost on the way through Python.
    for oid in (114, 1186, 3802):
        plain = psycopg2.extensions.new_type((oid,), f"TEXT{oid}", lambda value, _: value)
        psycopg2.extensions.register_type(plain, connection)
    try:
        with connection.cursor() as cursor:
            cursor.execute("SET timezone TO 'UTC'; SET lc_messages TO 'C'")
            postgresql_tables.create_in_postgresql(cursor)
            yield cursor
    finally:
        connection.close()
        with server.cursor() as admin:
            admin.execute(f"DROP DATABASE {name}")
        server.close()


@pytest.fixture(scope="module")
def duck(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    connection = duckdb.connect()
    extension = extension_file("icu", tmp_path_factory.mktemp("extensions"))
    connection.execute(f"LOAD '{extension}'")
    connection.execute("SET TimeZone = 'UTC'")
    postgresql_tables.create_in_duckdb(connection)
    yield connection
    connection.close()


def query(case: str) -> str:
    """The query of a case; one that is an expression is asked of every row."""
    if case.lower().startswith(("select", "with", "values", "(")):
        return case
    return f"select _id, {case} from t order by _id"


def theirs(cursor: Any, sql: str) -> Answer:
    cursor.execute(sql)
    types = [_OIDS.get(column.type_code, "record") for column in cursor.description]
    rows = [[_plain(v, t) for v, t in zip(row, types, strict=True)] for row in cursor.fetchall()]
    return Answer([column.name for column in cursor.description], types, rows, types)


def translated(sql: str) -> tuple[guard.BoundSQL, str]:
    parsed = guard.parse(sql)
    tables = {name: postgresql_tables.TABLE for name in parsed.tables if name == "t"}
    bound = guard.bind(parsed, tables, ALLOWED, 1000)
    return bound, translate(bound.query.tree).sql(dialect="duckdb")


def ours(duck: Any, sql: str) -> Answer:
    bound, rendered = translated(sql)
    result = duck.execute(rendered)
    stored = [_api_type(str(column[1])) for column in result.description]
    if "interval" in stored:
        result = duck.execute(_with_interval_texts(rendered, result.description, stored))
    types = [field.type for field in bound.fields]
    # A document leaves the engine as a list of texts.
    stored = ["tsvector" if t == "tsvector" else s for s, t in zip(stored, types, strict=True)]
    rows = [[_plain(v, t) for v, t in zip(row, types, strict=True)] for row in result.fetchall()]
    return Answer([field.id for field in bound.fields], types, rows, stored)


def _with_interval_texts(rendered: str, description: Any, stored: list[str]) -> str:
    """The query with intervals as PostgreSQL writes them: Python has no type for months."""
    columns = []
    for (name, *_), kind in zip(description, stored, strict=True):
        column = '"{}"'.format(name.replace('"', '""'))
        if kind == "interval":
            text = f"replace(CAST({column} AS VARCHAR), 'month', 'mon')"
            column = rf"regexp_replace({text}, '(-1) (year|mon|day)\b', '\1 \2s', 'g')"
        columns.append(column)
    return f"SELECT {', '.join(columns)} FROM ({rendered})"


def _api_type(duckdb_type: str) -> str:
    if duckdb_type.endswith("[]"):
        return f"_{_api_type(duckdb_type[:-2])}"
    return "numeric" if duckdb_type.startswith("DECIMAL") else _DUCKDB[duckdb_type]


def _plain(value: Any, kind: str) -> Any:
    """A value in a form in which two drivers agree."""
    if value is None or kind == "tsvector":
        return None  # the differential suite compares vectors, made of what the stock trigger sees
    if kind.startswith("_"):
        return [_plain(item, kind[1:]) for item in value]
    if kind in ("json", "jsonb"):
        return json.loads(value)
    if kind == "float4":
        # PostgreSQL's text has the digits that tell a float4 apart, and no more.
        return struct.unpack("f", struct.pack("f", value))[0]
    return str(value) if kind == "uuid" else value


_APPROXIMATE = frozenset(
    [
        "exp",
        "ln",
        "log",
        "power",
        "pow",
        "sqrt",
        "stddev",
        "stddev_pop",
        "stddev_samp",
        "var_pop",
        "var_samp",
        "variance",
    ]
)
"""Functions whose `numeric` PostgreSQL itself approximates; DuckDB's is a double."""


def _equal(one: Any, other: Any, exact: bool) -> bool:
    """:param exact: whether decimals must be equal to the last digit"""
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_equal, one, other, [exact] * len(one)))
    if isinstance(one, decimal.Decimal) and exact:
        return isinstance(other, decimal.Decimal) and one == other
    numbers = (int, float, decimal.Decimal)
    if isinstance(one, numbers) and isinstance(other, numbers) and not isinstance(one, bool):
        return one == other or _close(float(one), float(other))
    if isinstance(one, datetime.datetime):
        return bool(one == other)
    return type(one) is type(other) and one == other


def _close(one: float, other: float) -> bool:
    return math.isclose(one, other, rel_tol=1e-12, abs_tol=1e-15) or (
        math.isnan(one) and math.isnan(other)
    )


def difference(expected: Answer, found: Answer, sql: str) -> str | None:
    """What is not the same; None where everything is."""
    if expected.names != found.names:
        return f"names {expected.names} {found.names}"
    if expected.types != found.types:
        return f"types {expected.types} {found.types}"
    for wanted, stored in zip(expected.types, found.stored, strict=True):
        array, element = "_" * wanted.startswith("_"), wanted.lstrip("_")
        kept = f"{array}{'text' if element in _KEPT_AS_TEXT else element}"
        # `_id` is a bigint that the API calls int.
        if stored != kept and (wanted, stored) != ("int4", "int8"):
            return f"DuckDB gave {stored} for {wanted}"
    rows = [expected.rows, found.rows]
    if "order by" not in sql.lower():
        rows = [sorted(side, key=str) for side in rows]
    exact = not _APPROXIMATE & set(guard.parse(sql).functions) and "^" not in sql
    return None if _equal(rows[0], rows[1], exact) else f"rows\n{rows[0]}\n{rows[1]}"


@needs_postgresql
@pytest.mark.parametrize(
    "case", [case for _, case in SAME] + CASES[LAZY], ids=lambda case: case[:60]
)
def test_answer_is_postgresqls(cursor: Any, duck: Any, case: str) -> None:
    sql = query(case)
    assert difference(theirs(cursor, sql), ours(duck, sql), sql) is None


@needs_postgresql
def test_answers_are_the_same_with_every_operand_in_a_struct(
    cursor: Any, duck: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sharing, "LARGE", 1)
    queries = [query(case) for _, case in SAME[::4]]
    assert sum("_operands" in translated(sql)[1] for sql in queries) > 10
    differences = {sql: difference(theirs(cursor, sql), ours(duck, sql), sql) for sql in queries}
    assert {sql: found for sql, found in differences.items() if found is not None} == {}


@needs_postgresql
@pytest.mark.parametrize(
    ("before", "value", "after"),
    [
        ("1000/(1+abs(", "i4", " % 1000))"),
        ("round(", "n", "/3 + 1, 9)"),
        ("quote_literal(", "name", ")"),
        ("initcap(", "name", ")"),
        ("lpad(", "name", ", 9, name)"),
        ("(", "i4", " BETWEEN SYMMETRIC 1 AND -1)::int"),
        ("(", "i4", " BETWEEN SYMMETRIC i2 AND i8)::int"),
        ("(", "i4", " NOT BETWEEN 0 AND i2)::int"),
        ("(", "i4", " BETWEEN SYMMETRIC 1.5 AND i2)::int"),
        ("(", "i4", " BETWEEN i4 AND n)::int"),
        ("(i4 BETWEEN ", "i4", " AND f8)::int"),
        ("overlay(", "name", " PLACING i2::text FROM 2 FOR 1)"),
        ("substr(", "name", ", 0, 5)"),
        ("repeat(", "left(name, 2)", ", 2)"),
    ],
)
@pytest.mark.parametrize("depth", [4, 7])
def test_nested_calls_say_their_operands_once_and_mean_the_same(
    cursor: Any, duck: Any, before: str, value: str, after: str, depth: int
) -> None:
    sql = f"SELECT {before * depth}{value}{after * depth} AS x FROM t ORDER BY _id"
    assert difference(theirs(cursor, sql), ours(duck, sql), sql) is None
    grouped = f"SELECT {before * depth}{value}{after * depth} AS x, count(*) FROM t GROUP BY 1"
    assert difference(theirs(cursor, grouped), ours(duck, grouped), grouped) is None


@needs_postgresql
@pytest.mark.parametrize("sql", CASES["refused"])
def test_what_postgresql_refuses_is_refused(cursor: Any, duck: Any, sql: str) -> None:
    with pytest.raises(psycopg2.Error):
        theirs(cursor, sql)
    with pytest.raises((DatastoreFault, duckdb.Error)):
        ours(duck, sql)


@needs_postgresql
@pytest.mark.parametrize("case", CASES["different"], ids=lambda case: case["sql"][:60])
def test_known_difference_is_still_one(cursor: Any, duck: Any, case: dict[str, str]) -> None:
    expected = theirs(cursor, case["sql"])
    try:
        found = ours(duck, case["sql"])
    except (DatastoreFault, duckdb.Error):
        return
    assert difference(expected, found, case["sql"]), f"no longer: {case['reason']}"


def test_every_allowed_function_has_a_case() -> None:
    called = {name for _, case in SAME for name in guard.parse(query(case)).functions}
    assert sorted(ALLOWED - called) == []


def test_translation_leaves_its_tree_as_it_is() -> None:
    parsed = guard.parse("select i4 / 2, sum(n) over (order by d) from t")
    tree = guard.bind(parsed, {"t": postgresql_tables.TABLE}, ALLOWED, 10).query.tree
    before = tree.sql()
    translate(tree)
    assert tree.sql() == before


def test_means_of_integers_are_their_quotients() -> None:
    """The short formula against the long one, on sums and counts of all sizes."""
    chance = random.Random(7)
    pairs = [(0, 3), (1, 2), (-1, 2), (5, 10**6), (2, 3), (-2, 3), (10**29, 10**12)]
    for _ in range(5_000):
        count = chance.randint(1, 10 ** chance.randint(1, 12))
        whole = chance.randint(0, 10 ** chance.randint(1, 17))
        rest = chance.choice([0, count // 2, chance.randint(0, count - 1)])
        pairs.append((chance.choice([-1, 1]) * (whole * count + rest), count))
    rows = pa.table(
        {"a": [str(a) for a, _ in pairs], "b": pa.array([b for _, b in pairs], pa.int64())}
    )
    operands = [sge.cast(sge.column("a"), "INT128"), sge.column("b")]
    found = sge.select(
        division.mean(*(each.copy() for each in operands)).as_("mean"),
        division.quotient(*(each.copy() for each in operands)).as_("quotient"),
    ).from_("pairs")
    with duckdb.connect() as connection:
        connection.register("pairs", rows)
        for mean, quotient in connection.execute(found.sql(dialect="duckdb")).fetchall():
            assert mean == quotient
