"""SQL that was bound before: what is kept of it, and that nobody sees more by it."""

from __future__ import annotations

import json
from typing import Any

import ckantoolkit as tk
import pytest
from ckan import model
from ckan.tests import factories

from ckanext.bqdatastore.query import guard

pytestmark = pytest.mark.usefixtures("with_plugins", "clean_tables")

SQL = "SELECT species, avg(height) AS mean FROM trees GROUP BY species"
SYSTEM = {"ignore_auth": True}


@pytest.fixture
def resource() -> dict[str, Any]:
    dataset = factories.Dataset(owner_org=factories.Organization()["id"])
    made: dict[str, Any] = factories.Resource(package_id=dataset["id"])
    tk.get_action("datastore_create")(
        dict(SYSTEM),
        {
            "resource_id": made["id"],
            "aliases": "trees",
            "force": True,
            "fields": [{"id": "species", "type": "text"}, {"id": "height", "type": "int8"}],
            "records": [{"species": "oak", "height": 3}],
        },
    )
    return made


@pytest.fixture
def bound(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The tables' columns, for each time that a text was bound."""
    seen: list[str] = []
    bind = guard.bind

    def counting(parsed: Any, tables: Any, *rest: Any) -> Any:
        seen.append(" ".join(tables["trees"].types))
        return bind(parsed, tables, *rest)

    monkeypatch.setattr(guard, "bind", counting)
    return seen


def ask(sql: str = SQL) -> Any:
    return tk.get_action("datastore_search_sql")(dict(SYSTEM), {"sql": sql})


def test_a_text_is_bound_once_and_answered_anew(resource: dict[str, Any], bound: list[str]) -> None:
    assert ask()["records"] == [{"species": "oak", "mean": 3}]
    tk.get_action("datastore_upsert")(
        dict(SYSTEM),
        {
            "resource_id": resource["id"],
            "method": "insert",
            "force": True,
            "records": [{"species": "oak", "height": 5}],
        },
    )
    assert ask()["records"] == [{"species": "oak", "mean": 4}]
    assert bound == ["_id species height"]
    ask(f"{SQL} LIMIT 1")
    assert len(bound) == 2


def test_a_table_that_was_changed_is_bound_again(
    resource: dict[str, Any], bound: list[str]
) -> None:
    everything = "SELECT t.* FROM trees AS t"
    before = ask(everything)
    tk.get_action("datastore_create")(
        dict(SYSTEM),
        {
            "resource_id": resource["id"],
            "force": True,
            "fields": [
                *({"id": "species", "type": "text"}, {"id": "height", "type": "int8"}),
                {"id": "planted", "type": "date"},
            ],
        },
    )
    after = ask(everything)
    assert after["fields"] == [*before["fields"], {"id": "planted", "type": "date"}]
    assert after["records"] == [{**record, "planted": None} for record in before["records"]]
    assert len(bound) == 2


def test_an_alias_that_went_to_another_table_reads_that(
    resource: dict[str, Any], bound: list[str]
) -> None:
    assert ask()["records"] == [{"species": "oak", "mean": 3}]
    create = tk.get_action("datastore_create")
    create(dict(SYSTEM), {"resource_id": resource["id"], "aliases": "", "force": True})
    other = factories.Resource()
    fields = [{"id": "species", "type": "text"}, {"id": "height", "type": "int8"}]
    create(
        dict(SYSTEM),
        {
            "resource_id": other["id"],
            "aliases": "trees",
            "force": True,
            "fields": fields,
            "records": [{"species": "elm", "height": 8}],
        },
    )
    assert ask()["records"] == [{"species": "elm", "mean": 8}]


def test_who_may_not_read_is_refused_what_others_had_bound(
    app: Any, resource: dict[str, Any], bound: list[str]
) -> None:
    stranger = factories.UserWithToken()

    def status() -> int:
        answer = app.post(
            "/api/action/datastore_search_sql",
            data=json.dumps({"sql": SQL}),
            headers={"Content-Type": "application/json", "Authorization": stranger["token"]},
        )
        return int(answer.status_code)

    assert status() == 200
    tk.get_action("package_patch")(
        {**SYSTEM, "user": factories.Sysadmin()["name"]},
        {"id": model.Resource.get(resource["id"]).package_id, "private": True},
    )
    assert status() == 403
    assert len(ask()["records"]) == 1
    assert status() == 403
