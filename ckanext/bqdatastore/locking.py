"""Turns of writers and places of queries, for all processes and hosts of a site.

The locks are advisory ones in CKAN's own PostgreSQL, which every web worker, job and host shares.
Each belongs to a transaction that does nothing else, so it goes when the process dies, and works
behind a connection pooler too.
"""

from __future__ import annotations

import hashlib
import logging
import os
import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager

import sqlalchemy as sa
from sqlalchemy.engine import Engine as Database

from .model.errors import TableBusy, TooManyQueries

log = logging.getLogger(__name__)

# SQLSTATE of `lock_timeout`, and of a statement that somebody cancelled.
_TIMED_OUT = ("55P03", "57014")

# For this transaction alone: it waits so long and no longer, then is idle as long as it takes.
_SETTINGS = """
    SELECT set_config('lock_timeout', :timeout, true),
           set_config('statement_timeout', '0', true),
           set_config('idle_in_transaction_session_timeout', '0', true)
"""

# The first of the keys that nobody holds; PostgreSQL stops at it.
_FREE_PLACE = """
    SELECT key FROM unnest(CAST(:keys AS bigint[])) AS key WHERE pg_try_advisory_xact_lock(key)
    LIMIT 1
"""

_LONGEST_TIMEOUT = 2**31 - 1  # milliseconds


class TableLocks:
    """Locks by name.

    :param database: CKAN's own database
    :param namespace: keeps sites that share a database server apart
    :param timeout: seconds to wait for a turn
    """

    def __init__(self, database: Database, namespace: str, timeout: float) -> None:
        self._database = _apart(database, "turns")
        self._namespace = namespace
        self._timeout = timeout

    @contextmanager
    def hold(self, name: str) -> Iterator[None]:
        """Wait for the turn and keep it.

        :raises TableBusy: another writer kept its turn for longer than the timeout
        """
        connection = self._taken(name)
        try:
            yield
        finally:
            try:
                connection.rollback()
            except sa.exc.DBAPIError as error:
                # What was to be done under the lock is done or has failed: that is what counts.
                log.warning('The lock of "%s" was lost before its time: %s', name, error.orig)
            connection.close()

    def _taken(self, name: str) -> sa.Connection:
        """A connection whose transaction has the lock."""
        try:
            connection = self._database.connect()
        except sa.exc.TimeoutError:
            raise self._too_late(name) from None
        try:
            milliseconds = min(int(self._timeout * 1000), _LONGEST_TIMEOUT)
            connection.execute(sa.text(_SETTINGS), {"timeout": f"{milliseconds}ms"})
            connection.execute(
                sa.text("SELECT pg_advisory_xact_lock(:key)"),
                {"key": lock_key(f"{self._namespace}/{name}")},
            )
        except BaseException as error:
            connection.close()
            if getattr(getattr(error, "orig", None), "pgcode", None) in _TIMED_OUT:
                raise self._too_late(name) from None
            raise
        return connection

    def _too_late(self, name: str) -> TableBusy:
        return TableBusy(
            f'Other writes to "{name}" have taken longer than {self._timeout:g} seconds; '
            "try again later."
        )


class QueryPlaces:
    """A number of places for the queries of each who asks; nobody waits for one.

    :param database: CKAN's own database
    :param namespace: keeps sites that share a database server apart
    :param count: how many places each has
    """

    def __init__(self, database: Database, namespace: str, count: int) -> None:
        self._database = _apart(database, "places")
        self._namespace = namespace
        self._count = count

    @contextmanager
    def take(self, name: str) -> Iterator[None]:
        """Have a place for as long as this lasts.

        :param name: who asks
        :raises TooManyQueries: all of theirs are taken
        """
        keys = [lock_key(f"{self._namespace}/{place}/{name}") for place in range(self._count)]
        refused = TooManyQueries(
            f"You have {self._count} queries running, and may have no more at once; "
            "try again when one has ended."
        )
        try:
            connection = self._database.connect()
        except sa.exc.TimeoutError:
            raise refused from None
        with connection:
            connection.execute(sa.text(_SETTINGS), {"timeout": "0"})
            if connection.execute(sa.text(_FREE_PLACE), {"keys": keys}).scalar() is None:
                raise refused
            yield


def lock_key(name: str) -> int:
    """A signed 64-bit number for a name, the same in every process."""
    digest = hashlib.blake2b(name.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big", signed=True)


_all_apart: weakref.WeakSet[Database] = weakref.WeakSet()
_apart_lock = threading.Lock()


def _apart(database: Database, purpose: str) -> Database:
    """The same database with connections for one purpose alone.

    A writer who waits has a connection of CKAN's already. If the next came from the same pool,
    enough writers would have it empty, and wait for each other; and so for writers and queries.
    """
    with _apart_lock:
        # Kept by `database`, to go when it goes: a pool made like another refers to the other's
        # engine, so a table of ours would keep both, and their connections, for ever.
        own = vars(database).setdefault("_bqdatastore_apart", {})
        if purpose not in own:
            # `future`: CKAN 2.11 comes with SQLAlchemy 1.4, which must be told to behave as 2.
            pool = database.pool.recreate()
            own[purpose] = sa.create_engine(database.url, pool=pool, future=True)
            _all_apart.add(own[purpose])
        return own[purpose]


def _begin_anew() -> None:
    """Leave the parent's connections to the parent, in a forked child."""
    global _apart_lock
    _apart_lock = threading.Lock()
    for database in _all_apart:
        database.dispose(close=False)


os.register_at_fork(after_in_child=_begin_anew)
