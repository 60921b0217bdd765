"""Where the engine must ask how long what a query has put together is."""

from __future__ import annotations

import pytest
import sqlglot.expressions as sge

from ckanext.bqdatastore.query import guard
from ckanext.bqdatastore.query.postgresql.gathered import AT_MOST

from .test_sizes import FUNCTIONS, T

TEXT = "(SELECT string_agg(s, '') FROM t)"
LIST = "(SELECT array_agg(s) FROM t)"
JSON = "(SELECT json_agg(s) FROM t)"
GROUPS = "(SELECT a, string_agg(s, '') AS x FROM t GROUP BY a)"


def asked(sql: str) -> list[sge.Anonymous]:
    tree = guard.bind(guard.parse(sql), {"t": T}, FUNCTIONS, 10).query.tree
    return [call for call in tree.find_all(sge.Anonymous) if call.name == AT_MOST]


@pytest.mark.parametrize(
    ("sql", "count"),
    [
        (f"SELECT {TEXT} || s FROM t", 1),
        (f"SELECT s || {TEXT}, lower({TEXT}) FROM t", 2),
        (f"SELECT coalesce(nullif({TEXT}, s), s) || s FROM t", 1),
        (f"SELECT CASE WHEN a > 1 THEN {TEXT} END || s FROM t", 1),
        (f"SELECT {LIST} || s, ARRAY(SELECT s FROM t) || s FROM t", 2),
        (f"SELECT {JSON} -> 0, {JSON}::text || s, json_build_array({JSON}) FROM t", 3),
        (f"SELECT x || s FROM t, {TEXT} AS q(x)", 1),
        (f"SELECT x || s FROM t JOIN {GROUPS} AS q ON q.a = t.a", 1),
        (f"SELECT (SELECT x || t.s FROM {TEXT} AS q(x)) FROM t", 1),
        (f"SELECT y FROM t, LATERAL (SELECT {TEXT} || s AS y) AS q", 1),
        (f"SELECT max(y || s) FROM (SELECT x AS y, s FROM t, {TEXT} AS q(x)) AS r", 1),
        (f"WITH c AS (SELECT {TEXT} AS x, s FROM t) SELECT x || s FROM c", 1),
        (f"SELECT x || y FROM (SELECT s, s FROM t UNION SELECT {TEXT}, s FROM t) AS q(x, y)", 1),
        (f"SELECT y || s FROM t, (VALUES (1, {TEXT}), (2, 'a')) AS v(x, y)", 1),
        (f"SELECT x || s FROM t, (VALUES ('a') UNION SELECT {TEXT}) AS v(x)", 1),
        (f"SELECT x || t.s FROM (t JOIN {TEXT} AS q(x) ON true) JOIN t u ON true", 1),
        (f"SELECT x @> l, l && x FROM t, {LIST} AS q(x)", 2),
        (f"SELECT x[1] || s FROM t, {LIST} AS q(x)", 1),
        (f"SELECT max(y || s) FROM t, (SELECT max(x) AS y FROM {GROUPS} AS q) AS r", 1),
        (f"SELECT string_agg(s, '' ORDER BY x || s) FROM t, {TEXT} AS q(x)", 1),
        (f"SELECT count(*) FILTER (WHERE upper(x) = 'a') FROM t, {TEXT} AS q(x)", 1),
        (f"SELECT sum(length(x || s)) OVER (PARTITION BY lower(x)) FROM t, {TEXT} AS q(x)", 2),
        (f"SELECT mode() WITHIN GROUP (ORDER BY x) FROM t, {TEXT} AS q(x)", 1),
        (f"SELECT first_value(x) OVER () || s FROM t, {TEXT} AS q(x)", 1),
        ("SELECT string_agg(s, '') OVER w || s FROM t WINDOW w AS (ORDER BY a)", 1),
        ("SELECT string_agg(s, '') OVER () || s FROM t", 1),
        ("SELECT x || 'a' FROM (SELECT string_agg(s, '') OVER (ORDER BY a) AS x FROM t) AS q", 1),
        (f"SELECT lag(x) OVER (ORDER BY t.a) FROM t, {TEXT} AS q(x)", 1),
        (f"SELECT json_agg(x) FROM t, {TEXT} AS q(x)", 1),
        (f"SELECT string_agg(x || s, '') FROM t, {TEXT} AS q(x)", 1),
        (f"SELECT 1 FROM t WHERE md5({TEXT} || s) > s GROUP BY s HAVING reverse({TEXT}) > s", 2),
        (f"SELECT 1 FROM t JOIN t u ON t.s = {TEXT} || u.s ORDER BY {TEXT} || t.s", 2),
        (f"SELECT 1 FROM t WHERE s IN (SELECT {TEXT} || u.s FROM t u)", 1),
    ],
)
def test_it_is_asked_where_others_are_made_of_it_for_many_rows(sql: str, count: int) -> None:
    assert len(asked(sql)) == count


@pytest.mark.parametrize(
    "sql",
    [
        f"SELECT {TEXT}, {LIST}, {JSON} FROM t",
        f"SELECT upper({TEXT}), json_build_object('a', {JSON}, 'n', (SELECT count(*) FROM t))",
        f"SELECT upper(x), y FROM {TEXT} AS q(x), (SELECT count(*) FROM t) AS r(y)",
        f"SELECT x || 'a' FROM (SELECT {TEXT} AS x FROM t LIMIT 1) AS q",
        f"SELECT '[' || x || ']' FROM {GROUPS} AS q",
        "SELECT upper(string_agg(s, '')), array_agg(s) || 'a'::text FROM t GROUP BY a",
        f"SELECT x, s FROM t JOIN {GROUPS} AS q ON q.a = t.a ORDER BY x",
        f"SELECT length(x), count(x), max(x), x = s, x > s, x IS NULL, x LIKE '%a', x ~ 'a' "
        f"FROM t, {TEXT} AS q(x) GROUP BY x, s",
        f"SELECT string_agg(x, ''), array_agg(x), max(x) || 'a' FROM t, {TEXT} AS q(x)",
        f"SELECT array_length(x, 1), x[1], s = ANY(x) FROM t, {LIST} AS q(x)",
        f"SELECT length(y) + 1, x[1] = 'a' FROM t, {LIST} AS q(x), {TEXT} AS r(y)",
        "SELECT s || l[1], upper(s) FROM t",
    ],
)
def test_it_is_not_asked_of_what_is_only_handed_on_or_there_once(sql: str) -> None:
    assert asked(sql) == []


def test_it_may_be_the_longer_the_less_is_made_of_it() -> None:
    lengths = [
        int(asked(f"SELECT {made} FROM t")[0].expressions[1].name)
        for made in (f"{TEXT} || s", f"{TEXT} || {TEXT} || s", f"quote_literal({TEXT}) || s")
    ]
    assert lengths == sorted(lengths, reverse=True)
    assert 240_000 < lengths[0] <= 250_000
    assert lengths[-1] > 50_000
