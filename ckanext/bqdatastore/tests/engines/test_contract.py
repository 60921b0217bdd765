"""What the backend relies on, for every engine."""

from __future__ import annotations

import csv
import dataclasses
import io
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest
import sqlglot
import sqlglot.expressions as sge

from ckanext.bqdatastore.ckan_versions import parse_filters
from ckanext.bqdatastore.engines.base import Engine
from ckanext.bqdatastore.model.errors import (
    DuplicateKey,
    InvalidRecord,
    InvalidRequest,
    KeyNotFound,
    QueryFailed,
    QueryTimeout,
    UniqueViolation,
)
from ckanext.bqdatastore.model.query import ParameterNames, Query, bound, column, table
from ckanext.bqdatastore.model.table import ID, Field, Table
from ckanext.bqdatastore.model.types import arrow_type
from ckanext.bqdatastore.model.write import Deletion, Rows, TableChange, Write, WriteMode
from ckanext.bqdatastore.query import filters, guard, search, table_metadata
from ckanext.bqdatastore.records.parameters import parameter

PEOPLE = Table(
    "people-1",
    (
        Field("name", "text", {"label": "Näme"}, {"form": {"x": 1}}),
        Field("age", "int4"),
        Field("height in m%", "numeric"),
    ),
    primary_key=("name",),
)


def rows(table: Table, records: list[dict[str, Any]], key: tuple[str, ...] = ()) -> Rows:
    """Records that all set the same fields, as Arrow."""
    types = {ID: "int8", **{field.id: field.type for field in table.fields}}
    arrays = {
        name: pa.array(
            [record[name] for record in records],
            None if types[name] == "numeric" else arrow_type(types[name]),
        )
        for name in records[0]
    }
    return Rows(pa.table(arrays), key, tuple(range(len(records))))


def write(engine: Engine, table: Table, mode: str, *batches: Rows, **options: Any) -> Any:
    return engine.apply(TableChange(table, table, Write(WriteMode(mode), batches, **options)))


def everything(engine: Engine, table_: Table) -> list[dict[str, Any]]:
    names = [ID, *table_.field_ids]
    tree = sge.select(*(column(name) for name in names)).from_(table(table_.name))
    found = engine.query(Query(tree.order_by(column(ID)))).read_all()
    return found.rename_columns(names).to_pylist()


@pytest.fixture
def people(engine: Engine) -> Table:
    first = rows(
        PEOPLE,
        [
            {"name": "Ada", "age": 36, "height in m%": Decimal("1.65")},
            {"name": "Grace", "age": None, "height in m%": Decimal("1.7")},
        ],
    )
    engine.apply(TableChange(None, PEOPLE, Write(WriteMode.INSERT, (first,))))
    return PEOPLE


def test_a_table_is_described_as_it_was_made(engine: Engine, people: Table) -> None:
    assert engine.describe("people-1") == people
    assert engine.tables() == ["people-1"]
    assert engine.describe("nobody") is None
    assert engine.resolve("nobody") is None


def test_rows_are_numbered_in_order(engine: Engine, people: Table) -> None:
    assert [(row[ID], row["name"]) for row in everything(engine, people)] == [
        (1, "Ada"),
        (2, "Grace"),
    ]


def test_upsert_changes_rows_that_are_there_and_adds_the_others(
    engine: Engine, people: Table
) -> None:
    batch = rows(people, [{"name": "Grace", "age": 85}, {"name": "Joan", "age": 40}], ("name",))
    result = write(engine, people, "upsert", batch, returning=True)
    assert [row["age"] for row in result.returned.to_pylist()] == [85, 40]
    found = {row["name"]: row for row in everything(engine, people)}
    assert found["Grace"]["height in m%"] == Decimal("1.7")
    assert found["Grace"][ID] == 2
    assert found["Joan"]["height in m%"] is None


def test_update_of_a_key_that_no_row_has_changes_nothing(engine: Engine, people: Table) -> None:
    batch = rows(people, [{"name": "Ada", "age": 1}, {"name": "Nobody", "age": 2}], ("name",))
    with pytest.raises(KeyNotFound):
        write(engine, people, "update", batch)
    assert everything(engine, people)[0]["age"] == 36


def test_insert_of_a_key_that_is_there_writes_nothing(engine: Engine, people: Table) -> None:
    batch = rows(people, [{"name": "Joan"}, {"name": "Ada"}])
    with pytest.raises(DuplicateKey) as caught:
        write(engine, people, "insert", batch)
    assert caught.value.details["records_row"] == 1
    assert len(everything(engine, people)) == 2


def test_insert_of_one_key_twice_writes_nothing(engine: Engine, people: Table) -> None:
    with pytest.raises(DuplicateKey) as caught:
        write(engine, people, "insert", rows(people, [{"name": "Joan"}, {"name": "Joan"}]))
    assert caught.value.details["records_row"] == 1
    assert len(everything(engine, people)) == 2


def test_null_is_no_key(engine: Engine, people: Table) -> None:
    write(engine, people, "insert", rows(people, [{"name": None}, {"name": None}]))
    assert len(everything(engine, people)) == 4


def test_a_key_that_rows_do_not_keep_is_refused(engine: Engine, people: Table) -> None:
    write(engine, people, "insert", rows(people, [{"name": "Joan", "age": 36}]))
    with pytest.raises(UniqueViolation):
        engine.apply(TableChange(people, dataclasses.replace(people, primary_key=("age",))))
    assert engine.describe(people.name) == people


def test_update_by_id_may_not_make_two_rows_of_one_key(engine: Engine, people: Table) -> None:
    with pytest.raises(DuplicateKey):
        write(engine, people, "update", rows(people, [{ID: 2, "name": "Ada"}], (ID,)))


def test_a_dry_run_leaves_nothing(engine: Engine, people: Table) -> None:
    batch = rows(people, [{"name": "Joan", "height in m%": Decimal("1.123456789")}])
    result = write(engine, people, "insert", batch, returning=True, dry_run=True)
    assert result.returned.num_rows == 1
    assert len(everything(engine, people)) == 2


def test_numbers_are_given_out_once(engine: Engine, people: Table) -> None:
    names = ParameterNames()
    last = column("name").eq(names.bind("Grace"))
    engine.delete(Deletion(people, Query(last, names.values)))
    write(engine, people, "insert", rows(people, [{"name": "Joan"}]))
    engine.delete(Deletion(people, None))
    write(engine, people, "insert", rows(people, [{"name": "Jean"}]))
    assert [row[ID] for row in everything(engine, people)] == [4]


def test_deleted_rows_are_returned_up_to_the_limit(engine: Engine, people: Table) -> None:
    result = engine.delete(Deletion(people, None, returning_limit=1))
    assert result.row_count == 2
    assert result.returned is not None
    assert [row["name"] for row in result.returned.to_pylist()] == ["Ada"]


def test_numeric_fields_widen_and_never_round(engine: Engine, people: Table) -> None:
    for number in ("123456789012345.5", "0.000000000001"):
        batch = rows(people, [{"name": number, "height in m%": Decimal(number)}])
        write(engine, people, "insert", batch)
    found = {row["name"]: row["height in m%"] for row in everything(engine, people)}
    assert found["123456789012345.5"] == Decimal("123456789012345.5")
    assert found["0.000000000001"] == Decimal("0.000000000001")
    assert found["Ada"] == Decimal("1.65")


def test_rows_are_found_after_their_column_has_widened(engine: Engine) -> None:
    numbers = Table("numbers", (Field("n", "numeric"), Field("other", "numeric")))

    def written(*values: str) -> None:
        records = [{"n": Decimal(each), "other": Decimal(1)} for each in values]
        before = numbers if engine.describe(numbers.name) else None
        new = Write(WriteMode.INSERT, (rows(numbers, records),))
        engine.apply(TableChange(before, numbers, new))

    def found(value: str) -> list[int]:
        names = ParameterNames()
        condition = column("n").eq(names.bind(Decimal(value), "numeric"))
        tree = sge.select(column(ID)).from_(table(numbers.name)).where(condition)
        ids = engine.query(bound(tree, names.values)).read_all().column(0).to_pylist()
        return [int(each) for each in ids]

    # Each write but the first is of a wider column, or of narrower numbers than are there.
    for number, value in enumerate(("0.5", "1000", "2", "0.0625", "-99999", "3"), 1):
        written(value)
        assert found(value) == [number]
        assert found("0.5") == [1]
    assert [found(value) for value in ("1000", "2", "0.0625", "-99999")] == [[2], [3], [4], [5]]


def test_a_number_that_cannot_be_held_is_an_error(engine: Engine, people: Table) -> None:
    small, large = Decimal("0." + "1" * 20), Decimal("1" * 30)
    write(engine, people, "insert", rows(people, [{"name": "small", "height in m%": small}]))
    records = [{"name": "one", "height in m%": Decimal(1)}, {"name": "n", "height in m%": large}]
    with pytest.raises(InvalidRecord, match="at most 38 for all its values together") as refused:
        write(engine, people, "insert", rows(people, records))
    assert refused.value.details == {
        "records_row": 1,
        "info": {"row": 1, "field": "height in m%"},
    }
    assert len(everything(engine, people)) == 3


def test_fields_are_added_and_removed(engine: Engine, people: Table) -> None:
    after = Table(people.name, (people.fields[0], Field("tags", "_text"), Field("at", "timestamp")))
    engine.apply(TableChange(people, after))
    assert engine.describe(people.name) == after
    assert everything(engine, after)[0] == {ID: 1, "name": "Ada", "tags": None, "at": None}


def test_fields_that_differ_in_case_alone_are_kept_apart(engine: Engine) -> None:
    both = Table("both", (Field("a", "text"), Field("A", "text"), Field("A (2)", "text")))
    first = rows(both, [{"a": "small", "A": "large", "A (2)": "other"}])
    engine.apply(TableChange(None, both, Write(WriteMode.INSERT, (first,))))
    row = everything(engine, both)[0]
    assert (row["a"], row["A"], row["A (2)"]) == ("small", "large", "other")
    fewer = dataclasses.replace(both, fields=both.fields[1:])
    engine.apply(TableChange(both, fewer))
    assert everything(engine, fewer)[0] == {ID: 1, "A": "large", "A (2)": "other"}


def test_aliases_come_and_go_with_the_table(engine: Engine, people: Table) -> None:
    named = dataclasses.replace(people, aliases=("humans", "all people"))
    engine.apply(TableChange(people, named))
    assert engine.resolve("all people") == people.name
    assert engine.describe("humans") is None
    renamed = dataclasses.replace(people, aliases=("all people", "persons"))
    engine.apply(TableChange(named, renamed))
    assert engine.aliases() == {"all people": people.name, "persons": people.name}
    engine.drop(people.name)
    assert (engine.tables(), engine.aliases()) == ([], {})


def test_the_list_of_tables_is_read_in_sql(engine: Engine, people: Table) -> None:
    sql = (
        "SELECT m.name, of.oid = m.oid AS same FROM _table_metadata m "
        "LEFT JOIN _table_metadata of ON of.name = m.alias_of WHERE m.oid > 0 ORDER BY 1"
    )

    def answer() -> list[tuple[Any, ...]]:
        listing = table_metadata.listing(engine.tables(), engine.aliases())
        bound = guard.bind(guard.parse(sql), {listing.name: listing}, frozenset(), 10)
        tree = table_metadata.listed(engine.dialect.translate(bound.query.tree), listing)
        found = engine.query(Query(tree)).read_all().to_pylist()
        return [tuple(row.values()) for row in found]

    engine.apply(TableChange(people, dataclasses.replace(people, aliases=("humans",))))
    assert answer() == [("humans", False), ("people-1", None)]
    engine.drop(people.name)
    assert answer() == []


def test_an_alias_that_is_taken_is_refused(engine: Engine, people: Table) -> None:
    engine.apply(TableChange(people, dataclasses.replace(people, aliases=("humans",))))
    for taken in ("humans", people.name):
        with pytest.raises(InvalidRequest, match="already exists"):
            engine.apply(TableChange(None, Table("other", PEOPLE.fields, aliases=(taken,))))
    assert engine.tables() == [people.name]


def test_statistics_count_rows(engine: Engine, people: Table) -> None:
    assert engine.statistics(people).row_count == 2


def test_a_query_that_fails_says_why(engine: Engine, people: Table) -> None:
    bad = sge.cast(column("name"), "INT", dialect="duckdb")
    # The emulator has only this for a text that is no number.
    with pytest.raises(QueryFailed, match=r"Ada|Grace|STRING, INT64"):
        engine.query(Query(sge.select(bad.as_("x")).from_(table(people.name)))).read_all()


_SERIES = {
    "duckdb": "SELECT COUNT(*) FROM range(100000000000) AS a",
    # The emulator does not stop a query whose caller has gone: this one ends by itself.
    "bigquery": (
        "SELECT COUNT(*) FROM UNNEST(GENERATE_ARRAY(1, 20000)) AS a "
        "CROSS JOIN UNNEST(GENERATE_ARRAY(1, 20000)) AS b WHERE MOD(a * b, 7) = 3"
    ),
}


def test_a_query_that_takes_too_long_is_stopped(engine: Engine) -> None:
    dialect = engine.dialect.name
    long = sqlglot.parse_one(_SERIES[dialect], read=dialect)
    with pytest.raises(QueryTimeout):
        engine.query(Query(long), timeout=0.2).read_all()


def test_a_condition_compares_with_bound_values(engine: Engine, people: Table) -> None:
    names = ParameterNames()
    tree = (
        sge.select(column("name"))
        .from_(table(people.name))
        .where(column("height in m%") > names.bind(Decimal("1.65"), "numeric"))
    )
    assert engine.query(bound(tree, names.values)).read_all().to_pylist() == [{"name": "Grace"}]


def test_large_numbers_are_bound_as_what_they_are(engine: Engine) -> None:
    measured = Table("measured", (Field("x", "float8"), Field("n", "numeric")))
    records = [{"x": 5.0, "n": Decimal(5)}, {"x": 1e17, "n": Decimal(10**17)}]
    first = rows(measured, records)
    engine.apply(TableChange(None, measured, Write(WriteMode.INSERT, (first,))))
    for field in ("x", "n"):
        for value in ("1E+16", "1E+1", "10000000000000000"):
            names = ParameterNames()
            number = names.bind(Decimal(value), "numeric")
            tree = sge.select(column(ID)).from_(table(measured.name)).where(column(field) > number)
            assert engine.query(bound(tree, names.values)).read_all().column(0).to_pylist() == [2]


def test_float4_is_found_by_its_digits(engine: Engine) -> None:
    measured = Table("measured", (Field("x", "float4"),))
    first = rows(measured, [{"x": 0.1}, {"x": 1.1}, {"x": 2.5}])
    engine.apply(TableChange(None, measured, Write(WriteMode.INSERT, (first,))))
    for sent, found in [("1.1", [2]), ({"gte": "1.1"}, [2, 3]), ([1.1, 0.1], [1, 2])]:
        names = ParameterNames()
        types = {ID: "int8", "x": "float4"}
        operation = parse_filters({"x": sent}, types)
        assert operation is not None
        condition = filters.condition(operation, types, names, parameter)
        assert condition is not None
        tree = sge.select(column(ID)).from_(table(measured.name)).where(condition)
        answer = engine.query(bound(tree.order_by(column(ID)), names.values)).read_all()
        assert answer.column(0).to_pylist() == found


def test_new_rows_may_come_with_their_numbers(engine: Engine, people: Table) -> None:
    assert engine.next_id(people) == 3
    assert engine.next_id(dataclasses.replace(people, name="not there")) == 1
    write(engine, people, "insert", rows(people, [{ID: 7, "name": "Joan"}, {ID: 5, "name": "Jo"}]))
    assert [(row[ID], row["name"]) for row in everything(engine, people)][2:] == [
        (5, "Jo"),
        (7, "Joan"),
    ]
    assert engine.next_id(people) == 8
    with pytest.raises(DuplicateKey):
        write(engine, people, "insert", rows(people, [{ID: 8, "name": "Ada"}]))


def test_rows_are_found_by_many_keys(engine: Engine, people: Table) -> None:
    write(engine, people, "insert", rows(people, [{"name": None, "age": 36}]))
    names = pa.table({"name": ["Grace", "Nobody", None]})
    found = engine.rows_with_keys(people, names)
    assert found.column_names == [ID, "name", "age", "height in m%"]
    assert found.column("name").to_pylist() == ["Grace"]
    both = pa.table({"age": pa.array([36, 36], pa.int32()), "name": ["Ada", "Grace"]})
    assert engine.rows_with_keys(people, both).column("name").to_pylist() == ["Ada"]
    by_id = engine.rows_with_keys(people, pa.table({ID: [3, 1]}))
    assert sorted(by_id.column(ID).to_pylist()) == [1, 3]


COUNTED = Table("counted", (Field("n", "int4"), Field("name", "text")), primary_key=("n",))


def numbered(*numbers: int | None) -> Rows:
    return rows(COUNTED, [{"n": number, "name": f"row {number}"} for number in numbers])


@pytest.fixture
def counted(engine: Engine) -> Table:
    engine.apply(TableChange(None, COUNTED, Write(WriteMode.INSERT, (numbered(1, 2, 30),))))
    return COUNTED


def test_keys_beyond_all_others_are_inserted(engine: Engine, counted: Table) -> None:
    for numbers in ((31,), (40, 32), (None, 41), (None,)):
        write(engine, counted, "insert", numbered(*numbers))
    found = [record["n"] for record in everything(engine, counted)]
    assert found == [1, 2, 30, 31, 40, 32, None, 41, None]


@pytest.mark.parametrize("numbers", [(30,), (2,), (50, 50), (50, 51, 50), (60, 1)])
def test_a_key_that_is_there_is_refused_among_higher_ones(
    engine: Engine, counted: Table, numbers: tuple[int, ...]
) -> None:
    with pytest.raises(DuplicateKey):
        write(engine, counted, "insert", numbered(*numbers))
    assert [record["n"] for record in everything(engine, counted)] == [1, 2, 30]


def test_a_key_that_was_just_inserted_is_refused(engine: Engine, counted: Table) -> None:
    write(engine, counted, "insert", numbered(100))
    write(engine, counted, "insert", numbered(*range(101, 1_500)))
    for number in (100, 101, 1_499):
        with pytest.raises(DuplicateKey):
            write(engine, counted, "insert", numbered(number))


def test_a_key_above_all_that_was_changed_to_one_is_refused(engine: Engine, counted: Table) -> None:
    write(engine, counted, "update", rows(counted, [{ID: 1, "n": 500}], key=(ID,)))
    with pytest.raises(DuplicateKey):
        write(engine, counted, "insert", numbered(500))
    write(engine, counted, "insert", numbered(1))


ODD = ["plain", "a,b", 'say "x"', "two\nlines", "r\rn", "tab\there", "\\.", "å", " ", ""]


def lines_of(engine: Engine, of: Table, format: str, *fields: str) -> list[str]:
    """The page's lines of CSV or TSV, in the order of `_id`."""
    wanted = search.Search(
        source=table(of.name),
        columns=tuple((name, column(name), of.types[name]) for name in fields),
        conditions=(),
        order=(),
        limit=100,
        offset=0,
        distinct=False,
        records_format=format,
        names=ParameterNames(),
    )
    lines = engine.query(search.page(wanted, engine.dialect)).read_all().column(0)
    return [str(line) for line in lines.to_pylist()]


@pytest.mark.parametrize(("format", "delimiter"), [("csv", ","), ("tsv", "\t")])
def test_every_text_comes_back_from_a_line(engine: Engine, format: str, delimiter: str) -> None:
    odd = Table("odd", (Field("t", "text"), Field("n", "int4")))
    records = [{"t": text, "n": number} for number, text in enumerate(ODD)]
    engine.apply(TableChange(None, odd, Write(WriteMode.INSERT, (rows(odd, records),))))
    lines = lines_of(engine, odd, format, "t", "n")
    read = csv.reader(io.StringIO("\n".join(lines), newline=""), delimiter=delimiter)
    assert list(read) == [[text, str(number)] for number, text in enumerate(ODD)]


def test_lines_are_those_of_copy(engine: Engine) -> None:
    odd = Table("odd", (Field("t", "text"), Field("n", "int4"), Field("l", "_text")))
    records: list[dict[str, Any]] = [
        {"t": "", "n": None, "l": ["a", None]},
        {"t": None, "n": 1, "l": None},
        {"t": "\\.", "n": 2, "l": []},
    ]
    engine.apply(TableChange(None, odd, Write(WriteMode.INSERT, (rows(odd, records),))))
    assert lines_of(engine, odd, "csv", "t", "n") == ['"",', ",1", "\\.,2"]
    # Alone on a line it would be the end of the data.
    assert lines_of(engine, odd, "csv", "t") == ['""', "", '"\\."']
    assert lines_of(engine, odd, "csv", "l") == ['"[""a"",null]"', "null", "[]"]
