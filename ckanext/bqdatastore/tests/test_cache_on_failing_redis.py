"""What the cache does if Redis is away, slow or something else, and when it comes back."""

from __future__ import annotations

import logging
import signal
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from typing import Any

import pytest
import redis

from ckanext.bqdatastore.cache import Cache, MemoryStore, RedisStore, Stamp, Store, StoreUnavailable
from devstack.process import Service

from .caches import KEY, TAGS, Clock, client, keep, redis_store


@pytest.fixture
def clock() -> Clock:
    return Clock()


@contextmanager
def server(answer: Callable[[socket.socket], None]) -> Iterator[str]:
    """The URL of something that takes connections, and `answer`s them."""
    with closing(socket.create_server(("127.0.0.1", 0))) as listening:

        def serve() -> None:
            while True:
                try:
                    connection, _ = listening.accept()
                except OSError:
                    return
                with closing(connection):
                    try:
                        answer(connection)
                    except OSError:
                        continue

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"redis://127.0.0.1:{listening.getsockname()[1]}/0"
        listening.shutdown(socket.SHUT_RDWR)
    thread.join(timeout=10)


def silence(connection: socket.socket) -> None:
    while connection.recv(4096):
        pass


def nonsense(connection: socket.socket) -> None:
    while connection.recv(4096):
        connection.sendall(b":forty-two\r\n$-7\r\n\xff\xfe\r\n")


def saying(answer: bytes) -> Callable[[socket.socket], None]:
    """A server that has well-formed words for everything, but not those that were asked for."""

    def answer_all(connection: socket.socket) -> None:
        while connection.recv(4096):
            connection.sendall(answer * 8)

    return answer_all


def hang_up(connection: socket.socket) -> None:
    connection.recv(1)


def refuse(connection: socket.socket) -> None:
    while connection.recv(4096):
        connection.sendall(b"-OOM command not allowed\r\n" * 8)


STRANGE = {
    "a number": b":42\r\n",
    "a decimal": b",1.5\r\n",
    "a text": b"+OK\r\n",
    "no text": b"$0\r\n\r\n",
    "nothing": b"_\r\n",
    "yes": b"#t\r\n",
    "no list": b"*-1\r\n",
    "a list of none": b"*0\r\n",
    "a list of one": b"*1\r\n$1\r\nx\r\n",
    "a list of three": b"*3\r\n$1\r\nx\r\n$1\r\ny\r\n$1\r\nz\r\n",
    "an error in a list": b"*1\r\n-ERR x\r\n",
    "a mapping": b"%1\r\n+a\r\n+b\r\n",
    "a page": b"HTTP/1.1 400 Bad Request\r\n\r\n",
    "lists without end": b"*1\r\n" * 20_000,
}


@pytest.mark.parametrize("answer", STRANGE)
def test_answers_that_are_not_redis_s_are_as_no_cache(answer: str, clock: Clock) -> None:
    with server(saying(STRANGE[answer])) as url:
        cache = Cache(redis_store(clock, url), clock)
        stamp = Stamp({"a tag": b"a mark"}, clock())
        for _ in range(2):
            clock.now += 2  # past the pause after a failure
            assert cache.get(KEY) is None
            clock.now += 2
            assert cache.stamp(TAGS) is None
            clock.now += 2
            cache.set(KEY, b"yes", stamp, 1000)
            clock.now += 2
            cache.hold(TAGS)
            cache.drop(TAGS)


@pytest.mark.parametrize("answer", [silence, nonsense, hang_up, refuse])
def test_a_server_that_fails_is_as_no_cache(
    answer: Callable[[socket.socket], None], clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    with server(answer) as url, caplog.at_level(logging.WARNING):
        cache = Cache(redis_store(clock, url), clock)
        for _ in range(3):
            clock.now += 2  # past the pause after a failure
            assert cache.get(KEY) is None
            assert cache.stamp(TAGS) is None
            cache.hold(TAGS)
            cache.drop(TAGS)
        own = [each for each in caplog.records if "ckanext.bqdatastore.redis_url" in each.message]
        assert len(own) == 1
        clock.now += 60
        assert cache.get(KEY) is None
        own = [each for each in caplog.records if "ckanext.bqdatastore.redis_url" in each.message]
        assert len(own) == 2


def test_after_a_failure_it_is_left_alone_for_a_while(clock: Clock) -> None:
    asked = 0

    def count(connection: socket.socket) -> None:
        nonlocal asked
        asked += 1

    with server(count) as url:
        store = redis_store(clock, url)
        for _ in range(50):
            with pytest.raises(StoreUnavailable):
                store.read(["a"])
        first = asked
        clock.now += 2
        with pytest.raises(StoreUnavailable):
            store.read(["a"])
        assert 0 < first < asked <= 2 * first


def test_names_of_another_kind_are_no_values(clock: Clock) -> None:
    store = redis_store(clock)
    cache = Cache(store, clock)
    keep(cache)
    for name in client().keys(f"{store._namespace}:*"):
        client().delete(name)
        client().rpush(name, "a", "b")
    assert cache.get(KEY) is None
    assert cache.stamp(TAGS) is None


# A Redis that goes away and comes back


def test_a_drop_that_could_not_be_told_comes_before_the_next_answer(
    clock: Clock, valkey: tuple[str, Service]
) -> None:
    url, service = valkey
    namespace = f"test:{uuid.uuid4()}"
    cache = Cache(RedisStore(url, namespace, clock), clock)
    keep(cache)
    assert cache.get(KEY) == b"yes"
    process = service.process
    process.send_signal(signal.SIGSTOP)  # there, but does not answer
    cache.drop(TAGS[:1])
    assert cache.get(KEY) is None
    process.send_signal(signal.SIGCONT)
    clock.now += 2
    assert cache.get(KEY) is None
    other = Cache(RedisStore(url, namespace, clock), clock)
    assert other.get(KEY) is None
    keep(cache)
    assert other.get(KEY) == b"yes"


def test_a_drop_is_told_at_once_though_redis_has_just_failed(
    clock: Clock, valkey: tuple[str, Service]
) -> None:
    url, _ = valkey
    namespace = f"test:{uuid.uuid4()}"
    one, other = (Cache(RedisStore(url, namespace, clock), clock) for _ in range(2))
    keep(one)
    with closing(redis.Redis.from_url(url)) as server:
        server.client_pause(2000)
        assert one.get(KEY) is None  # what makes it leave Redis alone for a second of its clock
        server.execute_command("CLIENT", "UNPAUSE")
    assert one.stamp(TAGS) is None
    assert other.get(KEY) == b"yes"
    one.drop(TAGS[:1])
    assert other.get(KEY) is None


class Remote:
    """One process's way to a store, which may be cut."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.is_cut = False

    def __getattr__(self, name: str) -> Any:
        if self.is_cut:
            raise StoreUnavailable
        return getattr(self._store, name)


@pytest.mark.parametrize("place", ["memory", "redis"])
def test_a_drop_that_could_not_be_told_is_told_though_nobody_asks(
    place: str, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = redis_store(clock) if place == "redis" else MemoryStore(1_000_000, clock)
    monkeypatch.setattr("ckanext.bqdatastore.cache._PAUSE_SECONDS", 0.01)
    way: Any = Remote(store)
    one, other = Cache(way, clock), Cache(store, clock)
    keep(other)
    way.is_cut = True
    for tag in TAGS:
        one.drop([tag])
    time.sleep(0.05)  # some more attempts
    assert other.get(KEY) == b"yes"
    way.is_cut = False
    while other.get(KEY) is not None:
        time.sleep(0.005)
    keep(other)
    assert other.get(KEY) == b"yes"


def test_a_killed_server_is_as_no_cache(clock: Clock, valkey: tuple[str, Service]) -> None:
    url, service = valkey
    cache = Cache(redis_store(clock, url), clock)
    keep(cache)
    assert cache.get(KEY) == b"yes"
    service.process.kill()
    service.process.wait()
    assert cache.get(KEY) is None
    assert cache.stamp(TAGS) is None
    cache.drop(TAGS)
