"""What is made of times."""

from __future__ import annotations

import pytest

from benchmarks.measure import Spread, in_turn, percentile, ratio


def test_ratio_is_the_middle_of_the_rounds_own_ratios():
    # The third round was slow for both: it says as much about the ratio as the others.
    assert ratio([1, 2, 30], [2, 4, 60]) == Spread(0.5, 0.5, 0.5)


def test_ratio_needs_the_same_rounds_on_both_sides():
    with pytest.raises(ValueError, match="shorter"):
        ratio([1, 2, 3], [1, 2])


def test_spread_of_one_number_is_that_number():
    assert Spread.of([3.0]) == Spread(3.0, 3.0, 3.0)


def test_spread_tells_the_middle_half():
    assert Spread.of([5, 1, 3, 2, 4]) == Spread(3, 2, 4)


def test_first_request_is_kept_apart_and_rounds_begin_with_each_side_in_turn():
    asked: list[str] = []

    def ask(name: str) -> float:
        asked.append(name)
        return float(len(asked))

    taken = in_turn(
        {"a": lambda: ask("a"), "b": lambda: ask("b")},
        at_least=3,
        at_most=3,
        seconds=60,
        patience=60,
    )
    assert asked == ["a", "b", "a", "b", "b", "a", "a", "b"]
    assert taken["a"].first == 1.0
    assert taken["a"].times == (3.0, 6.0, 7.0)
    assert taken["a"].best == 3.0


@pytest.mark.parametrize(("patience", "rounds"), [(60, 4), (0, 1)])
def test_rounds_go_on_to_the_least_number_as_long_as_there_is_patience(
    patience: float, rounds: int
):
    taken = in_turn({"a": lambda: 1.0}, at_least=4, at_most=9, seconds=0, patience=patience)
    assert len(taken["a"].times) == rounds


@pytest.mark.parametrize(("percent", "expected"), [(99, 99), (50, 50), (100, 100), (0.5, 1)])
def test_percentile_is_one_of_the_numbers(percent: float, expected: int):
    assert percentile(list(range(100, 0, -1)), percent) == expected
