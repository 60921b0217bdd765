"""A table's version: another after every change to that table, the same after all others."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace

import pytest
import sqlglot.expressions as sge
from google.cloud import bigquery

from ckanext.bqdatastore.engines.base import Engine
from ckanext.bqdatastore.engines.bigquery import tables as bigquery_tables
from ckanext.bqdatastore.engines.ducklake.table_versions import (
    ANYTHING,
    MOST_SNAPSHOTS,
    TableVersions,
    changed_tables,
)
from ckanext.bqdatastore.model.query import Parameter, Query, column
from ckanext.bqdatastore.model.table import Field, Table
from ckanext.bqdatastore.model.write import Deletion, TableChange, Write, WriteMode

from .test_contract import rows, write

ONE = Table("one", (Field("n", "int4"), Field("s", "text")), primary_key=("n",))
OTHER = replace(ONE, name="other")


@pytest.fixture
def tables(engine: Engine) -> Engine:
    """Both tables, with the rows 1 and 2."""
    for each in (ONE, OTHER):
        first = rows(each, [{"n": 1, "s": "a"}, {"n": 2, "s": "b"}])
        engine.apply(TableChange(None, each, Write(WriteMode.INSERT, (first,))))
    return engine


def insert(engine: Engine, table: Table) -> None:
    write(engine, table, "insert", rows(table, [{"n": 3, "s": "c"}]))


def update(engine: Engine, table: Table) -> None:
    write(engine, table, "update", rows(table, [{"n": 1, "s": "d"}], key=("n",)))


def delete(engine: Engine, table: Table) -> None:
    condition = sge.EQ(this=column("n"), expression=sge.Placeholder(this="p0"))
    engine.delete(Deletion(table, Query(condition, {"p0": Parameter(1, "int4")}), 0))


def delete_all(engine: Engine, table: Table) -> None:
    engine.delete(Deletion(table, None, 0))


def add_a_field(engine: Engine, table: Table) -> None:
    more = replace(table, fields=(*table.fields, Field("more", "text")))
    engine.apply(TableChange(table, more))


def describe_a_field(engine: Engine, table: Table) -> None:
    told = replace(table, fields=(Field("n", "int4", {"label": "number"}), *table.fields[1:]))
    engine.apply(TableChange(table, told))


def make_anew(engine: Engine, table: Table) -> None:
    engine.drop(table.name)
    same = rows(table, [{"n": 1, "s": "a"}, {"n": 2, "s": "b"}])
    engine.apply(TableChange(None, table, Write(WriteMode.INSERT, (same,))))


CHANGES = [insert, update, delete, delete_all, add_a_field, describe_a_field, make_anew]
_ROWS_ALONE = {update, delete, delete_all}


@pytest.mark.parametrize("change", CHANGES)
def test_it_is_another_after_a_change_to_the_table(
    tables: Engine, engine_kind: str, change: Callable[[Engine, Table], None]
) -> None:
    emulated = engine_kind == "bigquery" and "BIGQUERY_LIVE_PROJECT" not in os.environ
    if emulated and change in _ROWS_ALONE:
        pytest.skip("the emulator keeps a table's times through DML: run `make bigquery-live`")
    before, both_before = tables.version(["one"]), tables.version(["other", "one"])
    assert before is not None
    assert tables.version(["one"]) == before
    change(tables, ONE)
    assert tables.version(["one"]) != before
    assert tables.version(["other", "one"]) != both_before


@pytest.mark.parametrize("change", CHANGES)
def test_it_stays_when_another_table_changes(
    tables: Engine, change: Callable[[Engine, Table], None]
) -> None:
    before = tables.version(["one"])
    change(tables, OTHER)
    assert tables.version(["one"]) == before


def test_what_is_no_table_is_taken_to_change_with_every_table(tables: Engine) -> None:
    before = tables.version(["_table_metadata"])
    insert(tables, OTHER)
    after = tables.version(["_table_metadata"])
    assert after is None or after != before


def test_an_engine_that_looked_long_ago_sees_all_changes_since(
    tables: Engine, engine_kind: str
) -> None:
    """Another process, as it were."""
    late = type(tables)(tables.settings)
    one, other = late.version(["one"]), late.version(["other"])
    insert(tables, OTHER)
    add_a_field(tables, OTHER)
    assert late.version(["one"]) == one
    assert late.version(["other"]) != other
    late.close()


# What DuckLake's catalog says of a snapshot


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('created_schema:"main"', set()),
        ('created_table:"main"."a,5:b",altered_table:1,inlined_insert:1', {1}),
        ("inserted_into_table:12,deleted_from_table:13,inline_flush:14", {12, 13, 14}),
        ('created_view:"main"."x ""y"":7",altered_view:2', {2}),
        ("something_new:everywhere", None),
        ("", None),
        (None, None),
    ],
)
def test_changed_tables(text: str | None, expected: set[int] | None) -> None:
    assert changed_tables(text) == expected


def test_a_table_keeps_its_number_for_as_long_as_nothing_is_said_of_it() -> None:
    first = TableVersions(10)
    one, other, anything = map(first.number, (1, 2, ANYTHING))
    assert len({one, other, anything}) == 3
    then = first.at(12, lambda after, until: ["inserted_into_table:2"] * (until - after))
    assert then.number(1) == one
    assert then.number(2) not in (one, other)
    assert then.number(ANYTHING) != anything


@pytest.mark.parametrize(
    ("snapshot", "texts"),
    [
        (12, ["altered_table:2"]),  # one has expired
        (12, ["altered_table:2", "unheard_of"]),
        (11 + MOST_SNAPSHOTS, ["altered_table:2"] * (MOST_SNAPSHOTS + 1)),
        (9, []),  # a restored catalog
    ],
)
def test_where_it_is_not_known_what_changed_all_is_new(snapshot: int, texts: list[str]) -> None:
    first = TableVersions(10)
    before = first.number(1)
    assert first.at(snapshot, lambda after, until: texts).number(1) != before


def test_bigquery_tells_of_rows_by_the_time_of_the_last_change() -> None:
    def version(**told: str) -> str:
        given = {"tableReference": {"projectId": "p", "datasetId": "d", "tableId": "t"}}
        usual = {"creationTime": "1", "lastModifiedTime": "2", "etag": "e"}
        return bigquery_tables._version(bigquery.Table.from_api_repr({**given, **usual, **told}))

    same = version()
    assert version() == same
    assert same not in (version(lastModifiedTime="3"), version(etag="f"), version(creationTime="2"))
