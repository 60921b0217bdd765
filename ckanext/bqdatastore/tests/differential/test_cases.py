"""Request sequences as data, each sent to the stock backend and to ours: the answers are equal."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import yaml
from ckan.tests import factories

from .harness import Client, both
from .known import compared

CASES = [
    pytest.param(case, id=f"{path.stem}-{case['name']}")
    for path in sorted((Path(__file__).parent / "cases").glob("*.yaml"))
    for case in yaml.safe_load(path.read_text(encoding="utf-8"))
]


def _expanded(data: Any) -> Any:
    """Case data with `{repeat: n, of: record}` lists written out; `$n` is the number."""
    if isinstance(data, dict) and set(data) == {"repeat", "of"}:
        return [_numbered(copy.deepcopy(data["of"]), number) for number in range(data["repeat"])]
    if isinstance(data, dict) and set(data) == {"concat"}:
        return [each for part in data["concat"] for each in _expanded(part)]
    if isinstance(data, dict):
        return {key: _expanded(value) for key, value in data.items()}
    if isinstance(data, list):
        return [_expanded(value) for value in data]
    return data


def _numbered(record: Any, number: int) -> Any:
    return {key: number if value == "$n" else value for key, value in record.items()}


@pytest.mark.usefixtures("with_plugins", "clean_tables")
@pytest.mark.parametrize("case", CASES)
def test_same_answers_as_stock(case: dict[str, Any], app: Any) -> None:
    token = factories.SysadminWithToken()["token"]
    resource_id = factories.Resource()["id"]
    steps = [{action: _expanded(data) for action, data in step.items()} for step in case["steps"]]
    stock, ours = both(Client(app, token), resource_id, steps)
    found = [str(each) for each in compared(steps, stock, ours)]
    assert not found, "\n".join(found)
