"""A DuckDB of one's own, which reads files where no other is at hand."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb
import sqlglot.expressions as sge

from .scratch import ScratchFolder, sweep


@contextmanager
def reading_session(
    memory_limit: str, threads: int
) -> Iterator[tuple[duckdb.DuckDBPyConnection, Path]]:
    """A connection to an empty DuckDB, and a folder that goes with it.

    :param memory_limit: as DuckDB spells it (`1GB`); what needs more goes to the folder
    """
    sweep()
    folder = ScratchFolder()
    connection = duckdb.connect(":memory:")
    try:
        for name, value in (
            ("temp_directory", str(folder.path / "spilled")),
            ("memory_limit", memory_limit),
            ("TimeZone", "UTC"),
        ):
            connection.execute(f"SET {name} = {sge.Literal.string(value).sql(dialect='duckdb')}")
        connection.execute(f"SET threads = {int(threads)}")
        connection.execute("SET autoinstall_known_extensions = false")
        connection.execute("SET autoload_known_extensions = false")
        connection.execute("SET enable_progress_bar_print = false")
        yield connection, folder.path
    finally:
        connection.close()
        folder.remove()
