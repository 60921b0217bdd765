"""A process that writes as the backend does: engine and lock are real, CKAN's actions left out.

`python -m ckanext.bqdatastore.tests.writer_process JOB`; says what it does, a line for each step.
"""

from __future__ import annotations

import dataclasses
import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from ckanext.bqdatastore.engines import registry
from ckanext.bqdatastore.engines.base import Capability, Engine, EngineSettings
from ckanext.bqdatastore.locking import TableLocks
from ckanext.bqdatastore.model.table import Field, Table
from ckanext.bqdatastore.model.write import TableChange, Write, WriteMode
from ckanext.bqdatastore.records.batches import rows_to_write

FIELDS = (Field("key", "text"), Field("writer", "int4"), Field("batch", "int4"))


@dataclasses.dataclass(frozen=True)
class Job:
    """What one process does.

    :param writer: its number
    :param batches: how many writes
    :param records: how many records in each
    :param shared: whether each write also upserts one key that all writers share
    """

    write_url: str
    read_url: str
    folder: str
    namespace: str
    table: str
    writer: int
    batches: int
    records: int
    shared: bool = False


class Writer:
    """An engine and the locks around it."""

    def __init__(self, write_url: str, read_url: str, folder: str, namespace: str) -> None:
        self.engine: Engine = registry.load("ducklake")(
            EngineSettings(write_url, read_url, Path(folder))
        )
        self.engine.open()
        self.locks = TableLocks(sa.create_engine(os.environ["CKAN_SQLALCHEMY_URL"]), namespace, 60)

    @contextmanager
    def turn(self, name: str) -> Iterator[None]:
        """As `AnalyticsBackend.turn`."""
        if Capability.SINGLE_WRITER in self.engine.capabilities:
            name = "catalog"
        with self.locks.hold(name):
            yield

    def write(self, name: str, mode: WriteMode, records: list[dict[str, Any]]) -> None:
        """Write into the table, and make it first if it is not there."""
        with self.turn(name):
            before = self.engine.describe(name)
            after = before or Table(name, FIELDS, primary_key=("key",))
            rows = rows_to_write(records, after, mode)
            self.engine.apply(TableChange(before, after, Write(mode, rows)))


def main() -> None:
    job = Job(**json.loads(sys.argv[1]))
    writer = Writer(job.write_url, job.read_url, job.folder, job.namespace)
    print("ready", flush=True)
    for batch in range(job.batches):
        # Half of the writes insert, half upsert.
        mode = WriteMode.UPSERT if job.shared or batch % 2 else WriteMode.INSERT
        records: list[dict[str, Any]] = [
            {"key": f"{job.writer}-{batch}-{number}", "writer": job.writer, "batch": batch}
            for number in range(job.records)
        ]
        if job.shared:
            records.append({"key": "shared", "writer": job.writer, "batch": batch})
        print("writing", batch, flush=True)
        writer.write(job.table, mode, records)
        print("written", batch, flush=True)


if __name__ == "__main__":
    main()
