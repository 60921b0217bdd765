"""Statements that are kept for the next query of the same shape, and one moment for one answer."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import sqlglot.expressions as sge

from ckanext.bqdatastore.engines.base import EngineSettings
from ckanext.bqdatastore.engines.ducklake import catalog_statements
from ckanext.bqdatastore.engines.ducklake.dialect import DuckLakeDialect
from ckanext.bqdatastore.engines.ducklake.engine import DuckLakeEngine
from ckanext.bqdatastore.model.query import ParameterNames, Query, ShapedQuery, column, table
from ckanext.bqdatastore.model.table import ID, Field, Table
from ckanext.bqdatastore.model.write import TableChange
from ckanext.bqdatastore.query import fulltext, search

from .conftest import urls
from .test_contract import rows, write

PLANTS = Table("plants", (Field("name", "text"), Field("n", "int8"), Field("Name", "text")))
OTHERS = Table("others", PLANTS.fields)
DIALECT = DuckLakeDialect(True)


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DuckLakeEngine]:
    folder: Path = tmp_path_factory.mktemp("statements")
    engine = DuckLakeEngine(EngineSettings(*urls("postgres", folder), folder))
    engine.open()
    for known in (PLANTS, OTHERS):
        engine.apply(TableChange(None, known, None))
        write(engine, known, "insert", rows(known, [{"name": "oak", "n": 1, "Name": "Oak"}]))
    yield engine
    engine.close()


def shown(*names: str) -> tuple[search.Column, ...]:
    types = {ID: "int8", **PLANTS.types}
    return tuple((name, column(name), types[name]) for name in names)


def searches() -> Iterator[search.Search]:
    plain = search.Search(
        source=table("plants"),
        columns=shown(ID, "name", "n"),
        conditions=(),
        order=(),
        limit=100,
        offset=0,
        distinct=False,
        records_format="objects",
        names=ParameterNames(),
    )
    yield plain
    yield replace(plain, source=table("others"))
    yield replace(plain, limit=10)
    yield replace(plain, offset=10)
    yield replace(plain, distinct=True)
    yield from (replace(plain, records_format=each) for each in ("lists", "csv", "tsv"))
    for pair in itertools.permutations([ID, "name", "Name"], 2):
        yield replace(plain, columns=shown(*pair))
    yield replace(plain, columns=((ID, column(ID), "int8"), ("n", column("n"), "text")))
    yield replace(plain, columns=((ID, column(ID), "int8"), ("n", column("name"), "int8")))
    for field, descending, nulls_first in itertools.product(
        ["name", "Name", ID], [True, False], [True, False, None]
    ):
        order = search.Order(column(field), descending, nulls_first, field)
        if nulls_first is not descending:  # that is what None means
            yield replace(plain, order=(order,))
    for kind, field in itertools.product([sge.GT, sge.LT, sge.EQ], ["n", ID]):
        names = ParameterNames()
        condition = kind(this=column(field), expression=names.bind(7, "int8"))
        yield replace(plain, conditions=(condition,), names=names)
    for last in (8, 9):  # a number that is in the tree: ids from there on
        names = ParameterNames()
        condition = sge.GT(this=column(ID), expression=names.bind(last, "int8"))
        yield replace(plain, conditions=(condition,), names=names)
    for q in ("oak", "oak | elm", "!oak", "oak & elm"):
        names = ParameterNames()
        terms = fulltext.parse(q, language="english", plain=False)
        fields = [("name", "text"), ("Name", "text")]
        trees = fulltext.trees(terms, fields, DIALECT, names)
        rank = trees.rank()
        yield replace(plain, conditions=(trees.condition,), names=names)
        ranked = replace(
            plain,
            columns=(*plain.columns, ("rank", rank, "float4")),
            conditions=(trees.condition,),
            order=(search.Order(rank, descending=True),),
            names=names,
        )
        yield ranked
        if trees.screen is not None:
            screen = search.Screen(trees.condition, rank, trees.screen)
            yield replace(ranked, screen=screen)


def queries(engine: DuckLakeEngine) -> Iterator[ShapedQuery]:
    for wanted in searches():
        made = [search.page(wanted, engine.dialect), search.total(wanted, engine.dialect)]
        if not wanted.distinct:
            made.append(search.page(wanted, engine.dialect, with_id=True))
        if wanted.is_ranked:
            made.append(search.page_and_total(wanted, engine.dialect))
            made.append(search.page_and_total(wanted, engine.dialect, with_id=True))
        for query in made:
            assert isinstance(query, ShapedQuery)
            yield query


def test_equal_shapes_have_equal_statements(lake: DuckLakeEngine) -> None:
    statements: dict[tuple[str, ...], str] = {}
    for query in queries(lake):
        text = Query(query.tree, query.parameters).tree.sql(dialect="duckdb")
        if query.if_contiguous is not None:
            text += query.if_contiguous.sql(dialect="duckdb")
        assert statements.setdefault(query.shape, text) == text
    assert len(set(statements.values())) > 90  # the searches do differ


@pytest.mark.parametrize("offset", [0, 2])
def test_a_ranked_page_with_its_total(lake: DuckLakeEngine, offset: int) -> None:
    names = ["oak", "elm oak", "oak", "ash", "oak oak elm"]
    trees = Table(f"trees{offset}", PLANTS.fields)
    lake.apply(TableChange(None, trees, None))
    write(lake, trees, "insert", rows(trees, [{"name": each} for each in names]))
    ranked = [
        replace(each, source=table(trees.name), limit=2, offset=offset)
        for each in searches()
        if each.is_ranked
    ]
    assert len(ranked) == 6
    for wanted in ranked:
        page = lake.query(search.page(wanted, lake.dialect, with_id=True)).read_all()
        total = lake.query(search.total(wanted, lake.dialect)).read_all().column(0)
        both = lake.query(search.page_and_total(wanted, lake.dialect, with_id=True)).read_all()
        assert both.columns[:2] == page.columns
        assert set(both.column(2).to_pylist()) <= set(total.to_pylist())
        assert both.num_rows == min(2, max(0, total[0].as_py() - offset))


def test_a_kept_statement_is_the_one_that_would_be_made(lake: DuckLakeEngine) -> None:
    first = {query.shape: lake._statement(query) for query in queries(lake)}
    for query in queries(lake):
        assert lake._statement(query) == first[query.shape]
        assert "_made" not in vars(query)
        plain = Query(query.tree, query.parameters, query.if_contiguous)
        assert lake._statement(plain) == first[query.shape]


def test_a_kept_statement_finds_a_column_by_its_new_name(lake: DuckLakeEngine) -> None:
    wanted = next(searches())
    before = lake.query(search.page(wanted, lake.dialect)).read_all()
    fields = tuple(field for field in OTHERS.fields if field.id != "Name")
    lake.apply(TableChange(OTHERS, replace(OTHERS, fields=fields), None))
    assert lake.query(search.page(wanted, lake.dialect)).read_all() == before
    write(lake, PLANTS, "insert", rows(PLANTS, [{"name": "elm", "n": 2, "Name": "Elm"}]))
    after = lake.query(search.page(wanted, lake.dialect)).read_all()
    assert after.num_rows == before.num_rows + 1


def test_the_newest_snapshot_is_asked_for_once_in_one_moment(
    lake: DuckLakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[object] = []
    read = lake._catalog._read

    def counting(statement: Any, *variant: Any, **values: Any) -> Any:
        asked.append(statement)
        return read(statement, *variant, **values)

    monkeypatch.setattr(lake._catalog, "_read", counting)
    with lake.one_moment():
        known = lake.describe("plants")
        assert known is not None
        count = lake.row_count(known)
        with lake.one_moment():
            assert lake.resolve("plants") == "plants"
    assert asked.count(catalog_statements.newest) == 1
    write(lake, PLANTS, "insert", rows(PLANTS, [{"name": "ash", "n": 3, "Name": "Ash"}]))
    assert lake.row_count(known) == count + 1
