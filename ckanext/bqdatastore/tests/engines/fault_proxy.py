"""Stands between the client and the BigQuery emulator, and spoils what passes.

It also keeps what the emulator does not: that a job's id is used once, and the labels that a
statement gives to a table. Who starts a job again under its id is told that it is there already, as
BigQuery does.
"""

from __future__ import annotations

import json
import random
import re
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import requests
import sqlglot
import sqlglot.expressions as sge

KINDS = ("429", "500", "503", "dropped", "garbage", "slow")
"""Errors before anything is done; answers lost or spoiled after it was; a late one."""

_SLOW_SECONDS = 0.3
_REASONS = {"429": "rateLimitExceeded", "500": "internalError", "503": "backendError"}
_JOB = re.compile(r"/jobs/([^/?]+)")
_LOOK = re.compile(r"GET .*/(jobs/|queries/[^?]+\?maxResults=0)")


class FaultProxy:
    """A context manager: an address that leads to the emulator.

    :param choose: called for each request; one of `KINDS`, or None to let it pass
    :param dry_run_bytes: what dry runs are told that their query reads; the emulator says nothing
    :ivar asked: how many requests have come, besides those that ask whether a job has ended
    :ivar sent: how many pieces of uploads have passed
    """

    def __init__(
        self, target: str, choose: Callable[[], str | None], dry_run_bytes: int = 0
    ) -> None:
        self._target = target.rstrip("/")
        self._choose = choose
        self._dry_run_bytes = dry_run_bytes
        self._jobs: dict[str, str] = {}
        self._uploads: dict[str, str] = {}
        self.injected: list[str] = []
        self.started: list[str] = []
        self.labels: list[dict[str, str]] = []
        self.statements: list[str] = []
        self.asked = 0
        self.sent = 0
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def answer(self) -> None:
                proxy.answer(self)

            do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = answer

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> FaultProxy:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        body = request.rfile.read(int(request.headers.get("Content-Length") or 0))
        # How often the client looks is a matter of how fast the emulator is.
        self.asked += not _LOOK.match(f"{request.command} {request.path}")
        fault = self._choose()
        if fault is not None:
            self.injected.append(fault)
        if fault in _REASONS:
            _send(request, int(fault), _error(int(fault), _REASONS[fault]))
            return
        status, headers, content = self._passed_on(request, body)
        if fault == "dropped":
            request.close_connection = True
            request.connection.close()
            return
        if fault == "garbage":
            status, headers, content = 200, {}, b"<html>this is no answer"
        if fault == "slow":
            time.sleep(_SLOW_SECONDS)
        _send(request, status, content, headers)

    def _passed_on(
        self, request: BaseHTTPRequestHandler, body: bytes
    ) -> tuple[int, dict[str, str], bytes]:
        path = request.path
        job_id = _started_job(request.command, path, body)
        if job_id is not None:
            if job_id in self._jobs:
                return 409, {}, _error(409, "duplicate")
            if "/upload/" not in path:
                self._jobs[job_id] = job_id
                self.started.append("query")
                configuration = json.loads(body)["configuration"]
                self.labels.append(configuration.get("labels", {}))
                self.statements.append(configuration["query"]["query"])
        known = _JOB.search(path)
        if known and known[1] in self._jobs:
            path = path.replace(known[1], self._jobs[known[1]])
        answer = requests.request(
            request.command,
            self._target + path,
            data=body,
            headers={k: v for k, v in request.headers.items() if k.lower() not in _HOP_BY_HOP},
            timeout=60,
        )
        if request.command == "PUT" and "/upload/" in path:
            self.sent += 1
        # How much of an upload has come.
        headers = {name: answer.headers[name] for name in ("Range",) if name in answer.headers}
        if "Location" in answer.headers:
            # The rest of the upload comes this way too.
            place = answer.headers["Location"]
            headers["Location"] = re.sub(r"^https?://[^/]+", self.url, place)
            if job_id is not None:
                self._uploads[_upload_id(place)] = job_id
        if request.command == "PUT" and "/upload/" in path and answer.status_code == 200:
            # The emulator gives the job an id of its own, and not the one that was asked for.
            mine = self._uploads[_upload_id(path)]
            self._jobs[mine] = answer.json()["jobReference"]["jobId"]
            self.started.append("load")
        if answer.status_code == 200 and job_id is not None and "/upload/" not in path:
            self._label(json.loads(body)["configuration"]["query"]["query"])
        if _is_dry_run(request.command, path, body) and answer.status_code == 200:
            content = answer.json()
            content["statistics"]["query"]["totalBytesProcessed"] = str(self._dry_run_bytes)
            return answer.status_code, headers, json.dumps(content).encode()
        return answer.status_code, headers, answer.content

    def _label(self, statement: str) -> None:
        """Give a table that a statement has put in place the labels that it says."""
        if not statement.startswith("CREATE OR REPLACE TABLE"):
            return
        tree = sqlglot.parse_one(statement, read="bigquery")
        assert isinstance(tree, sge.Create)
        table = tree.this.this
        (option,) = (each for each in tree.args["properties"].expressions if each.name == "labels")
        labels = {
            pair.expressions[0].name: pair.expressions[1].name
            for pair in option.args["value"].expressions
        }
        path = f"projects/{table.catalog}/datasets/{table.db}/tables/{table.name}"
        requests.patch(
            f"{self._target}/bigquery/v2/{path}", json={"labels": labels}, timeout=60
        ).raise_for_status()


_HOP_BY_HOP = frozenset(["host", "connection", "content-length", "accept-encoding"])


def random_faults(share: float, seed: int) -> Callable[[], str | None]:
    """So many of all requests are spoiled, now and then a dozen in a row."""
    dice = random.Random(seed)
    burst = [0]

    def choose() -> str | None:
        if burst[0]:
            burst[0] -= 1
            return dice.choice(KINDS[:-1])
        if dice.random() < share / 20:
            burst[0] = 12
        return dice.choice(KINDS) if dice.random() < share else None

    return choose


def _is_dry_run(method: str, path: str, body: bytes) -> bool:
    if method != "POST" or "/upload/" in path or not re.search(r"/jobs(\?|$)", path):
        return False
    return bool(json.loads(body).get("configuration", {}).get("dryRun"))


def _started_job(method: str, path: str, body: bytes) -> str | None:
    if method != "POST" or not re.search(r"/jobs(\?|$)", path):
        return None
    if _is_dry_run(method, path, body):
        return None
    found: str | None = json.loads(body).get("jobReference", {}).get("jobId")
    return found


def _upload_id(address: str) -> str:
    found = re.search(r"upload_?[iI][dD]=([^&]+)", address)
    assert found, address
    return found[1]


def _error(status: int, reason: str) -> bytes:
    error = {"reason": reason, "message": f"injected {reason}"}
    return json.dumps({"error": {"code": status, "errors": [error], **error}}).encode()


def _send(
    request: BaseHTTPRequestHandler,
    status: int,
    content: bytes,
    headers: dict[str, str] | None = None,
) -> None:
    request.send_response(status)
    for name, value in (headers or {}).items():
        request.send_header(name, value)
    request.send_header("Content-Type", "application/json")
    request.send_header("Content-Length", str(len(content)))
    request.end_headers()
    request.wfile.write(content)
