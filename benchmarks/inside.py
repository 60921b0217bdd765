"""A process with a site's CKAN in it, for what no request can ask.

`python -m benchmarks.inside INI`

It reads one command a line and answers each by a line, both JSON: `load` a file as a loader would,
`size` of a table, `permission`: how long a caller's permission to search takes, `limit`: how long
raw DuckDB takes for the statements that requests come to.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from . import READY
from .measure import in_turn


class Inside:
    """The other end: starts the process and tells it what to do."""

    def __init__(self, ini: Path) -> None:
        self._log = ini.with_suffix(".inside.log")
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.inside", str(ini)],
            cwd=Path(__file__).resolve().parent.parent,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log.open("wb"),
            text=True,
        )
        assert self._process.stdout is not None
        while READY not in (line := self._process.stdout.readline()):
            if not line:
                raise RuntimeError(f"{ini.name}: no CKAN came of it, see {self._log}")

    def ask(self, command: str, **arguments: Any) -> Any:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(json.dumps([command, arguments]), file=self._process.stdin, flush=True)
        answer = self._process.stdout.readline()
        if not answer:
            raise RuntimeError(f"{command}: the process ended, see {self._log}")
        return json.loads(answer)

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()


@contextmanager
def inside(ini: Path) -> Iterator[Inside]:
    process = Inside(ini)
    try:
        yield process
    finally:
        process.close()


def _stock_load(resource: str, file: str, fields: list[dict[str, str]]) -> float:
    """As ckanext-xloader does it: COPY without indexes and trigger, then one UPDATE for full text,
    then the indexes. The types are known, as they are from a data dictionary.
    """
    import ckantoolkit as tk
    import sqlalchemy as sa
    from ckanext.datastore.backend import postgres

    start = time.perf_counter()
    context: dict[str, Any] = {"ignore_auth": True}
    created = {"resource_id": resource, "fields": fields, "force": True}
    tk.get_action("datastore_create")(context, dict(created, records=None))
    table = postgres.identifier(resource)
    document = " || ' ' || ".join(
        f"coalesce({postgres.identifier(field['id'])}::text, '')" for field in fields
    )
    engine = postgres.get_write_engine()
    with engine.begin() as connection:
        connection.execute(sa.text(f"ALTER TABLE {table} DISABLE TRIGGER zfulltext"))
        postgres._drop_indexes({"connection": connection}, created, False)
    raw = engine.raw_connection()
    names = ", ".join(postgres.identifier(field["id"]) for field in fields)
    with raw.cursor() as cursor, open(file, "rb") as source:
        cursor.copy_expert(
            f"COPY {table} ({names}) FROM STDIN (FORMAT csv, HEADER, NULL 'NA')", source
        )
    raw.commit()
    raw.close()
    with engine.begin() as connection:
        connection.execute(sa.text(f"UPDATE {table} SET _full_text = to_tsvector({document})"))
    with engine.begin() as connection:
        postgres.create_indexes({"connection": connection}, created)
        connection.execute(sa.text(f"ALTER TABLE {table} ENABLE TRIGGER zfulltext"))
    with engine.begin() as connection:
        connection.execute(sa.text(f"ANALYZE {table}"))
    return time.perf_counter() - start


def _our_load(resource: str, file: str) -> float:
    from ckanext.bqdatastore.loading.load import load_file

    start = time.perf_counter()
    load_file(resource, Path(file))
    return time.perf_counter() - start


def _stock_size(resource: str) -> int:
    """Bytes of the table and its indexes, after what the load's UPDATE left behind is gone."""
    import sqlalchemy as sa
    from ckanext.datastore.backend import postgres

    table = postgres.identifier(resource)
    with postgres.get_write_engine().connect() as connection:
        connection.execution_options(isolation_level="AUTOCOMMIT")
        connection.execute(sa.text(f"VACUUM (FULL, ANALYZE) {table}"))
        size = connection.execute(
            sa.text("SELECT pg_total_relation_size(CAST(:table AS regclass))"), {"table": table}
        )
        return int(size.scalar_one())


def _our_size(resource: str) -> int:
    import ckantoolkit as tk

    meta = tk.get_action("datastore_info")({"ignore_auth": True}, {"id": resource})["meta"]
    return int(meta["size"]) + int(meta["idx_size"])


def _permission(resource: str, user: str) -> float:
    """Seconds that `datastore_search` spends on a user's permission, who has been identified."""
    import ckantoolkit as tk
    from ckan import model
    from ckan.common import login_user

    model.Session.remove()
    identified = model.User.get(user)
    login_user(identified)
    context = {"user": user, "auth_user_obj": identified, "api_version": 3}
    start = time.perf_counter()
    tk.check_access("datastore_search", context, {"resource_id": resource})
    seconds = time.perf_counter() - start
    model.Session.remove()
    return seconds


def _limit(
    resource: str, requests: Sequence[tuple[str, str, dict[str, Any]]], seconds: float
) -> dict[str, dict[str, list[float]]]:
    """For each request, the engine's seconds and those of raw DuckDB over the same files.

    :param requests: a line's name, the action and its data
    """
    import ckantoolkit as tk
    import duckdb

    from ckanext.bqdatastore.engines.ducklake import connection as lake
    from ckanext.bqdatastore.engines.ducklake.engine import DuckLakeEngine
    from ckanext.bqdatastore.engines.ducklake.location import located
    from ckanext.bqdatastore.site import engine_of_site

    engine = engine_of_site()
    assert isinstance(engine, DuckLakeEngine)
    settings = engine.settings
    with engine._connections.writer() as cursor:
        found = cursor.execute(
            f"SELECT data_file FROM ducklake_list_files('{lake.LAKE}', '{resource}')"
        ).fetchall()
    raw = duckdb.connect()
    for name in ("icu", "fts"):
        raw.execute(f"LOAD {lake.literal(str(lake.extension_file(name, Path())))}")
    raw.execute(f"SET memory_limit = {lake.literal(settings.memory_limit)}")
    raw.execute(f"SET threads = {settings.threads}")
    raw.execute("SET TimeZone = 'UTC'")
    raw.execute("SET parquet_metadata_cache = true")
    # Under the lake's own names, so that the very same statements can be run.
    raw.execute(f"ATTACH ':memory:' AS {lake.LAKE}")
    files = ", ".join(lake.literal(path) for (path,) in found)
    view = f'{lake.LAKE}.{lake.SCHEMA}."{resource}"'
    raw.execute(f"CREATE VIEW {view} AS SELECT * FROM read_parquet([{files}])")

    def statements(action: str, data: dict[str, Any]) -> list[Any]:
        seen: list[Any] = []
        run = engine.query

        def record(query: Any, timeout: Any = None, abandoned: Any = None) -> Any:
            seen.append(query)
            return run(query, timeout, abandoned)

        engine.query = record  # type: ignore[method-assign]
        try:
            tk.get_action(action)({"ignore_auth": True}, data)
        finally:
            del engine.query  # type: ignore[method-assign]
        return seen

    results = {}
    for line, action, data in requests:
        queries = statements(action, data)
        if not queries:
            continue
        texts = [
            (
                each.tree.sql(dialect="duckdb"),
                {name: parameter.value for name, parameter in each.parameters.items()},
            )
            for each in (located(query, engine._catalog) for query in queries)
        ]

        def ours(queries: list[Any] = queries) -> None:
            for query in queries:
                engine.query(query).read_all()

        def limit(texts: list[tuple[str, dict[str, Any]]] = texts) -> None:
            for text, values in texts:
                raw.execute(text, values).to_arrow_table()

        taken = in_turn(
            {"ours": _timed(ours), "limit": _timed(limit)},
            at_least=5,
            at_most=40,
            seconds=seconds,
            patience=4 * seconds,
        )
        results[line] = {side: list(each.times) for side, each in taken.items()}
    return results


def _timed(work: Callable[[], None]) -> Callable[[], float]:
    def timed() -> float:
        start = time.perf_counter()
        work()
        return time.perf_counter() - start

    return timed


def main(ini: str) -> None:
    from ckan.cli import CKANConfigLoader
    from ckan.config.middleware import make_app

    app = make_app(CKANConfigLoader(ini).get_config())
    commands: dict[str, Callable[..., Any]] = {
        "stock_load": _stock_load,
        "our_load": _our_load,
        "stock_size": _stock_size,
        "our_size": _our_size,
        "permission": _permission,
        "limit": _limit,
    }
    answers = sys.stdout
    print(READY, file=answers, flush=True)
    for line in sys.stdin:
        name, arguments = json.loads(line)
        with app._wsgi_app.test_request_context():
            print(json.dumps(commands[name](**arguments)), file=answers, flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
