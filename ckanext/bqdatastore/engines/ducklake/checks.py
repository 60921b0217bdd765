"""What must be so for DuckLake to work, as an administrator's checks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import duckdb
import sqlglot.expressions as sge

from ...model.errors import Misconfigured
from ..base import Check
from .catalog_database import CatalogDatabase
from .connection import Connections, literal
from .pool import Lease

_CATALOG_TABLE = "ducklake_snapshot"


def checks_of(
    connections: Connections, let_reader_in: Callable[[duckdb.DuckDBPyConnection], object]
) -> Sequence[Check]:
    """The checks of a lake, the writing side's first.

    :param let_reader_in: gives the read URL's role what it needs, as every start does
    """
    url = connections.write_url
    data = f"data path {url.data_path}"
    found = [
        Check(
            "write URL: the catalog can be opened",
            _reached(connections, connections.writer, let_reader_in),
        )
    ]
    if url.is_remote:
        found.append(Check(f"write URL: the {data} can be listed", lambda: _list(connections)))
    else:
        path = Path(url.data_path)
        found.append(Check(f"write URL: the {data} can be written", lambda: require_folder(path)))
    found.append(
        Check("read URL: the catalog can be opened", _reached(connections, connections.reader))
    )
    if url.catalog == "postgres":
        found.append(
            Check("read URL: its role cannot write", lambda: _refuse_writing_reader(connections))
        )
    return found


def _reached(
    connections: Connections,
    lend: Callable[[], Lease],
    then: Callable[[duckdb.DuckDBPyConnection], object] = lambda cursor: None,
) -> Callable[[], None]:
    def run() -> None:
        # A connection that is made now: an older one may stand where no new one can be made.
        connections.close()
        with lend() as cursor, connections.faults():
            cursor.execute("SELECT 1").fetchall()
            then(cursor)

    return run


def _list(connections: Connections) -> None:
    pattern = f"{connections.write_url.data_path.rstrip('/')}/*"
    with connections.writer() as cursor, connections.faults():
        cursor.execute(f"SELECT count(*) FROM glob({literal(pattern)})").fetchall()


def _refuse_writing_reader(connections: Connections) -> None:
    url = connections.read_url
    table = f"{_quoted(url.schema)}.{_quoted(_CATALOG_TABLE)}"
    asked = [
        sge.func("has_schema_privilege", *map(sge.Literal.string, (url.schema, "CREATE"))),
        sge.func("has_table_privilege", *map(sge.Literal.string, (table, "INSERT"))),
    ]
    database = CatalogDatabase(url)
    try:
        rows = database.read(sge.select(*asked).sql(dialect="postgres"))
    finally:
        database.close()
    if any(rows[0]):
        raise Misconfigured(
            f'its role "{url.connection.get("user")}" may write to the catalog; name one that may '
            "only read, as a second lock behind the one on the connection."
        )


def _quoted(name: str) -> str:
    return sge.to_identifier(name, quoted=True).sql(dialect="postgres")


def require_folder(path: Path) -> None:
    """:raises Misconfigured: it cannot be made or written"""
    try:
        path.mkdir(parents=True, exist_ok=True)
        probe = path / ".bqdatastore-probe"
        probe.touch()
        probe.unlink(missing_ok=True)
    except OSError as error:
        raise Misconfigured(
            f"ckan.datastore.write_url: the data path {path} cannot be written "
            f"({error.strerror}): create it and give it to the user that CKAN runs as, or name "
            "another with ?data_path=."
        ) from None
