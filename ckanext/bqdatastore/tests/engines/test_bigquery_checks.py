"""What an administrator's checks of BigQuery say; the emulator itself refuses nobody anything."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator
from typing import Any

import pytest
from google.api_core.exceptions import Forbidden

from ckanext.bqdatastore.engines.base import Engine, EngineSettings
from ckanext.bqdatastore.engines.bigquery.connection import Connection
from ckanext.bqdatastore.engines.bigquery.engine import BigQueryEngine
from ckanext.bqdatastore.model.errors import DatastoreFault

ENGINE_KINDS = ("bigquery",)


def _problems(engine: Engine) -> dict[str, str]:
    found = {}
    for check in engine.checks():
        try:
            check.run()
        except DatastoreFault as fault:
            found[check.subject] = str(fault)
    return found


@pytest.fixture
def changed(settings: EngineSettings) -> Iterator[Any]:
    made: list[Engine] = []

    def make(pattern: str, new: str) -> Engine:
        urls = (re.sub(pattern, new, url) for url in (settings.write_url, settings.read_url))
        write_url, read_url = urls
        made.append(
            BigQueryEngine(dataclasses.replace(settings, write_url=write_url, read_url=read_url))
        )
        return made[-1]

    yield make
    for each in made:
        each.close()


READS_ONLY = "read URL: its account cannot write"


def test_an_account_that_may_do_all_is_one_too_many(engine: Engine) -> None:
    problems = _problems(engine)
    assert list(problems) == [READS_ONLY]
    assert "roles/bigquery.dataViewer" in problems[READS_ONLY]
    assert engine.tables() == []


def test_each_side_has_its_checks(engine: Engine) -> None:
    sides = [check.subject.split(":")[0] for check in engine.checks()]
    assert sides == ["write URL"] * 5 + ["read URL"] * 5


def test_no_dataset(changed: Any) -> None:
    problems = _problems(changed(r"/test_\w+\?", "/nothing?"))
    for side in ("write", "read"):
        problem = problems[f"{side} URL: the dataset is there, and where the URL says"]
        assert "there is no dataset nothing" in problem
        assert "bq mk --location=EU" in problem


def test_another_location(changed: Any) -> None:
    problems = _problems(changed("location=EU", "location=US"))
    assert (
        "the dataset is in EU"
        in problems["write URL: the dataset is there, and where the URL says"]
    )


def test_no_key_file(changed: Any) -> None:
    problems = _problems(changed("endpoint=http:.*", "credentials=/nowhere/key.json"))
    assert "key.json is not the key file" in problems["write URL: there are credentials"]
    assert "key.json is not the key file" in problems["read URL: there are credentials"]


def test_permissions_that_are_missing_are_named(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As BigQuery says it."""
    make = Connection.client

    class Refusing:
        def __init__(self, client: Any) -> None:
            self._client = client

        def __getattr__(self, name: str) -> Any:
            return getattr(self._client, name)

        def create_table(self, *arguments: Any, **named: Any) -> Any:
            raise Forbidden("Access Denied: Permission bigquery.tables.create denied on dataset x")

        def query(self, *arguments: Any, **named: Any) -> Any:
            raise Forbidden("Access Denied: User does not have bigquery.jobs.create permission")

    monkeypatch.setattr(Connection, "client", lambda self: Refusing(make(self)))
    problems = _problems(engine)
    assert {subject: text.rpartition(": ")[2] for subject, text in problems.items()} == {
        "write URL: its account may run queries": "bigquery.jobs.create is missing.",
        "write URL: its account may make and remove tables": "bigquery.tables.create is missing.",
        "read URL: its account may run queries": "bigquery.jobs.create is missing.",
    }
