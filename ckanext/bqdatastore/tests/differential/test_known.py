"""The list of differences in the documentation and the one that the tests know are one."""

from __future__ import annotations

import re
from pathlib import Path

from .known import KINDS

DOCUMENT = Path(__file__).parents[4] / "docs/differences.md"


def test_every_kind_is_documented_and_every_documented_kind_known() -> None:
    headings = re.findall("^## (.+)$", DOCUMENT.read_text(encoding="utf-8"), re.MULTILINE)
    assert sorted(kind.title for kind in KINDS) == sorted(headings)


def test_there_are_few_kinds() -> None:
    assert len(KINDS) <= 10
