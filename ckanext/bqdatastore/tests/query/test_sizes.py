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
        again_and_again("s", "quote_literal(x)", 12),
        again_and_again("s", "to_json(x)::text", 6),
        again_and_again("s", "overlay(x placing x from 1 for -9)", 9),
        "SELECT array_to_string(array_fill(''::text, ARRAY[30000]), repeat('x', 1000)) FROM t",
        "SELECT array_replace(array_fill('a'::text, ARRAY[30000]), 'a', repeat(s, 50)) FROM t",
        "SELECT array_to_string(string_to_array(repeat(',', 9000), ','), repeat(s, 5)) FROM t",
        "SELECT array_to_string(regexp_split_to_array(rpad(s, 9000), ''), '', s) FROM t",
        "SELECT concat_ws(repeat(s, 500), '', '', '', '', '', '', '') FROM t",
        "SELECT string_agg(s, repeat('x', 1000)) FROM t",
        "SELECT string_agg(DISTINCT s, repeat(s, 9) ORDER BY s) FROM t",
        "SELECT array_to_string(array_agg(s), repeat('x', 1000)) FROM t",
        "SELECT regexp_replace(rpad(s, 9000), '(.*)', '" + r"\1" * 30 + "') FROM t",
        "SELECT regexp_match(repeat(s, 900), '" + "(" * 9 + ".*" + ")" * 9 + "') FROM t",
        "SELECT format('%L%L', x, x) FROM (SELECT repeat(s, 900) AS x FROM t) q",
        "SELECT array(SELECT repeat(s, 900) FROM t) || array(SELECT repeat(s, 901) FROM t) FROM t",
        "SELECT s LIKE repeat('%', 30000) FROM t",
        "SELECT repeat(s, 9000), repeat(s, 9001), repeat(s, 9002), repeat(s, -100000) FROM t",
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
        "SELECT quote_literal(s), to_json(s), json_build_object('a', s, 'b', l, 'c', d) FROM t",
        "SELECT array_to_string(array_agg(DISTINCT s), ' and ') || ' (' || count(*) || ')' FROM t",
        "SELECT array_to_string(l, ', ', '-'), array_replace(l, 'a', s), concat_ws(', ', s, a, d) "
        "FROM t WHERE s LIKE '%' || l[1] || '%'",
        "SELECT regexp_replace(s, '([a-z]+)-([a-z]+)', '" + r"\2 \1" + "', 'g') FROM t",
        "SELECT array_to_string(string_to_array(s, ','), '; '), regexp_match(s, '(a)(b)') FROM t",
        "SELECT string_agg(s || ' ' || a, ' and then ') FROM t",
        "SELECT string_agg(DISTINCT s, '; ' ORDER BY s) || '.', string_agg(s, l[1]) FROM t",
    ],
)
def test_it_is_nothing_unusual(sql: str) -> None:
    bind(sql)
