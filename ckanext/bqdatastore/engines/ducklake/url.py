"""`ducklake:` URLs: where the catalog is and where the data files go.

Two forms:

- `ducklake:postgresql://user:pass@host:port/db?schema=ducklake&data_path=/srv/lake`
- `ducklake:sqlite:////srv/lake.sqlite?data_path=/srv/lake`
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import parse_qsl, unquote, urlsplit

from ...model.errors import Misconfigured

REMOTE_PREFIXES = ("s3://", "gs://", "gcs://", "r2://")
DEFAULT_SCHEMA = "ducklake"
CONNECT_SECONDS = "10"
_LIBPQ_OPTIONS = frozenset(
    ["sslmode", "sslrootcert", "sslcert", "sslkey", "connect_timeout", "application_name", "host"]
)
_ERROR_CLASS = re.compile(r"^(?:[A-Z][A-Za-z]*|of)(?: (?:[A-Z][A-Za-z]*|of))* Error: ")


@dataclasses.dataclass(frozen=True)
class DuckLakeURL:
    """A parsed URL.

    :param catalog: `postgres` or `sqlite`
    :param connection: libpq keywords and values, for PostgreSQL
    :param path: the catalog's file, for SQLite
    :param schema: PostgreSQL's schema that holds the catalog's tables
    :param data_path: a folder or an object store's prefix, without a trailing slash
    """

    catalog: str
    connection: dict[str, str]
    path: str
    schema: str
    data_path: str

    @property
    def is_remote(self) -> bool:
        """Whether the data files are in an object store."""
        return self.data_path.startswith(REMOTE_PREFIXES)

    @property
    def reads_files(self) -> bool:
        """Whether tables may be read as files, past DuckLake.

        Only PostgreSQL tells of the catalog's own rows by name; an object store's files are better
        opened by DuckLake, which knows their sizes.
        """
        return self.catalog == "postgres" and not self.is_remote

    @property
    def conninfo(self) -> str:
        """libpq's connection string; holds the password, so it must not be logged."""
        return conninfo(self.connection)

    @property
    def database(self) -> str:
        """The name of PostgreSQL's database."""
        return self.connection.get("dbname", "")

    def without_password(self, message: str) -> str:
        """A message's first line, or what PostgreSQL says in it, fit to be shown.

        Without the name of DuckDB's class of error before it (`Invalid Input Error: `), and without
        the password that a connection string in it holds.
        """
        # The statement that PostgreSQL refused stands before its words.
        before, _, refused = message.partition(": ERROR:")
        text = _ERROR_CLASS.sub("", (refused or before).strip().split("\n")[0])
        password = self.connection.get("password")
        if not password:
            return text
        # A connection string has it quoted, and DuckDB may have quoted that again.
        quoted = _libpq_quote(password)[1:-1]
        for form in (quoted.replace("'", "''"), quoted, password):
            text = text.replace(form, "***")
        return text


def conninfo(connection: Mapping[str, str]) -> str:
    """Keywords and values as libpq's connection string."""
    return " ".join(f"{key}={_libpq_quote(value)}" for key, value in connection.items())


def parse(url: str, setting: str, default_data_path: Path) -> DuckLakeURL:
    """Read a URL.

    :param setting: the setting it came from, for the error
    :raises Misconfigured: what is wrong with it and how it should look
    """
    inner = url.removeprefix("ducklake:")
    parts = urlsplit(inner)
    # "+psycopg2" and the like: admins copy these URLs from SQLAlchemy settings.
    scheme = parts.scheme.split("+")[0]
    options = dict(parse_qsl(parts.query))
    data_path = options.pop("data_path", "") or str(default_data_path)
    if not data_path.startswith(REMOTE_PREFIXES):
        data_path = str(Path(data_path).absolute())
    data_path = data_path.rstrip("/")

    if scheme in ("postgresql", "postgres"):
        schema = options.pop("schema", DEFAULT_SCHEMA)
        if not schema.isidentifier() or schema != schema.lower():
            raise Misconfigured(
                f'{setting}: the schema "{schema}" must be a lower-case name of letters, digits '
                "and underscores."
            )
        _refuse_unknown(options, setting, _LIBPQ_OPTIONS | {"schema"})
        try:
            port = parts.port
        except ValueError:
            raise Misconfigured(f"{setting}: the port is not a number.") from None
        database = unquote(parts.path.removeprefix("/"))
        if not database:
            raise Misconfigured(
                f"{setting}: names no database; write "
                "ducklake:postgresql://user:pass@host/database."
            )
        connection = {
            "host": parts.hostname or "",
            "port": str(port or ""),
            "user": unquote(parts.username or ""),
            "password": unquote(parts.password or ""),
            "dbname": database,
            "connect_timeout": CONNECT_SECONDS,
            **options,
        }
        connection = {key: value for key, value in connection.items() if value}
        return DuckLakeURL("postgres", connection, "", schema, data_path)

    if scheme == "sqlite":
        _refuse_unknown(options, setting, frozenset())
        path = unquote(parts.path).removeprefix("/")
        if not path or parts.netloc:
            raise Misconfigured(
                f"{setting}: names no file; write ducklake:sqlite:////absolute/path/lake.sqlite."
            )
        return DuckLakeURL("sqlite", {}, str(Path(path).absolute()), "main", data_path)

    raise Misconfigured(
        f"{setting}: after ducklake: comes postgresql:// or sqlite://, not "
        f'"{parts.scheme or inner.split(":")[0]}".'
    )


def _refuse_unknown(options: dict[str, str], setting: str, known: frozenset[str]) -> None:
    unknown = sorted(set(options) - known)
    if unknown:
        raise Misconfigured(
            f"{setting}: does not know {', '.join(unknown)}; it takes "
            f"{', '.join(sorted(known | {'data_path'}))}."
        )


def _libpq_quote(value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"
