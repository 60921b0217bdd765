"""Whole requests: what they ask of CKAN's database, tokens that end, and a Redis that dies."""

from __future__ import annotations

import dataclasses
import datetime
import json
import os
import re
import uuid
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from http.client import HTTPConnection
from typing import Any

import ckantoolkit as tk
import pytest
import redis
import sqlalchemy as sa
from ckan import model
from ckan.tests import factories
from freezegun import freeze_time
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

from ckanext.bqdatastore import config
from ckanext.bqdatastore.authorization import decisions, store
from ckanext.bqdatastore.cache import Cache, MemoryStore, RedisStore
from devstack.process import Service

from .caches import Clock
from .permissions import (
    READ,
    WRITE,
    Situation,
    ask,
    hide,
    new_user,
    private,
    public,
    run,
    statements,
)

TTL = f"{config.PREFIX}authorization.cache_ttl"
FIELDS = [{"id": "n", "type": "int4"}]
REDIS = f"{config.PREFIX}redis_url"

pytestmark = pytest.mark.usefixtures("with_plugins", "non_clean_db")


@dataclasses.dataclass(frozen=True)
class Site:
    """A private table, and a member who may read it."""

    app: Any
    here: Situation
    token: str

    def call(self, action: str, **data: Any) -> tuple[int, list[str]]:
        """The status, and what it took of CKAN's database."""
        model.Session.remove()  # a request begins with a session of its own
        with statements() as sent:
            response = self.app.post(
                f"/api/action/{action}",
                data=json.dumps(data),
                headers={"Authorization": self.token, "Content-Type": "application/json"},
            )
        return response.status_code, sent

    def search(self) -> int:
        return self.call(READ, resource_id=self.here.resource)[0]


@pytest.fixture
def site(app: Any) -> Site:
    here = private()
    token = factories.APIToken(user=here.user)["token"]
    run(
        "datastore_create",
        resource_id=here.resource,
        force=True,
        fields=FIELDS,
        records=[{"n": 1}],
    )
    return Site(app, here, token)


@pytest.mark.parametrize("in_redis", [False, True])
def test_a_repeated_search_takes_no_more_than_to_identify_the_user(
    site: Site, in_redis: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(tk.config, TTL, 3600.0)
    monkeypatch.setitem(tk.config, REDIS, os.environ["DEVSTACK_REDIS_URL"] if in_redis else "")
    assert site.search() == 200
    status, searched = site.call(READ, resource_id=site.here.resource)
    assert status == 200
    # The settings that an administrator may have changed, the token, its last use and its user.
    assert [re.findall(r'(?:FROM|UPDATE) "?(\w+)', each) for each in searched] == [
        ["system_info"],
        ["api_token"],
        ["api_token"],
        ["user"],
    ]
    # An action that asks for nothing but the caller.
    _, identified = site.call("help_show", name="status_show")
    assert [each.split(" FROM ")[-1] for each in searched] == [
        each.split(" FROM ")[-1] for each in identified
    ]
    monkeypatch.setitem(tk.config, TTL, 0.0)
    assert len(site.call(READ, resource_id=site.here.resource)[1]) >= len(searched) + 5


def test_a_token_that_is_revoked_opens_nothing(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(tk.config, TTL, 3600.0)
    assert [site.search(), site.search()] == [200, 200]
    run("api_token_revoke", token=site.token)
    assert site.search() == 403


@pytest.mark.ckan_config("ckan.plugins", "datastore bqdatastore expire_api_token")
def test_a_token_that_expires_opens_nothing(app: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(tk.config, TTL, 1e6)
    here = private()
    token = run("api_token_create", user=here.user, name="short", expires_in=1, unit=60)["token"]
    run("datastore_create", resource_id=here.resource, force=True, fields=FIELDS)
    site = Site(app, here, token)
    assert [site.search(), site.search()] == [200, 200]
    with freeze_time(datetime.timedelta(minutes=2) + datetime.datetime.now(datetime.timezone.utc)):
        assert site.search() == 403


def test_a_resource_that_is_deleted_is_not_there(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(tk.config, TTL, 3600.0)
    assert [site.search(), site.search()] == [200, 200]
    run("resource_delete", id=site.here.resource)
    assert site.search() == 404


def test_a_user_who_is_deleted_reads_nothing(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(tk.config, TTL, 3600.0)
    assert [site.search(), site.search()] == [200, 200]
    run("user_delete", id=site.here.user)
    assert site.search() == 403


# A Redis that dies


@dataclasses.dataclass(frozen=True)
class Call:
    """A request over HTTP, and the status that is right."""

    action: str
    data: dict[str, Any]
    token: str
    status: int

    def fault(self, address: tuple[str, int]) -> str:
        """Send it, and say what is wrong with the answer; empty if nothing is."""
        with closing(HTTPConnection(*address, timeout=60)) as connection:
            headers = {"Content-Type": "application/json"}
            if self.token:
                headers["Authorization"] = self.token
            connection.request("POST", f"/api/action/{self.action}", json.dumps(self.data), headers)
            answer = connection.getresponse()
            told = answer.read()
        if answer.status == self.status == 200:
            records = [{"_id": 1, "n": 1}]
            return "" if json.loads(told)["result"]["records"] == records else f"{self}: {told!r}"
        return "" if answer.status == self.status else f"{self}: {answer.status}"


def calls(tables: Mapping[str, Mapping[str, bool]]) -> list[Call]:
    """Each reader's searches of each table, by fields and by SQL, and a write.

    :param tables: ids with whether each token (empty for anonymous) may read there
    """
    return [
        Call(action, data, token, status)
        for id, readers in tables.items()
        for token, may_read in readers.items()
        for action, data, status in (
            (READ, {"resource_id": id}, 200 if may_read else 403),
            (f"{READ}_sql", {"sql": f'SELECT _id, n FROM "{id}"'}, 200 if may_read else 403),
            (WRITE, {"resource_id": id, "records": [{"n": 2}], "method": "insert"}, 403),
        )
    ]


def test_redis_is_killed_in_the_middle_of_a_thousand_requests(
    site: Site,
    valkey: tuple[str, Service],
    address: tuple[str, int],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    url, service = valkey
    monkeypatch.setitem(tk.config, REDIS, url)
    monkeypatch.setitem(tk.config, TTL, 3600.0)
    stranger, open_to_all = factories.UserWithToken()["token"], public()
    records = [{"n": 1}]
    run(
        "datastore_create",
        resource_id=open_to_all.resource,
        force=True,
        fields=FIELDS,
        records=records,
    )
    hidden = {site.token: True, stranger: False, "": False}
    before = calls({site.here.resource: hidden, open_to_all.resource: dict.fromkeys(hidden, True)})
    after = calls({site.here.resource: hidden, open_to_all.resource: dict.fromkeys(hidden, False)})

    def faults(requests: list[Call], first: int, last: int, kill_at: int = -1) -> list[str]:
        def send(number: int) -> str:
            if number == kill_at:  # while others are under way
                service.process.kill()
            return requests[number % len(requests)].fault(address)

        with ThreadPoolExecutor(4) as clients:
            return [fault for fault in clients.map(send, range(first, last)) if fault]

    assert faults(before, 0, 100) == []
    assert redis.Redis.from_url(url).dbsize()
    assert faults(before, 100, 750, kill_at=500) == []
    assert any("Redis does not answer" in told for told in caplog.messages)
    hide(open_to_all)
    assert faults(after, 750, 1000) == []


# Any interleaving, on CKAN's own database


class Interleavings(RuleBasedStateMachine):
    """Grants, revocations and reads by several users, in this process and in another."""

    shared: bool

    @initialize()
    def begin(self) -> None:
        self.clock = Clock()
        namespace = f"test:{uuid.uuid4()}"
        self.caches = [self.make_cache(namespace) for _ in range(2)]
        self.here = private()
        run("organization_member_delete", id=self.here.organization, username=self.here.user)
        self.users = ["", self.here.user, new_user()]
        # When each user was last allowed, as CKAN's database had it.
        self.last_allowed = dict.fromkeys(self.users, -1e9)

    def make_cache(self, namespace: str) -> Cache:
        if self.shared:
            url = os.environ["DEVSTACK_REDIS_URL"]
            return Cache(RedisStore(url, namespace, self.clock), self.clock)
        return Cache(MemoryStore(100_000, self.clock), self.clock)

    def act_in(self, process: int) -> None:
        """Let this process have the cache of one of the two."""
        cache = self.caches[process]
        decisions.decisions = lambda: cache  # type: ignore[assignment]
        store._all = lambda: [cache]  # type: ignore[assignment]

    def right_answer(self, user: str) -> bool:
        package = model.Package.get(self.here.dataset)
        assert package is not None
        if package.state == "active" and not package.private:
            return True
        organizations = tk.get_action("organization_list_for_user")(
            {"user": user}, {"permission": "read"}
        )
        return bool(user) and package.owner_org in {each["id"] for each in organizations}

    def note(self) -> None:
        model.Session.remove()
        for user in self.users:
            if self.right_answer(user):
                self.last_allowed[user] = self.clock.now
        model.Session.remove()

    @rule(seconds=st.floats(0.5, 12))
    def time_passes(self, seconds: float) -> None:
        self.note()
        self.clock.now += seconds
        self.note()

    @rule(process=st.integers(0, 1), private=st.booleans(), by=st.sampled_from(["object", "SQL"]))
    def make_private_or_public(self, process: int, private: bool, by: str) -> None:
        self.note()
        self.act_in(process)
        if by == "object":
            package = model.Package.get(self.here.dataset)
            assert package is not None
            package.private = private
            model.Session.commit()
            return
        with model.meta.engine.begin() as connection:
            connection.execute(
                sa.text("UPDATE package SET private = :private WHERE id = :id"),
                {"private": private, "id": self.here.dataset},
            )

    @rule(process=st.integers(0, 1), who=st.integers(1, 2), role=st.sampled_from(["member", ""]))
    def let_in_or_out(self, process: int, who: int, role: str) -> None:
        self.note()
        self.act_in(process)
        data = {"id": self.here.organization, "username": self.users[who]}
        if role:
            run("organization_member_create", **data, role=role)
        else:
            run("organization_member_delete", **data)

    @rule(process=st.integers(0, 1))
    def begin_a_change_and_give_it_up(self, process: int) -> None:
        self.act_in(process)
        package = model.Package.get(self.here.dataset)
        assert package is not None
        package.private = not package.private
        model.Session.flush()
        model.Session.rollback()

    @rule(process=st.integers(0, 1), who=st.integers(0, 2))
    def read(self, process: int, who: int) -> None:
        self.act_in(process)
        user = self.users[who]
        self.note()
        answer = ask(user, READ, self.here.resource)
        if answer == "yes":
            age = self.clock.now - self.last_allowed[user]
            assert age < (1e-6 if self.shared else 10)


@pytest.mark.parametrize("shared", [True, False], ids=["sharing Redis", "apart"])
def test_no_allow_outlives_its_revocation(shared: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(tk.config, TTL, 10.0)
    monkeypatch.setattr(decisions, "decisions", decisions.decisions)  # put back at the end
    monkeypatch.setattr(store, "_all", store._all)
    machine = type("Machine", (Interleavings,), {"shared": shared})
    run_state_machine_as_test(  # type: ignore[no-untyped-call]
        machine,
        settings=settings(
            max_examples=15,
            stateful_step_count=20,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
