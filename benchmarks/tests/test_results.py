"""Results as a table and as JSON."""

from __future__ import annotations

import json
from pathlib import Path

from benchmarks import report
from benchmarks.measure import Taken
from benchmarks.results import Counted, Measured, as_json, table_rows

SITES = {"ours": "caches off", "permissions": "permission cache"}
MACHINE = {
    **dict.fromkeys(("date", "python", "ckan", "duckdb", "postgresql", "commit"), "1"),
    "cores": 2,
}
SEARCH = Measured(
    "flights",
    "search default",
    {"stock": Taken(0.4, (0.1, 0.2, 0.3)), "ours": Taken(0.2, (0.05, 0.1, 0.3))},
    engine=(0.04, 0.04),
    limit=(0.02, 0.02),
)
BYTES = Counted("flights", "bytes on disk", "bytes", {"stock": 200.0, "ours": 10.0})


def test_table_has_a_row_for_each_line_and_nothing_where_nothing_was_measured():
    assert table_rows([SEARCH, BYTES], SITES) == [
        [
            "line",
            "ours/stock, caches off",
            "ours/stock, permission cache",
            "middle half",
            "first request",
            "engine/limit",
        ],
        ["search default", "0.50", "", "0.50 to 0.75", "0.50", "2.00"],
        ["bytes on disk (bytes)", "0.05", "", "", "", ""],
    ]


def test_json_has_milliseconds_and_ratios():
    content = as_json([SEARCH, BYTES], MACHINE)
    search, size = content["lines"]
    assert search["milliseconds"]["stock"]["median"] == 200.0
    assert search["milliseconds"]["ours"]["first"] == 200.0
    assert search["to_stock"]["ours"]["best"] == 0.5
    assert search["engine_to_limit"]["median"] == 2.0
    assert size["to_stock"] == {"ours": 0.05}


def test_report_is_three_files(tmp_path: Path):
    report.write(tmp_path, [SEARCH, BYTES], SITES, MACHINE)
    assert json.loads((tmp_path / "benchmark.json").read_text())["machine"]["cores"] == 2
    assert "| search default | 0.50 |" in (tmp_path / "benchmark.md").read_text()
    assert (tmp_path / "benchmark.png").read_bytes().startswith(b"\x89PNG")
