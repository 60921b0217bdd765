"""What the cache promises, in memory and on a real Valkey alike."""

from __future__ import annotations

import os
import re
import threading
import time
import tracemalloc
import uuid
from collections.abc import Callable
from typing import ClassVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from ckanext.bqdatastore.cache import Cache, MemoryStore, RedisStore, Stamp, Store

from .caches import KEY, TAGS, Clock, client, keep, names_in, redis_store


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(params=["memory", "redis"])
def store(request: pytest.FixtureRequest, clock: Clock) -> Store:
    if request.param == "memory":
        return MemoryStore(1_000_000, clock)
    return redis_store(clock)


@pytest.fixture
def cache(store: Store, clock: Clock) -> Cache:
    return Cache(store, clock)


def test_finds_what_was_kept(cache: Cache) -> None:
    assert cache.get(KEY) is None
    keep(cache)
    assert cache.get(KEY) == b"yes"
    keep(cache, b"no")
    assert cache.get(KEY) == b"no"
    assert cache.get((*KEY, "")) is None


@pytest.mark.parametrize("tag", TAGS)
def test_a_drop_of_any_tag_takes_it_away(cache: Cache, tag: tuple[str, str]) -> None:
    keep(cache)
    cache.drop([tag])
    assert cache.get(KEY) is None
    keep(cache)
    assert cache.get(KEY) == b"yes"


def test_a_drop_of_another_tag_leaves_it(cache: Cache) -> None:
    keep(cache)
    cache.drop([("user", "something"), ("package", "somebody")])
    assert cache.get(KEY) == b"yes"


def test_what_was_worked_out_before_a_drop_is_never_found(cache: Cache) -> None:
    stamp = cache.stamp(TAGS)
    cache.drop(TAGS[1:])
    assert stamp is not None
    cache.set(KEY, b"old", stamp, 10)
    assert cache.get(KEY) is None
    cache.stamp(TAGS)
    assert cache.get(KEY) is None


def test_a_hold_takes_away_and_lets_nothing_in_until_the_drop(cache: Cache) -> None:
    keep(cache)
    before = cache.stamp(TAGS)
    assert before is not None
    cache.hold(TAGS[:1])
    assert cache.get(KEY) is None
    assert cache.stamp(TAGS) is None
    cache.set(KEY, b"old", before, 10)
    assert cache.get(KEY) is None
    cache.drop(TAGS[:1])
    assert cache.get(KEY) is None
    keep(cache)
    assert cache.get(KEY) == b"yes"


def test_a_store_that_lost_everything_gives_nothing_from_before(cache: Cache, store: Store) -> None:
    """As a Redis that is restarted without its memory, or that made room for others."""
    keep(cache)
    before = cache.stamp(TAGS)
    assert before is not None
    store.remove(names_in(store))
    assert cache.get(KEY) is None
    cache.set(KEY, b"old", before, 10)
    assert cache.get(KEY) is None
    cache.stamp(TAGS)
    assert cache.get(KEY) is None


def test_a_store_that_lost_a_mark_or_a_hold_gives_nothing_from_before(
    cache: Cache, store: Store
) -> None:
    keep(cache)
    (entry,) = [
        name for name in names_in(store) if (store.read([name])[0] or b"").find(b"yes") >= 0
    ]
    cache.hold(TAGS[:1])
    store.remove(names_in(store) - {entry})
    assert cache.get(KEY) is None
    cache.stamp(TAGS)
    assert cache.get(KEY) is None


def test_caches_on_one_store_know_of_each_others_drops(store: Store, clock: Clock) -> None:
    one, other = Cache(store, clock), Cache(store, clock)
    keep(one)
    assert other.get(KEY) == b"yes"
    other.drop(TAGS[:1])
    assert one.get(KEY) is None


def test_the_time_counts_from_the_stamp(clock: Clock) -> None:
    cache = Cache(MemoryStore(1_000_000, clock), clock)
    stamp = cache.stamp(TAGS)
    assert stamp is not None
    clock.now += 4
    cache.set(KEY, b"yes", stamp, 10)
    clock.now += 5.9
    assert cache.get(KEY) == b"yes"
    clock.now += 0.1
    assert cache.get(KEY) is None


def test_in_redis_the_server_ends_it(clock: Clock) -> None:
    store = redis_store(clock)
    cache = Cache(store, clock)
    stamp = cache.stamp(TAGS)
    assert stamp is not None
    clock.now += 4
    names = set(client().keys(f"{store._namespace}:*"))
    cache.set(KEY, b"yes", stamp, 10)
    (name,) = set(client().keys(f"{store._namespace}:*")) - names
    assert 0 < client().pttl(name) <= 6000
    client().pexpire(name, 1)
    while cache.get(KEY) is not None:
        time.sleep(0.005)


def test_redis_forgets_everything_in_time(clock: Clock) -> None:
    store = redis_store(clock)
    cache = Cache(store, clock)
    keep(cache)
    cache.hold([("user", "other")])
    names = client().keys(f"{store._namespace}:*")
    assert len(names) == 4
    assert all(client().ttl(name) > 0 for name in names)


def test_nothing_of_a_key_or_tag_can_be_read_in_redis(clock: Clock) -> None:
    store = redis_store(clock)
    cache = Cache(store, clock)
    secret = 'naughty\r\n*1\r\n:"ключ'
    stamp = cache.stamp([("user", secret)])
    assert stamp is not None
    cache.set(("read", secret), b"yes", stamp, 10)
    assert cache.get(("read", secret)) == b"yes"
    names = names_in(store)
    assert len(names) == 2
    assert all(re.fullmatch("[0-9a-f]{40}", name) for name in names)
    assert not any(b"naughty" in (value or b"") for value in store.read(list(names)))


def test_parts_of_a_key_do_not_run_together(cache: Cache) -> None:
    stamp = cache.stamp(TAGS)
    assert stamp is not None
    cache.set(("ab", "c"), b"yes", stamp, 10)
    assert cache.get(("a", "bc")) is None
    assert cache.get(("ab", "c", "")) is None
    assert cache.get(("ab", "c")) == b"yes"


def test_other_namespaces_are_other_caches(clock: Clock) -> None:
    one, other = Cache(redis_store(clock), clock), Cache(redis_store(clock), clock)
    keep(one)
    assert other.get(KEY) is None
    other.drop(TAGS)
    assert one.get(KEY) == b"yes"


# Memory


def test_memory_stays_within_its_bound(clock: Clock) -> None:
    store = MemoryStore(10_000, clock)
    cache = Cache(store, clock)
    for number in range(500):
        stamp = cache.stamp([("user", str(number))])
        assert stamp is not None
        cache.set(("read", str(number)), b"x" * 100, stamp, 10)
        assert store._bytes <= 10_000
        assert cache.get(("read", str(number))) == b"x" * 100
    assert cache.get(("read", "0")) is None
    assert cache.get(("read", "490")) == b"x" * 100
    stamp = cache.stamp(TAGS)
    assert stamp is not None
    cache.set(("big",), b"x" * 20_000, stamp, 10)
    assert cache.get(("big",)) is None
    assert cache.get(("read", "490")) == b"x" * 100


def test_small_entries_take_no_more_memory_than_the_bound(clock: Clock) -> None:
    """Those of decisions are a letter long, and Python's objects around them are not."""
    bound = 2_000_000
    cache = Cache(MemoryStore(bound, clock), clock)
    tracemalloc.start()
    try:
        for number in range(12_000):
            stamp = cache.stamp([("user", str(number % 100)), ("package", str(number))])
            assert stamp is not None
            cache.set(("read", str(number)), b"1", stamp, 10)
            assert cache.get(("read", str(number))) == b"1"
        assert 0.5 * bound < tracemalloc.get_traced_memory()[0] < bound
    finally:
        tracemalloc.stop()


def test_what_is_used_stays_longest(clock: Clock) -> None:
    store = MemoryStore(3_000, clock)
    store.write({"a": b"1", "b": b"2"}, 100)
    for number in range(20):
        assert store.read(["a"]) == [b"1"]
        store.write({f"x{number}": b"3"}, 100)
    assert store.read(["a", "b"]) == [b"1", None]


@pytest.mark.parametrize(
    "garbage",
    [
        *(b"", b"\x00", b"1", b"yes", b"{}"),
        b"\x93\xa1a\x80\xc4\x01",
        b"\x93\xa1\xff\x80\xc4\x011",  # a name that is no UTF-8
        b"\xc1" * 100,
    ],
)
def test_a_value_that_does_not_parse_is_no_value(
    garbage: bytes, store: Store, clock: Clock
) -> None:
    cache = Cache(store, clock)
    before = names_in(store)
    keep(cache)
    for name in names_in(store) - before:
        store.write({name: garbage}, 100)
    assert cache.get(KEY) is None


def test_an_entry_in_anothers_place_is_no_value(store: Store, clock: Clock) -> None:
    cache = Cache(store, clock)
    stamp = cache.stamp(TAGS)
    assert stamp is not None
    names = names_in(store)
    cache.set(("read", "open"), b"yes", stamp, 10)
    (open_name,) = names_in(store) - names
    cache.set(("read", "secret"), b"no", stamp, 10)
    (secret_name,) = names_in(store) - names - {open_name}
    (text,) = store.read([open_name])
    assert text is not None
    store.write({secret_name: text}, 10)
    assert cache.get(("read", "open")) == b"yes"
    assert cache.get(("read", "secret")) is None


# Any interleaving


class Disturbing(float):
    """A time. Something happens when it is reckoned with, as Python lets go of objects anywhere."""

    happens: ClassVar[Callable[[], None] | None] = None

    def _disturb(self) -> None:
        happens, Disturbing.happens = Disturbing.happens, None
        if happens is not None:
            happens()

    def __sub__(self, other: float) -> float:
        self._disturb()
        return float(self) - other

    def __ge__(self, other: float) -> bool:
        self._disturb()
        return float(self) >= other


@pytest.mark.parametrize("where", ["what is owed", "the memory"])
def test_a_drop_in_the_midst_of_another_call_is_a_drop(clock: Clock, where: str) -> None:
    disturbing = Clock()
    disturbing.now = Disturbing(clock.now)
    in_cache = where == "what is owed"
    store = MemoryStore(1_000_000, clock if in_cache else disturbing)
    cache = Cache(store, disturbing if in_cache else clock)
    keep(cache)
    happened = threading.Event()

    def drop() -> None:
        cache.drop([TAGS[1]])
        happened.set()

    def work() -> None:
        Disturbing.happens = drop
        if in_cache:
            cache.drop([("user", "somebody else")])
        cache.get(KEY)

    # In a thread: it would wait for itself for ever.
    worker = threading.Thread(target=work, daemon=True)
    worker.start()
    worker.join(20)
    assert happened.is_set()
    assert not worker.is_alive()
    assert cache.get(KEY) is None


class Interleavings(RuleBasedStateMachine):
    """Two processes read a permission and others change it, each in small steps.

    After a revocation has returned, no reader who asks then is told that it is allowed.
    """

    @initialize()
    def begin(self) -> None:
        self.clock = Clock()
        self.caches = self.make_caches()
        self.allowed = True
        self.revoked_at: float | None = (
            None  # when the last revocation returned, if none came after
        )
        self.readers: list[tuple[int, Stamp | None, bool]] = []

    def make_caches(self) -> list[Cache]:
        store = MemoryStore(1_000_000, self.clock)
        return [Cache(store, self.clock), Cache(store, self.clock)]

    @rule(seconds=st.floats(0.1, 6))
    def time_passes(self, seconds: float) -> None:
        self.clock.now += seconds

    @rule(to=st.booleans(), process=st.integers(0, 1), held=st.booleans())
    def change(self, to: bool, process: int, held: bool) -> None:
        """A whole change: hold (the store may not have heard of it), commit, drop."""
        if held:
            self.caches[process].hold(TAGS[:1])
        self.commit(to)
        self.caches[process].drop(TAGS[:1])
        self.returned(to)

    @rule(to=st.booleans(), process=st.integers(0, 1), ask=st.integers(0, 1), held=st.booleans())
    def change_while_others_read(self, to: bool, process: int, ask: int, held: bool) -> None:
        """Readers ask between any two steps of it."""
        if held:
            self.caches[process].hold(TAGS[:1])
        self.read_at_once(ask)
        self.start_reading(ask)
        self.commit(to)
        self.read_at_once(ask)
        self.caches[process].drop(TAGS[:1])
        self.returned(to)

    def commit(self, to: bool) -> None:
        self.allowed = to
        self.revoked_at = None

    def returned(self, to: bool) -> None:
        self.revoked_at = None if to else self.clock.now

    @rule(process=st.integers(0, 1))
    def start_reading(self, process: int) -> None:
        """A reader who finds nothing looks at the database, and has not yet kept what it saw."""
        if self.caches[process].get(KEY) is None:
            stamp = self.caches[process].stamp(TAGS)
            self.readers.append((process, stamp, self.allowed))

    @rule(which=st.integers(0, 100))
    def finish_reading(self, which: int) -> None:
        if self.readers:
            process, stamp, seen = self.readers.pop(which % len(self.readers))
            if stamp is not None:
                self.caches[process].set(KEY, b"yes" if seen else b"no", stamp, 10)

    @rule(process=st.integers(0, 1))
    def read_at_once(self, process: int) -> None:
        cache = self.caches[process]
        if cache.get(KEY) is None:
            stamp = cache.stamp(TAGS)
            if stamp is not None:
                cache.set(KEY, b"yes" if self.allowed else b"no", stamp, 10)

    @invariant()
    def no_allow_after_the_revocation(self) -> None:
        if getattr(self, "revoked_at", None) is None:
            return
        for process, cache in enumerate(self.caches):
            if cache.get(KEY) == b"yes":
                assert self.may_be_old(process)

    def may_be_old(self, process: int) -> bool:
        return False


class InterleavingsOnRedis(Interleavings):
    def make_caches(self) -> list[Cache]:
        namespace = f"test:{uuid.uuid4()}"
        url = os.environ["DEVSTACK_REDIS_URL"]
        return [Cache(RedisStore(url, namespace, self.clock), self.clock) for _ in range(2)]


class InterleavingsApart(Interleavings):
    """Without Redis: each process has its own memory, and may be as old as the TTL."""

    def make_caches(self) -> list[Cache]:
        return [Cache(MemoryStore(1_000_000, self.clock), self.clock) for _ in range(2)]

    def may_be_old(self, process: int) -> bool:
        assert self.revoked_at is not None
        return self.clock.now - self.revoked_at < 10


_SETTINGS = settings(
    max_examples=60,
    stateful_step_count=25,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
TestInterleavings = Interleavings.TestCase
TestInterleavings.settings = _SETTINGS
TestInterleavingsOnRedis = InterleavingsOnRedis.TestCase
TestInterleavingsOnRedis.settings = _SETTINGS
TestInterleavingsApart = InterleavingsApart.TestCase
TestInterleavingsApart.settings = _SETTINGS
