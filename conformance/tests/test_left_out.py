"""The list of tests that are left out names tests that there are, on both sides."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from pathlib import Path

import ckanext.datastore
import pytest

from conformance import left_out

THEIRS = Path(ckanext.datastore.__file__).parent.parent
OURS = Path(__file__).parent.parent.parent


def _exists(root: Path, name: str) -> bool:
    path, *inside = name.split("::")
    file = root / path
    return file.is_file() and _has(ast.parse(file.read_text(encoding="utf-8")).body, inside)


def _has(body: Sequence[ast.stmt], inside: Sequence[str]) -> bool:
    if not inside:
        return True
    for node in body:
        if isinstance(node, (ast.ClassDef, ast.FunctionDef)) and node.name == inside[0]:
            return _has(node.body, inside[1:])
    return False


@pytest.mark.parametrize("group", left_out.groups(), ids=lambda group: group.tests[0])
def test_tests_that_are_left_out_and_those_in_their_place_exist(group: left_out.Group) -> None:
    assert group.covered_by
    missing = [name for name in group.tests if not _exists(THEIRS, name)]
    missing += [name for name in group.covered_by if not _exists(OURS, name)]
    assert missing == []


def test_no_test_is_left_out_twice() -> None:
    names = [name for group in left_out.groups() for name in group.tests]
    assert len(names) == len(set(names))


def test_what_is_left_out_is_little() -> None:
    assert len(left_out.reasons("ducklake", "2.12")) <= 25
    assert len(left_out.reasons("bigquery", "2.12")) <= 25
    assert len(left_out.reasons("ducklake", "2.11")) <= 26
