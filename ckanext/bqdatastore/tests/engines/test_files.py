"""Files into tables, on every engine: the same rows, whole or not at all."""

from __future__ import annotations

import csv
import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ckanext.bqdatastore.engines.base import Engine
from ckanext.bqdatastore.loading.columns import fields_of_file, settled_types
from ckanext.bqdatastore.model.errors import InvalidRequest, UniqueViolation
from ckanext.bqdatastore.model.files import FileSource
from ckanext.bqdatastore.model.table import ID, Field, Table
from ckanext.bqdatastore.model.write import Rows, TableChange

from .test_contract import everything, rows, write

TYPES = {
    "text": ('ä, "b"\nc', 'ä, "b"\nc'),
    "int2": ("-3", -3),
    "int4": ("70000", 70_000),
    "int8": ("9007199254740993", 9_007_199_254_740_993),
    "float4": ("0.1", pytest.approx(0.1, rel=1e-7)),
    "float8": ("1e+20", 1e20),
    "numeric": ("0.00000000000000000001", Decimal("1E-20")),
    "bool": ("true", True),
    "date": ("2020-02-29", datetime.date(2020, 2, 29)),
    "time": ("23:59:59.5", datetime.time(23, 59, 59, 500_000)),
    "timestamp": ("2020-02-29 10:00:00.25", datetime.datetime(2020, 2, 29, 10, 0, 0, 250_000)),
    "timestamptz": (
        "2020-02-29 10:00:00+02",
        datetime.datetime(2020, 2, 29, 8, tzinfo=datetime.timezone.utc),
    ),
    "json": ('{"b": 1, "a": [1.50]}', '{"b": 1, "a": [1.50]}'),
    "uuid": ("6f1e4a0e-8a3f-4f50-8d1b-1b2c3d4e5f60", "6f1e4a0e-8a3f-4f50-8d1b-1b2c3d4e5f60"),
}


def source(path: Path, table: Table, format: str = "csv") -> FileSource:
    """A file whose columns are the table's fields, of just their types."""
    types = tuple((field.id, field.type) for field in table.fields)
    return FileSource(path, format, ("",), table.field_ids, types if format == "csv" else ())


def write_csv(path: Path, names: Any, *records: Any) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([names, *records])
    return path


def values(engine: Engine, table: Table) -> list[tuple[Any, ...]]:
    return [tuple(row.values()) for row in everything(engine, table)]


NUMBERED = Table("numbered", (Field("n", "int4"),), primary_key=("n",), aliases=("by-n",))


@pytest.fixture
def numbered(engine: Engine, tmp_path: Path) -> Table:
    file = write_csv(tmp_path / "numbered.csv", ["n"], *([n] for n in (30, 20, 10)))
    assert engine.load(NUMBERED, source(file, NUMBERED)) == 3
    return NUMBERED


def test_names_in_the_file_need_not_be_known(engine: Engine, tmp_path: Path) -> None:
    file = write_csv(tmp_path / "numbered.csv", ["n"], [30], [20])
    assert engine.load(NUMBERED, FileSource(file, "csv")) == 2
    assert values(engine, NUMBERED) == [(1, 30), (2, 20)]


def test_every_type_is_kept_as_the_file_has_it(engine: Engine, tmp_path: Path) -> None:
    kinds = Table("kinds", tuple(Field(name, name) for name in TYPES))
    file = write_csv(
        *(tmp_path / "kinds.csv", list(TYPES)),
        *([text for text, _ in TYPES.values()], [None] * len(TYPES)),
    )
    assert engine.load(kinds, source(file, kinds)) == 2
    assert engine.describe("kinds") == kinds
    first, second = everything(engine, kinds)
    assert first == {ID: 1, **{name: value for name, (_, value) in TYPES.items()}}
    assert second == {ID: 2, **dict.fromkeys(TYPES)}


LISTS: dict[str, tuple[pa.DataType, list[Any]]] = {
    "_text": (pa.list_(pa.string()), [["a", None], [], None]),
    "_int8": (pa.list_(pa.int64()), [[1, 2], [], None]),
    "_bool": (pa.list_(pa.bool_()), [[True, None], [], None]),
    "_numeric": (
        pa.list_(pa.decimal128(20, 10)),
        [[Decimal("1.25"), None, Decimal("-0.00025")], [], None],
    ),
    "_timestamp": (pa.list_(pa.timestamp("us")), [[datetime.datetime(2020, 1, 2)], [], None]),
}


def test_arrays_of_a_file_are_kept_in_order(engine: Engine, tmp_path: Path) -> None:
    lists = Table("lists", tuple(Field(type, type) for type in LISTS))
    file = tmp_path / "lists.parquet"
    pq.write_table(pa.table({name: pa.array(v, t) for name, (t, v) in LISTS.items()}), file)
    assert engine.inspect(FileSource(file, "parquet")) == [(type, type) for type in LISTS]
    assert engine.load(lists, source(file, lists, "parquet")) == 3
    assert everything(engine, lists) == [
        {ID: row + 1, **{name: given[row] for name, (_, given) in LISTS.items()}}
        for row in range(3)
    ]


def test_arrays_of_numbers_are_written_as_they_come(engine: Engine) -> None:
    prices = Table("prices", (Field("a", "_numeric"),))
    engine.apply(TableChange(None, prices))
    kind, given = LISTS["_numeric"]
    batch = Rows(pa.table({"a": pa.array(given, kind)}), (), (0, 1, 2))
    write(engine, prices, "insert", batch)
    assert [row["a"] for row in everything(engine, prices)] == given


def test_rows_are_numbered_as_they_stand_in_the_file(engine: Engine, numbered: Table) -> None:
    assert values(engine, numbered) == [(1, 30), (2, 20), (3, 10)]
    write(engine, numbered, "insert", rows(numbered, [{"n": 5}]))
    assert values(engine, numbered)[-1] == (4, 5)


def test_a_load_takes_the_place_of_all_that_was_there(
    engine: Engine, numbered: Table, tmp_path: Path
) -> None:
    after = Table("numbered", (Field("x", "text"), Field("n", "numeric")), aliases=("by-n",))
    file = write_csv(tmp_path / "after.csv", ["x", "n"], ["a", "1.5"], ["b", "20"])
    assert engine.load(after, source(file, after)) == 2
    assert engine.describe("numbered") == after
    assert engine.aliases() == {"by-n": "numbered"}
    assert values(engine, after) == [(1, "a", Decimal("1.5")), (2, "b", Decimal(20))]
    # Numbers may still need more room than the file's did.
    wide = [{"x": "c", "n": Decimal("12345.678")}]
    write(engine, after, "insert", rows(after, wide))
    assert values(engine, after)[-1] == (3, "c", Decimal("12345.678"))


def test_a_file_with_a_key_twice_changes_nothing(
    engine: Engine, numbered: Table, tmp_path: Path
) -> None:
    file = write_csv(tmp_path / "twice.csv", ["n"], [1], [2], [1])
    with pytest.raises(UniqueViolation, match=r"\(n\)=\(1\)"):
        engine.load(numbered, source(file, numbered))
    assert values(engine, numbered) == [(1, 30), (2, 20), (3, 10)]


def test_a_value_that_is_not_of_its_type_names_line_and_field(
    engine: Engine, numbered: Table, tmp_path: Path
) -> None:
    lines = [[n] for n in range(30_000)]
    file = write_csv(tmp_path / "bad.csv", ["n"], *lines, ["x"])
    with pytest.raises(InvalidRequest, match=r'line 30002: "n": Could not convert string "x"'):
        engine.load(numbered, source(file, numbered))
    assert values(engine, numbered) == [(1, 30), (2, 20), (3, 10)]


def test_a_load_tells_how_far_it_has_come(engine: Engine, tmp_path: Path) -> None:
    names = [f"c{number}" for number in range(20)]
    file = write_csv(tmp_path / "long.csv", names, *([n] * 20 for n in range(100_000)))
    columns = engine.inspect(FileSource(file, "csv"))
    fields = fields_of_file(columns)
    told: list[float] = []

    def tell(percent: float) -> None:
        told.append(percent)

    long = Table("long", fields)
    given = FileSource(
        *(file, "csv", (), tuple(names)),
        types=settled_types(columns, fields),
    )
    assert engine.load(long, given, tell) == 100_000
    assert told == sorted(told)
    assert told[-1] == 100.0
    assert all(0 <= percent <= 100 for percent in told)
    assert engine.row_count(long) == 100_000
