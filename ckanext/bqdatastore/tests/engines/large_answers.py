"""A process that asks for answers which are larger than they may be, or nearly so.

`python -m ckanext.bqdatastore.tests.engines.large_answers FOLDER` prints, for each query, how it
ended, and at last how much more memory the process had at most than before them all, in MB.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from ckanext.bqdatastore.model.table import Field, Table

from .heavy_queries import lake, most_memory, outcome

ROWS = 40_000
MEMORY_LIMIT = 256
MOST = 100
"""Megabytes that the engine may use, and that an answer may have."""

WORDS = Table("t", (Field("a", "int4"), Field("s", "text"), Field("l", "_text")))
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
    "SELECT string_agg(repeat('x', 90000), '') FROM t WHERE a < 466": "1 rows, 40 MB",
    "SELECT repeat('x', 90000) FROM t WHERE a < 1048": "1048 rows, 90 MB",
    "SELECT l, l, l FROM t": "32001 rows, 2 MB",
    "SELECT data FROM (SELECT json_agg(s || repeat('x', 90)) AS data FROM t) AS q": "1 rows, 4 MB",
    "SELECT '[' || string_agg(repeat(s, 9), ',') || ']' FROM t GROUP BY a % 7": "7 rows, 3 MB",
    "SELECT json_build_object('all', x, 'n', n) FROM (SELECT json_agg(l) AS x FROM t) AS q, "
    "(SELECT count(*) AS n FROM t) AS r": "1 rows, 1 MB",
    "SELECT upper(x) || '.' FROM (SELECT string_agg(repeat(s, 9), '') AS x FROM t GROUP BY a % 7) "
    "AS q": "7 rows, 3 MB",
    "SELECT string_agg(x, '') FROM (SELECT string_agg(repeat(s, 9), '') AS x FROM t GROUP BY a) "
    "AS q": "1 rows, 3 MB",
    "SELECT upper((SELECT string_agg(repeat(s, 9), '') FROM t))": "1 rows, 3 MB",
}
"""Answers that are given, and their sizes."""


def main() -> None:
    records = [{"a": n, "s": f"text {n}", "l": [f"word {n}", "x"]} for n in range(ROWS)]
    with lake(Path(sys.argv[1]), MEMORY_LIMIT, WORDS, records) as engine:
        before = most_memory()
        for sql in [*TOO_LARGE, *LARGE]:
            ended = outcome(engine, WORDS, sql, rows=32_001, seconds=60.0, most=MOST)
            print(json.dumps([sql, ended]), flush=True)
        print(json.dumps(most_memory() - before))


if __name__ == "__main__":
    main()
