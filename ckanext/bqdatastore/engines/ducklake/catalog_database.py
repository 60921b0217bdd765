"""The PostgreSQL that holds the catalog, asked without a detour through DuckDB.

For the same question DuckDB's `postgres_query` opens a transaction, copies the answer out in binary
and cleans up, six messages to and fro; here it is one.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any

import psycopg2
from psycopg2.extensions import TRANSACTION_STATUS_IDLE, connection

from ...model.errors import EngineUnavailable
from .url import DuckLakeURL

KEPT = 8
"""How many idle connections wait for the next question."""


class CatalogDatabase:
    """Connections for reading, each for one question at a time."""

    def __init__(self, url: DuckLakeURL) -> None:
        self._url = url
        self._lock = threading.Lock()
        self._idle: list[connection] = []

    def read(
        self, statement: str, values: Mapping[str, object] | None = None
    ) -> list[tuple[Any, ...]]:
        """The rows that a SELECT finds.

        :param values: of the parameters in it (`%(name)s`)
        :raises EngineUnavailable: PostgreSQL cannot be reached or does not answer
        """
        try:
            with self._lock:
                used = self._idle.pop() if self._idle else None
            if used is not None:
                try:
                    return self._ask(used, statement, values)
                except (psycopg2.OperationalError, psycopg2.InterfaceError):
                    # The server has let go of idle connections: very likely of all of them.
                    self.close()
            return self._ask(self._open(), statement, values)
        except psycopg2.Error as error:
            text = self._url.without_password(str(error))
            raise EngineUnavailable(f"The DuckLake catalog does not answer: {text}") from None

    def close(self) -> None:
        """Close what is idle."""
        with self._lock:
            closing, self._idle = self._idle, []
        for each in closing:
            each.close()

    def abandon(self) -> None:
        """Begin anew in a forked child; psycopg2 itself leaves a parent's connections alone."""
        self._lock = threading.Lock()
        self._idle = []

    def _open(self) -> connection:
        opened: connection = psycopg2.connect(self._url.conninfo)
        # So that no snapshot is held: each question sees what is there now.
        opened.set_session(readonly=True, autocommit=True)
        return opened

    def _ask(
        self, used: connection, statement: str, values: Mapping[str, object] | None
    ) -> list[tuple[Any, ...]]:
        try:
            with used.cursor() as cursor:
                cursor.execute(statement, values)
                rows: list[tuple[Any, ...]] = cursor.fetchall()
        except BaseException:
            used.close()
            raise
        with self._lock:
            if len(self._idle) < KEPT and used.info.transaction_status == TRANSACTION_STATUS_IDLE:
                self._idle.append(used)
                return rows
        used.close()
        return rows
