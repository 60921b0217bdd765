"""A cache whose entries carry tags, in this process's memory or in Redis.

Every tag has a mark: a random text that is replaced when the tag is dropped. An entry keeps the
marks of its tags as they were before its value was worked out, and counts for as long as they all
stand. So a value that was worked out from what a drop had just made old is never found: its marks
are gone, whenever it is stored.
"""

from __future__ import annotations

import hashlib
import itertools
import logging
import secrets
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import msgspec
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

log = logging.getLogger(__name__)

T = TypeVar("T")
Clock = Callable[[], float]
Key = tuple[str, ...]

_HELD = b""
_MARK_SECONDS = 3600.0
_HOLD_SECONDS = 60.0
_GUESSES_MAX = 10_000
_NETWORK_SECONDS = 0.1
_PAUSE_SECONDS = 1.0
_WARNING_SECONDS = 60.0
_ENTRY_OVERHEAD_BYTES = 340  # Python's objects for one, as the process grows by them, or more


class StoreUnavailable(Exception):
    """The store cannot be asked now."""


class Store(Protocol):
    """Named bytes that expire. Every method may raise `StoreUnavailable`.

    :ivar is_near: whether a second question costs nothing to speak of
    """

    is_near: bool

    def read(self, names: Sequence[str]) -> list[bytes | None]: ...

    def write(self, values: Mapping[str, bytes], seconds: float) -> None: ...

    def read_or_write(self, values: Mapping[str, bytes], seconds: float) -> list[bytes | None]:
        """What each name holds, after the value was put where it held nothing."""

    def remove(self, names: Collection[str], *, insist: bool = False) -> None:
        """
        :param insist: even where the store would not be asked so soon after it failed
        """


class _Entry(msgspec.Struct, array_like=True, forbid_unknown_fields=True):
    name: str
    marks: dict[str, bytes]
    value: bytes


_decode = msgspec.msgpack.Decoder(_Entry).decode
_encode = msgspec.msgpack.Encoder().encode


@dataclass(frozen=True)
class Stamp:
    """The marks of some tags at one time.

    :param taken: the time, by the cache's clock
    """

    marks: Mapping[str, bytes]
    taken: float


class Cache:
    """Get, set for a time, drop by tag. Never raises because of its store.

    :param clock: seconds that never go back
    """

    def __init__(self, store: Store, clock: Clock = time.monotonic) -> None:
        self._store = store
        self._clock = clock
        self._tags_of: dict[str, tuple[str, ...]] = {}
        self._dropped: deque[tuple[str, tuple[int, float]]] = deque()
        self._owed: dict[str, tuple[int, float]] = {}
        self._reminder: threading.Timer | None = None
        self._numbers = itertools.count()
        self._lock = threading.RLock()
        self._at_work: int | None = None  # the thread that reads or changes what is owed

    def get(self, key: Key) -> bytes | None:
        """The value, or None."""
        name = _name("entry", key)
        try:
            self._pay()
            guess = self._tags_of.get(name, ())
            text, *marks = self._store.read([name, *guess])
            entry = _parsed(text) if text is not None else None
            if entry is None or entry.name != name:
                return None
            tags = tuple(entry.marks)
            if tags != guess:
                if not self._store.is_near:
                    self._learn(name, tags)
                marks = self._store.read(tags)
        except StoreUnavailable:
            return None
        return entry.value if marks == list(entry.marks.values()) else None

    def _learn(self, name: str, tags: tuple[str, ...]) -> None:
        """Next time the entry and its marks are asked for together."""
        if len(self._tags_of) >= _GUESSES_MAX:
            self._tags_of.clear()
        self._tags_of[name] = tags

    def stamp(self, tags: Iterable[Key]) -> Stamp | None:
        """What `set` needs of a value that is about to be worked out.

        None while one of the tags is held or the store is away: the value is then not to be kept.
        """
        taken = self._clock()
        fresh = {_name("tag", tag): secrets.token_bytes(8) for tag in tags}
        try:
            self._pay()
            marks = self._store.read_or_write(fresh, _MARK_SECONDS)
        except StoreUnavailable:
            return None
        standing = {name: mark for name, mark in zip(fresh, marks, strict=True) if mark}
        return Stamp(standing, taken) if len(standing) == len(fresh) else None

    def set(self, key: Key, value: bytes, stamp: Stamp, ttl: float) -> None:
        """Keep a value until `ttl` seconds after the stamp was taken."""
        left = ttl - (self._clock() - stamp.taken)
        if left <= 0:
            return
        name = _name("entry", key)
        try:
            self._store.write({name: _encode(_Entry(name, dict(stamp.marks), value))}, left)
        except StoreUnavailable:
            return

    def hold(self, tags: Iterable[Key]) -> None:
        """Drop all entries with these tags, and take none until the tags are dropped.

        For a change that others cannot see yet. A hold that is never lifted ends by itself.
        """
        try:
            self._store.write({_name("tag", tag): _HELD for tag in tags}, _HOLD_SECONDS)
        except StoreUnavailable:
            return  # what counts is the drop, and that one is owed

    def drop(self, tags: Iterable[Key]) -> None:
        """Drop all entries with one of these tags.

        While the store cannot be told, this cache finds nothing and keeps nothing, and tries again
        every second: others on the store go by what they kept until they are told.
        """
        now = self._clock()
        self._dropped.extend((_name("tag", tag), (next(self._numbers), now)) for tag in tags)
        self._insist()

    def _insist(self) -> None:
        try:
            self._pay(insist=True)
        except StoreUnavailable:
            self._remind()

    def _remind(self) -> None:
        """Insist again in a while, whether or not anybody asks this cache for anything."""
        with self._working():
            # A process that was forked has the timer, but not its thread.
            if self._reminder is None or not self._reminder.is_alive():
                self._reminder = threading.Timer(_PAUSE_SECONDS, self._insist_again)
                self._reminder.daemon = True
                self._reminder.start()

    def _insist_again(self) -> None:
        with self._working():
            self._reminder = None
        self._insist()

    def _pay(self, *, insist: bool = False) -> None:
        """Tell the store of all drops that it has not heard of."""
        while insist or self._owed or self._dropped:
            if self._at_work == threading.get_ident():
                # Python let go of a session in the midst of this, and that was a drop.
                return
            now = self._clock()
            with self._working():
                while self._dropped:
                    name, due = self._dropped.popleft()
                    self._owed[name] = due
                # Older marks have gone by themselves.
                owed = {n: due for n, due in self._owed.items() if now - due[1] <= _MARK_SECONDS}
                self._owed = dict(owed)
            self._store.remove(owed.keys(), insist=insist)
            with self._working():
                self._owed = {n: due for n, due in self._owed.items() if owed.get(n) != due}
            insist = False

    @contextmanager
    def _working(self) -> Iterator[None]:
        with self._lock:
            self._at_work = threading.get_ident()
            try:
                yield
            finally:
                self._at_work = None


def _parsed(text: bytes) -> _Entry | None:
    try:
        return _decode(text)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None


def _name(kind: str, parts: Key) -> str:
    """A key or tag as a name in a store, whatever its parts hold."""
    text = msgspec.msgpack.encode((kind, parts))
    return hashlib.blake2b(text, digest_size=20).hexdigest()


class MemoryStore:
    """In this process. What was used least recently goes first when it is full.

    :param max_bytes: how much it may hold, about
    """

    is_near = True

    def __init__(self, max_bytes: int, clock: Clock = time.monotonic) -> None:
        self._max_bytes = max_bytes
        self._clock = clock
        self._bytes = 0
        self._values: OrderedDict[str, tuple[bytes, float]] = OrderedDict()
        # Python may let go of a session, which drops what it changed, in the midst of anything.
        self._lock = threading.RLock()

    def read(self, names: Sequence[str]) -> list[bytes | None]:
        with self._lock:
            return [self._read(name) for name in names]

    def write(self, values: Mapping[str, bytes], seconds: float) -> None:
        with self._lock:
            for name, value in values.items():
                self._write(name, value, seconds)

    def read_or_write(self, values: Mapping[str, bytes], seconds: float) -> list[bytes | None]:
        with self._lock:
            for name, value in values.items():
                if self._read(name) is None:
                    self._write(name, value, seconds)
            return [self._read(name) for name in values]

    def remove(self, names: Collection[str], *, insist: bool = False) -> None:
        with self._lock:
            for name in names:
                self._remove(name)

    def _read(self, name: str) -> bytes | None:
        found = self._values.get(name)
        if found is None:
            return None
        if self._clock() >= found[1]:
            self._remove(name)
            return None
        self._values.move_to_end(name)
        return found[0]

    def _write(self, name: str, value: bytes, seconds: float) -> None:
        self._remove(name)
        if _size(value) > self._max_bytes:
            return
        self._values[name] = (value, self._clock() + seconds)
        self._bytes += _size(value)
        while self._bytes > self._max_bytes:
            _, (dropped, _) = self._values.popitem(last=False)
            self._bytes -= _size(dropped)

    def _remove(self, name: str) -> None:
        found = self._values.pop(name, None)
        if found is not None:
            self._bytes -= _size(found[0])


def _size(value: bytes) -> int:
    return len(value) + _ENTRY_OVERHEAD_BYTES


class RedisStore:
    """In Redis, or what speaks like it.

    :param namespace: what every name begins with
    """

    is_near = False

    def __init__(self, url: str, namespace: str, clock: Clock = time.monotonic) -> None:
        self._namespace = namespace
        self._clock = clock
        self._silent_until = 0.0
        self._next_warning = -_WARNING_SECONDS
        self._client = redis.Redis.from_url(
            url,
            socket_timeout=_NETWORK_SECONDS,
            socket_connect_timeout=_NETWORK_SECONDS,
            # Once more at once, for a connection that the server closed while it lay idle.
            retry=Retry(NoBackoff(), 1, supported_errors=(redis.ConnectionError,)),
        )

    def read(self, names: Sequence[str]) -> list[bytes | None]:
        full = self._full(names)
        return self._ask(lambda: _answers(self._client.mget(full), full)) if full else []

    def write(self, values: Mapping[str, bytes], seconds: float) -> None:
        self._ask(lambda: self._write(values, seconds, only_new=False).execute())

    def read_or_write(self, values: Mapping[str, bytes], seconds: float) -> list[bytes | None]:
        def ask() -> list[bytes | None]:
            pipe = self._write(values, seconds, only_new=True)
            pipe.mget(self._full(values))
            return _answers(pipe.execute()[-1], values)

        return self._ask(ask)

    def remove(self, names: Collection[str], *, insist: bool = False) -> None:
        full = self._full(names)
        if full:
            self._ask(lambda: self._client.delete(*full), insist=insist)

    def _write(self, values: Mapping[str, bytes], seconds: float, *, only_new: bool) -> Any:
        pipe = self._client.pipeline(transaction=False)
        milliseconds = max(1, int(seconds * 1000))
        for name, value in values.items():
            pipe.set(f"{self._namespace}:{name}", value, px=milliseconds, nx=only_new)
        return pipe

    def _full(self, names: Iterable[str]) -> list[str]:
        return [f"{self._namespace}:{name}" for name in names]

    def _ask(self, question: Callable[[], T], *, insist: bool = False) -> T:
        if not insist and self._clock() < self._silent_until:
            raise StoreUnavailable
        try:
            return question()
        except Exception as error:  # the client breaks on some answers that are not Redis's
            # A server that is away or slow would otherwise make every request wait for it.
            self._silent_until = self._clock() + _PAUSE_SECONDS
            self._warn(error)
            raise StoreUnavailable from None

    def _warn(self, error: Exception) -> None:
        if self._clock() < self._next_warning:
            return
        self._next_warning = self._clock() + _WARNING_SECONDS
        log.warning(
            "ckanext.bqdatastore.redis_url: Redis does not answer (%s); permissions are decided "
            "without it.",
            error,
        )


def _answers(found: Any, names: Collection[str]) -> list[bytes | None]:
    """One for each name.

    :raises RedisError: they are something else
    """
    if not isinstance(found, list) or len(found) != len(names):
        raise redis.InvalidResponse(f"{len(names)} values were asked for, not {type(found)}")
    return [value if isinstance(value, bytes) else None for value in found]
