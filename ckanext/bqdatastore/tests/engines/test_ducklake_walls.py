"""Each of the two walls around SQL of strangers by itself.

The guard's own tests have no engine at all (`tests/query`). Here the same attacks go straight to
the connection that reads, as if there were no guard; and queries that the guard lets through ask
for more than they may have.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

import duckdb
import pytest

from ckanext.bqdatastore.engines.ducklake.engine import DuckLakeEngine
from ckanext.bqdatastore.engines.ducklake.limits import Limits
from ckanext.bqdatastore.tests.query.test_guard_attacks import ATTACKS

from . import greedy_queries, large_answers
from .test_ducklake_connections import connections, filled, lake, places, state

ENGINE_KINDS = ("postgres", "sqlite")

__all__ = ["lake", "places"]

LEFT_TO_THE_GUARD = [
    # One value of 8 GB: DuckDB's memory limit does not count single values, nor can one be
    # interrupted.
    "select generate_series(1, 1000000000)",
]
SECRET = "only the environment knows"
MEGABYTES = 1_500
GREEDY = "ckanext.bqdatastore.tests.engines.greedy_queries"
LARGE = "ckanext.bqdatastore.tests.engines.large_answers"
TOO_LONG = "that the query has put together is too long"
DUCKDBS_OWN = 200
"""MB that DuckDB takes for itself, once, at its first larger query."""


def shown(lake: DuckLakeEngine, sql: str) -> str:
    """What a statement gives on the side that reads, within a second; empty for a refusal."""
    with connections(lake).reader() as cursor:
        cursor.execute("CREATE TEMP VIEW t AS SELECT *, 1 AS i4 FROM lake.main.places")
        try:
            with Limits(cursor, 1.0):
                # DuckDB gives None for a text without a statement.
                return str((cursor.execute(sql) or cursor).fetchmany(1_000))
        except duckdb.Error:
            return ""
        finally:
            with suppress(duckdb.Error):
                cursor.execute("DROP VIEW temp.t")


def test_the_reading_side_alone_withstands_every_attack(
    lake: DuckLakeEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", SECRET)
    monkeypatch.chdir(tmp_path)
    before = state(lake)
    threads = threading.active_count()
    password = connections(lake).read_url.connection.get("password", SECRET)
    answered = 0
    for _, sql in ATTACKS:
        if sql in LEFT_TO_THE_GUARD:
            continue
        # Nothing else than an error of DuckDB's may come of it.
        text = shown(lake, sql)
        answered += bool(text)
        assert "root:" not in text, sql
        assert SECRET not in text, sql
        assert f"password={password}" not in text, sql
    assert 0 < answered < len(ATTACKS)  # harmless ones, such as names of DuckDB's functions
    assert state(lake) == before
    assert list(tmp_path.iterdir()) == []
    assert threading.active_count() <= threads + 2


def test_what_an_attack_needs_is_refused(lake: DuckLakeEngine, tmp_path: Path) -> None:
    for sql in ("SELECT * FROM read_text('/etc/passwd')", "COPY t TO '{outside}/t.csv'"):
        assert shown(lake, filled(lake, sql, tmp_path)) == ""
    assert shown(lake, "SELECT count(*) FROM t") == "[(100,)]"


def run(module: str, folder: Path) -> list[Any]:
    """What a process of its own prints, a JSON text on each line."""
    ran = subprocess.run(
        [sys.executable, "-m", module, str(folder)],
        timeout=300,
        capture_output=True,
        text=True,
        env={**os.environ, "MALLOC_ARENA_MAX": "2"},
    )
    assert ran.returncode == 0, ran.stderr
    return [json.loads(line) for line in ran.stdout.splitlines()]


def kind(end: str) -> str:
    return end.split(":")[0]


def test_large_answers_are_refused_before_they_fill_memory(tmp_path: Path) -> None:
    *ends, most = run(LARGE, tmp_path)
    assert [sql for sql, _ in ends] == [*large_answers.TOO_LARGE, *large_answers.LARGE]
    refused = ends[: len(large_answers.TOO_LARGE)]
    # Some need more than the memory limit before their answer is too large.
    assert {kind(end) for _, end in refused} == {"AnswerTooLarge", "QueryFailed"}
    assert kind(refused[0][1]) == "AnswerTooLarge"
    assert dict(ends[len(refused) :]) == large_answers.LARGE
    assert most < large_answers.MEMORY_LIMIT + 3 * large_answers.MOST + DUCKDBS_OWN


def test_greedy_queries_are_refused_or_stopped_and_the_process_lives(tmp_path: Path) -> None:
    *ends, most = run(GREEDY, tmp_path)
    assert [sql for sql, _ in ends] == [*greedy_queries.QUERIES, *greedy_queries.SHARED]
    greedy, shared = ends[: len(greedy_queries.QUERIES)], ends[len(greedy_queries.QUERIES) :]
    # Each of these faults is a 409 of the API; or the query was none too greedy after all.
    ways = {"QueryFailed", "QueryTimeout", "InvalidRequest", "1 rows, 0 MB"}
    assert {kind(end) for _, end in greedy} <= ways
    assert kind(ends[0][1]) == "QueryFailed"
    assert [each for each in shared if TOO_LONG not in each[1]] == []
    assert most < MEGABYTES
