"""`ckan bqdatastore check` says what is missing, also where CKAN itself would not start."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from .test_start import GOOD, READ, Case, Run, _environment, _ini, _prepared, both

GOOD_LINES = [
    "ok   The settings name an engine",
    "ok   write URL: the catalog can be opened",
    "ok   write URL: the data path {folder}/lake can be written",
    "ok   read URL: the catalog can be opened",
    "ok   read URL: its role cannot write",
]


def _checked(case: Case, folder: Path, config: pytest.Config) -> Run:
    path = _prepared(case, folder, _ini(config, folder))
    ran = subprocess.run(
        [str(Path(sys.executable).with_name("ckan")), "-c", str(path), "bqdatastore", "check"],
        cwd=folder,
        env=_environment(case.hidden, folder),
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert "Traceback" not in ran.stderr, ran.stderr
    assert "hush" not in ran.stdout + ran.stderr
    return Run(ran.returncode, ran.stdout)


def _lines(run: Run) -> list[str]:
    return [line for line in run.errors.splitlines() if line.startswith(("ok ", "FAIL"))]


def test_all_is_well(tmp_path: Path, pytestconfig: pytest.Config) -> None:
    run = _checked(Case({}, None), tmp_path, pytestconfig)
    assert _lines(run) == [line.format(folder=tmp_path) for line in GOOD_LINES]
    assert run.status == 0


def test_each_side_is_looked_at_by_itself(tmp_path: Path, pytestconfig: pytest.Config) -> None:
    wrong = {READ: GOOD[READ].replace("{read}", "{read_with_wrong_password}")}
    run = _checked(Case(wrong, None), tmp_path, pytestconfig)
    lines = _lines(run)
    assert [line[:4] for line in lines] == ["ok  ", "ok  ", "ok  ", "FAIL", "FAIL"]
    assert all("password authentication failed" in line for line in lines[3:])
    assert run.status == 1


def test_a_reading_role_that_may_write(tmp_path: Path, pytestconfig: pytest.Config) -> None:
    run = _checked(
        Case({READ: GOOD[READ].replace("{read}", "{write}")}, None), tmp_path, pytestconfig
    )
    assert _lines(run)[:4] == [line.format(folder=tmp_path) for line in GOOD_LINES[:4]]
    assert _lines(run)[4].startswith("FAIL read URL: its role cannot write: its role ")
    assert run.status == 1


def test_everything_is_missing(tmp_path: Path, pytestconfig: pytest.Config) -> None:
    nowhere = both("ducklake:postgresql://u:hush@127.0.0.1:1/db?data_path=/dev/null/lake")
    run = _checked(Case(nowhere, None), tmp_path, pytestconfig)
    assert [line[:4] for line in _lines(run)] == ["ok  ", "FAIL", "FAIL", "FAIL", "FAIL"]
    assert "/dev/null/lake" in _lines(run)[2]
    assert run.status == 1
