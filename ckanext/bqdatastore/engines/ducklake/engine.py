"""The DuckLake engine: the contract of `engines.base` in terms of DuckDB."""

from __future__ import annotations

import logging
from collections.abc import Hashable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext, suppress
from decimal import Decimal
from pathlib import Path

import duckdb
import pyarrow as pa
import sqlglot.expressions as sge

from ...files.reading import (
    file_relation,
    inspect_file,
    numeric_digits,
    numeric_types,
    run_with_progress,
)
from ...model.errors import (
    DatastoreFault,
    EngineUnavailable,
    InvalidRequest,
    Misconfigured,
    QueryFailed,
    TableNotFound,
)
from ...model.files import FileSource, Progress
from ...model.numbers import without_exponent
from ...model.query import Parameter, Query, RecordStream, ShapedQuery, column
from ...model.recent import Recent
from ...model.table import ID, Table, TableStatistics
from ...model.write import Deletion, TableChange, WriteMode, WriteResult
from ..base import Abandoned, Capability, Check, Engine, EngineSettings
from .answer_size import too_large
from .catalog import Catalog, Entry, name_columns, to_comment
from .checks import checks_of, require_folder
from .conflicts import TransactionConflict, again_on_conflict, is_conflict
from .connection import METADATA, Connections, literal
from .dialect import DuckLakeDialect
from .limits import Limits
from .location import located, located_condition, placed, whereabouts
from .pool import Lease
from .tuning import index_catalog, tune
from .writing import (
    TableWriter,
    alias_statements,
    alter_statements,
    comment_statement,
    create_statement,
    lake_table,
    widened,
)

log = logging.getLogger(__name__)

_BATCH_ROWS = 512
"""A quarter of what DuckDB works on at once, so that of wide rows no batch is much over a limit.
Fewer rows or more make 32,000 rows no slower."""

# Statements of searches and of SQL that many ask for are kept: 25 MB at most, most are short.
_KEPT_STATEMENTS = 500
_LONGEST_KEPT = 50_000
_WANTED = "wanted_keys"
_WHOLE_NUMBERS = frozenset(["int2", "int4", "int8"])


class DuckLakeEngine(Engine):
    """DuckDB over Parquet files with a transactional catalog."""

    scheme = "ducklake"
    capabilities = Capability.LOAD_FILE | Capability.TOTAL_WITH_PAGE

    def __init__(self, settings: EngineSettings) -> None:
        super().__init__(settings)
        self.dialect = DuckLakeDialect(settings.milliseconds_in_timestamps)
        self.allowed_functions = _function_names(
            settings.allowed_functions_file or Path(__file__).parent / "allowed_functions.txt"
        )
        self._connections = Connections(settings)
        self._catalog = Catalog(self._connections)
        # Texts of statements and the names of the values in them.
        self._statements: Recent[Hashable, tuple[str, tuple[str, ...]]] = Recent(_KEPT_STATEMENTS)
        if self._connections.write_url.catalog == "sqlite":
            self.capabilities |= Capability.SINGLE_WRITER

    # Life

    def open(self) -> None:
        url = self._connections.write_url
        if not url.is_remote:
            require_folder(Path(url.data_path))
        with self._connections.writer() as cursor, self._connections.faults():
            tune(cursor, url)
            index_catalog(cursor, url)
            self._let_reader_in(cursor)
        self._connections.reader().release()
        self._catalog.newest()

    def close(self) -> None:
        self._connections.close()

    def checks(self) -> Sequence[Check]:
        return checks_of(self._connections, self._let_reader_in)

    @again_on_conflict
    def _let_reader_in(self, cursor: duckdb.DuckDBPyConnection) -> None:
        """Give the read URL's role what it needs on the catalog, and nothing more."""
        reader = self._connections.read_url.connection.get("user")
        url = self._connections.write_url
        if url.catalog != "postgres":
            return
        if reader == url.connection.get("user"):
            log.warning(
                "ckan.datastore.read_url: its role is that of ckan.datastore.write_url; name one "
                "that may only read, as a second lock behind the one on the connection."
            )
        if reader in (None, url.connection.get("user")):
            return
        role = sge.to_identifier(reader, quoted=True).sql(dialect="postgres")
        schema = sge.to_identifier(url.schema, quoted=True).sql(dialect="postgres")
        granted = sge.select(
            sge.func(
                "has_schema_privilege", *map(sge.Literal.string, (reader, url.schema, "USAGE"))
            )
        ).sql(dialect="postgres")
        try:
            answer = cursor.execute(
                f"SELECT * FROM postgres_query({literal(METADATA)}, {literal(granted)})"
            ).fetchall()
            if answer[0][0]:
                return
            for statement in (
                f"GRANT SELECT ON ALL TABLES IN SCHEMA {schema} TO {role}",
                # Rows of small writes live in catalog tables that are made as they come.
                f"ALTER DEFAULT PRIVILEGES IN SCHEMA {schema} GRANT SELECT ON TABLES TO {role}",
                # Last, for it tells that all of this has been done.
                f"GRANT USAGE ON SCHEMA {schema} TO {role}",
            ):
                cursor.execute(f"CALL postgres_execute({literal(METADATA)}, {literal(statement)})")
        except duckdb.Error as error:
            if is_conflict(error):
                raise
            raise Misconfigured(
                f'ckan.datastore.read_url: its role "{reader}" cannot be given read access to the '
                f"catalog: {self._connections.without_password(error)}"
            ) from None

    # Tables

    def one_moment(self) -> AbstractContextManager[None]:
        return self._catalog.one_moment()

    def tables(self) -> list[str]:
        return self._catalog.table_names()

    def aliases(self) -> dict[str, str]:
        return self._catalog.aliases()

    def describe(self, name: str) -> Table | None:
        entry = self._catalog.entry(name)
        return entry.table if entry else None

    def resolve(self, name: str) -> str | None:
        entry = self._catalog.entry(name)
        return (entry.alias_of or entry.name) if entry else None

    def version(self, tables: Sequence[str]) -> str:
        return self._catalog.version(tables)

    def statistics(self, table: Table) -> TableStatistics:
        entry = self._entry(table.name)
        return self._catalog.statistics(entry.table_id, self.row_count(table))

    def row_count(self, table: Table) -> int:
        newest = self._catalog.newest()
        entry = self._catalog.entry(table.name, newest)
        files = self._catalog.plain_files(entry, newest) if entry else None
        return files.row_count if files else super().row_count(table)

    def _entry(self, name: str) -> Entry:
        entry = self._catalog.entry(name)
        if entry is None or entry.table is None:
            raise TableNotFound(name)
        return entry

    # Writes

    def next_id(self, table: Table) -> int:
        entry = self._catalog.entry(table.name)
        return self._catalog.highest_id(entry) + 1 if entry else 1

    @again_on_conflict
    def apply(self, change: TableChange) -> WriteResult:
        after = change.after
        entry = self._entry(after.name) if change.before else None
        columns = name_columns(after, entry.columns if entry else None)
        result = WriteResult(0)
        types = self._catalog.column_types(entry.table_id) if entry else {}
        wider = widened(change.write, columns, types) if change.write else frozenset()
        if entry is not None and wider:
            with self._transaction() as cursor:
                self._catalog.forget_bounds(cursor, entry.table_id, wider)
        with self._transaction(change.write is not None and change.write.dry_run) as cursor:
            if change.before is None or entry is None:
                self._refuse_taken(after, ())
                _run(cursor, create_statement(after, columns))
                highest = 0
            else:
                for statement in alter_statements(entry.columns, after, columns):
                    _run(cursor, statement)
                self._refuse_taken(after, change.before.aliases)
                highest = self._catalog.highest_id(entry)
                if wider and self._catalog.column_types(entry.table_id) != types:
                    raise TransactionConflict("a column got another type meanwhile")
            for statement in alias_statements(
                change.before.aliases if change.before else (), after
            ):
                _run(cursor, statement)
            writer = TableWriter(cursor, after, columns, highest + 1, types)
            writer.highest_key = self._highest_key(change, entry)
            new_key = change.before is None or after.primary_key != change.before.primary_key
            if change.write is not None and change.write.rows:
                result = writer.write(change.write, check_keys=not new_key)
            if new_key:
                writer.check_whole_table()
            if after != change.before or writer.skipped_ids:
                skipped = writer.skipped_ids + (entry.skipped_ids if entry else 0)
                comment = to_comment(after, columns, skipped)
                _run(cursor, comment_statement("TABLE", after.name, comment))
        return result

    def _highest_key(self, change: TableChange, entry: Entry | None) -> int | None:
        """See `TableWriter`; asked only where rows are inserted into a table that is there."""
        key = change.after.primary_key
        inserting = change.write is not None and change.write.mode is WriteMode.INSERT
        if entry is None or not inserting or len(key) != 1:
            return None
        # Another column of that name may have been added in this very change.
        if change.before != change.after or change.after.field(key[0]).type not in _WHOLE_NUMBERS:
            return None
        return self._catalog.highest_value(entry.table_id, entry.columns[key[0]])

    def _refuse_taken(self, table: Table, own: Sequence[str]) -> None:
        for alias in table.aliases:
            if alias in own:
                continue
            taken = self._catalog.similar(alias)
            if taken is not None and taken.alias_of is not None:
                raise InvalidRequest("alias", f'The alias "{alias}" already exists.')
            if taken is not None:
                raise InvalidRequest("alias", f'"{alias}" already exists')

    @again_on_conflict
    def drop(self, name: str) -> None:
        table = self._entry(name).table
        assert table is not None
        with self._transaction() as cursor:
            for alias in table.aliases:
                _run(cursor, sge.Drop(this=lake_table(alias), kind="VIEW", exists=True))
            _run(cursor, sge.Drop(this=lake_table(name), kind="TABLE"))

    @again_on_conflict
    def delete(self, deletion: Deletion) -> WriteResult:
        table = deletion.table
        entry = self._entry(table.name)
        predicate: sge.Expr | None = None
        values: Mapping[str, object] = {}
        if deletion.predicate is not None:
            predicate = located_condition(deletion.predicate.tree, entry.columns)
            values = _values(deletion.predicate.parameters)
        returned = None
        with self._transaction() as cursor:
            if deletion.returning_limit:
                select = (
                    sge.select(
                        *(
                            column(stored).as_(name, quoted=True)
                            for name, stored in entry.columns.items()
                        )
                    )
                    .from_(lake_table(table.name))
                    .order_by(column(ID))
                    .limit(deletion.returning_limit)
                )
                if predicate is not None:
                    select = select.where(predicate.copy())
                returned = cursor.execute(select.sql(dialect="duckdb"), values).to_arrow_table()
            statement = sge.Delete(
                this=lake_table(table.name),
                where=sge.Where(this=predicate) if predicate is not None else None,
            )
            count = cursor.execute(statement.sql(dialect="duckdb"), values).fetchall()[0][0]
        return WriteResult(count, returned)

    # Reads

    def rows_with_keys(self, table: Table, keys: pa.Table) -> pa.Table:
        columns = self._entry(table.name).columns
        stored = [columns[name] for name in keys.column_names]
        same_key = (column(name, "t").eq(column(name, "k")) for name in stored)
        whole = (column(each, "t").as_(name, quoted=True) for name, each in columns.items())
        select = (
            sge.select(*whole)
            .from_(sge.alias_(lake_table(table.name), "t", table=True))
            .join(
                sge.alias_(sge.to_table(_WANTED), "k", table=True),
                on=sge.and_(*same_key),
                join_type="semi",
            )
        )
        with self._transaction(dry_run=True) as cursor:
            # As a table: DuckDB takes milliseconds for each value of a list that is a parameter.
            cursor.register(_WANTED, keys.rename_columns(stored))
            return cursor.execute(select.sql(dialect="duckdb")).to_arrow_table()

    def query(
        self, query: Query, timeout: float | None = None, abandoned: Abandoned | None = None
    ) -> RecordStream:
        text, values = self._statement(query)
        with ExitStack() as stack:
            lease = self._connections.reader()
            cursor = stack.enter_context(lease)
            limit = Limits(cursor, timeout or self.settings.statement_timeout, abandoned)
            with self._translated_errors(limit), limit:
                reader = cursor.execute(text, values).to_arrow_reader(_BATCH_ROWS)
            stack.pop_all()
        return RecordStream(reader.schema, self._batches(lease, reader, limit))

    def _statement(self, query: Query) -> tuple[str, dict[str, object]]:
        """A query as DuckDB is asked, and the values in it."""
        if not isinstance(query, ShapedQuery):
            query = located(query, self._catalog)
            return query.tree.sql(dialect="duckdb", copy=False), _values(query.parameters)
        where = whereabouts(query.tables, self._catalog).within(query.reach)
        key = (query.shape, where.version)
        kept = self._statements.get(key)
        if kept is None:
            made = placed(query, where)
            kept = made.tree.sql(dialect="duckdb", copy=False), tuple(made.parameters)
            if len(kept[0]) + sum(map(len, query.shape)) <= _LONGEST_KEPT:
                self._statements.put(key, kept)
        text, names = kept
        return text, _values({name: query.values[name] for name in names})

    # Files

    def inspect(self, source: FileSource) -> Sequence[tuple[str, str]]:
        with self._connections.writer() as cursor:
            return inspect_file(cursor, source)

    @again_on_conflict
    def load(self, table: Table, source: FileSource, progress: Progress | None = None) -> int:
        before = self.describe(table.name)
        columns = name_columns(table)
        with self._transaction(limited=False) as cursor:
            if before is None:
                self._refuse_taken(table, ())
            else:
                _run(cursor, sge.Drop(this=lake_table(table.name), kind="TABLE"))
            digits = numeric_digits(cursor, source, table)
            _run(cursor, create_statement(table, columns, numeric_types(digits)))
            _run(cursor, comment_statement("TABLE", table.name, to_comment(table, columns)))
            for statement in alias_statements(before.aliases if before else (), table):
                _run(cursor, statement)
            insert = sge.Insert(
                this=lake_table(table.name), expression=file_relation(source, table, digits)
            )
            count = run_with_progress(cursor, insert, source, progress)
            TableWriter(cursor, table, columns, 0, {}).check_whole_table()
        return count

    # Parts

    @contextmanager
    def _transaction(
        self, dry_run: bool = False, limited: bool = True
    ) -> Iterator[duckdb.DuckDBPyConnection]:
        """A transaction that commits at the end, or rolls back on an error or a dry run.

        :param limited: whether the work in it may take no longer than one statement
        :raises TransactionConflict: nothing was written, and may be if tried again
        """
        with self._connections.writer() as cursor:
            limit = Limits(cursor, self.settings.statement_timeout)
            with self._translated_errors(limit):
                cursor.execute("BEGIN TRANSACTION")
                try:
                    with limit if limited else nullcontext():
                        yield cursor
                    # A time limit that fell between two statements has stopped neither.
                    limit.check()
                except BaseException:
                    with suppress(duckdb.Error):  # what went wrong before is what matters
                        cursor.execute("ROLLBACK")
                    raise
                cursor.execute("ROLLBACK" if dry_run else "COMMIT")

    @contextmanager
    def _translated_errors(self, limit: Limits) -> Iterator[None]:
        try:
            yield
        except DatastoreFault:
            raise
        except duckdb.InterruptException as error:
            raise limit.fault() from error
        except duckdb.OutOfMemoryException as error:
            raise QueryFailed(
                "The query needs more memory than it may use; ask for fewer rows or columns."
            ) from error
        except duckdb.Error as error:
            text = self._connections.without_password(error)
            if (fault := too_large(text)) is not None:
                raise fault from None
            if is_conflict(error):
                raise TransactionConflict(text) from None
            if isinstance(error, _ENGINE_FAULTS):
                raise EngineUnavailable(text) from None
            raise QueryFailed(text) from error

    def _batches(
        self, lease: Lease, reader: pa.RecordBatchReader, limit: Limits
    ) -> Iterator[pa.RecordBatch]:
        with lease, self._translated_errors(limit), limit:
            try:
                yield from reader
            except (pa.ArrowException, OSError) as error:
                # Arrow hands on what DuckDB raised while streaming, as text.
                limit.check()
                text = self._connections.without_password(error)
                raise too_large(text) or QueryFailed(text) from error


ENGINE = DuckLakeEngine


# Not the statement's fault, but that of the catalog, the files or DuckDB.
_ENGINE_FAULTS = (
    duckdb.IOException,
    duckdb.HTTPException,
    duckdb.InternalException,
    duckdb.ConnectionException,
    duckdb.FatalException,
)


def _values(parameters: Mapping[str, Parameter]) -> dict[str, object]:
    return {
        name: without_exponent(each.value) if isinstance(each.value, Decimal) else each.value
        for name, each in parameters.items()
    }


def _run(cursor: duckdb.DuckDBPyConnection, tree: sge.Expr) -> None:
    cursor.execute(tree.sql(dialect="duckdb"))


def _function_names(path: Path) -> frozenset[str]:
    """One name on each line, as in the stock backend's list: only quoted names keep their case."""
    lines = (line.strip() for line in path.read_text(encoding="utf-8").splitlines())
    return frozenset(line if line.startswith('"') else line.lower() for line in lines if line)
