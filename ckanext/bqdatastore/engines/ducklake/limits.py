"""What ends a statement before its own end: its time is up, or nobody waits for the answer."""

from __future__ import annotations

import logging
import math
import os
import threading
import time

import duckdb

from ...model.errors import DatastoreFault, QueryCancelled, QueryTimeout
from ..base import Abandoned

log = logging.getLogger(__name__)

_SECONDS_BETWEEN_LOOKS = 0.2
_SECONDS_AT_LEAST = 0.01


class Limits:
    """Interrupts a cursor's statement when a limit is reached, and never after its `with`.

    The time begins when this is made; the `with` may be entered again for the next part of the
    work.
    """

    def __init__(
        self,
        cursor: duckdb.DuckDBPyConnection,
        seconds: float,
        abandoned: Abandoned | None = None,
    ) -> None:
        self._seconds = seconds
        self._cursor = cursor
        self._abandoned = abandoned
        self._end = time.monotonic() + seconds
        self._lock = threading.Lock()
        self._reached: DatastoreFault | None = None
        self._inside = False

    def __enter__(self) -> Limits:
        self._inside = True
        _watcher.add(self)
        return self

    def __exit__(self, *exception: object) -> None:
        with self._lock:
            self._inside = False
        _watcher.remove(self)

    def check(self) -> None:
        """
        :raises QueryTimeout, QueryCancelled: a limit was reached
        """
        if self._reached is not None:
            raise self._reached

    def fault(self) -> DatastoreFault:
        """Why a statement was interrupted."""
        return self._reached or QueryCancelled("interrupted")

    def look(self) -> None:
        """Interrupt the statement if a limit is reached."""
        with self._lock:
            if not self._inside:
                return
            self._reached = self._reached or self._found()
            if self._reached is not None:
                # Again and again: between two statements there is nothing to interrupt.
                self._cursor.interrupt()

    def seconds_to_look(self) -> float:
        """How soon there may be something to see."""
        if self._reached is not None:
            return _SECONDS_BETWEEN_LOOKS
        seconds = max(self._end - time.monotonic(), 0.0)
        return min(seconds, _SECONDS_BETWEEN_LOOKS) if self._abandoned else seconds

    def _found(self) -> DatastoreFault | None:
        if time.monotonic() >= self._end:
            return QueryTimeout(f"stopped after {self._seconds:g} s")
        if self._abandoned is not None and self._abandoned():
            return QueryCancelled("nobody waits for the answer any more")
        return None


class _Watcher:
    """One thread that looks after all limits of this process: to start one for each takes longer
    than many a statement.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._watched: dict[Limits, float] = {}  # and when to look
        self._next_look = 0.0
        self._thread: threading.Thread | None = None

    def add(self, limits: Limits) -> None:
        when = time.monotonic() + limits.seconds_to_look()
        with self._changed:
            self._watched[limits] = when
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, daemon=True)
                self._thread.start()
            elif when < self._next_look:
                self._changed.notify()

    def remove(self, limits: Limits) -> None:
        with self._changed:
            self._watched.pop(limits, None)

    def _run(self) -> None:
        while True:
            for limits in self._due():
                try:
                    limits.look()
                except Exception:
                    log.exception("It is not known whether a statement has reached its limits")

    def _due(self) -> list[Limits]:
        """Wait for the next look; whom to look after now."""
        with self._changed:
            now = time.monotonic()
            # Without anybody it wakes once more before it sleeps: that spares the next one a call.
            idle = now + _SECONDS_BETWEEN_LOOKS if self._next_look < math.inf else math.inf
            self._next_look = min(self._watched.values(), default=idle)
            if self._next_look > now:
                self._changed.wait(None if self._next_look == math.inf else self._next_look - now)
            now = time.monotonic()
            due = [limits for limits, when in list(self._watched.items()) if when <= now]
            for limits in due:
                self._watched[limits] = now + max(limits.seconds_to_look(), _SECONDS_AT_LEAST)
            return due


_watcher = _Watcher()


def _begin_anew() -> None:
    """A forked child has none of its parent's threads."""
    global _watcher
    _watcher = _Watcher()


os.register_at_fork(after_in_child=_begin_anew)
