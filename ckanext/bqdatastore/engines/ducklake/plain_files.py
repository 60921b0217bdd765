"""Tables that are nothing but data files at this moment, as a file that was loaded leaves them.

For every statement DuckLake asks its catalog five to seven times: for files, deletions, rows that
are still in the catalog, statistics. Where all of that comes to "read these files", and the newest
snapshot is the one of the last look, DuckDB is told to read the files themselves.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import sqlglot.expressions as sge

from ...model.table import ID

MOST_FILES = 64
"""Of more files DuckLake leaves out those that a query cannot need, by the catalog's statistics."""

Read = Callable[[sge.Select], list[tuple[Any, ...]]]
Relation = Callable[[str], sge.Table]


@dataclasses.dataclass(frozen=True)
class PlainFiles:
    """Files that hold a table's rows, all of them and nothing else.

    :param row_count: rows in all files
    :param contiguous: whether their ids are exactly those from 1 to the row count
    """

    paths: tuple[str, ...]
    row_count: int
    contiguous: bool

    def reader(self) -> sge.Expr:
        """The table function that gives the rows, with the columns' stored names."""
        paths = sge.Array(expressions=[sge.Literal.string(path) for path in self.paths])
        return sge.Anonymous(this="read_parquet", expressions=[paths])


def find_plain_files(
    read: Read, relation: Relation, table_id: int, data_path: str
) -> PlainFiles | None:
    """The table's files, or None where there is more to the table than files say.

    The answer may mix two snapshots: it counts only if the newest one is the same afterwards.

    :param read: asks the catalog
    :param relation: a table of the catalog
    :param data_path: where the lake's files are, on this machine
    """
    files = read(_files(relation, table_id))
    if not 0 < len(files) <= MOST_FILES:
        return None
    if read(_obstacles(relation, table_id)) or _has_rows_in_catalog(read, relation, table_id):
        return None
    paths, counts, lowest, highest, begun = zip(*files, strict=True)
    if None in paths:
        return None
    changed = read(_last_change(relation, table_id))[0][0]
    # A column of that name may have been another one when the file was written.
    if changed is None or min(begun) < changed:
        return None
    row_count = int(sum(counts))
    contiguous = (
        None not in lowest + highest
        and min(map(int, lowest)) == 1
        and max(map(int, highest)) == row_count
    )
    return PlainFiles(tuple(f"{data_path}/{path}" for path in paths), row_count, contiguous)


def _files(relation: Relation, table_id: int) -> sge.Select:
    """Path, rows, lowest and highest `_id` and first snapshot of each live file, in order."""

    def of(table: str, name: str) -> sge.Column:
        return sge.column(name, table=table)

    relative = sge.and_(*(of(table, "path_is_relative") for table in ("s", "t", "f")))
    path = sge.DPipe(
        this=sge.DPipe(this=of("s", "path"), expression=of("t", "path")), expression=of("f", "path")
    )
    return (
        sge.select(
            sge.Case(ifs=[sge.If(this=relative, true=path)]),
            of("f", "record_count"),
            of("c", "min_value"),
            of("c", "max_value"),
            of("f", "begin_snapshot"),
        )
        .from_(sge.alias_(relation("ducklake_data_file"), "f", table=True))
        .join(
            sge.alias_(relation("ducklake_table"), "t", table=True),
            on=sge.and_(
                of("t", "table_id").eq(of("f", "table_id")),
                of("t", "end_snapshot").is_(sge.null()),
            ),
        )
        .join(
            sge.alias_(relation("ducklake_schema"), "s", table=True),
            on=sge.and_(
                of("s", "schema_id").eq(of("t", "schema_id")),
                of("s", "end_snapshot").is_(sge.null()),
            ),
        )
        .join(
            sge.alias_(relation("ducklake_column"), "i", table=True),
            on=sge.and_(
                of("i", "table_id").eq(of("f", "table_id")),
                of("i", "column_name").eq(sge.Literal.string(ID)),
                of("i", "end_snapshot").is_(sge.null()),
            ),
        )
        .join(
            sge.alias_(relation("ducklake_file_column_stats"), "c", table=True),
            on=sge.and_(
                of("c", "data_file_id").eq(of("f", "data_file_id")),
                of("c", "column_id").eq(of("i", "column_id")),
                of("c", "table_id").eq(of("f", "table_id")),
            ),
            join_type="left",
        )
        .where(
            of("f", "table_id").eq(sge.convert(table_id)),
            of("f", "end_snapshot").is_(sge.null()),
        )
        .order_by(of("f", "data_file_id"))
        .limit(MOST_FILES + 1)
    )


def _obstacles(relation: Relation, table_id: int) -> sge.Select:
    """A row if rows of live files are deleted, or a file needs more than its path to be read."""
    own = sge.column("table_id").eq(sge.convert(table_id))
    live = sge.column("end_snapshot").is_(sge.null())
    deleted = sge.select("1").from_(relation("ducklake_delete_file")).where(own, live)
    unusual = (
        sge.select("1")
        .from_(relation("ducklake_data_file"))
        .where(
            own.copy(),
            live.copy(),
            sge.or_(
                sge.not_(sge.column("mapping_id").is_(sge.null())),
                sge.not_(sge.column("encryption_key").is_(sge.null())),
                sge.not_(sge.column("file_format").eq(sge.Literal.string("parquet"))),
            ),
        )
    )
    return sge.select("1").where(sge.or_(sge.Exists(this=deleted), sge.Exists(this=unusual)))


def _has_rows_in_catalog(read: Read, relation: Relation, table_id: int) -> bool:
    """Whether rows that were added or deleted are still kept by the catalog itself."""
    own = sge.column("table_id").eq(sge.convert(table_id))
    names = read(
        sge.select("table_name").from_(relation("ducklake_inlined_data_tables")).where(own)
    )
    tests: list[sge.Expr] = [
        sge.Exists(
            this=sge.select("1")
            .from_(relation(name))
            .where(sge.column("end_snapshot").is_(sge.null()))
        )
        for (name,) in names
    ]
    # Made by the first deletion that is kept so.
    deletions = relation(f"ducklake_inlined_delete_{table_id}")
    name = sge.Literal.string(deletions.sql(dialect="postgres"))
    if read(sge.select(sge.func("to_regclass", name)))[0][0] is not None:
        tests.append(sge.Exists(this=sge.select("1").from_(deletions)))
    return bool(tests) and bool(read(sge.select("1").where(sge.or_(*tests))))


def _last_change(relation: Relation, table_id: int) -> sge.Select:
    """The snapshot of the last change to the table's columns."""
    ended = sge.func("coalesce", sge.column("end_snapshot"), sge.convert(0))
    latest = sge.Max(this=sge.func("greatest", sge.column("begin_snapshot"), ended))
    own = sge.column("table_id").eq(sge.convert(table_id))
    return sge.select(latest).from_(relation("ducklake_column")).where(own)
