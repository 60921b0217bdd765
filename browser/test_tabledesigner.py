"""Table Designer: a table is designed, its rows are added, edited and deleted, all on its pages."""

from __future__ import annotations

from typing import Any

import pytest
from selenium.webdriver.common.by import By

from browser.page import Page
from browser.table_view import TableView

# What is typed into a form for each field, and what the table then holds.
FIELDS: dict[str, tuple[str, dict[str, str], str, Any]] = {
    "code": ("Text", {"tdpkreq": "pk", "tdpattern": "[a-z ]+"}, " abc ", "abc"),
    "kind": ("Choice", {"tdpkreq": "req", "tdchoices": "red\ngreen"}, "red", "red"),
    "size": ("Integer", {"tdminimum": "1", "tdmaximum": "9"}, "5", 5),
    "mail": ("Email Address", {}, "me@example.org", "me@example.org"),
    "page": ("URI", {}, "https://example.org/a?b=c", "https://example.org/a?b=c"),
    "key": (
        "Universally unique identifier (UUID)",
        {},
        "213b972d-75c0-48b7-b14a-5a19eb58a1fa",
        "213b972d-75c0-48b7-b14a-5a19eb58a1fa",
    ),
    "exact": ("Numeric", {"tdminimum": "0.5"}, "2.01", 2.01),
    "flag": ("Boolean", {}, "true", True),
    "more": ("JSON", {}, '{"a": [1]}', '{"a": [1]}'),
    "day": ("Date", {"tdminimum": "2000-01-01"}, "2024-02-29", "2024-02-29"),
    "at": ("Timestamp", {}, "2024-01-01T12:34", "2024-01-01T12:34:00.000"),
}
POSITION = {name: number for number, name in enumerate(FIELDS, 1)}
GOOD = {name: field[2] for name, field in FIELDS.items()}
STORED = {name: field[3] for name, field in FIELDS.items()}


class Table:
    """A table of Table Designer, and its pages."""

    def __init__(self, page: Page, dataset: str) -> None:
        self.page = page
        self.view = TableView(page)
        self._dataset = dataset
        before = self._resources()
        page.go(f"/dataset/{dataset}/resource/new")
        page.press("Table Designer")
        page.fill("name", "A designed table")
        page.submit("Add")
        (self.id,) = self._resources() - before

    def open(self) -> None:
        self.page.go(f"/dataset/{self._dataset}/resource/{self.id}")

    def open_dictionary(self) -> None:
        self.page.go(f"/dataset/{self._dataset}/dictionary/{self.id}")

    def design(self) -> None:
        self.open_dictionary()
        for position, (name, (label, rules, _, _)) in enumerate(FIELDS.items(), 1):
            self.add_field(position, name, label, rules)
        self.page.submit("Save")

    def add_field(self, position: int, name: str, label: str, rules: dict[str, str]) -> None:
        self.page.press("Add field")
        self.page.press(label)
        for rule, value in {"id": name, **rules}.items():
            self.page.fill(f"fields__{position}__{rule}", value)
        self.page.fill(f"info__{position}__label", f"The {name}")

    def enter(self, **values: str) -> None:
        """Fill in the form of a row, and save it."""
        for name, value in values.items():
            self.page.fill(f"col__{POSITION[name]}__value", value)
        self.page.submit("Save")

    def add(self, **values: str) -> None:
        """Fill in the form of a new row, with good values but for those that are given."""
        self.page.go(f"/dataset/{self._dataset}/tabledesigner/{self.id}/add-row")
        self.enter(**GOOD | values)

    def put(self, *codes: str) -> list[int]:
        """Add good rows by the API; their numbers."""
        rows = [{**GOOD, "code": code} for code in codes]
        self.page.site.action(
            "datastore_upsert", resource_id=self.id, method="insert", records=rows
        )
        return [each["_id"] for each in self.records()]

    def errors(self) -> dict[str, str]:
        """What the form of a row says of the values, by field."""
        found = {}
        for name, position in POSITION.items():
            groups = (
                f"//*[@name='col__{position}__value']/ancestor::*[contains(@class, 'error')][1]"
            )
            for group in self.page.driver.find_elements(By.XPATH, groups):
                found[name] = group.find_element(By.CSS_SELECTOR, ".error-block").text
        return found

    def records(self) -> list[dict[str, Any]]:
        found = self.page.site.action("datastore_search", resource_id=self.id, sort="_id")
        return list(found["records"])

    def _resources(self) -> set[str]:
        shown = self.page.site.action("package_show", id=self._dataset)
        return {each["id"] for each in shown["resources"]}


@pytest.fixture(scope="module")
def designed(page: Page, dataset: str) -> Table:
    table = Table(page, dataset)
    table.design()
    return table


@pytest.fixture
def table(designed: Table) -> Table:
    """The table, empty."""
    designed.page.site.action("datastore_delete", resource_id=designed.id, filters={}, force=True)
    assert designed.records() == []
    return designed


def test_a_table_is_designed(table: Table) -> None:
    info = table.page.site.action("datastore_info", id=table.id)
    assert [(each["id"], each["info"]["label"]) for each in info["fields"]] == [
        (name, f"The {name}") for name in FIELDS
    ]
    for each in info["fields"]:
        rules = FIELDS[each["id"]][1]
        if "tdchoices" in rules:
            assert each["tdchoices"] == rules["tdchoices"].split("\n")
        else:
            assert {name: str(each[name]) for name in rules} == rules
    table.open_dictionary()
    assert table.page.value("fields__1__tdpattern") == "[a-z ]+"
    assert table.page.value("info__3__label") == "The size"


def test_a_rule_that_makes_no_sense_is_shown_with_its_reason(page: Page, dataset: str) -> None:
    table = Table(page, dataset)
    table.open_dictionary()
    table.add_field(1, "code", "Text", {"tdpattern": "[a-"})
    page.submit("Save")
    assert "Invalid regular expression" in page.text()
    assert page.value("fields__1__tdpattern") == "[a-"


def test_a_row_is_added(table: Table) -> None:
    table.open()
    table.view.press("Add row")
    table.enter(**GOOD)
    assert [{**each, "_id": 0} for each in table.records()] == [{"_id": 0, **STORED}]
    assert table.view.rows()[0][1:4] == ["abc", "red", "5"]


def test_bad_values_are_shown_with_their_reasons(table: Table) -> None:
    table.add(code="A1", kind="")
    assert table.errors() == {
        "code": 'Does not match pattern: "[a-z ]+"',
        "kind": "Missing value",
    }
    # Together with those above, CKAN 2.12's function fails at joining its messages.
    table.enter(**{**GOOD, "size": "10", "exact": "0.49", "day": "1999-12-31"})
    assert table.errors() == {
        "size": 'Above maximum: "9"',
        "exact": 'Below minimum: "0.5"',
        "day": 'Below minimum: "2000-01-01"',
    }
    table.enter(**{**GOOD, "size": "five"})
    assert table.errors() == {"size": "Invalid input"}
    assert table.records() == []
    table.enter(size="5")
    assert len(table.records()) == 1


def test_a_key_that_is_taken_is_shown(table: Table) -> None:
    table.put("abc")
    table.add(size="6")
    assert table.errors() == {"code": "Duplicate primary key exists"}
    assert [each["size"] for each in table.records()] == [5]


def test_a_row_is_edited(table: Table) -> None:
    first, second = table.put("abc", "other")
    table.open()
    table.view.select(first)
    table.view.press("Edit row")
    # What the form shows is what it would save.
    table.enter()
    assert table.records() == [
        {"_id": first, **STORED},
        {"_id": second, **STORED, "code": "other"},
    ]
    table.open()
    table.view.select(second)
    table.view.press("Edit row")
    table.enter(size="99")
    assert table.errors() == {"size": 'Above maximum: "9"'}
    table.enter(size="9", more="{}", flag="")
    assert table.records()[1] == {
        "_id": second,
        **STORED,
        "code": "other",
        "size": 9,
        "more": "{}",
        "flag": None,
    }


def test_rows_are_deleted(table: Table) -> None:
    first, second, third = table.put("a", "b", "c")
    table.open()
    table.view.select(first, third)
    table.view.press("Delete rows")
    assert "Delete 2 rows?" in table.page.text()
    table.page.submit("Delete")
    assert [each["_id"] for each in table.records()] == [second]
    assert table.view.numbers([second]) == [second]
