"""The DataTables view: paging, sort, search, filters, what it downloads."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from browser.page import Page
from browser.table_view import TableView

KINDS = ("oak", "Ash", "beech & yew")
FIELDS = [
    {"id": "name", "type": "text"},
    {"id": "kind", "type": "text"},
    {"id": "height", "type": "numeric"},
    {"id": "planted", "type": "date"},
    {"id": "seen", "type": "timestamp"},
    {"id": "alive", "type": "bool"},
    {"id": "tags", "type": "_text"},
]
RECORDS: list[dict[str, Any]] = [
    {
        "name": f"tree {number * 7 % 60:02d}",
        "kind": KINDS[number % 3],
        "height": None if number == 4 else number + 0.25,
        "planted": f"20{number % 24:02d}-03-01",
        "seen": f"2024-01-{number % 28 + 1:02d}T09:30:00",
        "alive": number % 2 == 0,
        "tags": ["a", f"<{number}>"],
    }
    for number in range(60)
]


def of_kind(kind: str) -> list[int]:
    """Numbers of the rows."""
    return [number for number, record in enumerate(RECORDS, 1) if record["kind"] == kind]


SEARCHES = {
    "ash": of_kind("Ash"),
    "tree 07": [2],
    "be": of_kind("beech & yew"),
    "nothing": [],
    "beech & y": of_kind("beech & yew"),
    "yew beech": [],
    "2024-01-15": [15, 43],
}
"""What is typed, and the numbers of the rows that it finds."""


@pytest.fixture(scope="module")
def resource(page: Page, dataset: str) -> str:
    """The id of a resource with a view."""
    made = page.site.action(
        "datastore_create", resource={"package_id": dataset}, fields=FIELDS, records=RECORDS
    )
    identifier: str = made["resource_id"]
    page.site.action(
        "resource_view_create", resource_id=identifier, view_type="datatables_view", title="Trees"
    )
    return identifier


@pytest.fixture
def table(page: Page, dataset: str, resource: str) -> TableView:
    """The view, as it first shows itself."""
    page.forget_state()
    page.go(f"/dataset/{dataset}/resource/{resource}")
    return TableView(page)


def test_rows_are_shown_with_every_type(table: TableView) -> None:
    assert table.columns() == ["_id", *(field["id"] for field in FIELDS)]
    first = ["1", "tree 00", "oak", "0.25", "2000-03-01", "Mon, Jan 1, 2024 9:30 AM", "True"]
    assert table.rows()[0] == [*first, "['a', '<0>']"]
    assert table.rows()[4][3] == ""


def test_pages_are_turned_and_grow(table: TableView) -> None:
    assert table.numbers(range(1, 21)) == list(range(1, 21))
    assert table.information("Showing 1 to 20 of 60 entries") == "Showing 1 to 20 of 60 entries"
    table.turn_to("3")
    assert table.numbers(range(41, 61)) == list(range(41, 61))
    table.turn_to("<")
    assert table.numbers(range(21, 41)) == list(range(21, 41))
    table.show(50)
    assert table.numbers(range(1, 51)) == list(range(1, 51))


def test_columns_sort_both_ways(table: TableView) -> None:
    table.show(100)
    for column in ("name", "planted", "height", "kind"):
        # As in PostgreSQL, null is above all.
        rising = sorted(
            (record[column] for record in RECORDS), key=lambda value: (value is None, value)
        )
        for expected in (rising, rising[::-1]):
            table.sort_by(column)
            assert values(table, column, expected) == expected


def values(table: TableView, column: str, expected: list[Any]) -> list[Any]:
    """The records' values in the order of the rows, once they are as expected."""
    return table.page.settles(
        lambda: [RECORDS[int(row[0]) - 1][column] for row in table.rows()], expected
    )


@pytest.mark.usefixtures("planned_searches")
def test_the_table_is_searched(table: TableView) -> None:
    table.show(100)
    for text, expected in SEARCHES.items():
        table.search(text)
        assert (text, table.numbers(expected)) == (text, expected)
        total = f"Showing {min(1, len(expected))} to {len(expected)} of {len(expected)} entries"
        filtered = f"{total} (filtered from 60 total entries)"
        assert table.information(filtered) == filtered


@pytest.mark.usefixtures("planned_searches")
def test_columns_are_searched_together(table: TableView) -> None:
    table.search_column("kind", "OAK")
    table.search_column("name", "tree 2")
    expected = [
        number for number in of_kind("oak") if RECORDS[number - 1]["name"].startswith("tree 2")
    ]
    assert table.numbers(expected) == expected
    table.search_column("kind", "")
    table.search_column("name", "")
    assert table.numbers(range(1, 21)) == list(range(1, 21))


@pytest.mark.usefixtures("planned_searches")
def test_a_date_is_found_in_its_column(table: TableView) -> None:
    table.search_column("planted", "2003-03-01")
    assert table.numbers([4, 28, 52]) == [4, 28, 52]


def test_filters_in_the_address_hold(page: Page, dataset: str, resource: str) -> None:
    page.forget_state()
    page.go(f"/dataset/{dataset}/resource/{resource}?filters=kind:oak|alive:true")
    table = TableView(page)
    expected = [number for number in of_kind("oak") if RECORDS[number - 1]["alive"]]
    assert table.numbers(expected) == expected


def test_a_view_keeps_to_its_own_filters(page: Page, dataset: str, resource: str) -> None:
    # Made by the API: the chooser of values in CKAN 2.12's form stops with an error of its script.
    view = page.site.action(
        "resource_view_create",
        resource_id=resource,
        view_type="datatables_view",
        title="Filtered",
        filter_fields=["kind"],
        filter_values=["beech & yew"],
    )
    page.go(f"/dataset/{dataset}/resource/{resource}?view_id={view['id']}")
    table = TableView(page)
    expected = of_kind("beech & yew")
    assert table.numbers(expected) == expected
    table.search("tree 5")
    narrowed = [number for number in expected if "tree 5" in RECORDS[number - 1]["name"]]
    assert table.numbers(narrowed) == narrowed


def test_what_is_shown_is_downloaded(table: TableView, downloads: Path) -> None:
    table.search_column("kind", "ash")
    table.sort_by("height")
    table.sort_by("height")
    # The fifth row has no height: falling, it comes first.
    expected = sorted(of_kind("Ash"), key=lambda number: (number == 5, number), reverse=True)
    assert table.numbers(expected) == expected
    for file_format, read in READERS.items():
        rows = read(table.download(file_format, downloads))
        assert [int(row["_id"]) for row in rows] == expected
        assert {row["kind"] for row in rows} == {"Ash"}


def from_csv(content: bytes, delimiter: str = ",") -> list[dict[str, Any]]:
    return list(csv.DictReader(io.StringIO(content.decode("utf-8-sig")), delimiter=delimiter))


def from_json(content: bytes) -> list[dict[str, Any]]:
    document = json.loads(content)
    names = [field["id"] for field in document["fields"]]
    return [dict(zip(names, record, strict=True)) for record in document["records"]]


def from_xml(content: bytes) -> list[dict[str, Any]]:
    return [
        {**row.attrib, **{cell.tag: cell.text for cell in row}}
        for row in ElementTree.fromstring(content)
    ]


READERS: dict[str, Callable[[bytes], list[dict[str, Any]]]] = {
    "CSV": from_csv,
    "TSV": lambda content: from_csv(content, "\t"),
    "JSON": from_json,
    "XML": from_xml,
}
