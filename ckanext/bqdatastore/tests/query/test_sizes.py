"""Queries whose words alone say that they make texts or lists without end."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from ckanext.bqdatastore.engines import registry
from ckanext.bqdatastore.model.errors import InvalidRequest
from ckanext.bqdatastore.model.table import Field, Table
from ckanext.bqdatastore.query import guard

T = Table("t", (Field("a", "int4"), Field("s", "text"), Field("l", "_text"), Field("d", "date")))
FUNCTIONS = (
    (Path(registry.__file__).parent / "ducklake" / "allowed_functions.txt").read_text().split()
)


def bind(sql: str) -> None:
    guard.bind(guard.parse(sql), {"t": T}, FUNCTIONS, 10)


def again_and_again(first: str, then: str, count: int) -> str:
    """`then` of `x`, on what it made of `x` before."""
    query = f"SELECT {first} AS x FROM t"
    for _ in range(count):
        query = f"SELECT {then} AS x FROM ({query}) AS q"
    return query


def by_ctes(count: int) -> str:
    clauses = ["c0 AS (SELECT s AS x FROM t)"]
    clauses += [f"c{n} AS (SELECT x || x AS x FROM c{n - 1})" for n in range(1, count)]
    return f"WITH {', '.join(clauses)} SELECT max(x) FROM c{count - 1}"


def many(call: str, count: int) -> str:
    columns: Sequence[str] = [f"max(length({call.replace('N', str(n))}))" for n in range(count)]
    return f"SELECT {', '.join(columns)} FROM t"


@pytest.mark.parametrize(
    "sql",
    [
        again_and_again("s", "x || x", 12),
        again_and_again("'x'", "x || x", 20),
        again_and_again("l", "x || x", 12),
        again_and_again("l", "array_cat(x, x)", 12),
        again_and_again("s", "concat(x, x)", 12),
        again_and_again("s", "concat_ws('', x, x, x, x)", 6),
        again_and_again("s", "format('%s%s', x, x)", 12),
        again_and_again("s", "replace(x, 'a', x)", 2),
        again_and_again("s", "regexp_replace(x, 'a', x)", 2),
        again_and_again("s", "coalesce(x || x, 'y')", 12),
        again_and_again("s", "CASE WHEN x > 'a' THEN x || x ELSE x END", 12),
        again_and_again("repeat(s, 9000)", "x || x", 2),
        again_and_again("string_agg(s, ',')", "x || x", 3),
        again_and_again("array_to_string(array_agg(s), '')", "x || x", 3),
        by_ctes(14),
        "SELECT x || x FROM (VALUES ('a') UNION SELECT repeat(s, 9000) FROM t) AS q(x)",
        many("repeat(s, 9000 + N)", 3),
        many("upper(lpad(s, 90000 + N))", 3),
        "SELECT repeat(s, a) || repeat(s, a + 1) || 'x' FROM t",
        "SELECT a FROM t WHERE repeat(s, a) || 'a' > rpad(s, a)",
        "SELECT max(x) FROM (SELECT s AS y FROM t) q, LATERAL (SELECT repeat(y, 9000) AS x) r "
        "GROUP BY x || x || x",
        "SELECT array_fill(s, ARRAY[100000]) FROM t",
        "SELECT (SELECT max(x || x) FROM (SELECT repeat(s, 9000) AS x) r) FROM t",
    ],
)
def test_it_is_refused(sql: str) -> None:
    with pytest.raises(InvalidRequest, match="too long"):
        bind(sql)


@pytest.mark.parametrize(
    "sql",
    [
        again_and_again("s", "x || x", 3),
        again_and_again("s", "upper(trim(x))", 20),
        by_ctes(5),
        "VALUES (1, 'a'), (2, 'b') UNION SELECT a, s || s FROM t",
        "SELECT x || x FROM (SELECT a, s FROM t UNION ALL VALUES (1, 'a')) AS q(y, x)",
        many("upper(s) || N", 200),
        "SELECT repeat(s, a), lpad(s, 20, '0'), rpad(s, 1000) FROM t",
        "SELECT string_agg(s || ' ' || a, ', ' ORDER BY s) || '.' FROM t GROUP BY d, l",
        "SELECT name || ' (' || n || ')', upper(name), tags FROM "
        "(SELECT s AS name, count(*) AS n, string_agg(l[1], ',') AS tags FROM t GROUP BY s) AS q",
        "SELECT replace(replace(s, 'a', 'bb'), 'c', ''), to_char(d, 'YYYY') || l[1] FROM t",
        "SELECT array_fill(0, ARRAY[100]), l || l, array_append(l, s) FROM t",
        "SELECT * FROM (VALUES ('a'), ('b')) AS v(x) JOIN t ON t.s = v.x || v.x ORDER BY x || s",
        "SELECT s FROM t UNION SELECT s || s FROM t ORDER BY 1 LIMIT 3",
    ],
)
def test_it_is_nothing_unusual(sql: str) -> None:
    bind(sql)
