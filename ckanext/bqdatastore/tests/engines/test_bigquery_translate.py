"""PostgreSQL's SQL through the guard and the translation: BigQuery answers as PostgreSQL does.

Of the cases of `test_ducklake_translate`, those that the translation takes: it refuses the others
by name. PostgreSQL itself says what is right.
"""

from __future__ import annotations

from typing import Any

import pytest

from ckanext.bqdatastore.engines.base import Engine
from ckanext.bqdatastore.model.errors import DatastoreFault, NotPermitted, Unsupported
from ckanext.bqdatastore.model.query import Query
from ckanext.bqdatastore.model.write import Rows, TableChange, Write, WriteMode
from ckanext.bqdatastore.query import guard
from ckanext.bqdatastore.records.ingest import ingest

from . import postgresql_tables
from .test_ducklake_translate import SAME, Answer, _equal, _plain, cursor, query, theirs

ENGINE_KINDS = ("bigquery",)

__all__ = ["cursor"]

LEAST_TAKEN = 250


@pytest.fixture(scope="module")
def filled(opened_engine: Engine) -> Engine:
    for name in opened_engine.tables():
        opened_engine.drop(name)
    table = postgresql_tables.TABLE
    records = []
    for row in postgresql_tables.rows():
        record = dict(zip(table.field_ids, row[1:], strict=True))
        for field in table.fields:
            if field.type == "bool" and record[field.id] is not None:
                record[field.id] = record[field.id] == "t"
        records.append(record)
    rows = Rows(ingest(records, table.fields), (), tuple(range(len(records))))
    opened_engine.apply(TableChange(None, table, Write(WriteMode.INSERT, (rows,))))
    return opened_engine


def ours(engine: Engine, sql: str) -> Answer:
    parsed = guard.parse(sql)
    tables = {name: postgresql_tables.TABLE for name in parsed.tables if name == "t"}
    bound = guard.bind(parsed, tables, engine.allowed_functions, 1000)
    tree = engine.dialect.translate(bound.query.tree)
    found = engine.query(Query(tree, bound.query.parameters)).read_all()
    types = [field.type for field in bound.fields]
    columns = [values.to_pylist() for values in found.columns]
    rows = [
        [_plain(value, type) for value, type in zip(row, types, strict=True)]
        for row in zip(*columns, strict=True)
    ]
    return Answer([field.id for field in bound.fields], types, rows, types)


def taken(engine: Engine, sql: str) -> bool:
    parsed = guard.parse(sql)
    tables = {name: postgresql_tables.TABLE for name in parsed.tables if name == "t"}
    try:
        bound = guard.bind(parsed, tables, engine.allowed_functions, 1000)
        engine.dialect.translate(bound.query.tree)
    except (NotPermitted, Unsupported):
        return False
    return True


@pytest.mark.parametrize("section", sorted({section for section, _ in SAME}))
def test_answers_are_postgresqls(cursor: Any, filled: Engine, section: str) -> None:
    differences = []
    for _, case in [each for each in SAME if each[0] == section]:
        sql = query(case)
        if not taken(filled, sql) or case in DIFFERENT:
            continue
        expected = theirs(cursor, sql)
        try:
            found = ours(filled, sql)
        except DatastoreFault as fault:
            differences.append(f"{sql}\n    {fault}")
            continue
        rows = [expected.rows, found.rows]
        if "order by" not in sql.lower():
            rows = [sorted(side, key=str) for side in rows]
        equal = _equal(rows[0], rows[1], exact=False)
        if (expected.names, expected.types) != (found.names, found.types) or not equal:
            differences.append(f"{sql}\n    {rows[0]}\n    {rows[1]}")
    assert not differences, "\n".join(differences)


# What the emulator alone does otherwise; the analyzer takes it.
DIFFERENT = {
    "f8::text": "DuckDB writes 1e15 without an exponent",
    "n + 0.000000000001": "DuckDB's decimals have 18 digits here",
    "select 1e15::float8::text": "DuckDB writes 1e15 without an exponent",
    r"select 'a_c' like 'a\_c'": "DuckDB's LIKE escapes nothing by itself",
    r"select 'a\c' like 'a\\c'": "DuckDB's LIKE escapes nothing by itself",
    r"select 'ÄÖ' ilike 'äö', 'Äx' ilike 'ä%X', 'a%b' ilike 'A\%_', E'a\nB' ilike 'A_b'": (
        "DuckDB's LIKE escapes nothing by itself"
    ),
    "select i2 + 1 as j, count(*) from t group by i2 + 1 order by i2 + 1": "binder of DuckDB",
}


def test_enough_of_the_cases_are_taken(filled: Engine) -> None:
    assert sum(taken(filled, query(case)) for _, case in SAME) >= LEAST_TAKEN


def test_every_allowed_function_has_a_case(filled: Engine) -> None:
    called = {
        name
        for _, case in SAME
        if taken(filled, query(case))
        for name in guard.parse(query(case)).functions
    }
    assert sorted(filled.allowed_functions - called) == []
