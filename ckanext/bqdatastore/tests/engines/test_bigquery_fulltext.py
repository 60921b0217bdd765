"""Full-text search on BigQuery finds the rows that PostgreSQL finds, in its order.

The rows, the queries and PostgreSQL's answers are those of `test_ducklake_fulltext`: those
of one field are asked of the emulator, some others of the reference implementation.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pyarrow as pa
import pytest
import sqlglot.expressions as sge

from ckanext.bqdatastore.engines.base import Engine
from ckanext.bqdatastore.engines.bigquery.dialect import BigQueryDialect
from ckanext.bqdatastore.engines.bigquery.engine import parameter
from ckanext.bqdatastore.engines.bigquery.rendering import render
from ckanext.bqdatastore.engines.bigquery.stemming import with_stems
from ckanext.bqdatastore.model.query import ParameterNames, Query, bound, column, table
from ckanext.bqdatastore.model.table import Field, Table
from ckanext.bqdatastore.model.write import Rows, TableChange, Write, WriteMode
from ckanext.bqdatastore.query import fulltext
from ckanext.bqdatastore.records.ingest import ingest

from .reference import Reference
from .test_ducklake_fulltext import COLUMNS, QUERIES, ROWS, stored_answers

ENGINE_KINDS = ("bigquery",)

DOCUMENTS = Table("documents", tuple(Field(name, type) for name, type in COLUMNS))


@pytest.fixture(scope="module")
def documents(opened_engine: Engine) -> Engine:
    for name in opened_engine.tables():
        opened_engine.drop(name)
    names = [name for name, _ in COLUMNS]
    records = [dict(zip(names, row[1:], strict=True)) for row in ROWS]
    data = ingest(records, DOCUMENTS.fields)
    assert isinstance(data, pa.Table)
    rows = Rows(data, (), tuple(range(len(records))))
    opened_engine.apply(TableChange(None, DOCUMENTS, Write(WriteMode.INSERT, (rows,))))
    return opened_engine


def _asked(number: int, dialect: Any) -> Query:
    """The rows that a text is found in, and their ranks."""
    text, plain, language, field = QUERIES[number]
    columns = [each for each in COLUMNS if field in (None, each[0])]
    search = fulltext.parse(text, language=language, plain=plain)
    names = ParameterNames()
    trees = fulltext.trees(search, columns, dialect, names, whole_row=field is None)
    shown = column("_id"), trees.rank().as_("rank")
    tree = sge.select(*shown).from_(table("documents")).where(trees.condition)
    return bound(tree, names.values)


def _compare(ours: Mapping[int, float], number: int) -> None:
    theirs = stored_answers()[number]
    assert sorted(ours) == sorted(theirs)
    for row, expected in theirs.items():
        assert ours[row] == pytest.approx(expected, abs=1e-6), row


@pytest.fixture(scope="module")
def reference() -> Reference:
    made = Reference()
    made.add(DOCUMENTS, ROWS)
    return made


# Of several words and of the whole row, which DuckDB beneath the emulator plans in minutes. Some
# seconds each.
SEVERAL = ("quick fox", "23 59", "brown-fox", "fat <-> (cat | rat)")
IN_REFERENCE = [number for number, query in enumerate(QUERIES) if query[0] in SEVERAL]


def _name(number: int) -> str:
    return "-".join(map(str, QUERIES[number]))


@pytest.mark.parametrize("number", IN_REFERENCE, ids=_name)
def test_search_in_the_reference(number: int, reference: Reference) -> None:
    query = _asked(number, BigQueryDialect())
    tree, values = with_stems(query.tree, query.parameters, lambda _: ())
    for each in tree.find_all(sge.Table):
        each.set("db", None)
    found = reference.rows(render(tree), [parameter(*each) for each in values.items()])
    _compare(dict(found), number)


def _is_of_one_field(number: int) -> bool:
    """Whether DuckDB, beneath the emulator, plans the statement in seconds and not in minutes."""
    _, _, language, field = QUERIES[number]
    return field is not None and language != "simple"


OF_ONE_FIELD = [number for number in range(len(QUERIES)) if _is_of_one_field(number)]


@pytest.mark.parametrize("number", OF_ONE_FIELD, ids=_name)
def test_search(number: int, documents: Engine) -> None:
    found = documents.query(_asked(number, documents.dialect)).read_all().to_pylist()
    _compare({row["_id"]: row["rank"] for row in found}, number)
