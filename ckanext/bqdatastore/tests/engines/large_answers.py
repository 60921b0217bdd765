"""A process that asks for answers which are larger than they may be, or nearly so.

`python -m ckanext.bqdatastore.tests.engines.large_answers FOLDER` prints, for each query, how it
ended, and at last how much more memory the process had at most than before them all, in MB.
"""

from __future__ import annotations

import json
import resource
import sys
from contextlib import closing
from pathlib import Path

from ckanext.bqdatastore.engines import registry
from ckanext.bqdatastore.engines.base import Engine, EngineSettings
from ckanext.bqdatastore.model.errors import DatastoreFault
from ckanext.bqdatastore.model.query import Query
from ckanext.bqdatastore.model.table import Field, Table
from ckanext.bqdatastore.model.write import TableChange, Write, WriteMode
from ckanext.bqdatastore.query import guard
from ckanext.bqdatastore.records.batches import rows_to_write

ROWS = 40_000
MEMORY_LIMIT = 256
MOST = 100
"""Megabytes that the engine may use, and that an answer may have."""

WORDS = Table("t", (Field("a", "int4"), Field("s", "text"), Field("l", "_text")))
_MEGABYTE = 1024 * 1024
_LONG = "(SELECT string_agg(u.s, ',') FROM t u, t v WHERE v.a < 9)"
_LIST = "(SELECT array_agg(u.{}) FROM t u, t v WHERE v.a < 3)"

TOO_LARGE = [
    "SELECT repeat('x', 100000) FROM t LIMIT 32000",
    "SELECT repeat('x', 100000) FROM t WHERE a % 2 = 0",
    "SELECT repeat(s, 9000) FROM t",
    "SELECT rpad(repeat(s, 100), 100000, s) FROM t",
    "SELECT repeat('x', 100000), repeat('y', 100000) FROM t",
    f"SELECT {', '.join(['x'] * 100)} FROM (SELECT repeat(s, 9000) AS x FROM t) AS q",
    "SELECT array_agg(repeat(s, 1000)) FROM t GROUP BY a",
    "SELECT json_agg(repeat(s, 1000)) FROM t GROUP BY a / 100",
    f"SELECT {_LONG} FROM t",
    f"SELECT {_LONG}, a, {_LONG} FROM t LIMIT 32000",
    f"SELECT upper({_LONG}) FROM t",
    f"SELECT {_LONG} FROM t ORDER BY a DESC LIMIT 3000",
    f"SELECT {', '.join(['x'] * 100)} FROM (SELECT {_LONG} AS x) AS q",
    f"SELECT {_LIST.format('a')} FROM t",
    f"SELECT {_LIST.format('s')} FROM t",
    "SELECT (SELECT array_agg(repeat(u.s, 1000)) FROM t u WHERE u.a < 2000) FROM t",
    "SELECT q.l, q.l FROM t, (SELECT array_agg(u.s) AS l FROM t u WHERE u.a < 2000) AS q",
]
LARGE = {
    "SELECT string_agg(repeat('x', 90000), '') FROM t WHERE a < 466": "40 MB",
    "SELECT repeat('x', 90000) FROM t WHERE a < 1048": "90 MB",
    "SELECT l, l, l FROM t": "2 MB",
}
"""Answers that are given, and their sizes."""


def outcome(engine: Engine, sql: str) -> str:
    try:
        bound = guard.bind(guard.parse(sql), {"t": WORDS}, engine.allowed_functions, 32_001)
        outputs = [(field.id, field.form) for field in bound.fields]
        tree = engine.dialect.translate(bound.query.tree)
        tree = engine.dialect.bounded(tree, outputs, MOST * _MEGABYTE)
        rows = engine.query(Query(tree), 60.0).read_all(MOST * _MEGABYTE)
    except DatastoreFault as fault:
        return type(fault).__name__
    return f"{round(rows.nbytes / _MEGABYTE)} MB"


def main() -> None:
    folder = Path(sys.argv[1])
    url = f"ducklake:sqlite:///{folder}/catalog.sqlite?data_path={folder}/lake"
    settings = EngineSettings(url, url, folder, memory_limit=f"{MEMORY_LIMIT}MB")
    engine = registry.load("ducklake")(settings)
    engine.open()
    with closing(engine):
        records = [{"a": n, "s": f"text {n}", "l": [f"word {n}", "x"]} for n in range(ROWS)]
        rows = rows_to_write(records, WORDS, WriteMode.INSERT)
        engine.apply(TableChange(None, WORDS, Write(WriteMode.INSERT, rows)))
        before = _most_memory()
        for sql in [*TOO_LARGE, *LARGE]:
            print(json.dumps([sql, outcome(engine, sql)]), flush=True)
        print(json.dumps(_most_memory() - before))


def _most_memory() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


if __name__ == "__main__":
    main()
