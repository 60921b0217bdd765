"""Tables that are read as files, past DuckLake: when they are, and that answers are the same."""

from __future__ import annotations

import csv
import dataclasses
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import sqlglot.expressions as sge

from ckanext.bqdatastore.engines.base import Engine, EngineSettings
from ckanext.bqdatastore.engines.ducklake import catalog, location, plain_files
from ckanext.bqdatastore.engines.ducklake.engine import DuckLakeEngine
from ckanext.bqdatastore.engines.ducklake.location import located, whereabouts
from ckanext.bqdatastore.engines.ducklake.plain_files import PlainFiles
from ckanext.bqdatastore.model.files import FileSource
from ckanext.bqdatastore.model.query import ParameterNames, Query, column, table
from ckanext.bqdatastore.model.table import ID, Field, Table
from ckanext.bqdatastore.model.write import Deletion, TableChange
from ckanext.bqdatastore.query import search

from .conftest import urls
from .test_contract import everything, rows, write

LOADED = Table("loaded", (Field("name", "text"), Field("n", "int8"), Field("Name", "text")))
ROWS = 20_000


# A catalog in SQLite is always asked through DuckLake.


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DuckLakeEngine]:
    folder = tmp_path_factory.mktemp("plain")
    engine = DuckLakeEngine(EngineSettings(*urls("postgres", folder), folder))
    engine.open()
    yield engine
    engine.close()


@pytest.fixture
def lake(opened: DuckLakeEngine) -> DuckLakeEngine:
    """An engine without tables."""
    for name in opened.tables():
        opened.drop(name)
    return opened


@pytest.fixture
def loaded(lake: DuckLakeEngine, tmp_path: Path) -> Table:
    path = tmp_path / "loaded.csv"
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["name", "n", "Name"])
        writer.writerows((f"row {n}", n % 7, f"ROW {n}") for n in range(1, ROWS + 1))
    lake.load(LOADED, FileSource(path, "csv", columns=("name", "n", "Name")))
    return LOADED


def files(engine: DuckLakeEngine, table: Table) -> PlainFiles | None:
    newest = engine._catalog.newest()
    entry = engine._catalog.entry(table.name, newest)
    assert entry is not None
    return engine._catalog.plain_files(entry, newest)


def by_ducklake(engine: DuckLakeEngine, table: Table) -> list[tuple[Any, ...]]:
    """What DuckLake itself reads, in the order of the ids."""
    entry = engine._catalog.entry(table.name)
    assert entry is not None
    names = ", ".join(f'"{stored}"' for stored in entry.columns.values())
    with engine._connections.reader() as cursor:
        return cursor.execute(
            f'SELECT {names} FROM lake.main."{table.name}" ORDER BY _id'
        ).fetchall()


def as_tuples(records: list[dict[str, Any]]) -> list[tuple[Any, ...]]:
    return [tuple(record.values()) for record in records]


def wanted(of: Table, limit: int, offset: int, **options: Any) -> search.Search:
    return search.Search(
        source=table(of.name),
        columns=((ID, column(ID), "int8"),),
        conditions=options.pop("conditions", ()),
        order=options.pop("order", ()),
        limit=limit,
        offset=offset,
        distinct=options.pop("distinct", False),
        records_format="csv",
        names=options.pop("names", ParameterNames()),
    )


def page(engine: Engine, of: Table, limit: int, offset: int, **options: Any) -> Query:
    return search.page(wanted(of, limit, offset, **options), engine.dialect)


def ids(engine: Engine, query: Query) -> list[int]:
    return [int(value) for value in engine.query(query).read_all().column(0).to_pylist()]


def test_a_loaded_file_is_read_as_its_files(lake: DuckLakeEngine, loaded: Table) -> None:
    found = files(lake, loaded)
    assert found is not None
    assert (found.row_count, found.contiguous) == (ROWS, True)
    assert all(Path(path).exists() for path in found.paths)
    tree = located(Query(sge.select(column("n")).from_(table("loaded"))), lake._catalog).tree
    assert "READ_PARQUET" in tree.sql(dialect="duckdb")
    assert as_tuples(everything(lake, loaded)) == by_ducklake(lake, loaded)
    assert lake.row_count(loaded) == lake.statistics(loaded).row_count == ROWS


def test_inserted_rows_are_seen_and_let_ducklake_read(lake: DuckLakeEngine, loaded: Table) -> None:
    everything(lake, loaded)
    write(lake, loaded, "insert", rows(loaded, [{"name": "new", "n": 1, "Name": None}]))
    assert files(lake, loaded) is None
    assert lake.row_count(loaded) == ROWS + 1
    assert as_tuples(everything(lake, loaded)) == by_ducklake(lake, loaded)
    assert everything(lake, loaded)[-1] == {ID: ROWS + 1, "name": "new", "n": 1, "Name": None}


@pytest.mark.parametrize("deleted", ["one row", "many rows"])
def test_deleted_rows_are_gone_and_let_ducklake_read(
    lake: DuckLakeEngine, loaded: Table, deleted: str
) -> None:
    everything(lake, loaded)
    names = ParameterNames()
    if deleted == "one row":
        condition: sge.Expr = sge.EQ(this=column(ID), expression=names.bind(5, "int8"))
    else:
        condition = sge.EQ(this=column("n"), expression=names.bind(3, "int8"))
    count = lake.delete(Deletion(loaded, Query(condition, names.values))).row_count
    assert count == (1 if deleted == "one row" else len(range(3, ROWS + 1, 7)))
    assert files(lake, loaded) is None
    assert lake.row_count(loaded) == ROWS - count
    assert as_tuples(everything(lake, loaded)) == by_ducklake(lake, loaded)
    assert len(everything(lake, loaded)) == ROWS - count


def test_updated_rows_are_seen(lake: DuckLakeEngine, loaded: Table) -> None:
    everything(lake, loaded)
    changed = rows(loaded, [{ID: n, "name": "changed", "n": 0} for n in (1, ROWS)], key=(ID,))
    write(lake, loaded, "update", changed)
    found = everything(lake, loaded)
    assert (found[0]["name"], found[1]["name"], found[-1]["name"]) == (
        "changed",
        "row 2",
        "changed",
    )
    assert as_tuples(found) == by_ducklake(lake, loaded)


def test_a_column_that_came_later_is_not_looked_for_in_older_files(
    lake: DuckLakeEngine, loaded: Table
) -> None:
    everything(lake, loaded)
    added = Table("loaded", (*loaded.fields, Field("more", "text")))
    lake.apply(TableChange(loaded, added))
    assert files(lake, added) is None
    assert {record["more"] for record in everything(lake, added)} == {None}


def test_a_column_that_was_replaced_is_not_read_from_older_files(
    lake: DuckLakeEngine, loaded: Table
) -> None:
    without = Table("loaded", (loaded.fields[0], loaded.fields[2]))
    lake.apply(TableChange(loaded, without))
    again = Table("loaded", (*without.fields, Field("n", "int8")))
    lake.apply(TableChange(without, again))
    assert files(lake, again) is None
    assert {record["n"] for record in everything(lake, again)} == {None}


def test_metadata_may_change_without_a_change_to_the_files(
    lake: DuckLakeEngine, loaded: Table
) -> None:
    told = Table("loaded", (Field("name", "text", {"label": "x"}), *loaded.fields[1:]))
    lake.apply(TableChange(loaded, told))
    assert files(lake, told) is not None
    assert as_tuples(everything(lake, told)) == by_ducklake(lake, told)


def test_a_write_to_another_table_is_not_in_the_way(lake: DuckLakeEngine, loaded: Table) -> None:
    other = Table("other", (Field("name", "text"),))
    lake.apply(TableChange(None, other))
    write(lake, other, "insert", rows(other, [{"name": "new"}]))
    assert files(lake, loaded) is not None
    assert files(lake, other) is None


def test_files_are_known_until_their_own_table_changes(
    lake: DuckLakeEngine, loaded: Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = files(lake, loaded)
    asked: list[int] = []
    find = catalog.find_plain_files

    def finding(read: Any, relation: Any, table_id: int, data_path: str) -> PlainFiles | None:
        asked.append(table_id)
        return find(read, relation, table_id, data_path)

    monkeypatch.setattr(catalog, "find_plain_files", finding)
    other = Table("other", (Field("name", "text"),))
    lake.apply(TableChange(None, other))
    write(lake, other, "insert", rows(other, [{"name": "new"}]))
    assert (files(lake, loaded), asked) == (known, [])
    write(lake, loaded, "insert", rows(loaded, [{"name": "new", "n": 1, "Name": "new"}]))
    assert (files(lake, loaded), len(asked)) == (None, 1)


def test_a_thread_at_an_older_snapshot_sets_no_other_back(
    lake: DuckLakeEngine, loaded: Table
) -> None:
    other = Table("other", (Field("name", "text"),))
    lake.apply(TableChange(None, other))

    def written() -> str:
        write(lake, other, "insert", rows(other, [{"name": "new"}]))
        return lake.version([loaded.name])

    with lake.one_moment(), ThreadPoolExecutor(1) as threads:
        now = threads.submit(written).result()
        assert lake.version([loaded.name]) != now
    assert lake.version([loaded.name]) == now


def test_a_statement_over_plain_and_other_tables_reads_one_snapshot(
    lake: DuckLakeEngine, loaded: Table
) -> None:
    other = Table("other", (Field("name", "text"),))
    lake.apply(TableChange(None, other))
    write(lake, other, "insert", rows(other, [{"name": "new"}]))
    joined = (
        sge.select(sge.Count(this=sge.Star()))
        .from_(sge.alias_(table("loaded"), "a", table=True))
        .join(sge.alias_(table("other"), "b", table=True), on=sge.true())
    )
    assert "READ_PARQUET" not in located(Query(joined), lake._catalog).tree.sql(dialect="duckdb")
    assert lake.query(Query(joined)).read_all().column(0).to_pylist() == [ROWS]


def test_a_table_of_many_files_is_left_to_ducklake(
    lake: DuckLakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plain_files, "MOST_FILES", 8)
    small = Table("small", (Field("n", "int4"),))
    lake.apply(TableChange(None, small))
    with lake._connections.writer() as cursor:
        cursor.execute("CALL lake.set_option('data_inlining_row_limit', 0, table_name => 'small')")
    for n in range(plain_files.MOST_FILES + 1):
        if n == plain_files.MOST_FILES:
            assert files(lake, small) is not None
        write(lake, small, "insert", rows(small, [{"n": n}]))
    assert files(lake, small) is None
    assert len(everything(lake, small)) == plain_files.MOST_FILES + 1


@pytest.mark.parametrize("offset", [0, 1, 9_990, ROWS - 3, ROWS, ROWS + 100])
@pytest.mark.parametrize("limit", [0, 1, 100])
def test_pages_by_id_are_those_of_the_whole_table(
    lake: DuckLakeEngine, loaded: Table, limit: int, offset: int
) -> None:
    query = page(lake, loaded, limit, offset)
    assert query.if_contiguous is not None
    expected = list(range(1, ROWS + 1))[offset : offset + limit]
    assert ids(lake, query) == expected
    assert ids(lake, Query(query.tree, query.parameters)) == expected


@pytest.mark.parametrize("last", [-5, 0, 1, 9_990, ROWS - 1, ROWS, 2**63 - 1])
@pytest.mark.parametrize("offset", [0, 7])
def test_pages_behind_an_id_are_those_of_the_whole_table(
    lake: DuckLakeEngine, loaded: Table, last: int, offset: int
) -> None:
    names = ParameterNames()
    behind = sge.GT(this=column(ID), expression=names.bind(last, "int8"))
    query = page(lake, loaded, 5, offset, conditions=(behind,), names=names)
    assert query.if_contiguous is not None
    expected = [each for each in range(1, ROWS + 1) if each > last][offset : offset + 5]
    assert ids(lake, query) == expected
    assert ids(lake, Query(query.tree, query.parameters)) == expected


def test_pages_by_id_pass_over_gaps(lake: DuckLakeEngine, loaded: Table) -> None:
    names = ParameterNames()
    condition = sge.LTE(this=column(ID), expression=names.bind(50, "int8"))
    lake.delete(Deletion(loaded, Query(condition, names.values)))
    assert ids(lake, page(lake, loaded, 3, 0)) == [51, 52, 53]


def test_only_the_order_of_the_ids_makes_pages_known_by_them(lake: DuckLakeEngine) -> None:
    descending = (search.Order(column(ID), descending=True, field=ID),)
    by_name = (search.Order(column("name"), field="name"),)
    assert page(lake, LOADED, 5, 0, order=descending).if_contiguous is None
    assert page(lake, LOADED, 5, 0, order=by_name).if_contiguous is None
    assert page(lake, LOADED, 5, 0, distinct=True).if_contiguous is None
    by_id = (search.Order(column(ID), field=ID),)
    assert page(lake, LOADED, 5, 0, order=by_id).if_contiguous is not None


@pytest.fixture(scope="module")
def several(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DuckLakeEngine]:
    """An engine whose table is in several small files."""
    folder = tmp_path_factory.mktemp("several")
    engine = DuckLakeEngine(EngineSettings(*urls("postgres", folder), folder))
    engine.open()
    with engine._connections.writer() as cursor:
        cursor.execute("CALL lake.set_option('target_file_size', '8KB')")
        cursor.execute("CALL lake.set_option('parquet_row_group_size', '2048')")
    path = folder / "loaded.csv"
    path.write_text("\n".join(["name,n,Name", *(f"row {n},{n % 7},ROW {n}" for n in range(ROWS))]))
    engine.load(LOADED, FileSource(path, "csv", columns=("name", "n", "Name")))
    yield engine
    engine.close()


def paths_read(engine: DuckLakeEngine, query: Query) -> list[str]:
    text, _ = engine._statement(query)
    return re.findall(r"'([^']*\.parquet)'", text)


def test_a_page_is_read_from_the_files_that_hold_its_ids(several: DuckLakeEngine) -> None:
    found = files(several, LOADED)
    assert found is not None
    assert found.contiguous
    assert len(found.paths) > 3
    for path, (_, last) in zip(found.paths, found.ids, strict=True):
        last = int(last)
        query = page(several, LOADED, 5, last - 5)
        assert paths_read(several, query) == [path]
        assert ids(several, query) == list(range(last - 4, last + 1))
        overlapping = page(several, LOADED, 5, last - 2)
        assert len(paths_read(several, overlapping)) == 2 if last < ROWS else 1
        assert ids(several, overlapping) == list(range(last - 1, min(last + 4, ROWS + 1)))
    beyond = page(several, LOADED, 5, ROWS)
    assert len(paths_read(several, beyond)) == 1
    assert ids(several, beyond) == []


@pytest.mark.parametrize(
    ("kind", "value", "expected"),
    [
        (sge.EQ, 7, [7]),
        (sge.EQ, ROWS, [ROWS]),
        (sge.EQ, ROWS + 1, []),
        (sge.EQ, 0, []),
        (sge.LT, 3, [1, 2]),
        (sge.LTE, 3, [1, 2, 3]),
        (sge.GT, ROWS - 2, [ROWS - 1, ROWS]),
        (sge.GTE, ROWS - 2, [ROWS - 2, ROWS - 1, ROWS]),
    ],
)
def test_conditions_on_the_id_leave_files_out(
    several: DuckLakeEngine, kind: type[sge.Binary], value: int, expected: list[int]
) -> None:
    names = ParameterNames()
    by_id = kind(this=column(ID), expression=names.bind(value, "int8"))
    small = sge.LT(this=column("n"), expression=names.bind(7, "int8"))
    backwards = (search.Order(column(ID), descending=True, field=ID),)
    both = sge.paren(sge.And(this=small, expression=sge.paren(by_id)))
    for conditions in ((by_id,), (small, by_id), (both,)):
        options = {"conditions": conditions, "names": names}
        for query, found in (
            (page(several, LOADED, 5, 0, **options), expected),
            (page(several, LOADED, 5, 0, order=backwards, **options), expected[::-1]),
        ):
            assert len(paths_read(several, query)) == 1
            assert ids(several, query) == found
        counted = search.total(wanted(LOADED, 5, 0, **options), several.dialect)
        assert len(paths_read(several, counted)) == 1
        assert several.query(counted).read_all().column(0).to_pylist() == [len(expected)]


def test_other_conditions_leave_no_file_out(several: DuckLakeEngine) -> None:
    found = files(several, LOADED)
    assert found is not None
    names = ParameterNames()
    by_id = sge.EQ(this=column(ID), expression=names.bind(7, "int8"))
    by_n = sge.EQ(this=column("n"), expression=names.bind(3, "int8"))
    either = sge.Or(this=by_id, expression=by_n)
    # A parameter's name may be a field's as well.
    by_field = sge.LTE(this=column(ID), expression=column(next(iter(names.values))))
    for conditions in ((either,), (by_n,), (sge.Not(this=by_id),), (by_field,)):
        query = page(several, LOADED, ROWS, 0, conditions=conditions, names=names)
        assert paths_read(several, query) == list(found.paths)


def test_files_without_gaps_are_told_from_those_with(several: DuckLakeEngine) -> None:
    """Where ids are missing, an offset does not say which files hold a page."""
    where = whereabouts([LOADED.name], several._catalog)
    reach = page(several, LOADED, 5, ROWS - 5).reach
    assert len(where.within(reach).files[LOADED.name].paths) == 1
    gaps = {LOADED.name: dataclasses.replace(where.files[LOADED.name], contiguous=False)}
    assert dataclasses.replace(where, files=gaps).within(reach).files == gaps


def test_many_files_are_read_by_ducklake_and_few_of_them_as_files(
    several: DuckLakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(location, "MOST_READ", 2)
    counted = Query(sge.select(sge.Count(this=sge.Star())).from_(table(LOADED.name)))
    assert paths_read(several, counted) == []
    assert several.query(counted).read_all().column(0).to_pylist() == [ROWS]
    near = page(several, LOADED, 5, ROWS - 5)
    assert len(paths_read(several, near)) == 1
    assert ids(several, near) == list(range(ROWS - 4, ROWS + 1))
    everywhere = page(several, LOADED, ROWS, 0)
    assert paths_read(several, everywhere) == []
    assert ids(several, everywhere) == list(range(1, ROWS + 1))


def test_options_of_the_lake_are_left_as_somebody_set_them(several: DuckLakeEngine) -> None:
    again = DuckLakeEngine(several.settings)
    again.open()
    with again._connections.reader() as cursor:
        options = dict(
            cursor.execute("SELECT option_name, value FROM ducklake_options('lake')").fetchall()
        )
    again.close()
    assert options["parquet_row_group_size"] == "2048"
    assert options["target_file_size"] == "8000"
    assert options["parquet_compression"] == "snappy"


ENOUGH = 1_000
"""Rows that go into a file: fewer may stay in the catalog."""

TYPES = {
    "text": "a,b",
    "varchar": "c",
    "int2": "-5",
    "int4": "2147483647",
    "int8": "9223372036854775807",
    "float4": "1.5",
    "float8": "0.1",
    "numeric": "12345678901234567890.123",
    "bool": "true",
    "date": "0001-01-01",
    "time": "23:59:59.123456",
    "timestamp": "2013-01-01 10:00:00.123456",
    "timestamptz": "2013-01-01 10:00:00+00",
    "json": '{"a": [1, 2]}',
    "uuid": "5368c43a-b8ee-49d2-b1ce-c82810baf032",
}


def test_files_have_the_columns_types_of_every_kind(lake: DuckLakeEngine, tmp_path: Path) -> None:
    path = tmp_path / "types.csv"
    with path.open("w", newline="") as file:
        csv.writer(file).writerows(
            [list(TYPES), *[list(TYPES.values())] * ENOUGH, [""] * len(TYPES)]
        )
    kinds = Table("kinds", tuple(Field(name, name) for name in TYPES))
    lake.load(
        kinds,
        FileSource(
            path, "csv", ("",), columns=tuple(TYPES), types=tuple(zip(TYPES, TYPES, strict=True))
        ),
    )
    found = files(lake, kinds)
    assert found is not None
    listed = ", ".join(f"'{path}'" for path in found.paths)
    with lake._connections.reader() as cursor:
        direct = cursor.execute(f"DESCRIBE SELECT * FROM read_parquet([{listed}])").fetchall()
        own = cursor.execute("DESCRIBE SELECT * FROM lake.main.kinds").fetchall()
    assert [row[:2] for row in direct] == [row[:2] for row in own]
    assert as_tuples(everything(lake, kinds)) == by_ducklake(lake, kinds)


def test_files_have_the_types_of_arrays_and_nested_values(lake: DuckLakeEngine) -> None:
    lists = Table("lists", (Field("t", "_text"), Field("i", "_int4"), Field("o", "nested")))
    record = {"t": ["a", None], "i": [1, 2], "o": '{"a": 1}'}
    lake.apply(TableChange(None, lists))
    write(lake, lists, "insert", rows(lists, [record] * ENOUGH))
    assert files(lake, lists) is not None
    assert as_tuples(everything(lake, lists)) == by_ducklake(lake, lists)


def test_a_closed_connection_to_the_catalog_is_opened_again(
    lake: DuckLakeEngine, loaded: Table
) -> None:
    lake._catalog.newest()
    database = lake._connections.catalog_database
    assert database is not None
    for idle in database._idle:
        idle.close()
    assert files(lake, loaded) is not None
