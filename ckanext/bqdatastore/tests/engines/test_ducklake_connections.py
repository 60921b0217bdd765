"""The two sides of the DuckLake engine: what the reading one cannot do, forks, threads, limits.

Statements go straight to the connection here, as if the guard of `datastore_search_sql` were wrong.
"""

from __future__ import annotations

import dataclasses
import gc
import importlib.util
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, nullcontext, suppress
from pathlib import Path
from urllib.parse import urlsplit

import duckdb
import psycopg2
import pytest
import sqlglot.expressions as sge

from ckanext.bqdatastore.engines.base import Capability, Engine, EngineSettings
from ckanext.bqdatastore.engines.ducklake.connection import METADATA, Connections
from ckanext.bqdatastore.engines.ducklake.engine import DuckLakeEngine
from ckanext.bqdatastore.engines.ducklake.url import DuckLakeURL
from ckanext.bqdatastore.model.errors import (
    EngineUnavailable,
    Misconfigured,
)
from ckanext.bqdatastore.model.query import ParameterNames, Query, table
from ckanext.bqdatastore.model.table import Field, Table
from ckanext.bqdatastore.model.write import TableChange, Write, WriteMode

from .test_contract import everything, rows

ENGINE_KINDS = ("postgres", "sqlite")
PLACES = Table("places", (Field("name", "text"), Field("n", "int4")), primary_key=("name",))


@pytest.fixture
def places(engine: Engine) -> Table:
    first = rows(PLACES, [{"name": f"place {n}", "n": n} for n in range(100)])
    engine.apply(TableChange(None, PLACES, Write(WriteMode.INSERT, (first,))))
    return PLACES


@pytest.fixture
def lake(engine: Engine, places: Table) -> DuckLakeEngine:
    """An engine with one table of 100 rows, `lake.main.places`."""
    assert isinstance(engine, DuckLakeEngine)
    return engine


def connections(engine: DuckLakeEngine) -> Connections:
    return engine._connections


def ask(engine: DuckLakeEngine, sql: str) -> list[tuple[object, ...]]:
    """Run any statement on the side that reads."""
    with connections(engine).reader() as cursor:
        return cursor.execute(sql).fetchall()


# The reading side: what it cannot do

CHANGES = [
    "INSERT INTO lake.main.places VALUES (999, 'x', 1)",
    "UPDATE lake.main.places SET n = 1",
    "DELETE FROM lake.main.places",
    "TRUNCATE lake.main.places",
    "MERGE INTO lake.main.places t USING (SELECT 1 AS n) s ON t.n = s.n WHEN MATCHED THEN DELETE",
    "CREATE TABLE lake.main.other (a INT)",
    "CREATE VIEW lake.main.seen AS SELECT 1",
    "CREATE SCHEMA lake.other",
    "ALTER TABLE lake.main.places ADD COLUMN extra INT",
    "COMMENT ON TABLE lake.main.places IS 'nothing'",
    "DROP TABLE lake.main.places",
    "CALL lake.set_option('parquet_compression', 'snappy')",
    "CALL ducklake_expire_snapshots('lake', older_than => now())",
    "CALL ducklake_delete_orphaned_files('lake', cleanup_all => true)",
    "CALL ducklake_flush_inlined_data('lake')",
    "CALL ducklake_add_data_files('lake', 'places', '{data_path}/none.parquet')",
]

ESCAPES = [
    "SELECT * FROM read_csv('/etc/passwd')",
    "SELECT * FROM read_text('/etc/passwd')",
    "SELECT * FROM read_blob('{data_path}/../../../../../../etc/passwd')",
    "SELECT * FROM '/etc/passwd'",
    "SELECT * FROM glob('/etc/*')",
    "SELECT * FROM read_parquet('https://example.org/a.parquet')",
    "SELECT getenv('HOME')",
    "COPY lake.main.places TO '{outside}/stolen.csv'",
    "COPY lake.main.places TO '{data_path}/../stolen.csv'",
    "EXPORT DATABASE '{outside}/stolen'",
    "ATTACH '{outside}/new.db' AS new",
    "ATTACH 'postgres:{conninfo}' AS again",
    "ATTACH 'ducklake:postgres:{conninfo}' AS again",
    "LOAD httpfs",
    "INSTALL httpfs",
    "LOAD '{outside}/any.duckdb_extension'",
    "SET enable_external_access = true",
    "SET allowed_directories = ['/']",
    "SET allowed_configs = ['threads']",
    "SET lock_configuration = false",
    "RESET lock_configuration",
    "SET memory_limit = '100GB'",
    "SET threads = 64",
    "PRAGMA threads = 64",
    "SET temp_directory = '/tmp'",
]

CATALOG_CHANGES = [
    f"DELETE FROM {METADATA}.{{schema}}.ducklake_snapshot",
    f"INSERT INTO {METADATA}.{{schema}}.ducklake_metadata VALUES ('a', 'b', NULL, NULL)",
    f"UPDATE {METADATA}.{{schema}}.ducklake_metadata SET value = 'x'",
    f"CREATE TABLE {METADATA}.{{schema}}.mine (a INT)",
    f"DROP TABLE {METADATA}.{{schema}}.ducklake_snapshot",
]

# Straight to PostgreSQL: what stands in the way is a read-only transaction, and then the role.
POSTGRESQL_CHANGES = [
    f"CALL postgres_execute('{METADATA}', '{before}{change}')"
    for before in ("", "COMMIT; ", "COMMIT; BEGIN READ WRITE; ")
    for change in (
        "DELETE FROM {schema}.ducklake_snapshot",
        "UPDATE {schema}.ducklake_metadata SET value = 0",
        "DROP TABLE {schema}.ducklake_snapshot",
        "CREATE TABLE {schema}.mine (a int)",
        "CREATE TABLE public.mine (a int)",
        "CREATE SCHEMA mine",
        "SET ROLE {owner}",
        "COPY (SELECT 1) TO PROGRAM ''id''",
    )
] + [
    f"FROM postgres_query('{METADATA}', 'DELETE FROM {{schema}}.ducklake_snapshot RETURNING *')",
    f"FROM postgres_query('{METADATA}', 'SELECT pg_read_file(''/etc/passwd'')')",
    f"FROM postgres_query('{METADATA}', 'SELECT lo_import(''/etc/passwd'')')",
    f"FROM postgres_query('{METADATA}', 'CREATE TABLE public.mine AS SELECT 1 AS a')",
]


def filled(engine: DuckLakeEngine, sql: str, outside: Path) -> str:
    url = connections(engine).write_url
    return sql.format(
        data_path=url.data_path,
        outside=outside,
        schema=url.schema,
        owner=url.connection.get("user"),
        conninfo=url.conninfo.replace("'", ""),
    )


def state(engine: DuckLakeEngine) -> tuple[object, ...]:
    """All that a change would show in."""
    return (
        engine.tables(),
        engine.describe("places"),
        len(everything(engine, PLACES)),
        sorted(str(path) for path in Path(connections(engine).write_url.data_path).rglob("*")),
        ask(engine, "FROM ducklake_snapshots('lake') SELECT max(snapshot_id)"),
    )


def allowed(engine: DuckLakeEngine, statements: list[str], outside: Path) -> list[str]:
    """Those of the statements that are not refused."""
    found = []
    for sql in statements:
        try:
            ask(engine, filled(engine, sql, outside))
        except duckdb.Error:
            continue
        found.append(sql)
    return found


@pytest.mark.parametrize("statements", [CHANGES, ESCAPES, CATALOG_CHANGES])
def test_the_reading_side_refuses(
    lake: DuckLakeEngine, tmp_path: Path, statements: list[str]
) -> None:
    before = state(lake)
    assert allowed(lake, statements, tmp_path) == []
    assert state(lake) == before
    assert list(tmp_path.iterdir()) == []


def test_the_read_role_cannot_change_the_catalog(lake: DuckLakeEngine, tmp_path: Path) -> None:
    if connections(lake).read_url.catalog != "postgres":
        pytest.skip("a SQLite catalog has no roles")
    before = state(lake)
    assert allowed(lake, POSTGRESQL_CHANGES, tmp_path) == []
    assert state(lake) == before


# What the connection leaves to the guard of `datastore_search_sql`, which lets none of it through
# (tests/query/test_guard*.py). If one of these is refused one day, so much the better.

LEFT_TO_THE_GUARD = [
    "COPY (SELECT 1) TO '{data_path}/left.csv'",
    "SELECT * FROM glob('{data_path}/**')",
    "SELECT * FROM read_text('{data_path}/left.csv')",
    "SELECT * FROM duckdb_databases()",
    "SELECT * FROM duckdb_settings()",
    "SELECT current_setting('allowed_directories')",
    "CREATE TEMP TABLE mine AS SELECT 1",
    f"SELECT * FROM {METADATA}.{{schema}}.ducklake_data_file",
]
LEFT_ON_POSTGRESQL = [f"SELECT * FROM postgres_query('{METADATA}', 'SELECT current_user')"]
# DuckDB's SQLite extension opens files by itself, wherever they are.
LEFT_ON_SQLITE = [
    "SELECT * FROM sqlite_scan('{catalog}', 'ducklake_snapshot')",
    "ATTACH 'sqlite:{outside}/new.sqlite' AS again",
]


def test_what_is_left_to_the_guard(lake: DuckLakeEngine, tmp_path: Path) -> None:
    url = connections(lake).read_url
    own = LEFT_ON_POSTGRESQL if url.catalog == "postgres" else LEFT_ON_SQLITE
    try:
        for sql in [*LEFT_TO_THE_GUARD, *own]:
            ask(lake, filled(lake, sql.replace("{catalog}", url.path), tmp_path))
    finally:
        Path(url.data_path, "left.csv").unlink(missing_ok=True)


def test_the_reading_side_shows_no_password(lake: DuckLakeEngine) -> None:
    url = connections(lake).read_url
    if url.catalog != "postgres":
        pytest.skip("a SQLite catalog has no password")
    password = url.connection["password"]
    for sql in ("FROM duckdb_databases()", "FROM duckdb_secrets()", "FROM duckdb_settings()"):
        shown = str(ask(lake, sql))
        assert shown
        assert f"password={password}" not in shown
        assert repr(password) not in shown
    with pytest.raises(duckdb.Error, match="unredacted"):
        ask(lake, "FROM duckdb_secrets(redact => false)")


def test_queries_that_need_more_memory_spill_where_nobody_else_reads(lake: DuckLakeEngine) -> None:
    folder = Path(str(ask(lake, "SELECT current_setting('temp_directory')")[0][0]))
    assert folder.parent.stat().st_mode & 0o077 == 0
    assert not folder.is_relative_to(Path.cwd())


# Forks

FORKING = """
import json, os, sys
from pathlib import Path
from ckanext.bqdatastore.engines import registry
from ckanext.bqdatastore.engines.base import EngineSettings
from ckanext.bqdatastore.model.write import TableChange, Write, WriteMode
from ckanext.bqdatastore.tests.engines.test_contract import everything, rows
from ckanext.bqdatastore.tests.engines.test_ducklake_connections import PLACES

def add(n):
    batch = rows(PLACES, [{"name": f"new {n}", "n": n}])
    engine.apply(TableChange(PLACES, PLACES, Write(WriteMode.INSERT, (batch,))))
    return len(everything(engine, PLACES))

write_url, read_url, folder = json.loads(sys.argv[1])
engine = registry.load("ducklake")(EngineSettings(write_url, read_url, Path(folder)))
seen = [add(1)]
for n in (2, 4):
    child = os.fork()
    if child == 0:
        assert add(n) == seen[-1] + 1
        sys.exit(7)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
    seen.append(add(n + 1))
print(seen)
"""


def test_a_process_may_fork_after_it_used_both_sides(lake: DuckLakeEngine) -> None:
    urls = [lake.settings.write_url, lake.settings.read_url, str(lake.settings.storage_path)]
    ran = subprocess.run(
        [sys.executable, "-c", FORKING, json.dumps(urls)],
        timeout=60,  # what goes wrong here hangs
        capture_output=True,
        text=True,
    )
    # Before it: DuckDB shows progress to whoever runs `python -c`, if two seconds are not enough.
    last_line = ran.stdout.splitlines()[-1:]
    assert (last_line, ran.returncode) == (["[101, 103, 105]"], 0), ran.stderr
    assert len(everything(lake, PLACES)) == 105


# Threads

THREADS = 8


def test_threads_read_and_write_at_once(lake: DuckLakeEngine) -> None:
    start = threading.Barrier(THREADS)
    single = Capability.SINGLE_WRITER in lake.capabilities
    turn = threading.Lock() if single else nullcontext()

    def work(number: int) -> list[int]:
        own = dataclasses.replace(PLACES, name=f"places of {number}")
        start.wait()
        with turn:
            lake.apply(TableChange(None, own))
        seen = []
        for n in range(4):
            batch = rows(own, [{"name": f"{n}", "n": n}])
            with turn:
                lake.apply(TableChange(own, own, Write(WriteMode.INSERT, (batch,))))
            assert len(everything(lake, PLACES)) == 100
            seen.append(len(everything(lake, own)))
        return seen

    with ThreadPoolExecutor(THREADS) as pool:
        assert list(pool.map(work, range(THREADS))) == [[1, 2, 3, 4]] * THREADS
    assert len(lake.tables()) == THREADS + 1


# Instances


def instance(cursor: duckdb.DuckDBPyConnection) -> str:
    """Something that every instance has for itself."""
    return str(cursor.execute("SELECT current_setting('temp_directory')").fetchall()[0][0])


def test_no_two_callers_share_an_instance(lake: DuckLakeEngine) -> None:
    with connections(lake).reader() as one, connections(lake).reader() as other:
        both = {instance(one), instance(other)}
    assert len(both) == 2
    with connections(lake).reader() as again:
        assert instance(again) in both


def test_a_stream_has_its_instance_until_it_is_read(lake: DuckLakeEngine) -> None:
    stream = lake.query(Query(sge.select("n").from_(table(PLACES.name))))
    with connections(lake).reader() as cursor:
        meanwhile = instance(cursor)
    assert stream.read_all().num_rows == 100
    with connections(lake).reader() as cursor:
        assert instance(cursor) != meanwhile


def test_a_forgotten_stream_gives_its_instance_back(lake: DuckLakeEngine) -> None:
    with connections(lake).reader() as cursor:
        only = instance(cursor)
    stream = lake.query(Query(sge.select("n").from_(table(PLACES.name))))
    del stream
    gc.collect()
    with connections(lake).reader() as cursor:
        assert instance(cursor) == only


def test_goes_on_after_the_catalog_s_connections_were_cut(lake: DuckLakeEngine) -> None:
    url = lake._connections.read_url
    if url.catalog != "postgres":
        pytest.skip("a SQLite catalog has no server that could cut a connection")
    with connections(lake).reader(), connections(lake).reader():
        pass  # two are idle now
    with closing(psycopg2.connect(os.environ["DEVSTACK_POSTGRES_SUPERUSER_URL"])) as superuser:
        superuser.cursor().execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = %s AND pid <> pg_backend_pid()",
            [url.database],
        )
    with suppress(EngineUnavailable):  # one caller may be the one to find out
        everything(lake, PLACES)
    assert len(everything(lake, PLACES)) == 100


# Faults of the settings

SECRET = "hush'hush \\ %41"
QUOTED_SECRET = "hush%27hush%20%5C%20%2541"


@pytest.fixture
def postgres_settings(settings: EngineSettings) -> EngineSettings:
    if "postgresql" not in settings.write_url:
        pytest.skip("a SQLite catalog is a file")
    return settings


def opened(settings: EngineSettings) -> None:
    with closing(DuckLakeEngine(settings)) as engine:
        engine.open()


def refusal(settings: EngineSettings) -> str:
    """What an engine says that cannot be opened."""
    with pytest.raises(Misconfigured) as caught:
        opened(settings)
    message = str(caught.value)
    assert "\n" not in message
    assert "hush" not in message
    for url in (settings.write_url, settings.read_url):
        password = urlsplit(url.removeprefix("ducklake:")).password
        assert not password or f"={password}" not in message
        assert not password or f"'{password}'" not in message
    return message


def test_a_wrong_password_is_not_shown(postgres_settings: EngineSettings) -> None:
    for name in ("write_url", "read_url"):
        url = getattr(postgres_settings, name).replace(":pass@", f":{QUOTED_SECRET}@")
        message = refusal(dataclasses.replace(postgres_settings, **{name: url}))
        assert message.startswith(f"ckan.datastore.{name}: ")
        assert "password authentication failed" in message


def test_a_host_that_does_not_answer(postgres_settings: EngineSettings) -> None:
    parts = urlsplit(postgres_settings.write_url.removeprefix("ducklake:"))
    assert parts.port is not None
    url = postgres_settings.write_url.replace(f":{parts.port}/", ":1/")
    message = refusal(dataclasses.replace(postgres_settings, write_url=url))
    assert message.startswith("ckan.datastore.write_url: ")
    assert "refused" in message


@pytest.mark.parametrize("schema", ["Upper", "with space", "semi;colon", "1st", ""])
def test_a_name_that_is_no_schema(postgres_settings: EngineSettings, schema: str) -> None:
    url = postgres_settings.write_url
    old = url.split("schema=")[1].split("&")[0]
    changed = dataclasses.replace(
        postgres_settings, write_url=url.replace(f"schema={old}", f"schema={schema}")
    )
    assert "ckan.datastore.write_url" in refusal(changed)


def test_a_schema_that_may_not_be_made(postgres_settings: EngineSettings) -> None:
    changes = {
        name: getattr(postgres_settings, name).replace("schema=test_", "schema=pg_test_")
        for name in ("write_url", "read_url")
    }
    message = refusal(dataclasses.replace(postgres_settings, **changes))
    assert message.startswith("ckan.datastore.write_url: ")


def test_urls_of_two_lakes(settings: EngineSettings, tmp_path: Path) -> None:
    url = settings.read_url.split("data_path=")[0] + f"data_path={tmp_path}"
    message = refusal(dataclasses.replace(settings, read_url=url))
    assert "ckan.datastore.read_url and ckan.datastore.write_url must name the same" in message


def test_a_data_path_that_cannot_be_written(settings: EngineSettings, tmp_path: Path) -> None:
    # A file is in the way: so it is for root too.
    (tmp_path / "file").touch()
    changes = {
        name: getattr(settings, name).split("data_path=")[0] + f"data_path={tmp_path}/file/lake"
        for name in ("write_url", "read_url")
    }
    message = refusal(dataclasses.replace(settings, **changes))
    assert message.startswith("ckan.datastore.write_url: the data path ")
    assert "data_path=" in message


def test_a_data_path_that_is_not_the_catalogs(
    lake: DuckLakeEngine, settings: EngineSettings, tmp_path: Path
) -> None:
    changes = {
        name: getattr(settings, name).split("data_path=")[0] + f"data_path={tmp_path}"
        for name in ("write_url", "read_url")
    }
    message = refusal(dataclasses.replace(settings, **changes))
    assert message.startswith("ckan.datastore.write_url: ")
    assert str(tmp_path) in message


@pytest.mark.parametrize("name", ["ducklake", "icu"])
def test_a_missing_extension_wheel(
    settings: EngineSettings, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    find_spec = importlib.util.find_spec
    hidden = f"duckdb_extension_{name}"
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda wanted: None if wanted == hidden else find_spec(wanted)
    )
    message = refusal(settings)
    assert message.startswith("ckan.datastore.write_url")
    assert f'pip install "duckdb-extension-{name}=={duckdb.__version__}"' in message


def test_too_little_memory(settings: EngineSettings) -> None:
    message = refusal(dataclasses.replace(settings, memory_limit="1KB"))
    assert message.startswith("ckanext.bqdatastore.memory_limit: ")


# The catalog's server goes and comes back


@pytest.fixture
def superuser() -> Iterator[psycopg2.extensions.connection]:
    connection = psycopg2.connect(os.environ["DEVSTACK_POSTGRES_SUPERUSER_URL"])
    connection.autocommit = True
    yield connection
    connection.close()


def test_connections_that_the_server_has_closed_are_opened_again(
    lake: DuckLakeEngine, superuser: psycopg2.extensions.connection
) -> None:
    url = connections(lake).write_url
    if url.catalog != "postgres":
        pytest.skip("a SQLite catalog has no server")
    with superuser.cursor() as cursor:
        cursor.execute(
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity "
            "WHERE datname = %s AND application_name <> 'psql'",
            (url.database,),
        )
    assert len(everything(lake, PLACES)) == 100
    batch = rows(PLACES, [{"name": "after", "n": 1}])
    lake.apply(TableChange(PLACES, PLACES, Write(WriteMode.INSERT, (batch,))))
    names = ParameterNames()
    count = Query(sge.select(sge.Count(this=sge.Star())).from_(table("places")), names.values)
    assert lake.query(count).read_all().column(0)[0].as_py() == 101


@pytest.mark.parametrize(
    ("raised", "shown"),
    [
        ("Invalid Input Error: division by zero", "division by zero"),
        ("Out of Range Error: Overflow!\n\nLINE 1: SELECT", "Overflow!"),
        ("INTERNAL Error: lost", "lost"),
        ("Value Error: in a text: here", "in a text: here"),
        ("invalid value: Error: here", "invalid value: Error: here"),
    ],
)
def test_errors_are_shown_without_the_name_of_their_class(raised: str, shown: str) -> None:
    url = DuckLakeURL("sqlite", {}, "/srv/lake.sqlite", "main", "/srv/lake")
    assert url.without_password(raised) == shown
