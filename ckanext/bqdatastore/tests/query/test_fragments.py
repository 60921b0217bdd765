"""Whatever a plugin's fragment and its values are: a tree, or one error that names both."""

from __future__ import annotations

import datetime
import decimal
from typing import Any

import pytest
import sqlglot.expressions as sge
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from ckanext.bqdatastore.engines.ducklake.translate import translate
from ckanext.bqdatastore.model.errors import InvalidRequest
from ckanext.bqdatastore.query.fragments import Fragments

from .test_guard_properties import QUERIES

TYPES = {
    **{"_id": "int4", "s": "text", "a": "int4", "n": "numeric", "f": "float8", "l": "_text"},
    **{"d": "timestamp", "j": "json", "u": "uuid"},
}
PLUGIN = "example"


def refusal(fragment: Any, values: Any, method: str = "condition") -> str | None:
    """Why it is refused, or None for a tree that DuckDB's dialect can write."""
    read = getattr(Fragments(TYPES, translate), method)
    try:
        found = read(fragment, values, PLUGIN)
    except InvalidRequest as fault:
        (message,) = fault.messages
        assert message.startswith(f"Plugin {PLUGIN} added {fragment!r} to the query: ")
        return message
    for each in [found] if isinstance(found, sge.Expr) else found:
        parts = each if isinstance(each, tuple) else (getattr(each, "value", each),)
        for part in parts:
            if isinstance(part, sge.Expr):
                assert part.sql(dialect="duckdb")
    return None


deep: list[Any] = []
for _ in range(5_000):
    deep = [deep]


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (10**5000, "value overflows numeric format"),
        (-(10**5000), "value overflows numeric format"),
        (10**400, "value overflows numeric format"),
        (decimal.Decimal("1e999999999"), "value overflows numeric format"),
        (decimal.Decimal("sNaN"), "could not be understood"),
        ([10**5000], "value overflows numeric format"),
        (deep, "too deeply nested"),
        (list(range(30_000)), "too large"),
        (tuple(range(100_000)), "longer than"),
        ("a\0b", "null character"),
        ("\ud800", "no valid Unicode"),
        (["\ud800"], "no valid Unicode"),
        (b"bytes", "a value of type bytes cannot be sent"),
        ({"a": 1}, "a value of type dict cannot be sent"),
        (object(), "a value of type object cannot be sent"),
    ],
    ids=lambda value: str(type(value).__name__) if not isinstance(value, str) else None,
)
def test_a_value_that_cannot_be_sent_is_refused(value: Any, reason: str) -> None:
    assert reason in str(refusal("n = :value", {"value": value}))


@pytest.mark.parametrize(
    ("fragment", "value"),
    [
        ("n < :value", 10**30),
        ("f > :value", -(2**31)),
        ("f < :value", 2**31),
        (":value", True),
        ("f = :value", decimal.Decimal("NaN")),
        ("f = :value", float("inf")),
        ("s = :value", ""),
        ("s = :value", None),
        ("s = :value", "Ø"),
        ("l = :value", ["a", "b"]),
        ("a IN :value", (1, 2)),
    ],
)
def test_values_are_taken(fragment: str, value: Any) -> None:
    assert refusal(fragment, {"value": value}) is None


@pytest.mark.parametrize(
    ("fragment", "reason"),
    [
        (f"{'1/(' * 40}a{')' * 40} > 1", "too"),
        (f"{'initcap(' * 50}s{')' * 50} = 'x'", "too"),
        (f"{'(' * 700}a{')' * 700} > 1", "too deeply nested"),
        (f"repeat(s, 90000) {'|| repeat(s, 90000)' * 3} = 'x'", "too long"),
        (f"n = {'9' * 5_000}", "number out of range"),
        ("n = 1e999999999", "overflows"),
        (f"a IN ({', '.join(['1'] * 90_000)})", "longer than"),
        ("s = '\0'", "null character"),
        ("s = '\ud800'", "Unicode"),
        (None, "it is no text"),
        (5, "it is no text"),
    ],
    ids=lambda text: str(text)[:20].encode("ascii", "replace").decode(),
)
def test_a_fragment_that_is_too_much_is_refused(fragment: Any, reason: str) -> None:
    assert reason in str(refusal(fragment, {}))


@pytest.mark.parametrize("values", [None, [], 5, "text"])
def test_values_that_are_no_mapping_are_refused(values: Any) -> None:
    assert refusal("a = :value", values) is not None


_UNHURRIED = settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
_PIECES = sorted({piece for sql in QUERIES for piece in sql.split()})
_PLAIN = st.one_of(
    *(st.none(), st.booleans(), st.integers(), st.floats(), st.decimals(), st.text()),
    *(st.dates(), st.datetimes(), st.times(), st.binary(), st.uuids()),
    st.just(datetime.datetime.max),
)
_VALUES = st.recursive(
    _PLAIN,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.lists(inner, max_size=4).map(tuple),
        st.dictionaries(st.text(max_size=2), inner, max_size=2),
    ),
    max_leaves=6,
)
_OPERATORS = st.sampled_from(["=", "<", "||", "LIKE", "@>"])
_METHODS = st.sampled_from(["condition", "columns", "order"])


@_UNHURRIED
@given(
    st.sampled_from([*TYPES, "1", "l[1]"]), st.sampled_from(["=", "<", "||", "LIKE", "@>"]), _VALUES
)
@example("n", "=", decimal.Decimal("sNaN"))
def test_any_value(column: str, operator: str, value: Any) -> None:
    refusal(f"{column} {operator} :value", {"value": value})


@_UNHURRIED
@given(st.text(), _METHODS)
@example("'\ud800'", "condition")
def test_any_text(text: str, method: str) -> None:
    refusal(text, {}, method)


@_UNHURRIED
@given(st.lists(st.sampled_from([*_PIECES, *TYPES, ":value"]), max_size=12), _VALUES, _METHODS)
def test_any_words_of_sql(words: list[str], value: Any, method: str) -> None:
    refusal(" ".join(words), {"value": value}, method)
