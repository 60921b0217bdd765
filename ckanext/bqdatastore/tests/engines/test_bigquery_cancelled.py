"""A query job whose client has gone is cancelled.

The emulator has finished every job before its start is answered. So this is a stand-in for BigQuery
whose jobs run for as long as the test says.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import sqlglot.expressions as sge

from ckanext.bqdatastore.engines.base import EngineSettings
from ckanext.bqdatastore.engines.bigquery import jobs
from ckanext.bqdatastore.engines.bigquery.engine import BigQueryEngine
from ckanext.bqdatastore.model.errors import QueryCancelled, QueryTimeout
from ckanext.bqdatastore.model.query import Query

ONE = Query(sge.select("1"))


class SlowBigQuery:
    """Jobs that are done when they have been asked after so many times; -1 for never."""

    def __init__(self) -> None:
        self.asks_until_done = -1
        self.started: list[str] = []
        self.cancelled: list[str] = []
        slow = self

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, format: str, *args: Any) -> None:
                pass

            def answer(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                content = json.dumps(slow.answer(self.command, self.path, body)).encode()
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            do_GET = do_POST = answer

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)

    def answer(self, method: str, path: str, body: bytes) -> dict[str, Any]:
        parts = path.split("?")[0].split("/")
        if method == "POST" and parts[-1] == "jobs":
            job = json.loads(body)["jobReference"]["jobId"]
            self.started.append(job)
            return self.job(job, "RUNNING")
        if parts[-1] == "cancel":
            self.cancelled.append(parts[-2])
            return {"job": self.job(parts[-2], "DONE")}
        done = self.asks_until_done == 0
        if parts[-2] == "jobs":
            return self.job(parts[-1], "DONE" if done else "RUNNING")
        self.asks_until_done -= 1
        answer = {"jobReference": self.reference(parts[-1]), "jobComplete": done}
        if done:
            schema = {"fields": [{"name": "a", "type": "INTEGER", "mode": "NULLABLE"}]}
            answer |= {"schema": schema, "totalRows": "1", "rows": [{"f": [{"v": "1"}]}]}
        return answer

    def job(self, job: str, state: str) -> dict[str, Any]:
        return {
            "jobReference": self.reference(job),
            "status": {"state": state},
            "configuration": {"jobType": "QUERY", "query": {"query": "SELECT 1"}},
            "statistics": {"query": {"statementType": "SELECT"}},
        }

    def reference(self, job: str) -> dict[str, str]:
        return {"projectId": "project", "jobId": job, "location": "EU"}


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> Iterator[SlowBigQuery]:
    monkeypatch.setattr(jobs, "_SECONDS_BETWEEN_LOOKS", 0.2)
    made = SlowBigQuery()
    thread = threading.Thread(target=made.server.serve_forever)
    thread.start()
    yield made
    made.server.shutdown()
    thread.join()
    made.server.server_close()


@pytest.fixture
def slow_engine(slow: SlowBigQuery) -> Iterator[BigQueryEngine]:
    url = f"bigquery://project/dataset?location=EU&endpoint=http://127.0.0.1:{slow.server.server_port}"
    with closing(BigQueryEngine(EngineSettings(url, url, Path()))) as engine:
        yield engine


def test_the_job_of_a_client_that_has_gone_is_cancelled(
    slow: SlowBigQuery, slow_engine: BigQueryEngine
) -> None:
    looks = iter([False, False, True])
    with pytest.raises(QueryCancelled):
        slow_engine.query(ONE, None, lambda: next(looks))
    assert slow.cancelled == slow.started
    assert len(slow.started) == 1


def test_the_job_of_a_client_that_waits_is_waited_for(
    slow: SlowBigQuery, slow_engine: BigQueryEngine
) -> None:
    slow.asks_until_done = 5
    assert slow_engine.query(ONE, None, lambda: False).read_all().to_pylist() == [{"a": 1}]
    assert slow.cancelled == []


@pytest.mark.parametrize("waits", [True, False])
def test_a_job_that_runs_out_of_time_is_cancelled(
    slow: SlowBigQuery, slow_engine: BigQueryEngine, waits: bool
) -> None:
    with pytest.raises(QueryTimeout):
        slow_engine.query(ONE, 1.0, (lambda: False) if waits else None)
    assert slow.cancelled == slow.started
