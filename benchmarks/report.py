"""The results as files: JSON, a Markdown table, a chart."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from .measure import Spread
from .results import OURS, Counted, Measured, Result, as_json, table_rows


def write(
    folder: Path, results: Sequence[Result], sites: Mapping[str, str], machine: Mapping[str, Any]
) -> None:
    """Write `benchmark.json`, `benchmark.md` and `benchmark.png` into `folder`.

    :param sites: our sites' names and headings
    """
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps(as_json(results, machine), indent=1)
    (folder / "benchmark.json").write_text(text + "\n", encoding="utf-8")
    (folder / "benchmark.md").write_text(markdown(results, sites, machine), encoding="utf-8")
    if any(isinstance(result, Measured) for result in results):
        _draw(folder / "benchmark.png", results)


def markdown(
    results: Sequence[Result], sites: Mapping[str, str], machine: Mapping[str, Any]
) -> str:
    """A table for each of the asked tables."""
    parts = [
        "# Benchmark\n",
        f"Made by `make bench` on {machine['date']}: {machine['cores']} cores, "
        f"Python {machine['python']}, CKAN {machine['ckan']}, DuckDB {machine['duckdb']}, "
        f"PostgreSQL {machine['postgresql']}. Ratios: below 1 ours is faster or smaller.\n",
    ]
    for name in dict.fromkeys(result.table for result in results):
        rows = table_rows([result for result in results if result.table == name], sites)
        lines = [f"| {' | '.join(row)} |" for row in rows]
        rule = f"|{'---|' * len(rows[0])}"
        parts += [f"## {name}\n", "\n".join([lines[0], rule, *lines[1:]]) + "\n"]
    return "\n".join(parts)


def _draw(path: Path, results: Sequence[Result]) -> None:
    """Bars from the stock backend's 1 to ours, on a scale where halves and doubles are alike."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    names, middles, errors = [], [], []
    several = len({result.table for result in results}) > 1
    for result in results:
        spread = result.to_stock(OURS)
        if spread is None or (isinstance(result, Counted) and result.unit != "bytes"):
            continue
        if not isinstance(spread, Spread):
            spread = Spread(spread, spread, spread)
        names.append(f"{result.line} ({result.table})" if several else result.line)
        middles.append(spread.median)
        errors.append((spread.median - spread.low, spread.high - spread.median))
    figure, axes = pyplot.subplots(figsize=(9, 1.2 + 0.27 * len(names)))
    places = range(len(names))
    colors = ["#2a7f62" if middle <= 1 else "#b3541e" for middle in middles]
    axes.barh(
        places,
        [middle - 1 for middle in middles],
        left=1,
        color=colors,
        xerr=list(zip(*errors, strict=True)),
        error_kw={"elinewidth": 0.8, "ecolor": "#444444"},
    )
    axes.set_yticks(places, names, fontsize=8)
    axes.invert_yaxis()
    axes.set_xscale("log")
    axes.axvline(1, color="black", linewidth=0.8)
    ticks = [0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5]
    shown = [tick for tick in ticks if min(middles) / 2 <= tick <= max([*middles, 1]) * 2]
    axes.set_xticks(shown, [f"{tick:g}" for tick in shown])
    axes.minorticks_off()
    axes.set_xlabel("ours / stock (caches off; lines: the middle half of the rounds)")
    axes.set_title("Time and bytes, stock backend = 1, less is better", fontsize=10)
    axes.grid(axis="x", linewidth=0.3)
    figure.tight_layout()
    figure.savefig(path, dpi=110, metadata={"Software": None})
    pyplot.close(figure)
