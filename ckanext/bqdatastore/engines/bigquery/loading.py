"""A file into a table: read and typed here, staged by a load job, put in place by one statement."""

from __future__ import annotations

import io
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from google.api_core.exceptions import GoogleAPIError
from google.cloud.bigquery import TableReference

from ...files.reading import file_relation, inspect_file, numeric_digits, read_with_progress
from ...files.session import reading_session
from ...model.errors import DatastoreFault, InvalidRequest, UniqueViolation
from ...model.files import FileSource, Progress
from ...model.table import ID, Table
from ..base import EngineSettings
from . import statements
from .answers import read
from .jobs import Jobs
from .names import name_columns
from .rendering import render
from .statements import Layout
from .tables import Entry, Tables, clustering, labels, to_description
from .types import numeric_type, staged_array, staged_arrow, staged_field

# BigQuery lets a job of either kind run that long.
_SECONDS = 6 * 3600.0

_BATCH_ROWS = 20_480

# Where each part of the work ends, in percent.
_READ, _SENT = 50.0, 90.0


def inspect(source: FileSource, settings: EngineSettings) -> Sequence[tuple[str, str]]:
    """See `Engine.inspect`."""
    with reading_session(settings.memory_limit, settings.threads) as (connection, _):
        return inspect_file(connection, source)


class FileLoader:
    """Puts a table with a file's rows in the place of what is there.

    :param before: the table that is there
    :param partition_by: the field by whose months a table is partitioned that is not there yet
    """

    def __init__(
        self, jobs: Jobs, tables: Tables, table: Table, before: Entry | None, partition_by: str
    ) -> None:
        self._jobs = jobs
        self._tables = tables
        self._table = table
        self._before = before
        self._columns = name_columns(table, before.columns if before else None)
        self._layout = layout_of(table, self._columns, before, partition_by)
        self._api_types = {
            ID: "int8",
            **{self._columns[field.id]: field.type for field in table.fields},
        }

    def load(
        self, source: FileSource, settings: EngineSettings, progress: Progress | None = None
    ) -> int:
        """Load the file; how many rows there are. If anything fails, what was there stays.

        :raises InvalidRequest, UniqueViolation:
        """
        with reading_session(settings.memory_limit, settings.threads) as (connection, folder):
            digits = numeric_digits(connection, source, self._table)
            path = folder / "rows.parquet"
            rows = read_with_progress(
                connection,
                file_relation(source, self._table, digits),
                source,
                _BATCH_ROWS,
                _part(progress, 0.0, _READ),
            )
            count = self._write_parquet(rows, path)
            with self._staged(path, count, _part(progress, _READ, _SENT)) as staged:
                self._refuse_two(staged)
                types = {self._columns[id]: numeric_type(*each) for id, each in digits.items()}
                self._put(staged, types, next_id=count + 1)
        if progress is not None:
            progress(100.0)
        return count

    def _write_parquet(self, rows: Iterator[pa.RecordBatch], path: Path) -> int:
        """Rows in the form that a load job takes, on disk; how many there are."""
        schema = pa.schema([(name, staged_arrow(type)) for name, type in self._api_types.items()])
        count = 0
        with pq.ParquetWriter(path, schema) as writer:
            for batch in rows:
                arrays = [
                    staged_array(pa.chunked_array([values]), type)
                    for values, type in zip(batch.columns, self._api_types.values(), strict=True)
                ]
                writer.write_table(pa.Table.from_arrays(arrays, schema=schema))
                count += batch.num_rows
        return count

    @contextmanager
    def _staged(
        self, path: Path, count: int, progress: Progress | None
    ) -> Iterator[TableReference]:
        """A staging table with the rows of a Parquet file, for as long as it is needed."""
        fields = [staged_field(name, type) for name, type in self._api_types.items()]
        staged = self._tables.create_staging(uuid.uuid4().hex, fields)
        try:
            if count:
                with _Sent(path, progress) as content:
                    self._jobs.load_parquet(
                        content, staged, resource=self._table.name, timeout=_SECONDS
                    )
            yield staged
        finally:
            self._tables.remove_reference(staged)

    def _refuse_two(self, staged: TableReference) -> None:
        """
        :raises UniqueViolation: two rows share a primary key
        """
        key = [self._columns[name] for name in self._table.primary_key]
        if not key:
            return
        tree = statements.key_of_two_rows(statements.keys(staged, key), len(key))
        rows = self._jobs.query(render(tree), action="check", resource=self._table.name)
        for found in read(rows).to_pylist():
            raise UniqueViolation(self._table.primary_key, list(found.values()))

    def _put(self, staged: TableReference, types: Mapping[str, str], next_id: int) -> None:
        name, before = self._table.name, self._before
        layout = self._layout
        if before is not None and before.layout.clustered_by != layout.clustered_by:
            # BigQuery replaces a table only by one of the same layout.
            layout = Layout(layout.partitioned_by, (ID,))
            self._tables.put_clustering(name, layout.clustered_by)
        tree = statements.replace(
            *(self._tables.reference(name), staged, self._table, self._columns, types, layout),
            description=to_description(self._table, self._columns, types),
            labels=labels(next_id),
        )
        try:
            self._jobs.change(render(tree), action="load", resource=name, timeout=_SECONDS)
        except BaseException:
            if before is not None and layout.clustered_by != before.layout.clustered_by:
                self._put_back_clustering(before)
            raise
        # Once more, with the clustering that the table is to have.
        self._tables.put_metadata(self._table, self._columns, types, next_id)

    def _put_back_clustering(self, before: Entry) -> None:
        """Where the old table is still there: it may be that only the answer was lost."""
        name = self._table.name
        with suppress(DatastoreFault, GoogleAPIError):  # the load's own error is the one to tell
            found = self._tables.find(name)
            if found is not None and found.entry is not None and found.entry.table == before.table:
                self._tables.put_clustering(name, before.layout.clustered_by)


def layout_of(
    table: Table, columns: Mapping[str, str], before: Entry | None, partition_by: str
) -> Layout:
    """How BigQuery is to keep the rows of a table that is about to be put in place of another.

    :raises InvalidRequest: of what is there it cannot be put in place
    """
    clustered = clustering(table, columns)
    if before is None:
        dated = statements.is_partitionable(table.types.get(partition_by, ""))
        return Layout(columns[partition_by] if dated else None, clustered)
    partitioned = before.layout.partitioned_by
    types = {columns[field.id]: field.type for field in table.fields}
    if partitioned is not None and not statements.is_partitionable(types.get(partitioned, "")):
        names = {stored: name for name, stored in before.columns.items()}
        raise InvalidRequest(
            "file",
            f'The table is partitioned by "{names.get(partitioned, partitioned)}", in which the '
            "file has no dates: delete the table first, and load the file into a new one.",
        )
    return Layout(partitioned, clustered)


def _part(progress: Progress | None, start: float, end: float) -> Progress | None:
    """Progress of one part of the work, as that of the whole."""
    if progress is None:
        return None
    return lambda percent: progress(start + (end - start) * percent / 100)


class _Sent(io.BufferedReader):
    """A file that tells how much of it has been read."""

    def __init__(self, path: Path, progress: Progress | None) -> None:
        super().__init__(io.FileIO(path))
        self._size = path.stat().st_size
        self._progress = progress

    def read(self, size: int | None = -1, /) -> bytes:
        content = super().read(size)
        if self._progress is not None and self._size:
            self._progress(100 * self.tell() / self._size)
        return content
