"""Reads the list of CKAN's tests that are not run here (`left_out.yaml`)."""

from __future__ import annotations

import dataclasses
from functools import cache
from pathlib import Path
from typing import Any

import yaml

_LIST = Path(__file__).parent / "left_out.yaml"


@dataclasses.dataclass(frozen=True)
class Group:
    """Tests that are left out for one reason.

    :param tests: file below `ckanext/`, class and function, without parameters
    :param covered_by: ids of our tests that hold the same promise
    :param engine: the one engine that they are left out on; None for all
    :param ckan: the one release of CKAN whose tests they are (`2.11`); None for all
    """

    reason: str
    tests: tuple[str, ...]
    covered_by: tuple[str, ...]
    engine: str | None = None
    ckan: str | None = None


def groups() -> list[Group]:
    return [
        Group(
            each["reason"],
            tuple(each["tests"]),
            tuple(each["covered_by"]),
            each.get("engine"),
            each.get("ckan"),
        )
        for each in _document()
    ]


def reasons(engine: str, ckan: str) -> dict[str, str]:
    """For each test that is left out on an engine and a release of CKAN: why, and what of ours
    stands for it."""
    return {
        test: f"{group.reason} Ours: {', '.join(group.covered_by)}"
        for group in groups()
        if group.engine in (None, engine) and group.ckan in (None, ckan)
        for test in group.tests
    }


@cache
def _document() -> Any:
    return yaml.safe_load(_LIST.read_text(encoding="utf-8"))
