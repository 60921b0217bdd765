"""How many of CKAN's tests pass, by extension, beside what the stock backend was seen to give."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import yaml

_STOCK = Path(__file__).parent / "stock.yaml"

OUTCOMES = ("passed", "failed", "skipped")


@dataclasses.dataclass(frozen=True)
class Figures:
    """Numbers of tests."""

    passed: int = 0
    failed: int = 0
    skipped: int = 0

    def __str__(self) -> str:
        return ", ".join(f"{getattr(self, outcome)} {outcome}" for outcome in OUTCOMES)


def stock(release: str) -> dict[str, Figures]:
    """What the stock backend gave, by extension; empty for releases that nobody measured.

    :param release: of CKAN, as `2.12`
    """
    recorded = yaml.safe_load(_STOCK.read_text(encoding="utf-8"))
    return {name: Figures(**each) for name, each in recorded.get(release, {}).items()}


def by_extension(outcomes: Mapping[str, str]) -> dict[str, Figures]:
    """
    :param outcomes: of each test, named by its path below `ckanext/`
    """
    found: dict[str, Figures] = {}
    for test, outcome in outcomes.items():
        extension = test.partition("/")[0]
        before = found.get(extension, Figures())
        found[extension] = dataclasses.replace(before, **{outcome: getattr(before, outcome) + 1})
    return dict(sorted(found.items()))


def total(figures: Iterable[Figures]) -> Figures:
    listed = list(figures)
    return Figures(
        **{outcome: sum(getattr(each, outcome) for each in listed) for outcome in OUTCOMES}
    )


def table(
    engine: str, measured: Mapping[str, Figures], recorded: Mapping[str, Figures]
) -> Iterator[str]:
    """A line for each extension: what was recorded of the stock backend, and what came now."""
    rows = [("extension", "postgresql, recorded", engine)]
    for extension, figures in measured.items():
        rows.append((extension, str(recorded.get(extension, "not measured")), str(figures)))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()


def differences(measured: Mapping[str, Figures], recorded: Mapping[str, Figures]) -> list[str]:
    """Where a run on the stock backend and the record of it do not agree."""
    return [
        f"{extension}: recorded {recorded.get(extension)}, measured {measured.get(extension)}"
        for extension in sorted({*measured, *recorded})
        if measured.get(extension) != recorded.get(extension)
    ]
