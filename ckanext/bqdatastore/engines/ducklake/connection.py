"""DuckDB connections of one process: a side that writes and a locked side that reads.

Extensions come from their wheels (`duckdb-extension-*`), so nothing is downloaded at run time.
"""

from __future__ import annotations

import atexit
import ctypes
import importlib.util
import os
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb
import sqlglot.expressions as sge

from ...files.scratch import ScratchFolder, sweep
from ...model.errors import DatastoreFault, EngineUnavailable, Misconfigured
from ..base import EngineSettings
from .catalog_database import CatalogDatabase
from .conflicts import TransactionConflict, again_on_conflict, is_conflict
from .pool import Lease, Pool
from .url import DuckLakeURL, conninfo, parse

LAKE = "lake"
"""The name under which both sides attach the catalog."""

METADATA = f"__ducklake_metadata_{LAKE}"
"""The name under which DuckLake attaches the catalog's own database."""

SCHEMA = "main"
"""The lake's schema that holds every table."""

# Wheel name -> name of the file DuckDB must load it under: the entry point is derived from it.
_EXTENSION_FILES = {
    "ducklake": "ducklake",
    "postgres": "postgres_scanner",
    "sqlite": "sqlite_scanner",
    "httpfs": "httpfs",
    "icu": "icu",
    "fts": "fts",
}

STREAMING_BUFFER = "16KB"
"""How much of an answer DuckDB makes ahead of its reader. A text counts 16 bytes there, of whatever
length it is: with DuckDB's own 1 MB an answer of long texts was in memory before any was read."""

# Commits of other tables collide on the catalog's ids and are retried by DuckLake: after 10 ms, and
# then after ever longer, up to 2 s in the end and 12 s in all.
_RETRIES = {
    "ducklake_max_retry_count": 30,
    "ducklake_retry_wait_ms": 10,
    "ducklake_retry_backoff": 1.2,
}

# How long a SQLite catalog waits while another process commits.
_SQLITE_BUSY_MILLISECONDS = 20_000


_LOGIN = {
    "host": "HOST",
    "port": "PORT",
    "user": "USER",
    "password": "PASSWORD",
    "dbname": "DATABASE",
}
"""Keywords of libpq, and what DuckDB's secrets call them."""

_LOGIN_SECRET = "catalog_login"


def literal(value: str) -> str:
    """A string as DuckDB's SQL writes it."""
    return sge.Literal.string(value).sql(dialect="duckdb")


def extension_file(name: str, folder: Path) -> Path:
    """A loadable file of an extension's wheel, under the name that DuckDB wants.

    :raises Misconfigured: the wheel is not installed, or is for another DuckDB
    """
    spec = importlib.util.find_spec(f"duckdb_extension_{name}")
    wheel = f"duckdb-extension-{name}=={duckdb.__version__}"
    if spec is None or spec.origin is None:
        raise Misconfigured(
            f"ckan.datastore.write_url asks for DuckLake, but the package duckdb-extension-{name} "
            f'is missing: pip install "{wheel}".'
        )
    source = (
        Path(spec.origin).parent
        / "extensions"
        / f"v{duckdb.__version__}"
        / f"{name}.duckdb_extension"
    )
    if not source.exists():
        raise Misconfigured(
            f"The package duckdb-extension-{name} is for another version of DuckDB than "
            f'{duckdb.__version__}: pip install "{wheel}".'
        )
    if source.stem == _EXTENSION_FILES[name]:
        return source
    link = folder / f"{_EXTENSION_FILES[name]}.duckdb_extension"
    if not link.exists():
        link.symlink_to(source)
    return link


class Side:
    """One DuckDB instance with the lake attached."""

    def __init__(self, url: DuckLakeURL, settings: EngineSettings, read_only: bool) -> None:
        self.url = url
        self._settings = settings
        self._read_only = read_only
        self._setting = "ckan.datastore.read_url" if read_only else "ckan.datastore.write_url"
        self._root = duckdb.connect(":memory:")
        # For the files of queries that need more memory than they have.
        self._scratch = ScratchFolder()
        try:
            self._prepare()
        except duckdb.OutOfMemoryException:
            self.close()
            raise Misconfigured(
                f"ckanext.bqdatastore.memory_limit: {settings.memory_limit} is too little for "
                "DuckDB to start with; give it 100MB or more."
            ) from None
        except BaseException:
            self.close()
            raise

    def cursor(self) -> duckdb.DuckDBPyConnection:
        """A connection of its own to this instance: its transactions are nobody else's."""
        cursor = self._root.cursor()
        if self._read_only:
            cursor.execute(f"SET streaming_buffer_size = {literal(STREAMING_BUFFER)}")
        return cursor

    def close(self) -> None:
        self._root.close()
        self._scratch.remove()

    def _prepare(self) -> None:
        execute = self._root.execute
        needed = ["ducklake", self.url.catalog, "icu", "fts"]
        if self.url.is_remote:
            needed.append("httpfs")
        for name in needed:
            execute(f"LOAD {literal(str(extension_file(name, self._scratch.path)))}")
        execute(f"SET temp_directory = {literal(str(self._scratch.path / 'spilled'))}")
        execute("SET TimeZone = 'UTC'")
        execute(f"SET memory_limit = {literal(self._settings.memory_limit)}")
        execute(f"SET threads = {int(self._settings.threads)}")
        execute("SET autoinstall_known_extensions = false")
        execute("SET autoload_known_extensions = false")
        execute("SET enable_progress_bar_print = false")
        # Data files never change, and what their footers say is needed by every statement.
        execute("SET parquet_metadata_cache = true")
        # A sorted page reads its other columns when it is known which rows are on it.
        execute("SET late_materialization_max_rows = 1000")
        for name, value in _RETRIES.items():
            execute(f"SET {name} = {value}")
        if self.url.catalog == "postgres":
            # By places in the table PostgreSQL would read all of it, whatever its indexes.
            execute("SET pg_use_ctid_scan = false")
        self._credentials()
        if self.url.catalog == "postgres":
            self._rest = self._catalog_login()
        try:
            self._attach()
        except duckdb.OutOfMemoryException:
            raise
        except duckdb.Error as error:
            raise Misconfigured(
                f"{self._setting}: the DuckLake catalog cannot be opened: "
                f"{self.url.without_password(str(error))}"
            ) from None
        if self._read_only:
            self._lock()

    def _credentials(self) -> None:
        """The object store's place and keys, as a DuckDB secret."""
        if not self.url.is_remote:
            return
        kind = "GCS" if self.url.data_path.startswith(("gs://", "gcs://")) else "S3"
        given = dict(self._settings.options)
        endpoint = given.get("ducklake.s3_endpoint", "")
        values = {
            "KEY_ID": given.get("ducklake.s3_access_key_id"),
            "SECRET": given.get("ducklake.s3_secret_access_key"),
            "SESSION_TOKEN": given.get("session_token"),
            "REGION": given.get("ducklake.s3_region"),
            "ENDPOINT": endpoint.removeprefix("http://").removeprefix("https://").rstrip("/"),
            "URL_STYLE": given.get("ducklake.s3_url_style"),
            "USE_SSL": "false" if endpoint.startswith("http://") else "true",
        }
        parts = [
            f"TYPE {kind}",
            *(f"{key} {literal(each)}" for key, each in values.items() if each),
        ]
        self._root.execute(f"CREATE SECRET lake_files ({', '.join(parts)})")

    def _catalog_login(self) -> dict[str, str]:
        """How to log in to the catalog's database, as a DuckDB secret: `duckdb_databases()` shows
        the connection string to every query, and secrets without their passwords.

        :returns: what the connection string still has to say
        """
        connection = dict(self.url.connection)
        given = {key: connection.pop(name) for name, key in _LOGIN.items() if name in connection}
        parts = "".join(f", {key} {literal(value)}" for key, value in given.items())
        self._root.execute(f"CREATE SECRET {_LOGIN_SECRET} (TYPE postgres{parts})")
        return connection

    @again_on_conflict
    def _attach(self) -> None:
        """Attach the lake; the first to do so makes the catalog, perhaps several at once."""
        if self.url.catalog == "postgres":
            source = f"ducklake:postgres:{conninfo(self._rest)}"
            options = [
                f"METADATA_SCHEMA {literal(self.url.schema)}",
                f"META_SECRET {_LOGIN_SECRET}",
            ]
        else:
            source = f"ducklake:sqlite:{self.url.path}"
            # Readers and the one writer do not block each other, and who has to wait does.
            options = [
                "META_JOURNAL_MODE 'WAL'",
                f"META_BUSY_TIMEOUT {_SQLITE_BUSY_MILLISECONDS}",
            ]
        options.append(f"DATA_PATH {literal(self.url.data_path + '/')}")
        if self._read_only:
            options.append("READ_ONLY")
        self._root.execute(f"ATTACH {literal(source)} AS {LAKE} ({', '.join(options)})")

    def _lock(self) -> None:
        """From here on the connection can read the lake and nothing else, whatever it is asked."""
        self._root.execute(f"SET allowed_directories = [{literal(self.url.data_path + '/')}]")
        self._root.execute("SET enable_external_access = false")
        # No cursor has it from another; the setting is of use for nothing else.
        self._root.execute("SET allowed_configs = ['streaming_buffer_size']")
        self._root.execute("SET lock_configuration = true")


class Connections:
    """Both sides of one process, each a pool of DuckDB instances.

    A process that forks leaves them behind: a DuckDB instance does not live on in the child.
    """

    def __init__(self, settings: EngineSettings) -> None:
        self._settings = settings
        default = settings.storage_path / "datastore_lake"
        self.write_url = parse(settings.write_url, "ckan.datastore.write_url", default)
        self.read_url = parse(settings.read_url, "ckan.datastore.read_url", default)
        self._check_same_place()
        # None for a catalog that is not in PostgreSQL.
        self.catalog_database: CatalogDatabase | None = None
        if self.read_url.catalog == "postgres":
            self.catalog_database = CatalogDatabase(self.read_url)
        sweep()
        self._make_pools()
        _all.add(self)

    def reader(self) -> Lease:
        """An instance that cannot write, the caller's alone until it is released."""
        return self._readers.lend()

    def writer(self) -> Lease:
        """An instance that can."""
        return self._writers.lend()

    def close(self) -> None:
        """Close what this process opened."""
        self._readers.close()
        self._writers.close()
        if self.catalog_database is not None:
            self.catalog_database.close()

    def abandon(self) -> None:
        """Begin anew in a forked child, without a touch to what the parent has open."""
        for pool in (self._readers, self._writers):
            for side in pool.sides():
                _keep_for_ever(side)
            _keep_for_ever(pool)
        if self.catalog_database is not None:
            self.catalog_database.abandon()
        self._make_pools()

    def _make_pools(self) -> None:
        self._readers = Pool(lambda: self._open(read_only=True))
        self._writers = Pool(lambda: self._open(read_only=False))

    @contextmanager
    def faults(self) -> Iterator[None]:
        """Let DuckDB's errors about the catalog out as faults that hold no password.

        :raises EngineUnavailable: or `TransactionConflict`, which to try again may help
        """
        try:
            yield
        except DatastoreFault:
            raise
        except duckdb.Error as error:
            text = self.without_password(error)
            raise (TransactionConflict if is_conflict(error) else EngineUnavailable)(text) from None

    def without_password(self, error: BaseException) -> str:
        """An error's first line, fit to be shown."""
        return self.write_url.without_password(self.read_url.without_password(str(error)))

    def _open(self, read_only: bool) -> Side:
        with self.faults():
            return Side(self.read_url if read_only else self.write_url, self._settings, read_only)

    def _check_same_place(self) -> None:
        same = ("catalog", "path", "database", "schema", "data_path")
        for part in same:
            if getattr(self.write_url, part) != getattr(self.read_url, part):
                raise Misconfigured(
                    "ckan.datastore.read_url and ckan.datastore.write_url must name the same "
                    f"DuckLake; they differ in {part}."
                )


_all: weakref.WeakSet[Connections] = weakref.WeakSet()


def _abandon_all() -> None:
    for connections in list(_all):
        connections.abandon()
    _keep_for_ever(duckdb.default_connection())  # the module has one from its import on


def _keep_for_ever(owner: object) -> None:
    """Let a DuckDB instance of the parent process outlive even the child's interpreter.

    Its end would wait for threads that only the parent has, and say goodbye to PostgreSQL on the
    parent's own sockets.
    """
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(owner))


def _close_all() -> None:
    for connections in list(_all):
        connections.close()


os.register_at_fork(after_in_child=_abandon_all)
atexit.register(_close_all)
