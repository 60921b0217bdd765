"""What the lake's catalog says of its tables, read from DuckLake's own tables by name.

DuckDB's `duckdb_tables()` lists every table to find one (seconds, with thousands of resources); the
tables of the DuckLake specification answer for one name in a millisecond. A table's metadata is the
JSON text of its comment. An alias is a view whose comment names its table.
"""

from __future__ import annotations

import dataclasses
import functools
import threading
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import duckdb
import sqlglot.expressions as sge

from ...model import metadata
from ...model.recent import Recent
from ...model.table import ID, Table, TableStatistics
from . import catalog_statements as statements
from .connection import METADATA, Connections
from .plain_files import PlainFiles, find_plain_files
from .table_versions import ANYTHING, TableVersions

_KEPT_FILES = 1_000
"""Of how many tables files are known."""

# Of each table's own statements those that were asked last; the others are the same for all.
_KEPT_TEXTS = 1_000


def to_comment(table: Table, columns: Mapping[str, str], skipped_ids: int = 0) -> str:
    """A table's metadata as the text of its comment.

    :param columns: field ids to stored names
    :param skipped_ids: as in `Entry`
    """
    beside = {"skipped_ids": skipped_ids} if skipped_ids else {}
    return metadata.to_json(table, columns, beside=beside).decode()


def from_comment(name: str, table_id: int, comment: str) -> Entry:
    """What a table's comment tells of it."""
    table, columns, content = metadata.from_json(name, comment)
    return Entry(name, table_id, table, columns, skipped_ids=content.get("skipped_ids", 0))


def name_columns(table: Table, known: Mapping[str, str] | None = None) -> dict[str, str]:
    """Field ids to the names of their columns in the lake.

    PostgreSQL tells `Name` from `name`, DuckDB does not: a later field of the same letters gets a
    number behind its name. Nearly always this maps each id to itself.

    :param known: names of columns that are there already; they stay
    """
    columns = {ID: ID}
    columns.update((name, stored) for name, stored in (known or {}).items() if name in table.types)
    taken = {stored.lower() for stored in columns.values()}
    for field in table.fields:
        if field.id in columns:
            continue
        name, number = field.id, 1
        while name.lower() in taken:
            number += 1
            name = f"{field.id} ({number})"
        taken.add(name.lower())
        columns[field.id] = name
    return columns


@dataclasses.dataclass(frozen=True)
class Entry:
    """A name in the catalog: a table, or an alias of one.

    :param columns: field ids (and `_id`) to the names of their columns in the lake
    :param skipped_ids: by how much the highest `_id` may be above the number of rows ever inserted,
        because callers chose higher ones or triggers let rows fall
    """

    name: str
    table_id: int
    table: Table | None = None
    columns: Mapping[str, str] = dataclasses.field(default_factory=dict)
    alias_of: str | None = None
    skipped_ids: int = 0


@dataclasses.dataclass(frozen=True)
class Newest:
    """The catalog's newest snapshot.

    :param schema_version: a number that changes with every change to any table's columns or
        metadata
    """

    snapshot: int
    schema_version: int


class Catalog:
    """Looks names up, and remembers them for as long as the catalog's schema version stands."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections
        self._url = connections.read_url
        self._held = threading.local()
        # A version and what was found at it, replaced as one: threads need no lock.
        self._known: tuple[int, dict[str, Entry]] = (-1, {})
        self._versions = TableVersions()
        # With the number of the version at which they are the table's.
        self._plain: Recent[int, tuple[int, PlainFiles | None]] = Recent(_KEPT_FILES)
        self._text = functools.lru_cache(maxsize=_KEPT_TEXTS)(self._rendered)

    def entry(self, name: str, newest: Newest | None = None) -> Entry | None:
        """What a name stands for, or None.

        :param newest: the catalog's newest snapshot, if it was just asked for
        """
        version = (newest or self.newest()).schema_version
        known = self._known
        if known[0] != version:
            known = self._known = (version, {})
        entries = known[1]
        if name in entries:
            return entries[name]
        found = self._look_up(name)
        if found is not None:  # names that stand for nothing are without number
            entries[name] = found
        return found

    def newest(self) -> Newest:
        """The newest snapshot, asked for each time: it is how changes of others are seen."""
        held: Newest | None = getattr(self._held, "newest", None)
        return held or self._ask_newest()

    @contextmanager
    def one_moment(self) -> Iterator[None]:
        """Within it this thread asks for the newest snapshot once."""
        if getattr(self._held, "newest", None) is not None:
            yield
            return
        self._held.newest = self._ask_newest()
        try:
            yield
        finally:
            self._held.newest = None

    def _ask_newest(self) -> Newest:
        return Newest(*self._read(statements.newest)[0])

    def version(self, names: Sequence[str]) -> str:
        """A text that is another after every change to one of the tables, in this process."""
        newest = self.newest()
        versions = self._versions_at(newest)
        numbers = []
        for name in names:
            entry = self.entry(name, newest)
            # What is no table, as the list of all of them, changes with any of them.
            table_id = entry.table_id if entry is not None and entry.table else ANYTHING
            numbers.append(f"{table_id}:{versions.number(table_id)}")
        return ",".join(numbers)

    def _versions_at(self, newest: Newest) -> TableVersions:
        known = self._versions
        if newest.snapshot == known.snapshot:
            return known
        found = known.at(newest.snapshot, self._changes)
        # A thread that holds an older snapshot does not set all others back.
        if newest.snapshot > known.snapshot or self._ask_newest().snapshot < known.snapshot:
            self._versions = found
        return found

    def _changes(self, after: int, until: int) -> list[str | None]:
        return [text for (text,) in self._read(statements.changes, after=after, until=until)]

    def plain_files(self, entry: Entry, newest: Newest) -> PlainFiles | None:
        """The files that are all there is of a table at that snapshot, or None."""
        number = self._versions_at(newest).number(entry.table_id)
        known = self._plain.get(entry.table_id)
        if known is not None and known[0] == number:
            return known[1]
        files = None
        if self._url.reads_files:
            files = find_plain_files(
                self._read, self._relation, entry.table_id, self._url.data_path
            )
            if self._ask_newest() != newest:
                return None
        self._plain.put(entry.table_id, (number, files))
        return files

    def table_names(self) -> list[str]:
        return [row[0] for row in self._read(statements.names, "table") if row[2] is not None]

    def aliases(self) -> dict[str, str]:
        rows = self._read(statements.names, "view")
        return {row[0]: row[2] for row in rows if row[2] is not None}

    def column_types(self, table_id: int) -> dict[str, str]:
        """Stored column names to the types DuckLake keeps them in (`decimal(9,3)`)."""
        return dict(self._read(statements.column_types, table_id=table_id))

    def highest_id(self, entry: Entry) -> int:
        """A number that no `_id` of the table has ever been higher than; 0 for a new table.

        DuckLake's own number of the table's next row never goes back, and is at least that of rows
        that were ever inserted; `TableWriter` gives no `_id` to anything else, and counts what it
        skips. The statistics of the column would not do: compaction forgets rows that are deleted.
        """
        rows = self._read(statements.next_row_id, table_id=entry.table_id)
        return int(rows[0][0] or 0) + entry.skipped_ids if rows else entry.skipped_ids

    def highest_value(self, table_id: int, stored: str) -> int | None:
        """A number that no value of a column of whole numbers was ever higher than, if known.

        :param stored: the column's name in the lake
        """
        rows = self._read(statements.highest_value, table_id=table_id, column=stored)
        return int(rows[0][0]) if len(rows) == 1 and rows[0][0] is not None else None

    def forget_bounds(
        self, cursor: duckdb.DuckDBPyConnection, table_id: int, columns: Iterable[str]
    ) -> None:
        """Before columns get another type: DuckLake is not to leave out rows by their bounds.

        A write after the change makes it take the new rows' bounds for those of all (DuckLake's
        issue 1308). A column without bounds stays so, and files keep theirs.

        :param cursor: in a transaction that does nothing else
        :param columns: stored names
        """

        def relation(name: str) -> sge.Table:
            return sge.table_(name, db=self._url.schema, catalog=METADATA)

        text = statements.forget_bounds(relation).sql(dialect="duckdb")
        for stored in columns:
            cursor.execute(text, {"table_id": table_id, "column": stored})

    def statistics(self, table_id: int, row_count: int) -> TableStatistics:
        """Sizes from the list of live data files."""
        own = self._read(statements.bytes_of_table, table_id=table_id)
        everything = self._read(statements.bytes_of_all)
        return TableStatistics(row_count, int(own[0][0]), 0, int(everything[0][0]))

    def similar(self, name: str) -> Entry | None:
        """What stands for a name that differs in case at most, which is one name to DuckDB."""
        return self._look_up(name, statements.named_in_any_case)

    def _look_up(
        self, name: str, statement: statements.Statement = statements.named
    ) -> Entry | None:
        for kind in ("table", "view"):
            for found, object_id, comment in self._read(statement, kind, name=name):
                if comment is None:
                    continue
                if kind == "table":
                    return from_comment(found, object_id, comment)
                return Entry(found, object_id, alias_of=comment)
        return None

    def _relation(self, name: str) -> sge.Table:
        if self._url.catalog == "postgres":
            return sge.table_(name, db=self._url.schema)
        return sge.table_(name, db=self._url.schema, catalog=METADATA)

    def _read(
        self, statement: statements.Statement, *variant: Hashable, **values: object
    ) -> list[tuple[Any, ...]]:
        """The rows that a statement finds.

        :param variant: what the tree is made of, beside the catalog's tables
        :param values: its parameters
        """
        text = self._text(statement, *variant)
        if self._connections.catalog_database is not None:
            return self._connections.catalog_database.read(text, values)
        with self._connections.reader() as cursor, self._connections.faults():
            return cursor.execute(text, values).fetchall()

    def _rendered(self, statement: statements.Statement, *variant: Hashable) -> str:
        tree = statement(self._relation, *variant)
        return tree.sql(dialect="postgres" if self._url.catalog == "postgres" else "duckdb")
