"""Several clients at once: how many requests a second are answered, how long the slow ones take."""

from __future__ import annotations

import dataclasses
import itertools
import threading
import time
from collections.abc import Sequence

from .lines import Request
from .measure import percentile
from .sites import BenchmarkError, Served

CLIENTS = 8


@dataclasses.dataclass(frozen=True)
class Load:
    """What the clients saw, in one slice of time.

    :param per_second: answers
    :param p99: seconds
    :param failed: requests that were refused or broke
    """

    per_second: float
    p99: float
    failed: int


def ask_at_once(site: Served, requests: Sequence[Request], seconds: float) -> Load:
    """Let the clients ask in turn for the requests, each beginning with another one."""
    times: list[list[float]] = [[] for _ in range(CLIENTS)]
    failed: list[str] = []
    faults: list[BaseException] = []
    start = time.perf_counter()
    end = start + seconds

    def client(number: int) -> None:
        connection = site.connection()
        first = number % len(requests)
        turn = itertools.cycle([*requests[first:], *requests[:first]])
        try:
            while time.perf_counter() < end:
                try:
                    times[number].append(site.ask(next(turn), connection=connection)[0])
                except BenchmarkError as fault:
                    failed.append(str(fault))
        except BaseException as fault:
            faults.append(fault)
        finally:
            connection.close()

    threads = [threading.Thread(target=client, args=(number,)) for number in range(CLIENTS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if faults:
        raise faults[0]
    seen = [each for some in times for each in some]
    return Load(len(seen) / (time.perf_counter() - start), percentile(seen, 99), len(failed))
