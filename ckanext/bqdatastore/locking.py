"""Turns: writers to one table wait for each other, whatever process or host they are in.

The lock is an advisory one in CKAN's own PostgreSQL, which every web worker, job and host shares.
It belongs to a session, so it goes when the process dies.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager

import sqlalchemy as sa
from sqlalchemy.engine import Engine as Database

from .model.errors import EngineUnavailable


class TableLocks:
    """Locks by name.

    :param database: CKAN's own database
    :param namespace: keeps sites that share a database server apart
    :param timeout: seconds to wait for a turn
    """

    def __init__(self, database: Database, namespace: str, timeout: float) -> None:
        self._database = database
        self._namespace = namespace
        self._timeout = timeout

    @contextmanager
    def hold(self, name: str) -> Iterator[None]:
        """Wait for the turn and keep it.

        :raises EngineUnavailable: another writer kept its turn for longer than the timeout
        """
        key = {"key": lock_key(f"{self._namespace}/{name}")}
        with self._database.connect() as connection:
            connection = connection.execution_options(isolation_level="AUTOCOMMIT")
            connection.execute(
                sa.text("SELECT set_config('lock_timeout', :timeout, false)"),
                {"timeout": f"{int(self._timeout * 1000)}ms"},
            )
            try:
                connection.execute(sa.text("SELECT pg_advisory_lock(:key)"), key)
            except sa.exc.OperationalError:
                raise EngineUnavailable(
                    f'Another write to "{name}" has taken longer than {self._timeout:g} seconds; '
                    "try again later."
                ) from None
            try:
                yield
            finally:
                connection.execute(sa.text("SELECT pg_advisory_unlock(:key)"), key)
                connection.execute(sa.text("RESET lock_timeout"))


def lock_key(name: str) -> int:
    """A signed 64-bit number for a name, the same in every process."""
    digest = hashlib.blake2b(name.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big", signed=True)
