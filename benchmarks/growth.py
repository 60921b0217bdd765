"""How lines grow with the rows of a table: both sides' times at several sizes."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from .measure import Spread
from .results import OURS, STOCK, Counted, Measured, Result, as_json

SIDES = (STOCK, OURS)

Values = Mapping[str, Mapping[tuple[int, str], float]]
"""For each line, what a side took of a table of so many rows."""


def write(
    folder: Path, results: Sequence[Result], rows: Mapping[str, int], machine: Mapping[str, Any]
) -> None:
    """Write `growth.json`, `growth.md` and `growth.png` into `folder`.

    :param rows: how many each table has
    """
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps(as_json(results, machine), indent=1)
    (folder / "growth.json").write_text(text + "\n", encoding="utf-8")
    (folder / "growth.md").write_text(markdown(results, rows, machine), encoding="utf-8")
    _draw(folder / "growth.png", _by_line(results, rows))


def markdown(results: Sequence[Result], rows: Mapping[str, int], machine: Mapping[str, Any]) -> str:
    """A row for each line, and for each size what stock took and what ours took."""
    lines = _by_line(results, rows)
    sizes = _sizes(lines)
    heading = ["line", *(f"{side}, {_short(size)}" for size in sizes for side in SIDES)]
    table = [heading, ["---"] * len(heading)]
    for line, values in lines.items():
        table.append(
            [line, *(_amount(values.get((size, side))) for size in sizes for side in SIDES)]
        )
    text = "\n".join(f"| {' | '.join(row)} |" for row in table)
    return (
        "# Growth\n\n"
        f"Made by `make bench` or `make growth` on {machine['date']}: {machine['cores']} cores, "
        f"DuckDB {machine['duckdb']}, PostgreSQL {machine['postgresql']}. Medians; nothing where a "
        f"side was left out. Ours with caches off.\n\n{text}\n"
    )


def _by_line(results: Sequence[Result], rows: Mapping[str, int]) -> Values:
    found: dict[str, dict[tuple[int, str], float]] = {}
    for result in results:
        unit = "ms" if isinstance(result, Measured) else result.unit
        values = found.setdefault(f"{result.line} ({unit})", {})
        for side in SIDES:
            if isinstance(result, Counted):
                if side in result.values:
                    values[rows[result.table], side] = result.values[side]
            elif side in result.taken:
                milliseconds = [seconds * 1000 for seconds in result.taken[side].times]
                values[rows[result.table], side] = Spread.of(milliseconds).median
    return found


def _sizes(lines: Values) -> list[int]:
    return sorted({size for values in lines.values() for size, _ in values})


def _short(rows: int) -> str:
    return f"{rows / 1_000_000:g} M"


def _amount(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:,.0f}" if value >= 10 else f"{value:.1f}"


def _draw(path: Path, lines: Values) -> None:
    """A small chart for each line, both scales logarithmic: a slope of one is in step with rows."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    sizes = _sizes(lines)
    lines = {line: values for line, values in lines.items() if max(values.values(), default=0) > 0}
    if not lines:
        return
    across = 4
    down = -(-len(lines) // across)
    figure, grid = pyplot.subplots(down, across, figsize=(11, 2.1 * down), squeeze=False)
    for axes in grid.flat[len(lines) :]:
        axes.set_visible(False)
    for axes, (line, values) in zip(grid.flat, lines.items(), strict=False):
        for side, color in zip(SIDES, ("#b3541e", "#2a7f62"), strict=True):
            points = [(size, values[size, side]) for size in sizes if (size, side) in values]
            x, y = zip(*points, strict=True) if points else ((), ())
            axes.plot(x, y, "o-", color=color, label=side, markersize=3)
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.set_ylim(*_limits([value for value in values.values() if value > 0]))
        axes.set_xticks(sizes, [_short(size) for size in sizes], fontsize=7)
        axes.minorticks_off()
        axes.tick_params(axis="y", labelsize=7)
        axes.set_title(line, fontsize=8)
        axes.grid(linewidth=0.3)
    grid.flat[0].legend(fontsize=7)
    figure.tight_layout()
    figure.savefig(path, dpi=100, metadata={"Software": None})
    pyplot.close(figure)


def _limits(values: Sequence[float]) -> tuple[float, float]:
    """Of an axis that holds the values: two decades at least, so that what is flat looks so."""
    lowest, highest = min(values) / 1.5, max(values) * 1.5
    more = max(100 * lowest / highest, 1) ** 0.5
    return lowest / more, highest * more
