"""Caches to try, in memory and in Redis, and a clock that the test sets."""

from __future__ import annotations

import os
import uuid
from typing import Any

import redis

from ckanext.bqdatastore.cache import Cache, MemoryStore, RedisStore, Store

KEY = ("read", "somebody", "something")
TAGS = [("user", "somebody"), ("package", "something")]


class Clock:
    """Seconds, as the test says."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def redis_store(clock: Clock, url: str = "") -> RedisStore:
    return RedisStore(url or os.environ["DEVSTACK_REDIS_URL"], f"test:{uuid.uuid4()}", clock)


def client() -> Any:
    return redis.Redis.from_url(os.environ["DEVSTACK_REDIS_URL"])


def keep(cache: Cache, value: bytes = b"yes", ttl: float = 10) -> None:
    stamp = cache.stamp(TAGS)
    assert stamp is not None
    cache.set(KEY, value, stamp, ttl)


def names_in(store: Store) -> set[str]:
    if isinstance(store, MemoryStore):
        return set(store._values)
    assert isinstance(store, RedisStore)
    prefix = f"{store._namespace}:"
    return {str(name, "ascii").removeprefix(prefix) for name in client().keys(f"{prefix}*")}
