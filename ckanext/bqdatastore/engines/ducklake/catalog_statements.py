"""What is asked of the catalog, as trees over DuckLake's own tables.

Each is a function of `relation`, which names a table of the catalog, and of nothing that changes
from one request to the next: values are parameters, so that a tree is rendered once.
"""

from __future__ import annotations

from collections.abc import Callable

import sqlglot.expressions as sge

from ...model.table import ID

Relation = Callable[[str], sge.Table]
"""A table of the catalog by its name."""

Statement = Callable[..., sge.Select]
"""One of the functions below."""


def _value(name: str) -> sge.Placeholder:
    return sge.Placeholder(this=name)


def _of(table: str, name: str) -> sge.Column:
    return sge.column(name, table=table)


def _live(table: str | None = None) -> sge.Expr:
    return sge.column("end_snapshot", table=table).is_(sge.null())


def _own(table: str | None = None) -> sge.Expr:
    return sge.column("table_id", table=table).eq(_value("table_id"))


def newest(relation: Relation) -> sge.Select:
    """The newest snapshot and its schema version."""
    return (
        sge.select("snapshot_id", "schema_version")
        .from_(relation("ducklake_snapshot"))
        .order_by(sge.column("snapshot_id").desc())
        .limit(1)
    )


def changes(relation: Relation) -> sge.Select:
    """What each snapshot behind `after` and up to `until` changed."""
    snapshot = sge.column("snapshot_id")
    return (
        sge.select("changes_made")
        .from_(relation("ducklake_snapshot_changes"))
        .where(snapshot > _value("after"), snapshot.copy() <= _value("until"))
    )


def names(relation: Relation, kind: str) -> sge.Select:
    """Name, id and comment of every live `table` or `view`."""
    return (
        sge.select(_of("o", f"{kind}_name"), _of("o", f"{kind}_id"), _of("t", "value"))
        .from_(sge.alias_(relation(f"ducklake_{kind}"), "o", table=True))
        .join(
            sge.alias_(relation("ducklake_tag"), "t", table=True),
            on=sge.and_(
                _of("t", "object_id").eq(_of("o", f"{kind}_id")),
                _of("t", "key").eq(sge.Literal.string("comment")),
                _live("t"),
            ),
            join_type="left",
        )
        .where(_live("o"))
    )


def named(relation: Relation, kind: str) -> sge.Select:
    """The same of that with the name `name`."""
    return names(relation, kind).where(_of("o", f"{kind}_name").eq(_value("name")))


def named_in_any_case(relation: Relation, kind: str) -> sge.Select:
    """The same of those with the name `name`, but for case."""
    stored = sge.Lower(this=_of("o", f"{kind}_name"))
    return names(relation, kind).where(stored.eq(sge.Lower(this=_value("name"))))


def column_types(relation: Relation) -> sge.Select:
    """Stored names and types of the columns of `table_id`."""
    return (
        sge.select("column_name", "column_type")
        .from_(relation("ducklake_column"))
        .where(_own(), sge.column("parent_column").is_(sge.null()), _live())
    )


def next_row_id(relation: Relation) -> sge.Select:
    """DuckLake's own number for the next row of `table_id`."""
    return sge.select("next_row_id").from_(relation("ducklake_table_stats")).where(_own())


def highest_value(relation: Relation) -> sge.Select:
    """A number, as text, that no value of `column` of `table_id` was ever higher than."""
    return (
        sge.select(_of("s", "max_value"))
        .from_(sge.alias_(relation("ducklake_column"), "c", table=True))
        .join(
            sge.alias_(relation("ducklake_table_column_stats"), "s", table=True),
            on=sge.and_(
                _of("s", "table_id").eq(_of("c", "table_id")),
                _of("s", "column_id").eq(_of("c", "column_id")),
            ),
        )
        .where(
            _own("c"),
            _of("c", "column_name").eq(_value("column")),
            _of("c", "parent_column").is_(sge.null()),
            _live("c"),
        )
    )


def forget_bounds(relation: Relation) -> sge.Delete:
    """Nothing is known any more of how low and high the values of `column` of `table_id` are."""
    ids = (
        sge.select("column_id")
        .from_(relation("ducklake_column"))
        .where(
            _own(),
            sge.column("column_name").eq(_value("column")),
            sge.column("parent_column").is_(sge.null()),
            _live(),
        )
    )
    return sge.delete(
        relation("ducklake_table_column_stats"),
        where=sge.and_(_own(), sge.column("column_id").isin(query=ids)),
    )


def bytes_of_all(relation: Relation) -> sge.Select:
    """Bytes of all live data files."""
    size = sge.func("coalesce", sge.Sum(this=sge.column("file_size_bytes")), sge.convert(0))
    return sge.select(size).from_(relation("ducklake_data_file")).where(_live())


def bytes_of_table(relation: Relation) -> sge.Select:
    """Bytes of the live data files of `table_id`."""
    return bytes_of_all(relation).where(_own())


def files(relation: Relation, most: int) -> sge.Select:
    """Path, rows, lowest and highest `_id` and first snapshot of each live file of `table_id`.

    :param most: of more files one more is told
    """
    relative = sge.and_(*(_of(table, "path_is_relative") for table in ("s", "t", "f")))
    path = sge.DPipe(
        this=sge.DPipe(this=_of("s", "path"), expression=_of("t", "path")),
        expression=_of("f", "path"),
    )
    return (
        sge.select(
            sge.Case(ifs=[sge.If(this=relative, true=path)]),
            _of("f", "record_count"),
            _of("c", "min_value"),
            _of("c", "max_value"),
            _of("f", "begin_snapshot"),
        )
        .from_(sge.alias_(relation("ducklake_data_file"), "f", table=True))
        .join(
            sge.alias_(relation("ducklake_table"), "t", table=True),
            on=sge.and_(_of("t", "table_id").eq(_of("f", "table_id")), _live("t")),
        )
        .join(
            sge.alias_(relation("ducklake_schema"), "s", table=True),
            on=sge.and_(_of("s", "schema_id").eq(_of("t", "schema_id")), _live("s")),
        )
        .join(
            sge.alias_(relation("ducklake_column"), "i", table=True),
            on=sge.and_(
                _of("i", "table_id").eq(_of("f", "table_id")),
                _of("i", "column_name").eq(sge.Literal.string(ID)),
                _live("i"),
            ),
        )
        .join(
            sge.alias_(relation("ducklake_file_column_stats"), "c", table=True),
            on=sge.and_(
                _of("c", "data_file_id").eq(_of("f", "data_file_id")),
                _of("c", "column_id").eq(_of("i", "column_id")),
                _of("c", "table_id").eq(_of("f", "table_id")),
            ),
            join_type="left",
        )
        .where(_own("f"), _live("f"))
        .order_by(_of("f", "data_file_id"))
        .limit(most + 1)
    )


def obstacles(relation: Relation) -> sge.Select:
    """A row if rows of live files of `table_id` are deleted, or a file needs more than its path to
    be read."""
    deleted = sge.select("1").from_(relation("ducklake_delete_file")).where(_own(), _live())
    unusual = (
        sge.select("1")
        .from_(relation("ducklake_data_file"))
        .where(
            _own(),
            _live(),
            sge.or_(
                sge.not_(sge.column("mapping_id").is_(sge.null())),
                sge.not_(sge.column("encryption_key").is_(sge.null())),
                sge.not_(sge.column("file_format").eq(sge.Literal.string("parquet"))),
            ),
        )
    )
    return sge.select("1").where(sge.or_(sge.Exists(this=deleted), sge.Exists(this=unusual)))


def tables_of_rows(relation: Relation) -> sge.Select:
    """Names of the catalog's tables that keep rows of `table_id`."""
    return sge.select("table_name").from_(relation("ducklake_inlined_data_tables")).where(_own())


def is_there(relation: Relation) -> sge.Select:
    """Whether PostgreSQL has a table with the whole name `name`, as a name or null."""
    return sge.select(sge.func("to_regclass", _value("name")))


def has_rows(relation: Relation, live: tuple[str, ...], any: tuple[str, ...]) -> sge.Select:
    """A row if one of the catalog's tables has any.

    :param live: tables whose rows count while they are live
    :param any: tables whose rows all count
    """
    tests = [
        *(sge.select("1").from_(relation(name)).where(_live()) for name in live),
        *(sge.select("1").from_(relation(name)) for name in any),
    ]
    return sge.select("1").where(sge.or_(*(sge.Exists(this=test) for test in tests)))


def last_change(relation: Relation) -> sge.Select:
    """The snapshot of the last change to the columns of `table_id`."""
    ended = sge.func("coalesce", sge.column("end_snapshot"), sge.convert(0))
    latest = sge.Max(this=sge.func("greatest", sge.column("begin_snapshot"), ended))
    return sge.select(latest).from_(relation("ducklake_column")).where(_own())
