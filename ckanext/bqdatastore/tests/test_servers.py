"""Real servers tell of clients that close their connection, and the query of one that has is ended.

The query would run for ever: only a client that is seen to have gone can end it in time.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from pathlib import Path

import pytest
import sqlalchemy as sa

from ckanext.bqdatastore import config

from .test_callers import ENDLESS, request, resource_id

__all__ = ["resource_id"]

INI = Path(__file__).parents[3] / "test.ini"
SITE = "ckanext.bqdatastore.tests.served_site:application"
STATEMENT_SECONDS = 600
PATIENCE_SECONDS = 60

SERVERS: dict[str, Sequence[str]] = {
    "gunicorn, sync": ("gunicorn", "--bind", "{address}", SITE),
    "gunicorn, gthread": ("gunicorn", "--bind", "{address}", "--threads", "2", SITE),
    "waitress": ("waitress", "--listen", "{address}", "--channel-request-lookahead", "1", SITE),
}

pytestmark = pytest.mark.usefixtures("with_plugins", "clean_tables")


class Server:
    """A server of its own process."""

    def __init__(self, command: Sequence[str], folder: Path) -> None:
        with closing(socket.create_server(("127.0.0.1", 0))) as free:
            self.address: tuple[str, int] = free.getsockname()
        place = "{}:{}".format(*self.address)
        settings = {f"{config.PREFIX}statement_timeout": STATEMENT_SECONDS}
        variables = {"SERVED_INI": str(INI), "SERVED_SETTINGS": json.dumps(settings)}
        self._log = folder / "server.log"
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", *(each.format(address=place) for each in command)],
                stdout=log,
                stderr=log,
                env={**os.environ, **variables},
            )
        assert comes_true(self._answers), self._log.read_text()

    def _answers(self) -> bool:
        assert self._process.poll() is None, self._log.read_text()
        try:
            socket.create_connection(self.address).close()
        except ConnectionRefusedError:
            return False
        return True

    def end(self) -> None:
        self._process.terminate()
        self._process.wait(PATIENCE_SECONDS)


@pytest.fixture(params=SERVERS)
def server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Server]:
    command = SERVERS[request.param]
    pytest.importorskip(command[0], reason=f"needs {command[0]}, of dev-requirements.txt")
    started = Server(command, tmp_path)
    yield started
    started.end()


def running_queries() -> int:
    """How many places for queries are taken, by any process of the site."""
    database = sa.create_engine(os.environ["CKAN_SQLALCHEMY_URL"])
    with closing(database.connect()) as connection:
        locks = sa.text("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'")
        count = int(connection.execute(locks).scalar_one())
    database.dispose()
    return count


def comes_true(condition: Callable[[], bool]) -> bool:
    end = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.1)
    return True


def test_the_query_of_a_client_that_has_gone_is_ended(server: Server, resource_id: str) -> None:
    with closing(socket.create_connection(server.address)) as client:
        client.sendall(request(ENDLESS.replace("{id}", resource_id)))
        assert comes_true(lambda: running_queries() == 1)
    assert comes_true(lambda: running_queries() == 0)
