"""Answers to statements, kept in this process until a table they read changes. Off by default.

An answer is found by its statement, the values in it and the version of the tables that the engine
tells, so a write makes it stale by itself. Who may see it is decided before anybody looks here.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence

import flask
import pyarrow as pa

from . import config
from .cache import Cache, Key, MemoryStore
from .engines.base import Abandoned, Engine
from .model.query import Query
from .query.repeatable import is_repeatable

log = logging.getLogger(__name__)

HEADER = "X-Datastore-Cache"

_kept: dict[int, Cache] = {}
_lock = threading.Lock()


def read(
    engine: Engine,
    query: Query,
    tables: Sequence[str],
    timeout: float | None,
    abandoned: Abandoned | None = None,
) -> pa.Table:
    """The answer to a query, of now or from the cache.

    :param tables: names of all tables that the query reads
    :param timeout: seconds, if other than the setting
    :param abandoned: tells that nobody waits for the answer any more
    :raises QueryTimeout, QueryFailed, TableNotFound:
    """
    ttl = config.cache_results_ttl()
    key = _key(engine, query, tables) if ttl else None
    if key is None:
        return engine.query(query, timeout, abandoned).read_all()
    cache = _cache()
    kept = cache.get(key)
    if kept is not None:
        _tell(tables, "hit")
        return pa.ipc.open_stream(pa.py_buffer(kept)).read_all()
    stamp = cache.stamp(())
    rows = engine.query(query, timeout, abandoned).read_all()
    _tell(tables, "miss")
    if stamp is not None:
        cache.set(key, _as_bytes(rows), stamp, ttl)
    return rows


def _key(engine: Engine, query: Query, tables: Sequence[str]) -> Key | None:
    """What tells the answer from all others; None if it is not to be kept."""
    version = engine.version(tables)
    if version is None:
        return None
    statement = query.tree.sql(dialect=engine.dialect.name)
    if not is_repeatable(statement, query.parameters):
        return None
    values = (f"{name} {each.type} {each.value!r}" for name, each in query.parameters.items())
    return (engine.settings.write_url, version, statement, *values)


def _cache() -> Cache:
    """The process's cache, of the size that the setting says."""
    size = config.cache_results_max_mb() * 1024 * 1024
    with _lock:
        if size not in _kept:
            _kept.clear()
            _kept[size] = Cache(MemoryStore(size))
        return _kept[size]


def _as_bytes(rows: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, rows.schema) as stream:
        stream.write_table(rows)
    return bytes(sink.getvalue())


def _tell(tables: Sequence[str], found: str) -> None:
    """In the log, and in the response's header: `hit` if nothing was asked of the engine."""
    if found == "hit":
        log.info("Answered from the result cache: %s", ", ".join(tables))
    if not flask.has_request_context():
        return
    if "bqdatastore_cache" not in flask.g:
        flask.g.bqdatastore_cache = found
        flask.after_this_request(_with_header)
    elif found == "miss":
        flask.g.bqdatastore_cache = found


def _with_header(response: flask.Response) -> flask.Response:
    response.headers[HEADER] = flask.g.bqdatastore_cache
    return response
