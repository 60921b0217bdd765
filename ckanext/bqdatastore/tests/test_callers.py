"""Queries of those who have gone are stopped, and nobody has more of them than they may."""

from __future__ import annotations

import json
import os
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from typing import Any

import ckantoolkit as tk
import pytest
import sqlalchemy as sa
from ckan.tests import factories

from ckanext.bqdatastore import backend, callers, config
from ckanext.bqdatastore.locking import QueryPlaces
from ckanext.bqdatastore.model.errors import DatastoreFault, QueryCancelled, TooManyQueries

ENDLESS = """
    SELECT count(*) FROM "{id}" a, "{id}" b, "{id}" c, "{id}" d, "{id}" e, "{id}" f
    WHERE a.n + b.n + c.n + d.n + e.n + f.n < 0
"""


@pytest.fixture
def resource_id() -> str:
    """A public resource with as many rows as make six of them together endless."""
    created = factories.Resource()["id"]
    tk.get_action("datastore_create")(
        {"ignore_auth": True},
        {
            "resource_id": created,
            "force": True,
            "fields": [{"id": "n", "type": "int4"}],
            "records": [{"n": n} for n in range(1_000)],
        },
    )
    return str(created)


def request(sql: str) -> bytes:
    body = json.dumps({"sql": sql}).encode()
    return (
        b"POST /api/action/datastore_search_sql HTTP/1.1\r\nHost: localhost\r\n"
        b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)
    )


class Queries:
    """Notes when an engine's query begins, and the fault by which it ends."""

    def __init__(self, query: Callable[..., Any]) -> None:
        self._query = query
        self.begun = threading.Event()
        self.ended = threading.Event()
        self.fault: DatastoreFault | None = None

    def __call__(self, *args: Any) -> Any:
        self.begun.set()
        try:
            return self._query(*args)
        except DatastoreFault as fault:
            self.fault = fault
            raise
        finally:
            self.ended.set()


@pytest.fixture
def queries(monkeypatch: pytest.MonkeyPatch) -> Queries:
    engine = backend.engine_of_site()
    noted = Queries(engine.query)
    monkeypatch.setattr(engine, "query", noted)
    return noted


@pytest.mark.usefixtures("with_plugins", "clean_tables")
@pytest.mark.ckan_config("ckanext.bqdatastore.statement_timeout", "60")
def test_the_query_of_a_client_that_has_gone_is_stopped(
    address: tuple[str, int], resource_id: str, queries: Queries
) -> None:
    with closing(socket.create_connection(address)) as client:
        client.sendall(request(ENDLESS.replace("{id}", resource_id)))
        assert queries.begun.wait(30)
    assert queries.ended.wait(30)
    assert isinstance(queries.fault, QueryCancelled)


@pytest.mark.usefixtures("with_plugins", "clean_tables")
def test_a_client_that_waits_gets_its_answer(address: tuple[str, int], resource_id: str) -> None:
    with closing(socket.create_connection(address)) as client, client.makefile("rb") as answer:
        client.sendall(request(f'SELECT count(*) FROM "{resource_id}"'))
        assert b" 200 " in answer.readline()
        assert b'"count": 1000' in answer.read()


@pytest.mark.usefixtures("with_plugins", "clean_tables")
@pytest.mark.ckan_config("ckanext.bqdatastore.sql_queries_per_user", "2")
def test_a_user_has_no_more_queries_at_once_than_they_may(app: Any, resource_id: str) -> None:
    tokens = [factories.UserWithToken() for _ in range(2)]
    sql = json.dumps({"sql": f'SELECT count(*) FROM "{resource_id}"'})

    def status(headers: dict[str, str], address: str = "10.0.0.1") -> tuple[int, Any]:
        answer = app.post(
            "/api/action/datastore_search_sql",
            data=sql,
            headers={**headers, "Content-Type": "application/json"},
            environ_overrides={"REMOTE_ADDR": address},
        )
        return answer.status_code, answer.json.get("error")

    # Two of the first user's queries run, in any process of the site.
    database = sa.create_engine(os.environ["CKAN_SQLALCHEMY_URL"])
    elsewhere = QueryPlaces(database, config.site_id(), 2)
    first, second = ({"Authorization": user["token"]} for user in tokens)
    with ExitStack() as stack:
        for _ in range(2):
            stack.enter_context(elsewhere.take(f"user {tokens[0]['name']}"))
        refused, error = status(first)
        assert refused == 409
        assert "You have 2 queries running" in error["query"][0]
        assert status(second) == (200, None)
        assert status({}) == (200, None)
        for _ in range(2):
            stack.enter_context(elsewhere.take("address 10.0.0.1"))
        assert status({})[0] == 409
        assert status({}, "10.0.0.2") == (200, None)
        # Who calls the action from a job or a command is not counted.
        context = {"user": tokens[0]["name"]}
        tk.get_action("datastore_search_sql")(context, json.loads(sql))
    assert status(first) == (200, None)
    database.dispose()


@pytest.mark.usefixtures("with_plugins", "clean_tables")
@pytest.mark.ckan_config("ckanext.bqdatastore.sql_queries_per_user", "1")
def test_a_query_that_fails_gives_its_place_back(app: Any, resource_id: str) -> None:
    for sql, expected in [(f'SELECT 1/(n-n) FROM "{resource_id}"', 409), ("SELECT 1", 200)] * 2:
        answer = app.post(
            "/api/action/datastore_search_sql",
            data=json.dumps({"sql": sql}),
            headers={"Content-Type": "application/json"},
        )
        assert answer.status_code == expected
        assert "running" not in answer.body


def test_places_of_one_name_are_no_others() -> None:
    database = sa.create_engine(os.environ["CKAN_SQLALCHEMY_URL"])
    places = QueryPlaces(database, "a site", 1)
    with (
        places.take("one"),
        places.take("other"),
        QueryPlaces(database, "another site", 1).take("one"),
        pytest.raises(TooManyQueries),
        places.take("one"),
    ):
        pass
    with places.take("one"):
        pass
    database.dispose()


# Where servers show the connection


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield ours, theirs


@pytest.mark.parametrize("name", ["werkzeug.socket", "gunicorn.socket"])
def test_a_server_that_shows_its_socket(
    app: Any, pair: tuple[socket.socket, socket.socket], name: str
) -> None:
    ours, theirs = pair
    with app.flask_app.test_request_context("/", environ_overrides={name: ours}):
        gone = callers.whether_gone()
    assert gone is not None
    assert not gone()
    theirs.sendall(b"the next request")
    assert not gone()
    theirs.close()
    assert gone()


def test_a_server_that_tells_by_itself(app: Any) -> None:
    told: list[bool] = []
    environ = {"waitress.client_disconnected": lambda: bool(told)}
    with app.flask_app.test_request_context("/", environ_overrides=environ):
        gone = callers.whether_gone()
    assert gone is not None
    assert not gone()
    told.append(True)
    assert gone()


def test_where_nobody_can_tell(app: Any) -> None:
    assert callers.whether_gone() is None
    with app.flask_app.test_request_context("/"):
        assert callers.whether_gone() is None
