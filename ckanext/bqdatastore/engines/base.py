"""The contract between the backend and an engine, in terms of `model` and Arrow only."""

from __future__ import annotations

import abc
import dataclasses
import enum
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import ClassVar, Protocol

import pyarrow as pa
import sqlglot.expressions as sge

from ..model.errors import Unsupported
from ..model.files import FileSource, Progress
from ..model.query import Query, RecordStream
from ..model.query import table as neutral_table
from ..model.table import Table, TableStatistics
from ..model.write import Deletion, TableChange, WriteResult

Column = tuple[str, sge.Expr, str]
"""A column of an answer: its name, its value and the value's API type."""


Abandoned = Callable[[], bool]
"""Whether nobody waits for an answer any more; may be asked by any thread."""


class Capability(enum.Flag):
    """What an engine can do beyond the contract's core."""

    NONE = 0
    LOAD_FILE = enum.auto()
    SINGLE_WRITER = enum.auto()
    """The whole catalog takes one writer at a time, not one per table."""
    TOTAL_WITH_PAGE = enum.auto()
    """A ranked page and its total take one statement less time than two."""


@dataclasses.dataclass(frozen=True)
class EngineSettings:
    """What an engine is told at its making.

    :param write_url: `ckan.datastore.write_url`
    :param read_url: `ckan.datastore.read_url`
    :param storage_path: a folder for files that belong to no other place
    :param statement_timeout: seconds that one statement may run
    :param memory_limit: memory that one call may use, as the engine spells it (`1GB`)
    :param threads: threads that one call may use
    :param milliseconds_in_timestamps: whether timestamps show them
    :param allowed_functions_file: takes the place of the engine's own list of SQL functions
    :param options: what one engine alone is told, as pairs of a setting's name and its value
    :param caller: a name, which tells nobody who it is, of whom this thread works for; None for
        nobody in particular
    """

    write_url: str
    read_url: str
    storage_path: Path
    statement_timeout: float = 60.0
    memory_limit: str = "1GB"
    threads: int = 2
    milliseconds_in_timestamps: bool = True
    allowed_functions_file: Path | None = None
    options: tuple[tuple[str, str], ...] = ()
    caller: Callable[[], str | None] = lambda: None


@dataclasses.dataclass(frozen=True)
class Check:
    """Something that must be so for an engine to work.

    :param subject: what it is, in a few words
    :param run: raises a `DatastoreFault` that says what is wrong; returns if all is well
    """

    subject: str
    run: Callable[[], object]


class Dialect(Protocol):
    """How an engine says what a neutral tree cannot."""

    name: str
    """sqlglot's name of the dialect."""

    def json_object(self, columns: Sequence[Column]) -> sge.Expr:
        """One row as JSON object text, values in the stock backend's form."""

    def json_array(self, columns: Sequence[Column]) -> sge.Expr:
        """One row as JSON array text."""

    def copy_text(self, value: sge.Expr, type: str) -> sge.Expr:
        """A value as the stock backend's CSV shows it, unquoted; null stays null."""

    def cast(self, value: sge.Expr, type: str) -> sge.Expr:
        """The value in the engine's own type for an API type."""

    def translate(self, tree: sge.Expr) -> sge.Expr:
        """A tree in PostgreSQL's meaning as one by which this engine means the same."""

    def bounded(
        self, tree: sge.Expr, outputs: Sequence[tuple[str, str]], most_bytes: int
    ) -> sge.Expr:
        """A translated query that ends with AnswerTooLarge before an answer of more bytes is made,
        where the engine makes so much at once that its reader would find out too late.

        :param outputs: name and API type of each of its columns
        """


class Engine(abc.ABC):
    """One place that tables can live in.

    An engine is made once per process and configuration. It opens its connections when they are
    first needed, one set per process id. The caller holds the table's lock around every write.
    """

    scheme: ClassVar[str]
    """The URL scheme, which is the name of the engine's folder."""

    capabilities: Capability = Capability.NONE

    dialect: Dialect

    allowed_functions: frozenset[str]
    """Names, as PostgreSQL knows them, of the functions that `datastore_search_sql` may call."""

    def __init__(self, settings: EngineSettings) -> None:
        self.settings = settings

    @abc.abstractmethod
    def open(self) -> None:
        """Make sure that both sides can be reached and that the place exists.

        :raises Misconfigured: one sentence that names the setting and the mend
        """

    def checks(self) -> Sequence[Check]:
        """What an administrator wants to know, each part of what `open` needs and more.

        Each stands on those before it, and asks anew.
        """
        return [Check("Both sides can be reached", self.open)]

    @abc.abstractmethod
    def close(self) -> None:
        """Let go of every connection of this process."""

    def one_moment(self) -> AbstractContextManager[None]:
        """Within it this thread's reads may all be of the moment at which it began.

        For the reads of one answer: they agree with each other, and some questions are asked once.
        No write belongs in it.
        """
        return nullcontext()

    @abc.abstractmethod
    def tables(self) -> list[str]:
        """Names of all tables, without aliases."""

    @abc.abstractmethod
    def aliases(self) -> dict[str, str]:
        """All aliases and the table each one stands for."""

    @abc.abstractmethod
    def describe(self, name: str) -> Table | None:
        """The table of that name, or None; an alias has no description of its own."""

    @abc.abstractmethod
    def resolve(self, name: str) -> str | None:
        """The table that a name or an alias stands for, or None."""

    def row_count(self, table: Table) -> int:
        """How many rows a table has."""
        count = sge.select(sge.Count(this=sge.Star())).from_(neutral_table(table.name))
        return int(self.query(Query(count)).read_all().column(0)[0].as_py())

    def version(self, tables: Sequence[str]) -> str | None:
        """A text that is another after every change to the rows or fields of one of the tables.

        It is compared in this process alone. Writes to other tables leave it as it is. Read before
        a query it tells which state the query sees at least; it costs no query itself. None: the
        engine cannot tell of one of the tables, and what is made from it is not kept.
        """
        return None

    @abc.abstractmethod
    def statistics(self, table: Table) -> TableStatistics: ...

    def next_id(self, table: Table) -> int:
        """The first `_id` that was never given out; 1 for a table that is not there yet.

        :raises Unsupported: the engine cannot tell before it writes
        """
        raise Unsupported(self.scheme, "trigger functions")

    def rows_with_keys(self, table: Table, keys: pa.Table) -> pa.Table:
        """Whole rows, `_id` first, that have one of the keys; null is no key.

        :param keys: columns of the table (or `_id`); one row for each key
        :raises Unsupported: the engine cannot look up many at once
        """
        raise Unsupported(self.scheme, "trigger functions")

    @abc.abstractmethod
    def apply(self, change: TableChange) -> WriteResult:
        """Make the table what it shall be and write the rows, in one transaction."""

    @abc.abstractmethod
    def drop(self, name: str) -> None:
        """Remove the table, its aliases and its rows."""

    @abc.abstractmethod
    def delete(self, deletion: Deletion) -> WriteResult: ...

    @abc.abstractmethod
    def query(
        self, query: Query, timeout: float | None = None, abandoned: Abandoned | None = None
    ) -> RecordStream:
        """Run one read-only statement; the only way to read rows.

        :param timeout: seconds, if other than the setting
        :param abandoned: asked from time to time while the statement runs, and stops it
        :raises QueryTimeout, QueryCancelled, QueryFailed, TableNotFound:
        """

    @abc.abstractmethod
    def inspect(self, source: FileSource) -> Sequence[tuple[str, str]]:
        """Names and API types of a file's columns, inferred from all of it.

        :raises InvalidRequest: the file is not what its format says, with the row where it breaks
        """

    @abc.abstractmethod
    def load(self, table: Table, source: FileSource, progress: Progress | None = None) -> int:
        """Replace the table by one that holds the file's rows; how many there are."""
