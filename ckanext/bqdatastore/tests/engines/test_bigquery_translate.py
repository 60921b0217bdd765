"""PostgreSQL's SQL through the guard and the translation: BigQuery answers as PostgreSQL does.

The cases are those of `test_ducklake_translate`; what the translation refuses it names. PostgreSQL
says what is right. BigQuery's side is the reference implementation of its dialect, and, for some
of the cases, the emulator or BigQuery itself (`make bigquery-live`) behind the whole engine.
"""

from __future__ import annotations

import os
from typing import Any

import pytest
import sqlglot.expressions as sge
from zetasql.core.exceptions import ZetaSQLError

from ckanext.bqdatastore.engines.base import Engine
from ckanext.bqdatastore.engines.bigquery.engine import FUNCTIONS
from ckanext.bqdatastore.engines.bigquery.rendering import render
from ckanext.bqdatastore.engines.bigquery.translate import translate
from ckanext.bqdatastore.model.errors import DatastoreFault, NotPermitted, Unsupported
from ckanext.bqdatastore.model.query import RESOURCES, Query
from ckanext.bqdatastore.model.write import Rows, TableChange, Write, WriteMode
from ckanext.bqdatastore.query import guard
from ckanext.bqdatastore.records.ingest import ingest

from . import postgresql_tables
from .reference import Reference
from .test_ducklake_translate import CASES, SAME, Answer, _equal, _plain, cursor, query, theirs

ENGINE_KINDS = ("bigquery",)

__all__ = ["cursor"]

LEAST_TAKEN = 1_060
SECTIONS = sorted({section for section, _ in SAME})


def _bound(sql: str) -> guard.BoundSQL:
    parsed = guard.parse(sql)
    tables = {name: postgresql_tables.TABLE for name in parsed.tables if name == "t"}
    return guard.bind(parsed, tables, FUNCTIONS, 1000)


def _taken(sql: str) -> bool:
    try:
        translate(_bound(sql).query.tree)
    except (NotPermitted, Unsupported):
        return False
    return True


def _difference(expected: Answer, found: Answer, sql: str) -> str | None:
    if (expected.names, expected.types) != (found.names, found.types):
        return f"{sql}\n    {expected.names} {expected.types}\n    {found.names} {found.types}"
    rows = [expected.rows, found.rows]
    if "order by" not in sql.lower():
        rows = [sorted(side, key=str) for side in rows]
    if _equal(rows[0], rows[1], exact=False):
        return None
    return f"{sql}\n    {rows[0]}\n    {rows[1]}"


# The reference implementation


@pytest.fixture(scope="module")
def reference() -> Reference:
    made = Reference()
    made.add(postgresql_tables.TABLE, postgresql_tables.rows())
    return made


def referred(reference: Reference, sql: str) -> Answer:
    bound = _bound(sql)
    tree = translate(bound.query.tree)
    for table in tree.find_all(sge.Table):
        if table.db == RESOURCES:
            table.set("db", None)
    types = [field.type for field in bound.fields]
    rows = [
        [_shown(value, type) for value, type in zip(row, types, strict=True)]
        for row in reference.rows(render(tree))
    ]
    return Answer([field.id for field in bound.fields], types, rows, types)


def _shown(value: Any, type: str) -> Any:
    return value if type == "interval" else _plain(value, type)


@pytest.mark.parametrize("section", SECTIONS)
def test_answers_are_postgresqls(cursor: Any, reference: Reference, section: str) -> None:
    differences = []
    for sql in [query(case) for each, case in SAME if each == section]:
        if not _taken(sql):
            continue
        try:
            found = referred(reference, sql)
        except ZetaSQLError as error:
            differences.append(f"{sql}\n    {error}")
            continue
        difference = _difference(theirs(cursor, sql), found, sql)
        differences += [difference] if difference else []
    assert not differences, "\n".join(differences)


NO_OVERFLOW = ("select i4 + '5' from t", "select i4 * 2 from t")
"""BigQuery's integers have 64 bits: these have a result."""


@pytest.mark.parametrize("sql", [sql for sql in CASES["refused"] if sql not in NO_OVERFLOW])
def test_what_postgresql_refuses_is_refused(reference: Reference, sql: str) -> None:
    with pytest.raises((DatastoreFault, ZetaSQLError)):
        referred(reference, sql)


def test_enough_of_the_cases_are_taken() -> None:
    assert sum(_taken(query(case)) for _, case in SAME) >= LEAST_TAKEN


def test_every_allowed_function_has_a_case() -> None:
    called = {
        name
        for _, case in SAME
        if _taken(query(case))
        for name in guard.parse(query(case)).functions
    }
    assert sorted(FUNCTIONS - called) == []


# The whole engine


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


def answered(engine: Engine, sql: str) -> Answer:
    bound = _bound(sql)
    tree = engine.dialect.translate(bound.query.tree)
    found = engine.query(Query(tree, bound.query.parameters)).read_all()
    types = [field.type for field in bound.fields]
    columns = [values.to_pylist() for values in found.columns]
    rows = [
        [_shown(value, type) for value, type in zip(row, types, strict=True)]
        for row in zip(*columns, strict=True)
    ]
    return Answer([field.id for field in bound.fields], types, rows, types)


IS_LIVE = "BIGQUERY_LIVE_PROJECT" in os.environ


# Some sections are enough to see that names, types and answers find their way; of others DuckDB,
# beneath the emulator, plans some statements for minutes.
ASKED = SECTIONS if IS_LIVE else ["case", "cast", "columns", "compare", "logic", "nulls"]

# What the emulator alone does otherwise.
DIFFERENT = {
    "select concat_ws(',', null, null)": "DuckDB makes no text of an empty list",
    "f8::text": "DuckDB writes 1e15 without an exponent",
    "select 1e15::float8::text": "DuckDB writes 1e15 without an exponent",
    "select (1.0::float8 / 3)::text, (0.1::float8 + 0.2)::text, 1e-7::float8::text, "
    "(2.0::float8 / 3 * 1e-10)::text, (1e15::float8 / 3)::text, (-1.0::float8 / 7)::text, "
    "(1e16::float8 / 3)::text, (1e17::float8 / 3)::text": "the emulator reads 1e15 with 18 digits",
    "select 0.00001::float8::text": "the emulator reads the number with three digits",
    "select round(i4 / 3.0, 2), round((i4 / 3.0)::numeric, 2)::text = '3.33' "
    "from t where _id = 1": "DuckDB's rpad takes no BIGINT",
}


@pytest.mark.parametrize("section", ASKED)
def test_answers_of_the_engine_are_postgresqls(cursor: Any, filled: Engine, section: str) -> None:
    differences = []
    for case in [case for each, case in SAME if each == section]:
        sql = query(case)
        if not _taken(sql) or (case in DIFFERENT and not IS_LIVE):
            continue
        try:
            found = answered(filled, sql)
        except DatastoreFault as fault:
            differences.append(f"{sql}\n    {fault}")
            continue
        difference = _difference(theirs(cursor, sql), found, sql)
        differences += [difference] if difference else []
    assert not differences, "\n".join(differences)
