"""Statements that nobody may run, each refused by the guard alone."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from ckanext.bqdatastore.model.errors import InvalidRequest, NotPermitted
from ckanext.bqdatastore.query import guard

from .guarding import ALLOWED, READABLE

_TEXT = (Path(__file__).parent / "attacks.yaml").read_text(encoding="utf-8")
ATTACKS = [(kind, sql) for kind, listed in yaml.safe_load(_TEXT).items() for sql in listed]


class NotReadable(Exception):
    """What stands here for the backend's check of each table."""


@pytest.mark.parametrize(
    ("kind", "sql"), ATTACKS, ids=[f"{kind}: {sql[:50]}" for kind, sql in ATTACKS]
)
def test_attack_is_refused(kind: str, sql: str) -> None:
    with pytest.raises((InvalidRequest, NotPermitted, NotReadable)):
        run(sql)


def run(sql: str) -> None:
    """What the backend does with a query of somebody who may read `t` alone."""
    parsed = guard.parse(sql)
    if not set(parsed.tables) <= {"t"}:
        raise NotReadable(parsed.tables)
    guard.bind(parsed, {"t": READABLE["t"]}, ALLOWED, 10)
