"""Where this process keeps decisions: in its own memory, or in Redis with other processes."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable
from functools import cache
from importlib.metadata import version

from ckan import plugins

from .. import config
from ..cache import Cache, Key, MemoryStore, RedisStore

_MEMORY_BYTES = 8 * 1024 * 1024

_kept: dict[tuple[str, str], Cache] = {}
_lock = threading.RLock()

EVERYTHING: Key = ("everything",)
"""The tag of all decisions."""


def user_tag(user_id: str) -> Key:
    return ("user", user_id)


def package_tag(package_id: str) -> Key:
    return ("package", package_id)


def resource_tag(resource_id: str) -> Key:
    return ("resource", resource_id)


def decisions() -> Cache:
    """The cache that the settings name, made once per process."""
    place = config.redis_url(), config.site_id()
    found = _kept.get(place)
    if found is None:
        with _lock:
            found = _kept.get(place) or _made(*place)
            _kept[place] = found
    return found


def hold(tags: Iterable[Key]) -> None:
    """Keep nothing with these tags until they are dropped."""
    for each in _all():
        each.hold(tags)


def drop(tags: Iterable[Key]) -> None:
    """Forget all decisions with one of these tags."""
    for each in _all():
        each.drop(tags)


def _all() -> list[Cache]:
    if plugins.plugin_loaded("bqdatastore"):
        decisions()  # a command that only changes things tells Redis, too
    return list(_kept.values())


def _made(redis_url: str, site_id: str) -> Cache:
    if not redis_url:
        return Cache(MemoryStore(_MEMORY_BYTES))
    return Cache(RedisStore(redis_url, f"ckan:{site_id}:bqdatastore:{_version()}:permission"))


@cache
def _version() -> str:
    return version("ckanext-bqdatastore")


def _begin_anew() -> None:
    """A forked child must not wait for a lock that a thread of its parent held."""
    global _lock
    _lock = threading.RLock()
    _kept.clear()


os.register_at_fork(after_in_child=_begin_anew)
