"""What one process changes, another knows at its next request, where both share a Redis."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import ckantoolkit as tk
import pytest
import sqlalchemy as sa
from ckan import model

from ckanext.bqdatastore import config

from .permissions import CAUSES, GRANTS, Situation, ask, new_user, private, public, run

INI = Path(__file__).parents[3] / "test.ini"
SHARING: dict[str, Any] = {
    f"{config.PREFIX}authorization.cache_ttl": 3600,
    "ckan.auth.allow_dataset_collaborators": True,
}

pytestmark = [
    pytest.mark.usefixtures("with_plugins", "non_clean_db"),
    pytest.mark.ckan_config("ckan.auth.allow_dataset_collaborators", True),
]


class Other:
    """Another process of the site."""

    def __init__(self, settings: dict[str, Any]) -> None:
        self._process = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "ckanext.bqdatastore.tests.permission_process",
                str(INI),
                json.dumps(settings),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._read()[0] == "ready"

    def ask(self, here: Situation) -> tuple[str, int]:
        """The answer, and how many statements it took beside looking up the user."""
        return self._ask("permission", here.user, here.action, here.resource)

    def search(self, token: str, resource_id: str, later: int = 0) -> int:
        """The status of a search over HTTP.

        :param later: seconds by which the process takes it to be later
        """
        return self._ask("search", token, resource_id, later)[0]

    def authorize(self, here: Situation) -> bool:
        """What the action says that is there for others to ask."""
        return bool(self._ask("authorize", here.user, here.resource)[0])

    def hide(self, here: Situation) -> None:
        self._ask("hide", here.dataset)

    def _ask(self, *question: str | int) -> tuple[Any, int]:
        assert self._process.stdin is not None
        print(json.dumps(question), file=self._process.stdin, flush=True)
        return self._read()

    def end(self) -> None:
        self._process.communicate(timeout=30)

    def _read(self) -> tuple[Any, int]:
        assert self._process.stdout is not None
        answer, sent = json.loads(self._process.stdout.readline())
        return answer, sent


@pytest.fixture(scope="module")
def start() -> Iterator[Callable[[str], Other]]:
    """Other processes by the Redis they use, each started once."""
    started: dict[str, Other] = {}

    def get(redis_url: str) -> Other:
        if redis_url not in started:
            started[redis_url] = Other({**SHARING, f"{config.PREFIX}redis_url": redis_url})
        return started[redis_url]

    yield get
    for each in started.values():
        each.end()


@pytest.mark.parametrize("backend", ["ours", "stock"])
def test_what_a_process_changes_itself_it_knows_whatever_its_backend(backend: str) -> None:
    """The plugin may be enabled before the URLs are changed."""
    settings = dict(SHARING)
    if backend == "stock":
        settings["ckan.datastore.write_url"] = os.environ["DEVSTACK_STOCK_WRITE_URL"]
        settings["ckan.datastore.read_url"] = os.environ["DEVSTACK_STOCK_READ_URL"]
    here = public(new_user())
    other = Other(settings)
    assert [other.authorize(here) for _ in range(2)] == [True, True]
    other.hide(here)
    assert other.authorize(here) is False
    other.end()


@pytest.mark.parametrize("cause", CAUSES)
def test_access_is_gone_in_the_other_process(
    cause: str, start: Callable[[str], Other], monkeypatch: pytest.MonkeyPatch
) -> None:
    url = os.environ["DEVSTACK_REDIS_URL"]
    monkeypatch.setitem(tk.config, f"{config.PREFIX}redis_url", url)
    begin, change = CAUSES[cause]
    here = begin()
    other = start(url)
    assert other.ask(here)[0] == "yes"
    if cause != "user no longer sysadmin":  # to whom CKAN says yes at once
        assert other.ask(here) == ("yes", 0)
    change(here)
    assert other.ask(here)[0] != "yes"


@pytest.mark.parametrize("grant", GRANTS)
def test_access_is_given_in_the_other_process(
    grant: str, start: Callable[[str], Other], monkeypatch: pytest.MonkeyPatch
) -> None:
    url = os.environ["DEVSTACK_REDIS_URL"]
    monkeypatch.setitem(tk.config, f"{config.PREFIX}redis_url", url)
    begin, change = GRANTS[grant]
    here = begin()
    other = start(url)
    assert other.ask(here)[0] != "yes"
    assert other.ask(here)[1] == 0
    change(here)
    assert other.ask(here)[0] == "yes"


@pytest.fixture(params=["sharing Redis", "apart"])
def other(request: pytest.FixtureRequest, start: Callable[[str], Other]) -> Other:
    """A token ends everywhere at once, with Redis or without it."""
    return start(os.environ["DEVSTACK_REDIS_URL"] if request.param == "sharing Redis" else "")


@pytest.fixture
def here() -> Situation:
    """A private table."""
    made = private()
    fields = [{"id": "n", "type": "int4"}]
    run("datastore_create", resource_id=made.resource, force=True, fields=fields)
    return made


def test_a_token_that_is_revoked_opens_nothing_in_the_other_process(
    other: Other, here: Situation
) -> None:
    token = run("api_token_create", user=here.user, name="a token")["token"]
    assert [other.search(token, here.resource) for _ in range(2)] == [200, 200]
    run("api_token_revoke", token=token)
    assert other.search(token, here.resource) == 403


@pytest.mark.ckan_config("ckan.plugins", "datastore bqdatastore expire_api_token")
def test_a_token_that_expires_opens_nothing_in_the_other_process(
    other: Other, here: Situation
) -> None:
    made = run("api_token_create", user=here.user, name="short", expires_in=1, unit=3600)
    assert [other.search(made["token"], here.resource) for _ in range(2)] == [200, 200]
    assert other.search(made["token"], here.resource, later=3601) == 403


def test_a_resource_that_is_deleted_is_not_there_in_the_other_process(
    other: Other, here: Situation
) -> None:
    """CKAN's permissions do not ask whether a resource is deleted, but its table goes with it."""
    token = run("api_token_create", user=here.user, name="a token")["token"]
    assert [other.search(token, here.resource) for _ in range(2)] == [200, 200]
    run("resource_delete", id=here.resource)
    assert other.search(token, here.resource) == 404


def _changing(here: Situation, private: bool) -> None:
    package = model.Package.get(here.dataset)
    assert package is not None
    package.private = private


def _commit(here: Situation, private: bool) -> None:
    _changing(here, private)
    model.Session.commit()


def _by_savepoints(here: Situation, private: bool) -> None:
    with model.Session.begin_nested():
        _changing(here, private)
    undone = model.Session.begin_nested()
    _changing(here, not private)
    undone.rollback()
    model.Session.commit()


def _after_a_rollback(here: Situation, private: bool) -> None:
    _changing(here, not private)
    model.Session.flush()
    model.Session.rollback()
    _commit(here, private)


def _by_the_engine(here: Situation, private: bool) -> None:
    table = model.package_table
    with model.meta.engine.begin() as connection:
        connection.execute(
            sa.update(table).where(table.c.id == here.dataset).values(private=private)
        )


def _by_mappings(here: Situation, private: bool) -> None:
    model.Session.bulk_update_mappings(
        sa.inspect(model.Package), [{"id": here.dataset, "private": private}]
    )
    model.Session.commit()


CHANGES = (_commit, _by_savepoints, _after_a_rollback, _by_the_engine, _by_mappings)


class Reader(threading.Thread):
    """Asks one process again and again, and notes when it asked and what it was told."""

    def __init__(self, ask: Callable[[], str]) -> None:
        super().__init__(daemon=True)
        self._ask = ask
        self._ended = threading.Event()
        self.told: list[tuple[float, float, str]] = []

    def run(self) -> None:
        while not self._ended.is_set():
            began = time.monotonic()
            answer = self._ask()
            self.told.append((began, time.monotonic(), answer))

    def end(self) -> None:
        self._ended.set()
        self.join(timeout=30)

    def wait_for_answers(self, number: int = 3) -> None:
        expected = len(self.told) + number
        while self.is_alive() and len(self.told) < expected:
            time.sleep(0.001)


def test_while_others_read_no_allow_comes_after_its_revocation_has_returned(
    start: Callable[[str], Other], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A reader in each of two processes, and one in the process that makes the changes."""
    url = os.environ["DEVSTACK_REDIS_URL"]
    for name, value in {**SHARING, f"{config.PREFIX}redis_url": url}.items():
        monkeypatch.setitem(tk.config, name, value)
    here = public(new_user())
    others = [start(url), Other({**SHARING, f"{config.PREFIX}redis_url": url})]
    asks: list[Callable[[], str]] = [lambda each=each: each.ask(here)[0] for each in others]  # type: ignore[misc]
    asks.append(lambda: ask(here.user, here.action, here.resource))
    readers = [Reader(each) for each in asks]
    for reader in readers:
        reader.start()
    closed: list[tuple[float, float]] = []
    for change in CHANGES * 3:
        change(here, True)
        returned = time.monotonic()
        for reader in readers:
            reader.wait_for_answers()
        closed.append((returned, time.monotonic()))
        change(here, False)
        for reader in readers:
            reader.wait_for_answers()
        model.Session.remove()
    for reader in readers:
        reader.end()
    others[1].end()
    within = [
        answer
        for reader in readers
        for began, ended, answer in reader.told
        if any(returned <= began and ended <= opened for returned, opened in closed)
    ]
    assert len(within) >= 2 * len(closed) * len(readers)
    assert set(within) == {"no"}
    assert all("yes" in {answer for *_, answer in reader.told} for reader in readers)


def test_without_redis_the_other_process_follows_when_its_time_is_up(
    start: Callable[[str], Other],
) -> None:
    begin, change = CAUSES["dataset made private"]
    here = begin()
    other = start("")
    assert other.ask(here)[0] == "yes"
    change(here)
    assert other.ask(here) == ("yes", 0)
