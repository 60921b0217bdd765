"""Numbers of DuckLake's arrays are kept to the last digit, or refused."""

from __future__ import annotations

from decimal import Decimal

import pytest

from ckanext.bqdatastore.engines.base import Engine
from ckanext.bqdatastore.model.errors import InvalidRecord
from ckanext.bqdatastore.model.table import Field, Table
from ckanext.bqdatastore.model.write import TableChange, Write, WriteMode
from ckanext.bqdatastore.records.batches import rows_to_write

from .test_contract import everything

ENGINE_KINDS = ("sqlite",)

PRICES = Table("prices", (Field("a", "_numeric"),))


def insert(engine: Engine, *arrays: list[str | None] | None) -> None:
    rows = rows_to_write([{"a": array} for array in arrays], PRICES, WriteMode.INSERT)
    before = engine.describe(PRICES.name)
    engine.apply(TableChange(before, PRICES, Write(WriteMode.INSERT, rows)))


def test_numbers_in_arrays_are_exact(engine: Engine) -> None:
    widest = ["9" * 22 + "." + "9" * 16, "-0." + "0" * 15 + "1", None]
    insert(engine, ["1.2345"], widest, [], None)
    found = [row["a"] for row in everything(engine, PRICES)]
    numbers = [number and Decimal(number) for number in widest]
    assert found == [[Decimal("1.2345")], numbers, [], None]


@pytest.mark.parametrize("number", ["1" + "0" * 22, "0." + "0" * 16 + "1"])
def test_numbers_in_arrays_that_do_not_fit_are_refused(engine: Engine, number: str) -> None:
    with pytest.raises(InvalidRecord) as refused:
        insert(engine, ["1"], ["2", number])
    assert (refused.value.row, refused.value.field) == (1, "a")
    assert number in refused.value.messages[0]
    assert engine.describe(PRICES.name) is None
