"""Texts of floats in searches: those of BigQuery's dialect are PostgreSQL's."""

from __future__ import annotations

import math
import random
import struct
from typing import Any

import pytest
import sqlglot.expressions as sge
from google.cloud.bigquery import ArrayQueryParameter

from ckanext.bqdatastore.engines.bigquery.dialect import BigQueryDialect
from ckanext.bqdatastore.engines.bigquery.forms import unnested
from ckanext.bqdatastore.engines.bigquery.rendering import render

from .reference import Reference
from .test_ducklake_translate import cursor

__all__ = ["cursor"]

_NAMED = [math.nan, math.inf, -math.inf]
_EDGES = [
    *(
        0.0,
        -0.0,
        1.0,
        -7.0,
        1e14,
        999999999999999.0,
        999999999999999.9,
        1e15,
        -1.5e15,
        1e16,
        1e17,
        1e20,
    ),
    *(9007199254740992.0, 9007199254740993.0 * 4, 123456789012345680.0, 1.7976931348623157e308),
    *(
        0.1,
        0.1 + 0.2,
        1 / 3,
        2 / 3 * 1e-10,
        0.0001,
        0.00009999,
        1.5e-5,
        1e-7,
        2.2250738585072014e-308,
    ),
    *(999999.0, 1e6, 1234567.0, 1234567.5, 16777216.0, 51.477933000000014),
]


def _doubles(count: int) -> list[float]:
    dice = random.Random(7)
    exponents = (dice.uniform(-30, 30) for _ in range(count))
    return [dice.choice((-1, 1)) * dice.random() * 10**exponent for exponent in exponents]


def _single(value: float) -> float:
    """The float4 that a value comes to."""
    single: float = struct.unpack("f", struct.pack("f", value))[0]
    return single


def _kept(single: float) -> float:
    """The double by which a float4 is kept: that of the fewest digits that mean it."""
    for digits in range(1, 10):
        text = f"{single:.{digits}g}"
        if _single(float(text)) == single:
            return float(text)
    return single


def _answers(values: list[float], shown: sge.Expr) -> list[Any]:
    """What a value of `x` is shown as, by Google's reference implementation."""
    x = sge.cast(sge.column("given"), "FLOAT64", dialect="bigquery").as_("x")
    source = sge.select(x, sge.column("place")).from_(
        unnested(sge.Parameter(this=sge.to_identifier("texts")), "given", "place")
    )
    select = sge.select(shown).from_(source.subquery("t")).order_by(sge.column("place"))
    texts = ArrayQueryParameter("texts", "STRING", list(map(repr, values)))
    return [row[0] for row in Reference().rows(render(select), [texts])]


@pytest.mark.parametrize("type", ["float4", "float8"])
@pytest.mark.parametrize("form", ["csv", "json"])
def test_floats_are_written_as_postgresql_writes_them(type: str, form: str, cursor: Any) -> None:
    values = [*_EDGES, *_doubles(400)]
    stored = values
    if type == "float4":
        values = [_single(value) for value in values if abs(value) < 3e38]
        stored = [_kept(value) for value in values]
    dialect = BigQueryDialect()
    value = sge.column("x")
    if form == "csv":
        shown, theirs = dialect.copy_text(value, type), f"x::{type}::text"
    else:
        shown, theirs = (
            dialect.json_array([("x", value, type)]),
            f"json_build_array(x::{type})::text",
        )
    cursor.execute(
        f"select {theirs.format(type)} from unnest(%s::float8[]) with ordinality as t(x, n) "
        "order by n",
        ([*values, *_NAMED],),
    )
    expected = [row[0] for row in cursor.fetchall()]
    assert _answers([*stored, *_NAMED], shown) == expected
