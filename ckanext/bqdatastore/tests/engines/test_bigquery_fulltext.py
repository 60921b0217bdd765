"""Full-text search on BigQuery finds the rows that PostgreSQL finds, in its order.

The rows, the queries and PostgreSQL's answers are those of `test_ducklake_fulltext`.
"""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest
import sqlglot.expressions as sge

from ckanext.bqdatastore.engines.base import Engine
from ckanext.bqdatastore.engines.bigquery import stemming
from ckanext.bqdatastore.model.query import ParameterNames, bound, column, table
from ckanext.bqdatastore.model.table import Field, Table
from ckanext.bqdatastore.model.write import Rows, TableChange, Write, WriteMode
from ckanext.bqdatastore.query import fulltext
from ckanext.bqdatastore.query.fulltext.parser import Word
from ckanext.bqdatastore.records.ingest import ingest

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


def _is_one_word_of_one_field(number: int) -> bool:
    """Whether DuckDB, beneath the emulator, plans the statement in seconds and not in minutes."""
    text, plain, language, field = QUERIES[number]
    search = fulltext.parse(text, language=language, plain=plain)
    return field is not None and isinstance(search.tree, Word) and language == "english"


WORDS = [number for number in range(len(QUERIES)) if _is_one_word_of_one_field(number)]


@pytest.mark.parametrize("number", WORDS, ids=lambda n: "-".join(map(str, QUERIES[n])))
def test_search(number: int, documents: Engine) -> None:
    text, plain, language, field = QUERIES[number]
    columns = [each for each in COLUMNS if field in (None, each[0])]
    search = fulltext.parse(text, language=language, plain=plain)
    names = ParameterNames()
    dialect: Any = documents.dialect
    where = fulltext.condition(search, columns, dialect, names, whole_row=field is None)
    rank = fulltext.rank(search, columns, dialect, names, whole_row=field is None)
    tree = sge.select(column("_id"), rank.as_("rank")).from_(table("documents")).where(where)
    found = documents.query(bound(tree, names.values)).read_all().to_pylist()
    ours = {row["_id"]: row["rank"] for row in found}
    theirs = stored_answers()[number]
    assert sorted(ours) == sorted(theirs)
    for row, expected in theirs.items():
        assert ours[row] == pytest.approx(expected, abs=1e-6), row


@pytest.mark.parametrize(
    ("word", "others"),
    [
        ("running", {"run", "runs", "running"}),
        ("flies", {"fly", "flies", "flying", "flew"} - {"flew"}),
        ("nationalization", {"national", "nationally", "nationalize", "nationalized"}),
        ("ability", {"ability", "abilities", "able", "ables"} - {"ables"}),
        ("hopping", {"hop", "hops", "hopped", "hopping"}),
    ],
)
def test_words_of_a_stem_are_all_that_share_it(word: str, others: set[str]) -> None:
    wanted = stemming.stem(word, "english")
    words = set(stemming.words(wanted, "english"))
    assert {each for each in others if stemming.stem(each, "english") == wanted} <= words
    assert {stemming.stem(each, "english") for each in words} == {wanted}
