"""The data dictionary form, with the fields that a plugin adds to it."""

from __future__ import annotations

import pytest

from browser.page import Page


@pytest.fixture
def resource(page: Page, dataset: str) -> str:
    made = page.site.action(
        "datastore_create",
        resource={"package_id": dataset},
        fields=[{"id": "name", "type": "text"}, {"id": "size", "type": "int4"}],
        records=[{"name": "oak", "size": 3}],
    )
    return str(made["resource_id"])


def test_a_dictionary_is_written_shown_and_kept(page: Page, dataset: str, resource: str) -> None:
    page.go(f"/dataset/{dataset}/dictionary/{resource}")
    page.fill("info__1__label", "Name & “surname”")
    page.fill("info__1__notes", "As on the *label*.")
    page.fill("info__2__label", "Size")
    page.fill("info__2__type_override", "numeric")
    page.fill("fields__2__an_int", "42")
    page.fill("fields__2__json_obj", '{"a": [1, null]}')
    page.submit("Save")
    fields = page.site.action("datastore_info", id=resource)["fields"]
    assert [each["info"] for each in fields] == [
        {"label": "Name & “surname”", "notes": "As on the *label*.", "type_override": ""},
        {"label": "Size", "notes": "", "type_override": "numeric"},
    ]
    assert (fields[1]["an_int"], fields[1]["json_obj"]) == (42, {"a": [1, None]})
    assert [each["type"] for each in fields] == ["text", "int4"]
    assert page.site.action("datastore_search", resource_id=resource)["records"] == [
        {"_id": 1, "name": "oak", "size": 3}
    ]

    page.go(f"/dataset/{dataset}/resource/{resource}")
    assert "Name & “surname”" in page.text()

    page.go(f"/dataset/{dataset}/dictionary/{resource}")
    assert page.value("info__1__notes") == "As on the *label*."
    assert page.value("fields__2__an_int") == "42"


def test_a_wrong_value_is_shown_with_its_reason(page: Page, dataset: str, resource: str) -> None:
    page.go(f"/dataset/{dataset}/dictionary/{resource}")
    page.fill("fields__1__an_int", "forty")
    page.fill("fields__2__only_up", "7")
    page.submit("Save")
    assert "Invalid integer" in page.text()
    assert page.value("fields__1__an_int") == "forty"
    page.fill("fields__1__an_int", "40")
    page.submit("Save")

    page.go(f"/dataset/{dataset}/dictionary/{resource}")
    page.fill("fields__2__only_up", "6")
    page.submit("Save")
    assert "Value must be larger than 7" in page.text()
