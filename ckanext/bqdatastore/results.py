"""Finished bodies of answers, kept in this process until a table they read changes. Off by default.

What is kept is the end of the work: the text of the records as the response has it. It is found by
the statement, the values in it, its form and the version of the tables that the engine tells, so a
write makes it stale by itself, and a write to another table does not. Who may see it is decided
before anybody looks here.
"""

from __future__ import annotations

import dataclasses
import logging
import os
import threading
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

import flask

from . import config
from .cache import Cache, Key, MemoryStore
from .engines.base import Engine
from .model.query import Query, ShapedQuery
from .model.recent import Recent
from .query.repeatable import is_repeatable

log = logging.getLogger(__name__)

T = TypeVar("T")

HEADER = "X-Datastore-Cache"

_kept: dict[int, Cache] = {}
_repeatable: Recent[tuple[str, ...], bool] = Recent(1_000)
_lock = threading.Lock()


@dataclasses.dataclass(frozen=True)
class Form(Generic[T]):
    """What is made of the answer to a statement, and how that is kept.

    :param name: tells it from other forms of the same answer
    :param to_bytes: the body as it is kept; `from_bytes` gives the same body again
    """

    name: str
    to_bytes: Callable[[T], bytes]
    from_bytes: Callable[[bytes], T]


def body(
    engine: Engine, query: Query, tables: Sequence[str], form: Form[T], make: Callable[[], T]
) -> T:
    """The body that a query comes to: the one that is kept, or what `make` gives.

    :param tables: names of all tables that the query reads
    """
    ttl = config.cache_results_ttl()
    key = _key(engine, query, tables, form.name) if ttl else None
    if key is None:
        return make()
    cache = _cache()
    kept = cache.get(key)
    if kept is not None:
        _tell("hit")
        log.info("Answered from the result cache: %s of %s", form.name, ", ".join(tables))
        return form.from_bytes(kept)
    stamp = cache.stamp(())
    made = make()
    _tell("miss")
    if stamp is not None:
        cache.set(key, form.to_bytes(made), stamp, ttl)
    return made


def _key(engine: Engine, query: Query, tables: Sequence[str], form: str) -> Key | None:
    """What tells the body from all others; None if it is not to be kept."""
    if isinstance(query, ShapedQuery):
        texts, parameters = query.shape, query.values
        repeatable = _shape_is_repeatable(engine, query) and is_repeatable("", parameters)
    else:
        texts, parameters = (query.tree.sql(dialect=engine.dialect.name),), query.parameters
        repeatable = is_repeatable(texts[0], parameters)
    if not repeatable:
        return None
    version = engine.version(tables)
    if version is None:
        return None
    values = (f"{name} {each.type} {each.value!r}" for name, each in parameters.items())
    # How times are written is the one thing of an engine's words that a setting says.
    times = str(engine.settings.milliseconds_in_timestamps)
    return (engine.settings.write_url, times, version, form, *texts, *values)


def _shape_is_repeatable(engine: Engine, query: ShapedQuery) -> bool:
    """Looked for in the statement itself: a shape does not say what it becomes."""
    key = (engine.dialect.name, *query.shape)
    known = _repeatable.get(key)
    if known is None:
        known = is_repeatable(query.tree.sql(dialect=engine.dialect.name), {})
        _repeatable.put(key, known)
    return known


def _cache() -> Cache:
    """The process's cache, of the size that the setting says."""
    size = config.cache_results_max_mb() * 1024 * 1024
    with _lock:
        if size not in _kept:
            _kept.clear()
            _kept[size] = Cache(MemoryStore(size))
        return _kept[size]


def _tell(found: str) -> None:
    """In the response's header: `hit` if nothing was asked of the engine."""
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


def _begin_anew() -> None:
    """A forked child must not wait for a lock that a thread of its parent held."""
    global _lock
    _lock = threading.Lock()
    _kept.clear()


os.register_at_fork(after_in_child=_begin_anew)
