"""Sends the same requests to CKAN on the stock PostgreSQL backend and on ours, and compares.

Both run in this process, on one CKAN: only the active backend changes. What CKAN itself keeps (the
dataset, the resource, users) is the same for both.
"""

from __future__ import annotations

import dataclasses
import decimal
import json
import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import ckantoolkit as tk
from ckan import plugins
from ckanext.datastore.backend import DatastoreBackend

from ckanext.bqdatastore import config
from ckanext.bqdatastore.model.types import EXACT

STOCK, OURS = "stock", "ours"


@dataclasses.dataclass(frozen=True)
class Answer:
    """What a client gets.

    :param body: `result` of a success, `error` of a failure, as JSON with exact numbers
    """

    status: int
    body: Any

    @property
    def error_keys(self) -> set[str]:
        return set(self.body) if isinstance(self.body, dict) else set()


@contextmanager
def active(backend: str) -> Iterator[None]:
    """Make one of the two the active backend, then what was active before."""
    names = ("ckan.datastore.write_url", "ckan.datastore.read_url")
    before = {name: tk.config[name] for name in names}
    urls = before
    if backend == STOCK:
        urls = {
            names[0]: os.environ["DEVSTACK_STOCK_WRITE_URL"],
            names[1]: os.environ["DEVSTACK_STOCK_READ_URL"],
        }
    _activate(urls)
    try:
        yield
    finally:
        _activate(before)


def _activate(urls: Mapping[str, str]) -> None:
    tk.config.update(urls)
    DatastoreBackend.register_backends()
    DatastoreBackend.set_active_backend(tk.config)
    backend = DatastoreBackend.get_active_backend()
    backend.configure(tk.config)
    plugins.get_plugin("datastore").backend = backend


class Client:
    """Calls actions over HTTP as one user.

    :param app: CKAN's test client
    """

    def __init__(self, app: Any, token: str | None = None) -> None:
        self._app = app
        self._headers = {"Authorization": token} if token else {}

    def call(self, action: str, data: Any) -> Answer:
        request = data if isinstance(data, str) else json.dumps(data)
        try:
            response = self._app.post(
                f"/api/action/{action}",
                data=request,
                headers={**self._headers, "Content-Type": "application/json"},
            )
        except Exception as error:  # a client would see status 500; in tests CKAN lets it out
            return Answer(500, repr(error))
        try:
            body = json.loads(response.body, parse_float=decimal.Decimal)
        except ValueError:
            return Answer(response.status_code, response.body)
        if not isinstance(body, dict):
            return Answer(response.status_code, body)
        return Answer(
            response.status_code, body.get("result") if body["success"] else body["error"]
        )


def both(
    client: Client, resource_id: str, steps: Sequence[Mapping[str, Any]]
) -> tuple[list[Answer], list[Answer]]:
    """What stock and ours answer to the same requests; on both sides the table is new to them.

    Ours keeps its answers and is asked each twice: what it kept must be what it said.

    :param steps: each a request: an action without its `datastore_`, and its data
    """
    with active(STOCK):
        stock = _answers(client, resource_id, steps)
        client.call("datastore_delete", {"resource_id": resource_id, "force": True})
    with _keeping_answers():
        return stock, _answers(client, resource_id, steps, twice=("search", "search_sql"))


@contextmanager
def _keeping_answers() -> Iterator[None]:
    name = f"{config.PREFIX}cache.results_ttl"
    before = tk.config[name]
    tk.config[name] = 3600.0
    try:
        yield
    finally:
        tk.config[name] = before


def _answers(
    client: Client,
    resource_id: str,
    steps: Sequence[Mapping[str, Any]],
    twice: Collection[str] = (),
) -> list[Answer]:
    answers = []
    for step in steps:
        ((action, data),) = step.items()
        if isinstance(data, dict) and "sql" in data:
            data = {**data, "sql": data["sql"].replace("{table}", f'"{resource_id}"')}
        elif isinstance(data, dict):
            data = {"resource_id": resource_id, **data}
            if action in ("create", "upsert", "delete", "records_delete"):
                data.setdefault("force", True)
        answer = client.call(f"datastore_{action}", data)
        if action in twice:
            again = client.call(f"datastore_{action}", data)
            if differences(answer, again):
                # Stock has no such status, so this is told whichever of the two is right.
                answer = Answer(0, {"first": answer, "again": again})
        answers.append(answer)
    return answers


def normal(value: Any) -> Any:
    """JSON with numbers by value: 1, 1.0 and 1.00 are one."""
    if isinstance(value, dict):
        return {key: normal(each) for key, each in value.items()}
    if isinstance(value, list):
        return [normal(each) for each in value]
    if isinstance(value, (int, decimal.Decimal)) and not isinstance(value, bool):
        return decimal.Decimal(value).normalize(EXACT)
    return value


def differences(stock: Answer, ours: Answer) -> list[str]:
    """What a client could tell apart; empty where nothing."""
    if stock.status != ours.status:
        return [f"status {stock.status} != {ours.status}: {stock.body!r} != {ours.body!r}"]
    if stock.status != 200:
        # `info` is where either backend explains further; its words are its own.
        missing = stock.error_keys - ours.error_keys - {"info"}
        extra = ours.error_keys - stock.error_keys - {"info"}
        if missing or extra:
            return [f"error keys {stock.body!r} != {ours.body!r}"]
        return []
    left, right = normal(stock.body), normal(ours.body)
    if left == right:
        return []
    if isinstance(left, dict) and isinstance(right, dict):
        return [
            f"{key}: {left.get(key, '(none)')!r} != {right.get(key, '(none)')!r}"
            for key in [*left, *(set(right) - set(left))]
            if left.get(key) != right.get(key) or (key in left) != (key in right)
        ]
    return [f"{left!r} != {right!r}"]
