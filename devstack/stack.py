"""All the services together, and the addresses that CKAN and the tests find them by."""

from __future__ import annotations

import fcntl
import shutil
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import IO

from devstack.bigquery import PROJECT, BigQuery, start_bigquery
from devstack.postgres import (
    CATALOG_DATABASE,
    OWNER,
    READER,
    SITE_DATABASE,
    STOCK_DATABASE,
    SUPERUSER,
    TRIGGER_DATABASE,
    Postgres,
    start_postgres,
)
from devstack.process import Service, ServiceError
from devstack.search_index import SearchIndex, start_search_index
from devstack.valkey import Valkey, start_valkey
from devstack.watchdog import Watchdog

# In a URL's query these end or escape something; a percent sign would besides be read as the start
# of a variable by CKAN's ini files, into which these addresses go.
_NOT_IN_A_FOLDER = "%&#?+;"

# Tells a stack's folder from others, and whether one is running in it.
_LOCK = "devstack.lock"


class Stack:
    """A context manager: the services run inside the `with`, in a folder of their own.

    Enter it on the main thread (see `process.end_with_parent`).
    """

    postgres: Postgres
    valkey: Valkey
    search_index: SearchIndex
    bigquery: BigQuery | None

    def __init__(
        self,
        folder: Path | None = None,
        *,
        fresh: bool = False,
        durable: bool = False,
        bigquery: bool = False,
    ) -> None:
        """
        :param folder: where data and logs go, and stay; by default a temporary one that goes too.
        :param fresh: empty `folder` first.
        :param durable: keep PostgreSQL's promises on a crash, at the price of slower tests.
        :param bigquery: start the BigQuery emulator as well.
        """
        self._named_folder = folder
        self._fresh = fresh
        self._durable = durable
        self._wants_bigquery = bigquery
        self._cleanup = ExitStack()
        self.folder = Path()
        self.watchdog: Watchdog

    def __enter__(self) -> Stack:
        with ExitStack() as cleanup:
            self.watchdog = Watchdog()
            cleanup.callback(self.watchdog.dismiss)
            self.folder = self._make_folder(cleanup)
            self.valkey = start_valkey(self.folder, self.watchdog)
            cleanup.callback(self.valkey.service.stop)
            self.search_index = start_search_index(self.folder, self.watchdog)
            cleanup.callback(self.search_index.service.stop)
            self.postgres = start_postgres(
                self.folder,
                self.watchdog,
                durable=self._durable,
                temporary=self._named_folder is None,
            )
            cleanup.callback(self.postgres.service.stop)
            self.bigquery = None
            if self._wants_bigquery:
                self.bigquery = start_bigquery(self.folder, self.watchdog)
                cleanup.callback(self.bigquery.service.stop)
            self._cleanup = cleanup.pop_all()
        return self

    def __exit__(
        self,
        error: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._cleanup.close()

    @property
    def services(self) -> list[Service]:
        found = [self.postgres.service, self.valkey.service, self.search_index.service]
        return [*found, self.bigquery.service] if self.bigquery else found

    @property
    def lake(self) -> Path:
        """The folder that DuckLake's data files are in."""
        return self.folder / "lake"

    @property
    def ducklake_write_url(self) -> str:
        return self._ducklake_url(OWNER)

    @property
    def ducklake_read_url(self) -> str:
        return self._ducklake_url(READER)

    @property
    def stock_write_url(self) -> str:
        """For CKAN's own PostgreSQL backend, which the tests compare with."""
        return self.postgres.url(STOCK_DATABASE)

    @property
    def stock_read_url(self) -> str:
        return self.postgres.url(STOCK_DATABASE, READER)

    @property
    def trigger_url(self) -> str:
        return self.postgres.url(TRIGGER_DATABASE)

    def environment(self) -> dict[str, str]:
        """The variables that CKAN prefers to its ini file, and `DEVSTACK_…` for what it has none.

        CKAN lets an ini file refer to those that begin with `CKAN_`: so does ours to the trigger
        URL, which CKAN itself does not look for.
        `CKAN_SITE_URL` is not among them: who serves a site says where.
        """
        variables = {
            "CKAN_SQLALCHEMY_URL": self.postgres.url(SITE_DATABASE),
            "CKAN_DATASTORE_WRITE_URL": self.ducklake_write_url,
            "CKAN_DATASTORE_READ_URL": self.ducklake_read_url,
            "CKAN_REDIS_URL": self.valkey.url,
            "CKAN_SOLR_URL": self.search_index.url,
            "CKAN_BQDATASTORE_TRIGGER_URL": self.trigger_url,
            "CKAN_STORAGE_PATH": str(self.folder / "storage"),
            "DEVSTACK_FOLDER": str(self.folder),
            "DEVSTACK_POSTGRES_SUPERUSER_URL": self.postgres.url("postgres", SUPERUSER),
            "DEVSTACK_STOCK_WRITE_URL": self.stock_write_url,
            "DEVSTACK_STOCK_READ_URL": self.stock_read_url,
            "DEVSTACK_REDIS_URL": self.valkey.url,
        }
        if self.bigquery:
            variables["DEVSTACK_BIGQUERY_URL"] = self.bigquery.url
            variables["DEVSTACK_BIGQUERY_GRPC_ADDRESS"] = self.bigquery.grpc_address
            variables["DEVSTACK_BIGQUERY_PROJECT"] = PROJECT
            variables["DEVSTACK_BIGQUERY_WRITE_URL"] = self.bigquery.datastore_url
            variables["DEVSTACK_BIGQUERY_READ_URL"] = self.bigquery.datastore_url
        return variables

    def _ducklake_url(self, user: str) -> str:
        catalog = self.postgres.url(CATALOG_DATABASE, user)
        return f"ducklake:{catalog}?schema=ducklake&data_path={self.lake}"

    def _make_folder(self, cleanup: ExitStack) -> Path:
        if self._named_folder is None:
            folder = Path(tempfile.mkdtemp(prefix="devstack-"))
            self.watchdog.watch_folder(folder)
            cleanup.callback(remove_folder, folder)
            # PostgreSQL may run as another user, who has to get in but not to look around.
            folder.chmod(0o711)
        else:
            folder = self._named_folder.resolve()
            if any(character in _NOT_IN_A_FOLDER for character in str(folder)):
                raise ServiceError(
                    f"{folder} goes into URLs: choose one without any of {_NOT_IN_A_FOLDER}"
                )
            folder.mkdir(parents=True, exist_ok=True)
            cleanup.callback(_claim(folder))
            if self._fresh:
                _empty(folder)
        for name in ("lake", "storage"):
            (folder / name).mkdir(exist_ok=True)
        return folder


def remove_folder(folder: Path) -> None:
    """Remove a stack's folder and what PostgreSQL keeps for it elsewhere."""
    _empty(folder)
    shutil.rmtree(folder, ignore_errors=True)


def _empty(folder: Path) -> None:
    data = folder / "postgres"
    if data.is_symlink():
        shutil.rmtree(data.resolve(), ignore_errors=True)
    for child in folder.iterdir():
        if child.is_dir() and not child.is_symlink():
            shutil.rmtree(child)
        elif child.name != _LOCK:
            child.unlink()


def _claim(folder: Path) -> Callable[[], None]:
    """Hold `folder` for this process; returns what lets go of it.

    :raises ServiceError: another process holds it, or it is no stack's folder.
    """
    if not (folder / _LOCK).exists() and any(folder.iterdir()):
        raise ServiceError(f"{folder} has other things in it: choose a new folder.")
    handle: IO[str] = (folder / _LOCK).open("w")
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        handle.close()
        raise ServiceError(f"Another stack is running in {folder}.") from None
    return handle.close
