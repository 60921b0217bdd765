"""The BigQuery engine: the contract of `engines.base` in terms of jobs and metadata calls."""

from __future__ import annotations

import datetime
import decimal
import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import sqlglot.expressions as sge
from google.cloud import bigquery

from ...model.errors import (
    InvalidRequest,
    Misconfigured,
    TableNotFound,
)
from ...model.files import FileSource, Progress
from ...model.numbers import without_exponent
from ...model.query import RESOURCES, Parameter, Query, RecordStream, column
from ...model.table import ID, Table, TableStatistics
from ...model.write import Deletion, TableChange, WriteResult
from ..base import Abandoned, Capability, Check, Engine, EngineSettings
from . import answers, statements, url
from .checks import checks_of, require_dataset
from .connection import Connection
from .dialect import BigQueryDialect
from .jobs import Jobs
from .names import name_columns
from .rendering import render
from .stemming import stems_of_list, with_stems
from .tables import Entry, Tables, numeric_types
from .types import ELEMENT, LIST, scalar_type, staged_array, stored_type
from .vocabulary import Vocabulary
from .writing import TableWriter

log = logging.getLogger(__name__)

_STORAGE_API_ROWS = 20_000


class BigQueryEngine(Engine):
    """Tables in one BigQuery dataset."""

    scheme = "bigquery"
    capabilities = Capability.LOAD_FILE

    def __init__(self, settings: EngineSettings) -> None:
        super().__init__(settings)
        self.dialect = BigQueryDialect(settings.milliseconds_in_timestamps)
        file = settings.allowed_functions_file
        self.allowed_functions = _function_names(file) if file else FUNCTIONS
        write_url = url.parse(settings.write_url, "ckan.datastore.write_url")
        read_url = url.parse(settings.read_url, "ckan.datastore.read_url")
        if (write_url.project, write_url.dataset) != (read_url.project, read_url.dataset):
            raise Misconfigured(
                "ckan.datastore.read_url: must name the project and dataset of "
                "ckan.datastore.write_url."
            )
        options = dict(settings.options)
        limit = options.get("bigquery.maximum_bytes_billed")
        labels = {"site": options["site"]} if "site" in options else {}
        self._partition_by = options.get("bigquery.partition_by", "")
        self._writer, self._reader = Connection(write_url), Connection(read_url)
        self._write_jobs, self._read_jobs = (
            Jobs(
                side,
                settings.statement_timeout,
                int(limit) if limit else None,
                labels,
                settings.caller,
            )
            for side in (self._writer, self._reader)
        )
        self._written = Tables(self._write_jobs, write_url.project, write_url.dataset)
        self._read = Tables(self._read_jobs, read_url.project, read_url.dataset)
        self._vocabulary = Vocabulary()

    # Life

    def open(self) -> None:
        for side, jobs in ((self._writer, self._write_jobs), (self._reader, self._read_jobs)):
            require_dataset(side, jobs)

    def checks(self) -> Sequence[Check]:
        sides = ((self._writer, self._write_jobs), (self._reader, self._read_jobs))
        return [check for side, jobs in sides for check in checks_of(side, jobs)]

    def close(self) -> None:
        self._writer.close()
        self._reader.close()

    # Tables

    def tables(self) -> list[str]:
        return self._read.names()

    def aliases(self) -> dict[str, str]:
        return self._read.aliases()

    def describe(self, name: str) -> Table | None:
        found = self._read.find(name)
        return found.entry.table if found and found.entry else None

    def resolve(self, name: str) -> str | None:
        found = self._read.find(name)
        return (found.alias_of or name) if found else None

    def version(self, tables: Sequence[str]) -> str | None:
        found = [self._read.find(name) for name in tables]
        versions = [each.entry.version for each in found if each and each.entry]
        # Of what is no table, as the list of all of them, BigQuery tells nothing.
        return "; ".join(versions) if len(versions) == len(tables) else None

    def statistics(self, table: Table) -> TableStatistics:
        entry = self._entry(table.name, self._read)
        return TableStatistics(self._read.row_count(table.name), entry.byte_count, 0, 0)

    def _entry(self, name: str, tables: Tables) -> Entry:
        found = tables.find(name)
        if found is None or found.entry is None:
            raise TableNotFound(name)
        return found.entry

    # Writes

    def next_id(self, table: Table) -> int:
        found = self._written.find(table.name)
        return found.entry.next_id if found and found.entry else 1

    def apply(self, change: TableChange) -> WriteResult:
        after, before = change.after, change.before
        if before is None:
            return self._make(after, change)
        entry = self._entry(after.name, self._written)
        columns = name_columns(after, entry.columns, entry.physical)
        added = {
            columns[field.id]: stored_type(field.type)
            for field in after.fields
            if field.id not in entry.columns
        }
        self._refuse_taken(after, before.aliases)
        kept = {stored: t for stored, t in entry.types.items() if stored in columns.values()}
        numeric = {stored: type for stored, type in added.items() if type.startswith("NUMERIC")}
        reference = self._written.reference(after.name)
        for stored, type in added.items():
            self._alter(statements.add_column(reference, stored, type), after.name)
        writer = TableWriter(
            self._write_jobs, self._written, after, columns, {**kept, **numeric}, entry.next_id
        )
        try:
            result = self._write(writer, change, after.primary_key != before.primary_key)
        except BaseException:
            for stored in added:
                self._alter(statements.drop_column(reference, stored), after.name)
            raise
        if after != before or writer.types != entry.types:
            self._written.put_metadata(after, columns, writer.types, writer.next_id)
        for name, stored in entry.columns.items():
            if name not in columns:
                self._alter(statements.drop_column(reference, stored), after.name)
        # Who failed at an alias repeats it without rows.
        self._put_aliases(before.aliases, after, mend=change.write is None)
        return result

    def _make(self, table: Table, change: TableChange) -> WriteResult:
        """Make a table; nobody sees it before it has its rows and its metadata."""
        self._refuse_taken(table, ())
        columns = name_columns(table)
        reference = self._written.reference(table.name)
        self._create(reference, table, columns)
        types = numeric_types(table, columns)
        writer = TableWriter(self._write_jobs, self._written, table, columns, types, 1, is_new=True)
        try:
            result = self._write(writer, change, new_key=True)
            self._written.put_metadata(table, columns, writer.types, writer.next_id)
        except BaseException:
            self._written.remove_reference(reference)
            raise
        self._put_aliases((), table)
        return result

    def _create(
        self, reference: bigquery.TableReference, table: Table, columns: Mapping[str, str]
    ) -> None:
        self._written.remove_unfinished(table.name)
        create = statements.create(reference, table, columns, self._partition_by)
        self._alter(create, table.name, "create")

    def _write(self, writer: TableWriter, change: TableChange, new_key: bool) -> WriteResult:
        write = change.write
        if write is not None and any(rows.data.num_rows for rows in write.rows):
            return writer.write(write, new_key)
        if new_key and change.before is not None:
            writer.check_whole_table()
        return WriteResult(0)

    def _alter(self, tree: sge.Expr, resource: str, action: str = "alter") -> None:
        text = render(tree)
        self._write_jobs.query(text, action=action, resource=resource)

    def _refuse_taken(self, table: Table, own: Sequence[str]) -> None:
        for alias in table.aliases:
            if alias in own:
                continue
            taken = self._written.find(alias)
            if taken is not None and taken.alias_of is not None:
                raise InvalidRequest("alias", f'The alias "{alias}" already exists.')
            if taken is not None or alias == table.name:
                raise InvalidRequest("alias", f'"{alias}" already exists')

    def _put_aliases(self, before: Sequence[str], after: Table, mend: bool = False) -> None:
        """
        :param mend: also make those that the table says it has, but which are not there
        """
        for alias in before:
            if alias not in after.aliases:
                self._written.remove(alias)
        for alias in after.aliases:
            if alias not in before or (mend and self._written.find(alias) is None):
                self._written.put_alias(alias, after.name)

    def drop(self, name: str) -> None:
        table = self._entry(name, self._written).table
        for alias in table.aliases:
            self._written.remove(alias)
        self._written.remove(name)

    def delete(self, deletion: Deletion) -> WriteResult:
        table = deletion.table
        entry = self._entry(table.name, self._written)
        reference = self._written.reference(table.name)
        condition: sge.Expr = sge.true()
        parameters: list[Any] = []
        if deletion.predicate is not None:
            condition = _with_stored_names(deletion.predicate.tree, {}, entry)
            parameters = _parameters(deletion.predicate.parameters)
        returned = None
        if deletion.returning_limit:
            outputs = (column(s).as_(name, quoted=True) for name, s in entry.columns.items())
            select = (
                sge.select(*outputs)
                .from_(statements.path(reference))
                .where(condition.copy())
                .order_by(column(ID))
                .limit(deletion.returning_limit)
            )
            rows = self._write_jobs.query(
                render(select), parameters, action="return", resource=table.name
            )
            returned = answers.read(rows)
        tree = sge.Delete(this=statements.path(reference), where=sge.Where(this=condition))
        count = self._write_jobs.change(
            render(tree), parameters, action="delete", resource=table.name
        )
        return WriteResult(count, returned)

    # Reads

    def rows_with_keys(self, table: Table, keys: pa.Table) -> pa.Table:
        entry = self._entry(table.name, self._written)
        writer = TableWriter(
            *(self._write_jobs, self._written, table, entry.columns),
            types=dict(entry.types),
            next_id=entry.next_id,
        )
        return writer.rows_with_keys(keys)

    def query(
        self, query: Query, timeout: float | None = None, abandoned: Abandoned | None = None
    ) -> RecordStream:
        names = [each.name for each in query.tree.find_all(sge.Table) if each.db == RESOURCES]
        stems = stems_of_list(query)
        if stems is not None:
            return RecordStream(stems.schema, iter([stems]))
        counted = _counted_table(query.tree)
        if counted is not None:
            count = pa.RecordBatch.from_arrays(
                [pa.array([self._read.row_count(counted)], pa.int64())], names=["count"]
            )
            return RecordStream(count.schema, iter([count]))
        entries = {
            name: found.entry for name in dict.fromkeys(names) if (found := self._read.find(name))
        }
        sources = {
            each.alias_or_name: entry
            for each in query.tree.find_all(sge.Table)
            if each.db == RESOURCES and (entry := entries.get(each.name)) is not None
        }
        tree = _with_stored_names(query.tree, sources)
        for table in tree.find_all(sge.Table):
            if table.db == RESOURCES:
                full = statements.path(self._read.reference(table.name))
                for part in ("this", "db", "catalog"):
                    table.set(part, full.args[part])
        resource = names[0] if names else ""

        def run(query: Query, action: str) -> Any:
            return self._read_jobs.query(
                render(query.tree),
                _parameters(query.parameters),
                action=action,
                resource=resource,
                timeout=timeout,
                abandoned=abandoned,
            )

        def read(query: Query) -> pa.Table:
            rows = run(query, "vocabulary")
            return pa.Table.from_batches(list(self._batches(rows)), answers.schema(rows))

        versions = "; ".join(entry.version for entry in entries.values() if entry)
        words = self._vocabulary.words(tree, query.parameters, versions, read)
        rows = run(Query(*with_stems(tree, query.parameters, words.__getitem__)), "search")
        return RecordStream(answers.schema(rows), self._batches(rows))

    def _batches(self, rows: Any) -> Iterator[pa.RecordBatch]:
        if rows.total_rows and rows.total_rows > _STORAGE_API_ROWS:
            return answers.batches(rows, self._reader.storage_client())
        return answers.batches(rows)

    # Files

    def inspect(self, source: FileSource) -> Sequence[tuple[str, str]]:
        from .loading import inspect  # brings DuckDB, which nothing else here needs

        return inspect(source, self.settings)

    def load(self, table: Table, source: FileSource, progress: Progress | None = None) -> int:
        from .loading import FileLoader

        found = self._written.find(table.name)
        before = found.entry if found else None
        if before is None:
            self._refuse_taken(table, ())
            self._written.remove_unfinished(table.name)
        loader = FileLoader(self._write_jobs, self._written, table, before, self._partition_by)
        count = loader.load(source, self.settings, progress)
        self._put_aliases(before.table.aliases if before else (), table, mend=True)
        return count


ENGINE = BigQueryEngine


def _with_stored_names(
    tree: sge.Expr, sources: Mapping[str, Entry], own: Entry | None = None
) -> sge.Expr:
    """The tree with the columns' names in BigQuery in place of the API's.

    :param sources: tables by the names that the tree has for them
    :param own: the table that the tree is a condition of
    """
    tree = tree.copy()
    for each in list(tree.find_all(sge.Column)):
        entry = sources.get(each.table or _only_source(each), own)
        if entry is None or each.name not in entry.columns:
            continue
        is_array = entry.table.types[each.name].startswith("_")
        stored = entry.columns[each.name]
        if stored != each.name:
            each.this.replace(sge.to_identifier(stored, quoted=True))
        if is_array and isinstance(each.parent, _COMPARISONS):
            _compare_as_text(each)
    return tree


_COMPARISONS = (sge.EQ, sge.In, sge.GT, sge.GTE, sge.LT, sge.LTE)


def _only_source(column: sge.Column) -> str:
    """The table of a column that names none: that of the innermost select which reads a table.

    Selects within it read lists.
    """
    node: sge.Expr | None = column.parent
    within_source = False
    while node is not None:
        if isinstance(node, sge.Select):
            source = node.args.get("from_")
            if source is not None and not within_source and not _is_list(source.this):
                return source.this.alias_or_name if isinstance(source.this, sge.Table) else ""
            within_source = False
        within_source = within_source or isinstance(node, sge.From)
        node = node.parent
    return ""


def _is_list(source: sge.Expr) -> bool:
    return isinstance(source, sge.Unnest) or source.alias_or_name.startswith("_")


def _compare_as_text(array: sge.Column) -> None:
    """Arrays cannot be compared with each other; their texts can."""
    inner = sge.Dot(this=array.copy(), expression=sge.to_identifier(LIST, quoted=True))
    array.replace(sge.Anonymous(this="TO_JSON_STRING", expressions=[inner]))


def _counted_table(tree: sge.Expr) -> str | None:
    """The table that the tree does nothing but count."""
    if not isinstance(tree, sge.Select) or len(tree.expressions) != 1:
        return None
    given = {name for name, value in tree.args.items() if value}
    count, source = tree.expressions[0].unalias(), tree.args.get("from_")
    if given != {"expressions", "from_"} or not isinstance(count, sge.Count):
        return None
    table = source.this if source is not None else None
    if not isinstance(count.this, sge.Star) or not isinstance(table, sge.Table):
        return None
    return table.name if table.db == RESOURCES else None


def _parameters(values: Mapping[str, Parameter]) -> list[Any]:
    return [parameter(name, each) for name, each in values.items()]


def parameter(name: str, given: Parameter) -> Any:
    """A value as the client takes it."""
    value, type = given.value, given.type
    if isinstance(value, tuple):
        return bigquery.ArrayQueryParameter(name, "STRING", value)
    if type.startswith("_"):
        items = None if value is None else [{ELEMENT: item} for item in value]
        text = None if items is None else json.dumps(items, separators=(",", ":"), default=str)
        return bigquery.ScalarQueryParameter(name, "STRING", text)
    if type == "numeric" and isinstance(value, float):
        return bigquery.ScalarQueryParameter(name, "FLOAT64", value)
    kind = scalar_type(type)
    if kind in ("NUMERIC", "BIGNUMERIC") and value is not None:
        value = without_exponent(decimal.Decimal(value))
    if type == "float4" and value is not None:
        value = staged_array(pa.chunked_array([pa.array([value], pa.float32())]), type)[0].as_py()
    if kind == "TIMESTAMP" and isinstance(value, datetime.datetime) and value.tzinfo is None:
        value = value.replace(tzinfo=datetime.timezone.utc)
    return bigquery.ScalarQueryParameter(name, kind, value)


def _function_names(path: Path) -> frozenset[str]:
    """One name on each line, as in the stock backend's list: only quoted names keep their case."""
    lines = (line.strip() for line in path.read_text(encoding="utf-8").splitlines())
    return frozenset(line if line.startswith('"') else line.lower() for line in lines if line)


FUNCTIONS = _function_names(Path(__file__).parent / "allowed_functions.txt")
"""The functions that `datastore_search_sql` may call unless a site says otherwise."""
