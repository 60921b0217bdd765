"""Values of SQL queries in the forms that the stock backend gives them."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest

from ckanext.bqdatastore.model.errors import InvalidRequest
from ckanext.bqdatastore.records.formats import python_records

INTERVALS = [
    ((14, 3, 14_706_500_000_000), "1 year 2 mons 3 days 04:05:06.5", "428 days, 4:05:06.500000"),
    ((0, -1, 0), "-1 days", "-1 day, 0:00:00"),
    ((-13, 0, 0), "-1 years -1 mons", "-395 days, 0:00:00"),
    ((14, -3, 0), "1 year 2 mons -3 days", "422 days, 0:00:00"),
    ((0, 0, -5_400_000_000_000), "-01:30:00", "-1 day, 22:30:00"),
    ((0, 0, 0), "00:00:00", "0:00:00"),
]


def _shown(values: pa.Array, form: str) -> list[Any]:
    rows = pa.table({"x": values})
    return [record["x"] for record in python_records(rows, [("x", form)])]


@pytest.mark.parametrize(("parts", "text", "shown"), INTERVALS)
def test_interval_is_a_duration(parts: tuple[int, int, int], text: str, shown: str) -> None:
    assert _shown(pa.array([parts, None], pa.month_day_nano_interval()), "interval") == [
        shown,
        None,
    ]
    assert _shown(pa.array([text]), "interval") == [shown]


def test_interval_beyond_all_durations_is_refused() -> None:
    with pytest.raises(InvalidRequest):
        _shown(pa.array([(120_000_000, 0, 0)], pa.month_day_nano_interval()), "interval")


def test_float4_has_its_own_digits() -> None:
    assert _shown(pa.array([0.1, None, 1e-30], pa.float32()), "float4") == [0.1, None, 1e-30]
    assert _shown(pa.array([[0.1, None]], pa.list_(pa.float32())), "_float4") == [[0.1, None]]


def test_json_is_a_text_and_a_fields_json_its_value() -> None:
    texts = pa.array(['{"b": 1,"a":[1,2]}'])
    assert _shown(texts, "json") == ['{"b": 1,"a":[1,2]}']
    assert _shown(texts, "jsonb") == ['{"a": [1, 2], "b": 1}']
    assert _shown(texts, "jsonb kept") == ['{"b": 1,"a":[1,2]}']
    assert _shown(texts, "nested") == [{"b": 1, "a": [1, 2]}]
