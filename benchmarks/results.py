"""What was measured, as it is kept: plain data, JSON, and the rows of a table."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from .measure import Spread, Taken, ratio

STOCK, OURS = "stock", "ours"


@dataclasses.dataclass(frozen=True)
class Measured:
    """A line that was timed.

    :param table: the table that was asked
    :param taken: what each site took, by its name
    :param engine: seconds of our engine for the line's statements, where it was looked at
    :param limit: seconds of raw DuckDB for the same statements
    """

    table: str
    line: str
    taken: Mapping[str, Taken]
    engine: tuple[float, ...] = ()
    limit: tuple[float, ...] = ()

    def to_stock(self, site: str) -> Spread | None:
        """A site's time as a multiple of stock's."""
        if not {site, STOCK} <= self.taken.keys():
            return None
        return ratio(self.taken[site].times, self.taken[STOCK].times)

    def first_to_stock(self, site: str) -> float | None:
        """The same of the first request alone."""
        if not {site, STOCK} <= self.taken.keys():
            return None
        return self.taken[site].first / self.taken[STOCK].first

    def to_limit(self) -> Spread | None:
        """The engine's time as a multiple of raw DuckDB's."""
        return ratio(self.engine, self.limit) if self.limit else None


@dataclasses.dataclass(frozen=True)
class Counted:
    """Something that has no time: bytes, requests per second.

    :param values: one for each site
    """

    table: str
    line: str
    unit: str
    values: Mapping[str, float]

    def to_stock(self, site: str) -> float | None:
        if site not in self.values or not self.values.get(STOCK):
            return None
        return self.values[site] / self.values[STOCK]


Result = Measured | Counted


def as_json(results: Sequence[Result], machine: Mapping[str, Any]) -> dict[str, Any]:
    """All of it, times in milliseconds."""
    return {"machine": dict(machine), "lines": [_line(result) for result in results]}


def _line(result: Result) -> dict[str, Any]:
    if isinstance(result, Counted):
        return {
            "table": result.table,
            "line": result.line,
            "unit": result.unit,
            "values": {site: round(value, 3) for site, value in result.values.items()},
            "to_stock": {
                site: _rounded(result.to_stock(site)) for site in result.values if site != STOCK
            },
        }
    return {
        "table": result.table,
        "line": result.line,
        "milliseconds": {
            site: {
                "first": _milliseconds(taken.first),
                "best": _milliseconds(taken.best),
                **_spread(Spread.of([time * 1000 for time in taken.times])),
                "rounds": len(taken.times),
            }
            for site, taken in result.taken.items()
        },
        "to_stock": {
            site: {
                **_spread(spread),
                "first": _rounded(result.first_to_stock(site)),
                "best": _rounded(result.taken[site].best / result.taken[STOCK].best),
            }
            for site in result.taken
            if site != STOCK and (spread := result.to_stock(site))
        },
        **({"engine_to_limit": _spread(spread)} if (spread := result.to_limit()) else {}),
    }


def table_rows(results: Sequence[Result], sites: Mapping[str, str]) -> list[list[str]]:
    """A heading and a row for each line: ratios to stock, smaller is better unless it says so.

    :param sites: our sites' names and headings
    """
    heading = ["line"]
    for label in sites.values():
        heading += [f"ours/stock, {label}"]
    rows = [[*heading, "middle half", "first request", "engine/limit"]]
    for result in results:
        ratios = [result.to_stock(site) for site in sites]
        row = [result.line + (f" ({result.unit})" if isinstance(result, Counted) else "")]
        row += [_shown(each.median if isinstance(each, Spread) else each) for each in ratios]
        if isinstance(result, Measured):
            own = result.to_stock(OURS)
            limit = result.to_limit()
            row.append(f"{_shown(own.low)} to {_shown(own.high)}" if own else "")
            row.append(_shown(result.first_to_stock(OURS)))
            row.append(_shown(limit.median) if limit else "")
        else:
            row += ["", "", ""]
        rows.append(row)
    return rows


def _shown(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:.2f}" if value < 10 else f"{value:.0f}"


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)


def _milliseconds(seconds: float) -> float:
    return round(seconds * 1000, 3)


def _spread(spread: Spread) -> dict[str, float | None]:
    return {name: _rounded(value) for name, value in dataclasses.asdict(spread).items()}
