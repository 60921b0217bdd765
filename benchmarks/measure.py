"""Times taken in turn, and what can honestly be said of them on a machine that others use too."""

from __future__ import annotations

import dataclasses
import statistics
import time
from collections.abc import Callable, Mapping, Sequence

Times = Sequence[float]
"""Seconds, one for each round."""


@dataclasses.dataclass(frozen=True)
class Spread:
    """The middle of some numbers and where the middle half of them lies."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, numbers: Sequence[float]) -> Spread:
        if len(numbers) == 1:
            return cls(numbers[0], numbers[0], numbers[0])
        low, median, high = statistics.quantiles(numbers, n=4, method="inclusive")
        return cls(median, low, high)


def ratio(ours: Times, theirs: Times) -> Spread:
    """How many times as long ours took: each round's own ratio, for load drifts between rounds."""
    return Spread.of([a / b for a, b in zip(ours, theirs, strict=True)])


@dataclasses.dataclass(frozen=True)
class Taken:
    """What one side took for one line.

    :param first: seconds of the first request, to a process that was never asked this before
    :param times: seconds of the requests after it
    """

    first: float
    times: tuple[float, ...]

    @property
    def best(self) -> float:
        return min(self.times)


def in_turn(
    askers: Mapping[str, Callable[[], float]],
    *,
    at_least: int,
    at_most: int,
    seconds: float,
    patience: float,
) -> dict[str, Taken]:
    """Ask every side once, then all of them in turn, round after round.

    Each round begins with another side, so that none always comes after the same one.

    :param askers: what asks a side and returns the seconds that counted
    :param at_least: rounds, unless patience is at its end
    :param seconds: after which no further round begins
    :param patience: seconds, from the first request on, after which one round is enough
    """
    began = time.monotonic()
    first = {name: ask() for name, ask in askers.items()}
    times: dict[str, list[float]] = {name: [] for name in askers}
    names = list(askers)
    end = time.monotonic() + seconds
    for round_number in range(at_most):
        now = time.monotonic()
        if now > end and (round_number >= at_least or (round_number and now - began > patience)):
            break
        start = round_number % len(names)
        for name in [*names[start:], *names[:start]]:
            times[name].append(askers[name]())
    return {name: Taken(first[name], tuple(times[name])) for name in names}


def percentile(numbers: Sequence[float], percent: float) -> float:
    """The smallest number that at least so many percent of the numbers do not exceed."""
    ordered = sorted(numbers)
    rank = -(-len(ordered) * percent // 100)
    return ordered[max(int(rank), 1) - 1]
