"""DuckDB instances that are lent to one caller at a time.

Two transactions of one instance share DuckLake's cache of the catalog. When both miss the same
schema version at once, the second to load it frees what the first goes on using: tables that are
not found, names from freed memory, failed commits. So no two callers ever have one instance at the
same time.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING

import duckdb

from ...model.errors import EngineUnavailable
from .conflicts import TransactionConflict

if TYPE_CHECKING:
    from .connection import Side

KEPT = 8
"""How many idle instances wait for the next call; what a busy moment opened beyond is closed."""


class Lease:
    """A cursor on an instance that is the holder's alone until `release`.

    One that is forgotten, such as that of a stream which nobody reads, goes back by itself.
    """

    def __init__(self, pool: Pool, side: Side) -> None:
        self._pool = pool
        self._side: Side | None = None
        self.cursor = side.cursor()
        self._side = side

    def release(self, broken: bool = False) -> None:
        """
        :param broken: the engine failed, so that nobody should be given this instance again
        """
        side, self._side = self._side, None
        if side is not None:
            self.cursor.close()
            self._pool.take_back(side, broken)

    def __enter__(self) -> duckdb.DuckDBPyConnection:
        return self.cursor

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.release(is_breakdown(error))

    def __del__(self) -> None:
        self.release()


def is_breakdown(error: BaseException | None) -> bool:
    """Whether an error tells that the instance, or its way to the catalog, is no good any more."""
    return isinstance(error, EngineUnavailable) and not isinstance(error, TransactionConflict)


class Pool:
    """The instances of one side: as many as there are callers at once, opened when needed."""

    def __init__(self, open_side: Callable[[], Side]) -> None:
        self._open_side = open_side
        # Reentrant, for the garbage collector may return a forgotten lease at any moment.
        self._lock = threading.RLock()
        # The first makes the catalog, so they are opened one after the other.
        self._opening = threading.Lock()
        self._idle: list[Side] = []
        self._all: set[Side] = set()

    def lend(self) -> Lease:
        with self._lock:
            side = self._idle.pop() if self._idle else None
        if side is None:
            with self._opening:
                side = self._open_side()
            with self._lock:
                self._all.add(side)
        return Lease(self, side)

    def take_back(self, side: Side, broken: bool) -> None:
        """After a breakdown idle instances go too: theirs is the same catalog."""
        with self._lock:
            if side not in self._all:  # of the time before a `close` or a fork
                closing = [side]
            elif broken:
                closing = [side, *self._idle]
                self._idle.clear()
            elif len(self._idle) < KEPT:
                self._idle.append(side)
                closing = []
            else:
                closing = [side]
            self._all.difference_update(closing)
        for each in closing:
            each.close()

    def close(self) -> None:
        """Close what is idle; what is lent is closed when it comes back."""
        with self._lock:
            closing, self._idle = self._idle, []
            self._all.clear()
        for side in closing:
            side.close()

    def sides(self) -> set[Side]:
        """All instances, lent or idle."""
        return self._all
