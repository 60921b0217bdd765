"""Who may do what with which dataset: the answer is CKAN's own, decided and remembered.

Every role meets every dataset and every action. CKAN's own auth functions say what is right; ours
must say the same the first time, when they decide, and the second time, when they remember.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterable
from typing import Any

import ckantoolkit as tk
import pytest
from ckan import authz, model
from ckan.tests import factories
from ckanext.datastore.logic import auth as stock

from ckanext.bqdatastore import config

from .permissions import run

pytestmark = pytest.mark.usefixtures("with_plugins", "non_clean_db")

# How users stand to the dataset's organization, to one above it, and to the dataset itself.
ROLES: dict[str, dict[str, str]] = {
    "anonymous": {},
    "stranger": {},
    "admin elsewhere": {"elsewhere": "admin"},
    "member": {"organization": "member"},
    "editor": {"organization": "editor"},
    "admin": {"organization": "admin"},
    "admin above": {"above": "admin"},
    "editor above": {"above": "editor"},
    "collaborating member": {"dataset": "member"},
    "collaborating editor": {"dataset": "editor"},
    "creator": {},
    "deleted": {"organization": "admin"},
    "sysadmin": {},
}

DATASETS: dict[str, dict[str, Any]] = {
    "public": {},
    "private": {"private": True},
    "draft": {"state": "draft"},
    "private draft": {"state": "draft", "private": True},
    "deleted": {"state": "deleted"},
    "private, deleted": {"state": "deleted", "private": True},
    "unowned": {"owner_org": None},
    "unowned draft": {"owner_org": None, "state": "draft"},
    "in a deleted organization": {"private": True, "owner_org": "gone"},
    "with a deleted resource": {"private": True, "resource": "deleted"},
    "with no resource of that id": {"resource": None},
}

ACTIONS = (
    "datastore_search",
    "datastore_search_sql",
    "datastore_info",
    "datastore_create",
    "datastore_create in a dataset",
    "datastore_upsert",
    "datastore_delete",
    "datastore_records_delete",
)


class World:
    """All users and datasets at once."""

    def __init__(self) -> None:
        above = factories.Organization()
        self.organizations = {
            "above": above,
            "organization": factories.Organization(groups=[{"name": above["name"]}]),
            "elsewhere": factories.Organization(),
            "gone": factories.Organization(),
        }
        self.users = {
            name: "" if name == "anonymous" else factories.User()["name"] for name in ROLES
        }
        run("user_patch", id=self.users["sysadmin"], sysadmin=True)
        for name, standing in ROLES.items():
            for place, role in standing.items():
                if place != "dataset":
                    self.join(place, name, role)
        for name in ("member", "editor"):
            self.join("gone", name, name)
        self.datasets = {name: self.make(**definition) for name, definition in DATASETS.items()}
        run("user_delete", id=self.users["deleted"])
        for member in model.Session.query(model.Member).filter_by(
            table_id=model.User.get(self.users["deleted"]).id  # type: ignore[union-attr]
        ):
            member.state = "active"  # not the membership's end is what stops this user
        gone = model.Group.get(self.organizations["gone"]["id"])
        assert gone is not None
        gone.state = "deleted"
        model.Session.commit()

    def join(self, place: str, name: str, role: str) -> None:
        run(
            "organization_member_create",
            id=self.organizations[place]["id"],
            username=self.users[name],
            role=role,
        )

    def make(self, **definition: Any) -> tuple[str, str]:
        """Ids of a dataset and its resource."""
        resource = definition.pop("resource", "active")
        place = definition.pop("owner_org", "organization")
        creator = model.User.get(self.users["creator"])
        assert creator is not None
        made = factories.Dataset(owner_org=place and self.organizations[place]["id"])
        resource_id = factories.Resource(package_id=made["id"])["id"]
        for name, standing in ROLES.items():
            if "dataset" in standing:
                run(
                    "package_collaborator_create",
                    id=made["id"],
                    user_id=self.users[name],
                    capacity=standing["dataset"],
                )
        package, found = model.Package.get(made["id"]), model.Resource.get(resource_id)
        assert package is not None
        assert found is not None
        package.creator_user_id = creator.id
        for name, value in definition.items():
            setattr(package, name, value)
        found.state = resource or "active"
        model.Session.commit()
        return made["id"], resource_id if resource else f"{resource_id[:-4]}none"

    def answer(self, user: str, dataset: str, action: str) -> Any:
        """What a request of its own is told: `True`, the refusal's words, or what went wrong."""
        package_id, resource_id = self.datasets[dataset]
        context: dict[str, Any] = {"user": self.users[user]}
        data: dict[str, Any] = {"resource_id": resource_id}
        if action.endswith(" in a dataset"):
            data = {"resource": {"package_id": package_id}}
        if action == "datastore_search_sql":
            context["table_names"] = [self.datasets["public"][1], resource_id]
        model.Session.remove()
        try:
            tk.check_access(action.split()[0], context, data)
        except tk.NotAuthorized as refusal:
            return str(refusal)
        except tk.ObjectNotFound:
            return "not found"
        finally:
            model.Session.remove()
        return True


OTHER_SETTINGS = {"create_unowned_dataset": False, "allow_dataset_collaborators": False}


def all_answers(world: World, actions: Iterable[str]) -> dict[tuple[str, str, str], Any]:
    return {cell: world.answer(*cell) for cell in itertools.product(ROLES, DATASETS, actions)}


@pytest.mark.ckan_config("ckan.auth.allow_dataset_collaborators", True)
def test_the_answers_are_those_of_stock_ckan(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World()
    ttl, redis_url = f"{config.PREFIX}authorization.cache_ttl", f"{config.PREFIX}redis_url"
    in_redis = os.environ["DEVSTACK_REDIS_URL"]
    for settings, actions, places in (
        ({}, ACTIONS, ("", in_redis)),
        (OTHER_SETTINGS, ("datastore_search", "datastore_upsert"), (in_redis,)),
    ):
        with monkeypatch.context() as site:
            for name, value in settings.items():
                site.setitem(tk.config, f"ckan.auth.{name}", value)
            site.setitem(tk.config, ttl, 3600.0)
            expected = stock_answers(world, actions)
            assert {True, "not found"} < set(expected.values())
            for url in places:
                site.setitem(tk.config, redis_url, url)
                for _ in ("decided", "remembered"):
                    found = all_answers(world, actions)
                    assert {cell for cell in expected if found[cell] != expected[cell]} == set()


def stock_answers(world: World, actions: Iterable[str]) -> dict[tuple[str, str, str], Any]:
    names = {action.split()[0] for action in ACTIONS}
    assert names <= set(authz.auth_functions_list())
    functions = authz._AuthFunctions._functions
    before = dict(functions)
    functions.update({name: getattr(stock, name) for name in names})
    try:
        return all_answers(world, actions)
    finally:
        functions.update(before)
