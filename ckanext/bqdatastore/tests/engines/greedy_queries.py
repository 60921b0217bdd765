"""A process that runs queries which ask for more than they may have, as the backend does.

`python -m ckanext.bqdatastore.tests.engines.greedy_queries FOLDER` prints, for each query, the kind
of its end, and at last the most memory that the process ever had, in MB.
"""

from __future__ import annotations

import json
import resource
import sys
from contextlib import closing
from pathlib import Path

from ckanext.bqdatastore.engines import registry
from ckanext.bqdatastore.engines.base import EngineSettings
from ckanext.bqdatastore.model.errors import DatastoreFault
from ckanext.bqdatastore.model.query import Query
from ckanext.bqdatastore.model.table import Field, Table
from ckanext.bqdatastore.model.write import TableChange, Write, WriteMode
from ckanext.bqdatastore.query import guard
from ckanext.bqdatastore.records.batches import rows_to_write

GREEDY = Table("t", (Field("a", "int4"), Field("s", "text")))
ROWS = 5_000
MEMORY_LIMIT = "256MB"
SECONDS = 3.0

_GATHERED = "(SELECT string_agg(u.s, '') FROM t u, t v WHERE v.a < 1000)"


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


def outcome(engine: object, sql: str) -> str:
    assert isinstance(engine, registry.load("ducklake"))
    try:
        bound = guard.bind(guard.parse(sql), {"t": GREEDY}, engine.allowed_functions, 10)
        query = Query(engine.dialect.translate(bound.query.tree), bound.query.parameters)
        rows = engine.query(query, SECONDS).read_all()
    except DatastoreFault as fault:
        return type(fault).__name__
    return f"{rows.num_rows} rows"


def main() -> None:
    folder = Path(sys.argv[1])
    url = f"ducklake:sqlite:///{folder}/catalog.sqlite?data_path={folder}/lake"
    settings = EngineSettings(url, url, folder, memory_limit=MEMORY_LIMIT)
    engine = registry.load("ducklake")(settings)
    engine.open()
    with closing(engine):
        records = [{"a": n, "s": f"text {n}"} for n in range(ROWS)]
        rows = rows_to_write(records, GREEDY, WriteMode.INSERT)
        engine.apply(TableChange(None, GREEDY, Write(WriteMode.INSERT, rows)))
        for sql in QUERIES:
            print(json.dumps([sql, outcome(engine, sql)]), flush=True)
        print(json.dumps(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024))


if __name__ == "__main__":
    main()
