"""Growth as a table and as a chart."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

from benchmarks import growth
from benchmarks.measure import Taken
from benchmarks.results import Result

from .test_results import BYTES, MACHINE, SEARCH

ROWS = {"small": 1_000_000, "large": 4_000_000}
RESULTS: list[Result] = [
    replace(SEARCH, table="small"),
    replace(BYTES, table="small"),
    replace(SEARCH, table="large", taken={"ours": Taken(1.0, (0.5, 0.5))}),
]


def test_a_row_for_each_line_and_two_columns_for_each_size():
    lines = growth.markdown(RESULTS, ROWS, MACHINE).splitlines()
    assert "| line | stock, 1 M | ours, 1 M | stock, 4 M | ours, 4 M |" in lines
    assert "| search default (ms) | 200 | 100 |  | 500 |" in lines
    assert "| bytes on disk (bytes) | 200 | 10 |  |  |" in lines


def test_three_files(tmp_path: Path):
    growth.write(tmp_path, RESULTS, ROWS, MACHINE)
    assert len(json.loads((tmp_path / "growth.json").read_text())["lines"]) == 3
    assert "4 M" in (tmp_path / "growth.md").read_text()
    assert (tmp_path / "growth.png").read_bytes().startswith(b"\x89PNG")
