"""What the settings of a site name, made once per process: its engine, its locks, its triggers.

CKAN makes a backend object at every plugin update and now and then between; engines and their
connections belong to the process, not to the object.
"""

from __future__ import annotations

import dataclasses
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from ckan import model

from . import config
from .callers import hashed_caller
from .engines import registry
from .engines.base import Capability, Engine, EngineSettings
from .locking import QueryPlaces, TableLocks
from .model.errors import InvalidRequest, Misconfigured
from .triggers.database import TriggerDatabase

_CATALOG_LOCK = "catalog"

_made: tuple[tuple[str, EngineSettings], Engine] | None = None
_lock = threading.Lock()


def engine_of_site() -> Engine:
    """The engine that the settings name, made once per process and anew when they change.

    :raises Misconfigured: it cannot be made or reached; one sentence names the setting and the mend
    """
    global _made
    settings = dataclasses.replace(config.engine_settings(), caller=hashed_caller)
    scheme = config.scheme()
    wanted = scheme, settings
    with _lock:
        if _made is not None and _made[0] == wanted:
            return _made[1]
        engine = _make(scheme, settings)
        engine.open()
        if _made is not None:
            _made[1].close()
        _made = wanted, engine
        return engine


def unopened_engine() -> Engine:
    """An engine as the settings name it, of the caller's own; nothing has been reached yet.

    :raises Misconfigured: it cannot be made
    """
    return _make(config.scheme(), config.engine_settings())


def _make(scheme: str, settings: EngineSettings) -> Engine:
    try:
        return registry.load(scheme)(settings)
    except ModuleNotFoundError as error:
        raise Misconfigured(
            f"{config.WRITE_URL}: the {scheme} engine needs the Python package "
            f"{error.name}: pip install 'ckanext-bqdatastore[{scheme}]'."
        ) from None


def is_being_checked() -> bool:
    """Whether this process is `ckan bqdatastore check`, which finds out itself what is wrong.

    CKAN starts its plugins before it reads the command's name.
    """
    return sys.argv[-2:] == ["bqdatastore", "check"]


def opened_engine() -> Engine | None:
    """The engine of this process, if it has made one."""
    return _made[1] if _made else None


def close_engine() -> None:
    """Let go of every connection of this process; what is needed again is opened again."""
    if _made is not None:
        _made[1].close()


@contextmanager
def turn(name: str) -> Iterator[None]:
    """The table's turn to be written, or the whole catalog's where it takes one writer at a time.

    :raises TableBusy: others kept their turn for longer than the lock timeout
    """
    if Capability.SINGLE_WRITER in engine_of_site().capabilities:
        name = _CATALOG_LOCK
    locks = TableLocks(model.meta.engine, config.site_id(), config.lock_timeout())
    with locks.hold(name):
        yield


@contextmanager
def place_for_query(caller: str | None) -> Iterator[None]:
    """One of the places that somebody has for their SQL queries, on the whole site.

    :param caller: their name; None for who is not counted
    :raises TooManyQueries: all are taken
    """
    count = config.sql_queries_per_user()
    if caller is None or count == 0:
        yield
        return
    with QueryPlaces(model.meta.engine, config.site_id(), count).take(caller):
        yield


def trigger_database() -> TriggerDatabase:
    """Where the site's trigger functions run.

    :raises InvalidRequest: nowhere; names the setting
    """
    url = config.trigger_url()
    if not url:
        raise InvalidRequest(
            "triggers",
            f"Trigger functions run in PostgreSQL: set {config.TRIGGER_URL} to a database for "
            "them.",
        )
    return TriggerDatabase(url, config.statement_timeout())


def _begin_anew() -> None:
    """A forked child must not wait for a lock that a thread of its parent held."""
    global _lock
    _lock = threading.Lock()


os.register_at_fork(after_in_child=_begin_anew)
