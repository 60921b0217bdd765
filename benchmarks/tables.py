"""The tables that are asked, and what is asked for in each: values that find little and much."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import duckdb

from devstack.flights import extract_flights

KEY = "key"
"""The primary key of a table that is written to."""


@dataclasses.dataclass(frozen=True)
class Subject:
    """A file, and what the lines put in their requests to the table made of it.

    :param texts: filters on two text fields
    :param range: a filter on a range of a number
    :param number: a number without an index to sort by
    :param rare: a word of few rows
    :param common: a word of many rows
    :param few: two fields with few different values
    :param joined: field by which the SQL join finds pairs, and by which it restricts both sides
    """

    name: str
    path: Path
    rows: int
    texts: Mapping[str, str]
    range: Mapping[str, Any]
    number: str
    rare: str
    common: str
    few: tuple[str, str]
    joined: tuple[str, str]
    different: str


def flights(folder: Path) -> Subject:
    """All flights that left New York City in 2013."""
    path = extract_flights(folder)
    return Subject(
        name="flights",
        path=path,
        rows=_rows(path),
        texts={"origin": "JFK", "dest": "HNL"},
        range={"distance": {"gte": 1000, "lt": 1010}},
        number="arr_delay",
        rare="N14228",
        common="EWR",
        few=("carrier", "origin"),
        joined=("tailnum", "dest = 'HNL'"),
        different="tailnum",
    )


def generated(folder: Path, rows: int) -> Subject:
    """Rows made from their numbers: the same on every machine."""
    path = folder / f"generated-{rows}.csv"
    if not path.exists():
        # A product with a large prime scatters the numbers; nothing here is random.
        duckdb.connect().execute(
            f"""
            COPY (
                SELECT i AS number,
                       'product ' || (i * 7919) % 5000 AS product,
                       ['north', 'south', 'east', 'west'][1 + (i * 104729) % 4] AS region,
                       ['open', 'closed', 'waiting'][1 + (i * 1299709) % 3] AS state,
                       (i * 15485863) % 1000003 AS amount,
                       ((i * 32452843) % 1000033) / 100.0 AS price,
                       TIMESTAMP '2015-01-01' + to_seconds((i * 49979687) % 315360000) AS sold,
                       'Note ' || (i * 86028121) % 20011 || ' of the '
                           || ['first', 'second', 'third'][1 + i % 3] || ' kind' AS note
                FROM range(1, {rows + 1}) AS t(i)
            ) TO '{path}' (HEADER)
            """
        )
    return Subject(
        name=f"generated, {rows} rows",
        path=path,
        rows=rows,
        texts={"region": "north", "product": "product 4321"},
        range={"amount": {"gte": 500000, "lt": 500100}},
        number="amount",
        rare="4321",
        common="third",
        few=("region", "state"),
        joined=("product", "amount < 300"),
        different="product",
    )


def with_key(subject: Subject, folder: Path) -> Path:
    """The subject's file again, with a number in front that can be its primary key."""
    path = folder / f"keyed-{subject.path.name}"
    if not path.exists():
        duckdb.connect().execute(
            f"""
            COPY (
                SELECT row_number() OVER () AS {KEY}, *
                FROM read_csv('{subject.path}', all_varchar = true, nullstr = ['', 'NA'])
            ) TO '{path}' (HEADER, NULLSTR 'NA')
            """
        )
    return path


def records(path: Path, start: int, count: int) -> list[dict[str, Any]]:
    """Rows of a file as JSON would have them, from the row `start` on."""
    relation = duckdb.connect().execute(
        f"SELECT * FROM read_csv('{path}', nullstr = ['', 'NA']) OFFSET {start} LIMIT {count}"
    )
    names = [each[0] for each in relation.description or ()]
    rows = relation.fetchall()
    return [
        {
            name: value if isinstance(value, (int, float, str, type(None))) else value.isoformat()
            for name, value in zip(names, row, strict=True)
        }
        for row in rows
    ]


def _rows(path: Path) -> int:
    counted = duckdb.connect().execute(f"SELECT count(*) FROM read_csv('{path}')").fetchone()
    return int(counted[0]) if counted else 0
