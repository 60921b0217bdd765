"""Totals: always of the table as it is, with or without `calculate_record_count`."""

from __future__ import annotations

from typing import Any

import ckantoolkit as tk
import pytest
from ckan.lib.jobs import job_from_id
from ckan.tests import factories, helpers

from ckanext.bqdatastore.site import engine_of_site

pytestmark = pytest.mark.usefixtures("with_plugins", "clean_tables", "with_request_context")


@pytest.fixture
def resource_id() -> str:
    resource_id = str(factories.Resource(url_type="datastore")["id"])
    helpers.call_action(
        "datastore_create",
        resource_id=resource_id,
        fields=[{"id": "value", "type": "numeric"}],
        records=[{"value": number} for number in range(7)],
    )
    return resource_id


def _total(resource_id: str) -> Any:
    return helpers.call_action("datastore_search", resource_id=resource_id, limit=0)["total"]


@pytest.mark.parametrize("calculate", [True, False])
def test_total_follows_every_write(resource_id: str, calculate: bool) -> None:
    request = {"resource_id": resource_id, "calculate_record_count": calculate}
    assert _total(resource_id) == 7
    more = [{"value": 8}, {"value": 9}]
    helpers.call_action("datastore_create", **request, records=more)
    assert _total(resource_id) == 9
    helpers.call_action("datastore_upsert", **request, method="insert", records=more)
    assert _total(resource_id) == 11
    helpers.call_action("datastore_records_delete", **request, filters={"value": [8]})
    assert _total(resource_id) == 9


@pytest.mark.parametrize(
    ("action", "request_"),
    [
        ("datastore_create", {"records": [{"value": 8}]}),
        ("datastore_upsert", {"method": "insert", "records": [{"value": 8}]}),
        ("datastore_records_delete", {"filters": {"value": [1, 2, 3]}}),
    ],
)
def test_the_job_that_a_write_schedules_runs(
    resource_id: str, action: str, request_: dict[str, Any]
) -> None:
    name = f"{resource_id}_calculate-record-count"
    job_from_id(name).delete()
    helpers.call_action(action, resource_id=resource_id, **request_)
    total = _total(resource_id)
    job_from_id(name).perform()
    assert _total(resource_id) == total


def test_nothing_is_scheduled_where_nothing_is_written() -> None:
    resource_id = factories.Resource(url_type="datastore")["id"]
    fields = [{"id": "value", "type": "numeric"}]
    helpers.call_action("datastore_create", resource_id=resource_id, fields=fields)
    jobs = tk.get_job_queue().scheduled_job_registry.get_job_ids()
    assert f"{resource_id}_calculate-record-count" not in jobs


def test_the_table_of_tables_has_a_total_and_names_resources_only(resource_id: str) -> None:
    found = helpers.call_action("datastore_search", resource_id="_table_metadata")
    assert [record["name"] for record in found["records"]] == [resource_id]
    assert found["total"] == 1


@pytest.mark.parametrize(
    ("search", "total", "statements"),
    [
        ({}, 2, 1),
        ({"offset": 1}, 2, 1),
        ({"distinct": True, "fields": ["value"]}, 2, 1),
        ({"sort": "value desc", "limit": 3}, 2, 1),
        ({"filters": {"value": 99}}, 0, 1),
        ({"limit": 2}, 2, 2),  # there may be more
        ({"limit": 1}, 2, 2),
        ({"limit": 0}, 2, 2),
        ({"offset": 2}, 2, 2),  # how many are before it?
        ({"offset": 1, "limit": 1}, 2, 2),
        ({"include_total": False}, None, 1),
    ],
)
def test_a_page_that_is_not_full_says_how_many_there_are(
    resource_id: str,
    search: dict[str, Any],
    total: int | None,
    statements: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    engine = engine_of_site()
    asked: list[Any] = []
    query = engine.query

    def counting(*arguments: Any) -> Any:
        asked.append(arguments)
        return query(*arguments)

    monkeypatch.setattr(engine, "query", counting)
    request = {"filters": {"value": [3, 5]}, **search}
    answer = helpers.call_action("datastore_search", resource_id=resource_id, **request)
    assert (answer.get("total"), len(asked)) == (total, statements)
