"""A process that runs queries which ask for more than they may have, as the backend does.

`python -m ckanext.bqdatastore.tests.engines.greedy_queries FOLDER` prints, for each query, the kind
of its end, and at last the most memory that the process ever had, in MB.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from ckanext.bqdatastore.model.table import Field, Table

from .heavy_queries import lake, most_memory, outcome

GREEDY = Table("t", (Field("a", "int4"), Field("s", "text")))
ROWS = 5_000
MEMORY_LIMIT = 256
SECONDS = 3.0

_GATHERED = "(SELECT string_agg(u.s, '') FROM t u, t v WHERE v.a < 1000)"
_LIST = "(SELECT array_agg(u.s) FROM t u, t v WHERE v.a < 10)"


def doubled(start: str, times: int) -> str:
    """A query whose `x` is twice as long at each level as at the one below."""
    query = f"SELECT {start} AS x FROM t"
    for _ in range(times):
        query = f"SELECT x || x AS x FROM ({query}) AS q"
    return query


QUERIES = [
    "SELECT repeat('x', 2000000000)",
    "SELECT length(repeat('x', 2000000000))",
    "SELECT lpad('x', 2000000000, 'y')",
    "SELECT rpad('x', 2000000000, 'y')",
    "SELECT repeat(repeat('x', 99999), 99999)",
    "SELECT max(repeat('x', 9000000 + a)) FROM t",
    "SELECT string_agg(repeat(t.s, 10000), '') FROM t, t u",
    "SELECT array_agg(u.s) FROM t, t u, t v",
    "SELECT max(length(repeat(s, 9000) || repeat(s, 8000))) FROM t",
    f"SELECT max(length(x)) FROM ({doubled('repeat(s, 100)', 6)}) AS q",
    f"SELECT max(length(x)) FROM ({doubled('s', 10)}) AS q",
    f"SELECT max(length(x)) FROM ({doubled('s', 40)}) AS q",
    f"SELECT max(array_length(x, 1)) FROM ({doubled('array[s]', 10)}) AS q",
    f"SELECT {', '.join(f'max(length(repeat(s, {9000 - n})))' for n in range(30))} FROM t",
    f"SELECT {', '.join(f'max(length(upper(s) || {n}))' for n in range(600))} FROM t",
    f"SELECT max(length(x)) FROM ({doubled(_GATHERED, 1)}) AS q",
    "SELECT count(*) FROM t, t u, t v, t w WHERE t.a + u.a + v.a + w.a < 0",
    "SELECT DISTINCT t.s || u.s || v.s || w.s FROM t, t u, t v, t w",
    "SELECT * FROM t, t u, t v ORDER BY t.s || u.s || v.s DESC, 1, 2 OFFSET 1000000000",
    "SELECT row_number() OVER (PARTITION BY t.s ORDER BY u.s, v.s) FROM t, t u, t v",
    "SELECT max(array_length(string_to_array(rpad(s, 60000), NULL), 1)) FROM t",
    "SELECT max(array_length(regexp_split_to_array(rpad(s, 60000), ''), 1)) FROM t",
    "SELECT max(length(initcap(rpad(s, 60000, 'a ')))) FROM t",
    "SELECT max(length((('[' || rpad('1', 60000, ',1') || a || ']')::jsonb #> '{}')::text)) FROM t",
    "SELECT count(*) FROM t WHERE repeat(s, 9000) ~ '^((a*)*)*(b|a)*$'",
    "SELECT count(*) FROM t WHERE s ~ '(((a{0,30}){0,30}){0,30}){0,30}'",
    "SELECT count(*) FROM t WHERE repeat('ab', 400) LIKE '%a%a%a%a%c'",
    "SELECT count(*) FROM t WHERE repeat('ab', 400) NOT LIKE '%a%_%a%a\\_%c'",
    "SELECT count(*) FROM t WHERE repeat('ab', 400) ILIKE '%A%a%a%a%c'",
    "SELECT count(*) FROM t WHERE repeat('ab', 400) LIKE '%a%_%a%a%c' ESCAPE '!'",
    "SELECT count(*) FROM t WHERE repeat('ab', 400) LIKE repeat('%a', 100) || 'c'",
    "SELECT count(*) FROM t WHERE repeat('ab', 400) ILIKE s || repeat('%a', 100) || 'c'",
    "SELECT count(*) FROM t WHERE repeat('ab', 400) SIMILAR TO '%a%_%a%a%c'",
]


SHARED = [
    f"SELECT max(length({_GATHERED} || s)) FROM t",
    f"SELECT length({_GATHERED} || s) FROM t",
    f"SELECT max(length(x || s)) FROM t, {_GATHERED} AS q(x)",
    f"SELECT max(length(replace(x, 'text', 'w'))) FROM t, {_GATHERED} AS q(x)",
    f"SELECT max(length(upper(coalesce(x, s)))) FROM t LEFT JOIN {_GATHERED} AS q(x) ON true",
    f"SELECT max(length(concat(s, CASE WHEN t.a > 9 THEN x END))) FROM t, {_GATHERED} AS q(x)",
    f"SELECT max(length(quote_literal(nullif(x, s)))) FROM t, {_GATHERED} AS q(x)",
    f"SELECT max(length(json_build_array(x::json)::text)) FROM t, {_GATHERED} AS q(x)",
    f"WITH c AS MATERIALIZED {_GATHERED} SELECT max(length(string_agg || s)) FROM c, t",
    f"SELECT max(y) FROM t, LATERAL (SELECT length({_GATHERED} || t.s) AS y) AS r",
    f"SELECT max((SELECT length(x || t.s) FROM {_GATHERED} AS q(x))) FROM t",
    "SELECT max(length(x || z)) FROM (SELECT (SELECT string_agg(repeat(s, 9), '') FROM t), s "
    "FROM t UNION ALL SELECT s, s FROM t) AS q(x, z)",
    f"SELECT count(*) FROM t WHERE reverse({_GATHERED}) > s",
    f"SELECT s FROM t GROUP BY s ORDER BY md5({_GATHERED} || s)",
    f"SELECT json_agg(x) FROM t, {_GATHERED} AS q(x) GROUP BY t.a",
    "SELECT length(string_agg(s || repeat('x', 90), '') OVER () || s) FROM t",
    "SELECT max(length(x || s)) FROM (SELECT s, string_agg(s || repeat('x', 90), '') OVER () FROM "
    "t) AS q(s, x)",
    "SELECT max(length(x || s)) FROM (SELECT string_agg(y, '') AS x FROM (SELECT "
    "string_agg(repeat(s, 9), '') AS y FROM t GROUP BY a % 7) AS q) AS r, t",
    f"SELECT max(array_length({_LIST} || s, 1)) FROM t",
    f"SELECT max(array_length(array_cat(x, ARRAY[s]), 1)) FROM t, {_LIST} AS q(x)",
    f"SELECT max(length(array_to_string(x, ','))) FROM t, {_LIST} AS q(x)",
    "SELECT max(array_length(ARRAY(SELECT u.s FROM t u) || s, 1)) FROM t",
    "SELECT array_length(array_agg(s) OVER () || s, 1) FROM t",
]
"""Of a text or list that was put together once they make others, row by row."""


def main() -> None:
    records = [{"a": n, "s": f"text {n}"} for n in range(ROWS)]
    with lake(Path(sys.argv[1]), MEMORY_LIMIT, GREEDY, records) as engine:
        for sql in [*QUERIES, *SHARED]:
            ended = outcome(engine, GREEDY, sql, rows=10, seconds=SECONDS)
            print(json.dumps([sql, ended]), flush=True)
        print(json.dumps(most_memory()))


if __name__ == "__main__":
    main()
