"""What one process changes, another knows at its next request, where both share a Redis."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import ckantoolkit as tk
import pytest

from ckanext.bqdatastore import config

from .permissions import CAUSES, GRANTS, Situation, private, run

INI = Path(__file__).parents[3] / "test.ini"
SHARING = {
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


def test_without_redis_the_other_process_follows_when_its_time_is_up(
    start: Callable[[str], Other],
) -> None:
    begin, change = CAUSES["dataset made private"]
    here = begin()
    other = start("")
    assert other.ask(here)[0] == "yes"
    change(here)
    assert other.ask(here) == ("yes", 0)
