"""Type names as PostgreSQL and the stock backend have them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest

from ckanext.bqdatastore.model import types

from ..records.postgres import Stock, stock

SUPERUSER_URL = os.environ.get("DEVSTACK_POSTGRES_SUPERUSER_URL")

# A spelling, and the catalogue's name for it; None where the API has no such type.
SPELLINGS: tuple[tuple[str, str | None], ...] = (
    *((name, name) for name in (*types.SCALARS, *types.ARRAYS)),
    ("int", "int4"),
    ("integer", "int4"),
    ("INTEGER", "int4"),
    ("bigint", "int8"),
    ("smallint", "int2"),
    ("real", "float4"),
    ("float", "float8"),
    ("float(1)", "float4"),
    ("float(24)", "float4"),
    ("float ( 25 )", "float8"),
    ("float(53)", "float8"),
    ("float(0)", None),
    ("float(54)", None),
    ("Double  Precision", "float8"),
    ("double", None),
    ("decimal", "numeric"),
    ("dec", "numeric"),
    ("numeric(10,2)", "numeric"),
    ("decimal( 10 , 2 )", "numeric"),
    ("numeric(10)", "numeric"),
    ("numeric(3,-2)", "numeric"),
    ("numeric(1,2,3)", None),
    ("numeric()", None),
    ("boolean", "bool"),
    ("varchar(20)", "varchar"),
    ("character varying", "varchar"),
    ("character varying(20)", "varchar"),
    ("char varying(20)", "varchar"),
    ("national character varying(3)", "varchar"),
    ("nchar", "bpchar"),
    ("char", "bpchar"),
    ("char(3)", "bpchar"),
    ("character(3)", "bpchar"),
    ("varchar(1,2)", None),
    ("text(3)", None),
    ("int(4)", None),
    ("time without time zone", "time"),
    ("time(3)", "time"),
    ("time(3) without time zone", "time"),
    ("timestamp without time zone", "timestamp"),
    ("timestamp(3)", "timestamp"),
    ("timestamp with time zone", "timestamptz"),
    ("timestamp(3) with time zone", "timestamptz"),
    ("timestamptz(3)", "timestamptz"),
    ("text[]", "_text"),
    ("TEXT []", "_text"),
    ("text[3]", "_text"),
    ("int[][]", "_int4"),
    ("integer array", "_int4"),
    ("integer array[4]", "_int4"),
    ("varchar(20)[]", "_varchar"),
    ("timestamp(3) with time zone[]", "_timestamptz"),
    ("double precision[]", "_float8"),
    ("pg_catalog.int4", "int4"),
    (" text ", "text"),
    ("_int", None),
    ("_integer", None),
    ("__int4", None),
    ("int4[", None),
    ("int4]", None),
    ("[]", None),
    ("", None),
    ("string", None),
    ("text; drop table x", None),
    ("text, text", None),
    ("text\u00a0", None),
)

# Types that PostgreSQL has and the API has not.
BEYOND_THE_API = ("interval", "timetz", "time with time zone", "bytea", "json[]", "point", "money")


@pytest.fixture(scope="module")
def postgres() -> Iterator[Stock]:
    if SUPERUSER_URL is None:
        pytest.skip("needs PostgreSQL: run the tests through `python -m devstack run`")
    with stock(SUPERUSER_URL) as connection:
        yield connection


@pytest.mark.parametrize(("declared", "name"), SPELLINGS)
def test_spelling_has_its_canonical_name(declared: str, name: str | None) -> None:
    if name is None:
        with pytest.raises(types.UnknownType) as caught:
            types.canonical(declared)
        assert str(caught.value) == f'"{declared}" is not a valid field type'
    else:
        assert types.canonical(declared) == name


@pytest.mark.parametrize(("declared", "name"), SPELLINGS)
def test_spelling_means_the_same_to_postgresql(
    declared: str, name: str | None, postgres: Stock
) -> None:
    found = postgres.scalar(
        "SELECT typname FROM pg_type WHERE oid = CAST(:declared AS regtype)", declared=declared
    )
    assert found == name


@pytest.mark.parametrize("declared", BEYOND_THE_API)
def test_type_that_the_api_has_not_is_unknown(declared: str) -> None:
    with pytest.raises(types.UnknownType):
        types.canonical(declared)


@pytest.mark.parametrize("name", [*types.SCALARS, *types.ARRAYS])
def test_native_type_is_what_format_type_says(name: str, postgres: Stock) -> None:
    query = "SELECT format_type(CAST(:name AS regtype), -1)"
    assert types.native_type(name) == postgres.scalar(query, name=name)


@pytest.mark.parametrize("name", types.ARRAYS)
def test_array_is_a_list_of_its_elements(name: str) -> None:
    element = types.element_type(name)
    assert types.is_array(name)
    assert not types.is_array(element)
    assert types.arrow_type(name) == pa.list_(types.arrow_type(element))


GUESSES: tuple[tuple[Any, str], ...] = (
    (1, "int4"),
    (2**70, "int4"),
    (True, "int4"),
    (1.5, "float8"),
    ({}, "nested"),
    ([1], "nested"),
    ("1", "int4"),
    (" 1_000 ", "int4"),
    ("1.5", "numeric"),
    ("1e5", "numeric"),
    ("NaN", "numeric"),
    ("infinity", "numeric"),
    ("2020-01-31", "timestamp"),
    ("2020-01-31 10:11:12", "timestamp"),
    ("2020-01-31T10:11:12", "timestamp"),
    ("2020-01-31T10:11:12Z", "timestamp"),
    ("2020-01-31T10:11:12.5", "text"),
    ("31/01/2020", "timestamp"),
    ("01/31/2020", "timestamp"),
    ("31-01-2020", "timestamp"),
    ("20200131", "int4"),
    ("31.01.2020", "text"),
    ("x", "text"),
    ("", "text"),
    (None, "text"),
    (Decimal("1.5"), "int4"),
)


@pytest.mark.parametrize(("value", "name"), GUESSES)
def test_type_is_guessed_from_a_value(value: Any, name: str) -> None:
    assert types.guess(value) == name


@pytest.mark.parametrize(("value", "name"), GUESSES)
def test_guess_is_what_the_stock_backend_would_create(value: Any, name: str) -> None:
    backend = pytest.importorskip("ckanext.datastore.backend.postgres")
    guessed = backend._guess_type(value)
    assert types.canonical(guessed) == name
