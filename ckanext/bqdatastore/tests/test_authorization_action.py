"""`datastore_authorize`: what a service beside CKAN asks, over HTTP."""

from __future__ import annotations

import json
from typing import Any

import ckantoolkit as tk
import pytest
from ckan.tests import factories

pytestmark = pytest.mark.usefixtures("with_plugins", "non_clean_db")

PERMISSIONS = ("read", "create", "update", "delete", "patch")
UNKNOWN = "11111111-2222-3333-4444-555555555555"

# Who may what, with a resource of a private dataset.
ALLOWED = {
    "anonymous": set(),
    "stranger": set(),
    "member": {"read"},
    "editor": set(PERMISSIONS),
    "sysadmin": set(PERMISSIONS),
}


class Site:
    """A private dataset with a resource, and users of each kind."""

    def __init__(self, app: Any) -> None:
        self._app = app
        users = {name: factories.UserWithToken() for name in ("stranger", "member", "editor")}
        organization = factories.Organization(
            users=[{"name": users[role]["name"], "capacity": role} for role in ("member", "editor")]
        )
        self.dataset = factories.Dataset(private=True, owner_org=organization["id"])
        self.resource = factories.Resource(package_id=self.dataset["id"], format="CSV")
        self.tokens = {name: user["token"] for name, user in users.items()}
        self.tokens["sysadmin"] = factories.SysadminWithToken()["token"]

    def ask(self, user: str, data: Any, **options: Any) -> tuple[int, Any]:
        headers = {"Content-Type": "application/json"}
        if user != "anonymous":
            headers["Authorization"] = self.tokens[user]
        response = self._app.post(
            "/api/3/action/datastore_authorize", data=json.dumps(data), headers=headers
        )
        body = json.loads(response.body)
        return response.status_code, body.get("result", body.get("error"))


@pytest.fixture
def site(app: Any) -> Site:
    return Site(app)


def test_who_may_what(site: Site) -> None:
    for _ in range(2):  # decided, then remembered
        for user, allowed in ALLOWED.items():
            for permission in PERMISSIONS:
                for name, id in (
                    ("resource_id", site.resource["id"]),
                    ("package_id", site.dataset["id"]),
                ):
                    status, _ = site.ask(user, {name: id, "permission": permission})
                    assert status == (200 if permission in allowed else 403), (user, permission)


def test_the_answer_for_a_resource(site: Site) -> None:
    status, answer = site.ask("member", {"resource_id": site.resource["id"]})
    assert status == 200
    assert set(answer) == {"package", "resource"}
    assert answer["resource"]["id"] == site.resource["id"]
    assert answer["resource"]["package_id"] == site.dataset["id"]
    assert answer["resource"]["format"] == "CSV"
    assert answer["package"]["id"] == site.dataset["id"]
    assert answer["package"]["private"] is True
    assert "resources" not in answer["package"]


def test_the_answer_for_a_dataset(site: Site) -> None:
    status, answer = site.ask("editor", {"package_id": site.dataset["id"], "permission": "create"})
    assert status == 200
    assert answer["resource"] == {}
    assert answer["package"]["name"] == site.dataset["name"]


def test_reading_is_what_is_asked_for_if_nothing_is(site: Site) -> None:
    assert site.ask("member", {"resource_id": site.resource["id"]})[0] == 200
    assert site.ask("member", {"resource_id": site.resource["id"], "permission": ""})[0] == 200
    assert site.ask("stranger", {"resource_id": site.resource["id"]})[0] == 403


def test_what_is_not_there_is_not_found_whoever_asks(site: Site) -> None:
    for user in ("anonymous", "stranger", "sysadmin"):
        for permission in PERMISSIONS:
            for name in ("resource_id", "package_id"):
                status, _ = site.ask(user, {name: UNKNOWN, "permission": permission})
                assert status == 404, (user, name, permission)


MISTAKES: list[tuple[Any, str]] = [
    ({}, "resource_id"),
    ({"permission": "read"}, "resource_id"),
    ({"resource_id": "", "package_id": None}, "resource_id"),
    ({"resource_id": "x", "permission": "own"}, "permission"),
    ({"resource_id": {"a": 1}}, "resource_id"),
    ({"package_id": ["a"]}, "package_id"),
]


def test_a_request_that_makes_no_sense_is_told_what_is_wrong(site: Site) -> None:
    for data, key in MISTAKES:
        status, error = site.ask("sysadmin", data)
        assert (status, error["__type"]) == (409, "Validation Error"), data
        assert key in error


def test_it_may_be_asked_by_a_link(site: Site) -> None:
    assert tk.get_action("datastore_authorize").side_effect_free
