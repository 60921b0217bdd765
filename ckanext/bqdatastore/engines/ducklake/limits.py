"""What ends a statement before its own end: its time is up, or nobody waits for the answer."""

from __future__ import annotations

import threading
import time

import duckdb

from ...model.errors import DatastoreFault, QueryCancelled, QueryTimeout
from ..base import Abandoned

_SECONDS_BETWEEN_LOOKS = 0.2


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
        self._left = threading.Event()

    def __enter__(self) -> Limits:
        self._left = threading.Event()
        threading.Thread(target=self._watch, args=(self._left,), daemon=True).start()
        return self

    def __exit__(self, *exception: object) -> None:
        with self._lock:
            self._left.set()

    def check(self) -> None:
        """
        :raises QueryTimeout, QueryCancelled: a limit was reached
        """
        if self._reached is not None:
            raise self._reached

    def fault(self) -> DatastoreFault:
        """Why a statement was interrupted."""
        return self._reached or QueryCancelled("interrupted")

    def _watch(self, left: threading.Event) -> None:
        while not left.wait(self._seconds_to_sleep()):
            with self._lock:
                if left.is_set():
                    return
                self._reached = self._reached or self._found()
                if self._reached is not None:
                    # Again and again: between two statements there is nothing to interrupt.
                    self._cursor.interrupt()

    def _seconds_to_sleep(self) -> float:
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
