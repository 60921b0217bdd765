"""Dumps longer than a page: each page is one search that goes on behind the last `_id`."""

from __future__ import annotations

import csv
import json
from typing import Any

import pytest
from ckan.tests import factories, helpers

from ckanext.bqdatastore.backend import AnalyticsBackend

pytestmark = pytest.mark.usefixtures("with_plugins", "clean_tables")

ROWS = 12

CASES = {
    # parameters of the dump, a page's length, the site's limit, rows dumped, where pages begin
    "whole pages and a rest": ("", 5, 32000, 12, [None, 5, 10, 12]),
    "a limit": ("?limit=11", 5, 7, 11, [None, 5, 10]),
    "a limit at a page's end": ("?limit=6", 6, 7, 6, [None]),
    "the site's limit is shorter than a page": ("?limit=7", 12, 5, 7, [None, 5]),
    "the site's limit is a page": ("?limit=7", 6, 6, 7, [None, 6]),
    "json, a limit": ("?limit=6&format=json", 5, 32000, 6, [None, 5]),
    "json, the site's limit": ("?limit=8&format=json", 5, 6, 8, [None, 5]),
}


@pytest.fixture
def searches(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """The requests that reach the backend."""
    seen: list[dict[str, Any]] = []
    search = AnalyticsBackend.search

    def recorded(self: AnalyticsBackend, context: Any, data_dict: dict[str, Any]) -> Any:
        seen.append(dict(data_dict))
        return search(self, context, data_dict)

    monkeypatch.setattr(AnalyticsBackend, "search", recorded)
    return seen


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_pages_of_a_dump(
    case: Any,
    app: Any,
    searches: list[dict[str, Any]],
    monkeypatch: pytest.MonkeyPatch,
    ckan_config: Any,
) -> None:
    query, page, rows_max, dumped, begins = case
    resource = factories.Resource()
    records = [{"record": number} for number in range(ROWS)]
    helpers.call_action("datastore_create", resource_id=resource["id"], force=True, records=records)
    monkeypatch.setattr("ckanext.datastore.blueprint.PAGINATE_BY", page)
    monkeypatch.setitem(ckan_config, "ckan.datastore.search.rows_max", rows_max)

    response = app.get(f"/datastore/dump/{resource['id']}{query}")

    if "json" in query:
        values = [row[1] for row in json.loads(response.data)["records"]]
    else:
        values = [int(row["record"]) for row in csv.DictReader(response.data.decode().splitlines())]
    assert values == list(range(dumped))
    expected = [begin if begin is None else {"_id": {"gt": begin}} for begin in begins]
    assert [each.get("filters") for each in searches] == expected
