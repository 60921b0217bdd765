"""What a process of its own does to see how queries end that ask for much, and what memory it took.

Each query goes the way that the backend sends it: guard, translation, bounds, engine.
"""

from __future__ import annotations

import resource
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from ckanext.bqdatastore.engines import registry
from ckanext.bqdatastore.engines.base import Engine, EngineSettings
from ckanext.bqdatastore.model.errors import DatastoreFault
from ckanext.bqdatastore.model.query import Query
from ckanext.bqdatastore.model.table import Table
from ckanext.bqdatastore.model.write import TableChange, Write, WriteMode
from ckanext.bqdatastore.query import guard
from ckanext.bqdatastore.records.batches import rows_to_write

MEGABYTE = 1024 * 1024


@contextmanager
def lake(
    folder: Path, memory_limit: int, table: Table, records: Sequence[Mapping[str, Any]]
) -> Iterator[Engine]:
    """An engine with one table.

    :param memory_limit: in MB
    """
    url = f"ducklake:sqlite:///{folder}/catalog.sqlite?data_path={folder}/lake"
    settings = EngineSettings(url, url, folder, memory_limit=f"{memory_limit}MB")
    engine = registry.load("ducklake")(settings)
    engine.open()
    with closing(engine):
        rows = rows_to_write(records, table, WriteMode.INSERT)
        engine.apply(TableChange(None, table, Write(WriteMode.INSERT, rows)))
        yield engine


def outcome(
    engine: Engine, table: Table, sql: str, *, rows: int, seconds: float, most: int = 100
) -> str:
    """A query's fault, its kind first, or how large its answer is.

    :param rows: how many it may have
    :param most: megabytes that it may have
    """
    try:
        bound = guard.bind(guard.parse(sql), {table.name: table}, engine.allowed_functions, rows)
        outputs = [(field.id, field.form) for field in bound.fields]
        tree = engine.dialect.translate(bound.query.tree)
        tree = engine.dialect.bounded(tree, outputs, most * MEGABYTE)
        found = engine.query(Query(tree), seconds).read_all(most * MEGABYTE)
    except DatastoreFault as fault:
        return f"{type(fault).__name__}: {fault}"
    return f"{found.num_rows} rows, {round(found.nbytes / MEGABYTE)} MB"


def most_memory() -> int:
    """The most that this process ever had, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
