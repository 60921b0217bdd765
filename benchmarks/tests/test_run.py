"""What a run makes of a site that refuses; the sites are stood in for."""

from __future__ import annotations

from typing import Any

import pytest

from benchmarks.lines import Line, Request
from benchmarks.run import QUICK, Run
from benchmarks.sites import OURS, STOCK, Refused

LINE = Line("search", lambda resource, number: Request(f"/{resource}/{number}"))


class SiteStandIn:
    """Answers at once, or with an error from one request on."""

    def __init__(self, name: str, error: str = "", answers: int = 0) -> None:
        self.name = name
        self.asked = 0
        self._error = error
        self._answers = answers

    def ask(self, request: Request, caller: str) -> tuple[float, bytes]:
        self.asked += 1
        if self._error and self.asked > self._answers:
            raise Refused(self.name, f"409 {self._error}")
        return 1.0, b'{"result": {"total": 3}}'


def ask(*sites: SiteStandIn) -> Any:
    run: Any = Run.__new__(Run)
    run._served, run._effort = sites, QUICK
    return run._ask("table", LINE, {each.name: each.name for each in sites})


@pytest.mark.parametrize("answers", [0, 1, 2])
def test_a_line_that_takes_stock_too_long_is_measured_without_it(answers: int) -> None:
    ours = SiteStandIn(OURS)
    measured = ask(SiteStandIn(STOCK, "Search took too long", answers), ours)
    assert measured.taken.keys() == {OURS}
    assert len(measured.taken[OURS].times) == QUICK.at_most
    assert measured.to_stock(OURS) is None


@pytest.mark.parametrize(
    ("stock", "ours"), [("Not found", ""), ("", "Search took too long"), ("", "Not found")]
)
def test_every_other_refusal_ends_the_run(stock: str, ours: str) -> None:
    with pytest.raises(Refused):
        ask(SiteStandIn(STOCK, stock), SiteStandIn(OURS, ours))
