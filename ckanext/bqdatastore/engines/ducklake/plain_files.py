"""Tables that are nothing but data files at this moment, as a file that was loaded leaves them.

For every statement DuckLake asks its catalog five to seven times: for files, deletions, rows that
are still in the catalog, statistics. Where all of that comes to "read these files", and the newest
snapshot is the one of the last look, DuckDB is told to read the files themselves.
"""

from __future__ import annotations

import dataclasses
from typing import Any, Protocol

import sqlglot.expressions as sge

from ...model.query import ANY_ID, Span
from . import catalog_statements as statements

MOST_FILES = 2_048
"""Tables of more files are left to DuckLake."""

MOST_READ = 128
"""Of more files DuckLake leaves out those that a query cannot need, by the catalog's statistics."""


class Read(Protocol):
    """Asks the catalog; see `Catalog`."""

    def __call__(
        self, statement: statements.Statement, *variant: Any, **values: Any
    ) -> list[tuple[Any, ...]]: ...


@dataclasses.dataclass(frozen=True)
class PlainFiles:
    """Files that hold a table's rows, all of them and nothing else.

    :param paths: at least one
    :param ids: of each file, between which ids its rows are
    :param row_count: rows of the table
    :param contiguous: whether the table's ids are exactly those from 1 to the row count
    """

    paths: tuple[str, ...]
    ids: tuple[Span, ...]
    row_count: int
    contiguous: bool

    def within(self, span: Span) -> PlainFiles:
        """Those that can hold rows of such ids."""
        if len(self.paths) == 1 or span == ANY_ID:
            return self
        lowest, highest = span
        both = zip(self.paths, self.ids, strict=True)
        kept = [each for each in both if each[1][0] <= highest and lowest <= each[1][1]]
        # DuckDB must be told of one, to know the columns.
        paths, ids = zip(*kept, strict=True) if kept else (self.paths[:1], self.ids[:1])
        return dataclasses.replace(self, paths=paths, ids=ids)

    def reader(self) -> sge.Expr:
        """The table function that gives the rows, with the columns' stored names."""
        paths = sge.Array(expressions=[sge.Literal.string(path) for path in self.paths])
        return sge.Anonymous(this="read_parquet", expressions=[paths])


def find_plain_files(
    read: Read, relation: statements.Relation, table_id: int, data_path: str
) -> PlainFiles | None:
    """The table's files, or None where there is more to the table than files say.

    The answer may mix two snapshots: it counts only if the newest one is the same afterwards.

    :param read: asks the catalog
    :param relation: a table of the catalog
    :param data_path: where the lake's files are, on this machine
    """
    files = read(statements.files, MOST_FILES, table_id=table_id)
    if not 0 < len(files) <= MOST_FILES:
        return None
    if read(statements.obstacles, table_id=table_id) or _has_rows_in_catalog(
        read, relation, table_id
    ):
        return None
    paths, counts, lowest, highest, begun = zip(*files, strict=True)
    if None in paths:
        return None
    changed = read(statements.last_change, table_id=table_id)[0][0]
    # A column of that name may have been another one when the file was written.
    if changed is None or min(begun) < changed:
        return None
    row_count = int(sum(counts))
    ids = tuple(
        ANY_ID if None in (low, high) else (int(low), int(high))
        for low, high in zip(lowest, highest, strict=True)
    )
    contiguous = min(low for low, _ in ids) == 1 and max(high for _, high in ids) == row_count
    return PlainFiles(tuple(f"{data_path}/{path}" for path in paths), ids, row_count, contiguous)


def _has_rows_in_catalog(read: Read, relation: statements.Relation, table_id: int) -> bool:
    """Whether rows that were added or deleted are still kept by the catalog itself."""
    added = tuple(name for (name,) in read(statements.tables_of_rows, table_id=table_id))
    # Made by the first deletion that is kept so.
    deleted = f"ducklake_inlined_delete_{table_id}"
    whole_name = relation(deleted).sql(dialect="postgres")
    made = read(statements.is_there, name=whole_name)[0][0] is not None
    if not added and not made:
        return False
    return bool(read(statements.has_rows, added, (deleted,) if made else ()))
