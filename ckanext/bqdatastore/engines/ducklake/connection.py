"""DuckDB connections of one process: a side that writes and a locked side that reads.

Extensions come from their wheels (`duckdb-extension-*`), so nothing is downloaded at run time.
"""

from __future__ import annotations

import importlib.util
import logging
import os
import tempfile
import threading
from pathlib import Path

import duckdb
import sqlglot.expressions as sge

from ...model.errors import EngineUnavailable, Misconfigured
from ..base import EngineSettings
from .url import DuckLakeURL, parse

log = logging.getLogger(__name__)

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

# A page of a table is its first row groups: smaller groups than DuckDB's default make it cheaper.
ROW_GROUP_SIZE = 16_384

# Commits of other tables collide on the catalog's ids and are retried by DuckLake.
MAX_RETRIES = 100


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
    """One DuckDB instance with the lake attached, and how many use it."""

    def __init__(self, url: DuckLakeURL, settings: EngineSettings, read_only: bool) -> None:
        self.url = url
        self._settings = settings
        self._read_only = read_only
        self._setting = "ckan.datastore.read_url" if read_only else "ckan.datastore.write_url"
        self._root = duckdb.connect(":memory:")
        try:
            self._prepare()
        except BaseException:
            self._root.close()
            raise

    def cursor(self) -> duckdb.DuckDBPyConnection:
        """A connection of its own to this instance: its transactions are nobody else's."""
        return self._root.cursor()

    def close(self) -> None:
        self._root.close()

    def _prepare(self) -> None:
        execute = self._root.execute
        needed = ["ducklake", self.url.catalog, "icu", "fts"]
        if self.url.is_remote:
            needed.append("httpfs")
        with tempfile.TemporaryDirectory(prefix="bqdatastore-") as folder:
            for name in needed:
                execute(f"LOAD {literal(str(extension_file(name, Path(folder))))}")
        execute("SET TimeZone = 'UTC'")
        execute(f"SET memory_limit = {literal(self._settings.memory_limit)}")
        execute(f"SET threads = {int(self._settings.threads)}")
        execute("SET autoinstall_known_extensions = false")
        execute("SET autoload_known_extensions = false")
        execute("SET enable_progress_bar_print = false")
        execute(f"SET ducklake_max_retry_count = {MAX_RETRIES}")
        self._credentials()
        try:
            self._attach()
        except duckdb.Error as error:
            raise Misconfigured(
                f"{self._setting}: the DuckLake catalog cannot be reached: {self._safe(error)}"
            ) from None
        if self._read_only:
            self._lock()

    def _credentials(self) -> None:
        """Object store credentials from the settings, as a DuckDB secret."""
        options = dict(self._settings.options)
        if not self.url.is_remote:
            return
        kind = "GCS" if self.url.data_path.startswith(("gs://", "gcs://")) else "S3"
        names = {
            "KEY_ID": "ducklake.s3_access_key_id",
            "SECRET": "ducklake.s3_secret_access_key",
            "REGION": "ducklake.s3_region",
            "ENDPOINT": "ducklake.s3_endpoint",
            "URL_STYLE": "ducklake.s3_url_style",
        }
        given = {key: options[name] for key, name in names.items() if options.get(name)}
        parts = ", ".join(f"{key} {literal(value)}" for key, value in given.items())
        self._root.execute(f"CREATE SECRET lake_files (TYPE {kind}{', ' + parts if parts else ''})")

    def _attach(self) -> None:
        if self.url.catalog == "postgres":
            source = f"ducklake:postgres:{self.url.conninfo}"
            options = [f"METADATA_SCHEMA {literal(self.url.schema)}"]
        else:
            source = f"ducklake:sqlite:{self.url.path}"
            options = []
        options.append(f"DATA_PATH {literal(self.url.data_path + '/')}")
        if self._read_only:
            options.append("READ_ONLY")
        self._root.execute(f"ATTACH {literal(source)} AS {LAKE} ({', '.join(options)})")

    def _lock(self) -> None:
        """From here on the connection can read the lake and nothing else, whatever it is asked."""
        self._root.execute(f"SET allowed_directories = [{literal(self.url.data_path + '/')}]")
        self._root.execute("SET enable_external_access = false")
        self._root.execute("SET lock_configuration = true")

    def _safe(self, error: BaseException) -> str:
        """The error's first line, without the password that a connection string holds."""
        text = str(error).strip().split("\n")[0]
        password = self.url.connection.get("password")
        return text.replace(password, "***") if password else text


class Connections:
    """Both sides of one process, opened when first needed.

    A process that forks leaves them behind: a DuckDB instance does not live on in the child, and
    closing it there would hang on threads that are not there.
    """

    def __init__(self, settings: EngineSettings) -> None:
        self._settings = settings
        default = settings.storage_path / "datastore_lake"
        self.write_url = parse(settings.write_url, "ckan.datastore.write_url", default)
        self.read_url = parse(settings.read_url, "ckan.datastore.read_url", default)
        self._check_same_place()
        self._lock = threading.Lock()
        self._sides: dict[tuple[int, str], Side] = {}

    def reader(self) -> duckdb.DuckDBPyConnection:
        """A cursor on the side that cannot write."""
        return self._side("read").cursor()

    def writer(self) -> duckdb.DuckDBPyConnection:
        """A cursor on the side that can."""
        return self._side("write").cursor()

    def close(self) -> None:
        """Close what this process opened."""
        with self._lock:
            for key in [key for key in self._sides if key[0] == os.getpid()]:
                self._sides.pop(key).close()

    def _side(self, which: str) -> Side:
        key = (os.getpid(), which)
        side = self._sides.get(key)
        if side is None:
            with self._lock:
                side = self._sides.get(key)
                if side is None:
                    side = self._open(which)
                    self._sides[key] = side
        return side

    def _open(self, which: str) -> Side:
        read_only = which == "read"
        try:
            return Side(self.read_url if read_only else self.write_url, self._settings, read_only)
        except duckdb.Error as error:
            raise EngineUnavailable(str(error).strip().split("\n")[0]) from None

    def _check_same_place(self) -> None:
        same = ("catalog", "path", "schema", "data_path")
        for part in same:
            if getattr(self.write_url, part) != getattr(self.read_url, part):
                raise Misconfigured(
                    "ckan.datastore.read_url and ckan.datastore.write_url must name the same "
                    f"DuckLake; they differ in {part}."
                )


def tune(cursor: duckdb.DuckDBPyConnection) -> None:
    """Set the lake's own options, once: they are kept in the catalog."""
    options = {"parquet_row_group_size": str(ROW_GROUP_SIZE), "parquet_compression": "zstd"}
    present = dict(
        cursor.execute(
            f"SELECT option_name, value FROM ducklake_options({literal(LAKE)})"
        ).fetchall()
    )
    for name, value in options.items():
        if present.get(name) != value:
            cursor.execute(f"CALL {LAKE}.set_option({literal(name)}, {literal(value)})")
