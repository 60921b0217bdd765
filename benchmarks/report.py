"""The results as files: JSON, a Markdown table, a chart."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from .measure import Spread
from .results import OURS, Counted, Result, as_json, table_rows

Ratios = Mapping[str, Spread]
"""A line's times or bytes to the stock site's, by site."""

_MARKS = ("D", "o")


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
    names = list(dict.fromkeys(result.table for result in results))
    # How it is in between, `growth` shows.
    panels = {name: _ratios(results, name, sites) for name in (names[0], names[-1])}
    if panels := {name: lines for name, lines in panels.items() if lines}:
        draw(folder / "benchmark.png", panels, sites)


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


def _ratios(results: Sequence[Result], table: str, sites: Mapping[str, str]) -> dict[str, Ratios]:
    """Of each line in which less is better, for the sites that have been measured."""
    found: dict[str, Ratios] = {}
    for result in results:
        if result.table != table or (isinstance(result, Counted) and result.unit != "bytes"):
            continue
        ratios = {site: result.to_stock(site) for site in sites}
        found[result.line] = {
            site: ratio if isinstance(ratio, Spread) else Spread(ratio, ratio, ratio)
            for site, ratio in ratios.items()
            if ratio is not None
        }
    return {name: ratios for name, ratios in found.items() if OURS in ratios}


def draw(path: Path, panels: Mapping[str, Mapping[str, Ratios]], sites: Mapping[str, str]) -> None:
    """A panel for each table, with a bar for each line.

    Bars go from the stock backend's 1 to ours, on a scale where halves and doubles are alike. What
    ours is with caches are marks on the bars.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    names = list(dict.fromkeys(name for lines in panels.values() for name in lines))
    size = (4 + 5 * len(panels), 1.2 + 0.27 * len(names))
    figure, grid = pyplot.subplots(1, len(panels), figsize=size, sharey=True, squeeze=False)
    for axes, (table, lines) in zip(grid.flat, panels.items(), strict=True):
        _draw_panel(axes, lines, {name: place for place, name in enumerate(names)}, sites)
        axes.set_title(table, fontsize=10)
    first = grid.flat[0]
    first.set_yticks(range(len(names)), names, fontsize=8)
    first.invert_yaxis()
    first.legend(loc="lower left", fontsize=8)
    figure.suptitle("Time and bytes, stock backend = 1, less is better", fontsize=11)
    figure.supxlabel("ours / stock (caches off; lines: the middle half of the rounds)", fontsize=9)
    figure.tight_layout()
    figure.savefig(path, dpi=110, metadata={"Software": None})
    pyplot.close(figure)


def _draw_panel(
    axes: Any, lines: Mapping[str, Ratios], places: Mapping[str, int], sites: Mapping[str, str]
) -> None:
    spreads = [ratios[OURS] for ratios in lines.values()]
    middles = [spread.median for spread in spreads]
    errors = [(spread.median - spread.low, spread.high - spread.median) for spread in spreads]
    axes.barh(
        [places[name] for name in lines],
        [middle - 1 for middle in middles],
        left=1,
        color=["#2a7f62" if middle <= 1 else "#b3541e" for middle in middles],
        xerr=list(zip(*errors, strict=True)),
        error_kw={"elinewidth": 0.8, "ecolor": "#444444"},
    )
    least = min(middles)
    for mark, site in zip(_MARKS, [site for site in sites if site != OURS], strict=False):
        marked = [
            (ratios[site].median, places[name]) for name, ratios in lines.items() if site in ratios
        ]
        x, y = zip(*marked, strict=True) if marked else ((), ())
        axes.scatter(x, y, marker=mark, color="black", s=14, zorder=3, label=sites[site])
        least = min([least, *x])
    axes.set_xscale("log")
    axes.axvline(1, color="black", linewidth=0.8)
    ticks = [0.001, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5]
    shown = [tick for tick in ticks if least / 2 <= tick <= max([*middles, 1]) * 2]
    axes.set_xticks(shown, [f"{tick:g}" for tick in shown], fontsize=8)
    axes.minorticks_off()
    axes.grid(axis="x", linewidth=0.3)
