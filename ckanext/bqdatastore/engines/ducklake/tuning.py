"""What a lake is told once, at the start: options that its catalog keeps, and indexes on it."""

from __future__ import annotations

import logging

import duckdb
import sqlglot.expressions as sge

from .conflicts import again_on_conflict, is_conflict
from .connection import LAKE, METADATA, literal
from .url import DuckLakeURL

log = logging.getLogger(__name__)

# Smaller groups than DuckDB's own make pages cheaper, and give each thread something to do: with
# 32,768 rows, pages of 32,000 took a sixth longer, what reads texts of all rows a tenth less.
ROW_GROUP_SIZE = 16_384

# A page by ids needs one file, whatever the size of the table: DuckDB takes some 40 us for each row
# group of a file. DuckLake itself is better off with few files.
_FILE_SIZE, _DUCKLAKES_FILE_SIZE = "32MB", "512MB"

# DuckLake makes none but on snapshots. With thousands of tables each question about one of them
# would read what is kept of all, columns that are gone among them.
_INDEXES = (
    ("ducklake_table", "table_id"),
    ("ducklake_table", "table_name"),
    ("ducklake_view", "view_name"),
    ("ducklake_tag", "object_id"),
    ("ducklake_column", "table_id"),
    ("ducklake_table_stats", "table_id"),
    ("ducklake_table_column_stats", "table_id"),
    ("ducklake_data_file", "table_id"),
    ("ducklake_delete_file", "table_id"),
    ("ducklake_file_column_stats", "table_id"),
    ("ducklake_inlined_data_tables", "table_id"),
)


@again_on_conflict
def tune(cursor: duckdb.DuckDBPyConnection, url: DuckLakeURL) -> None:
    """Set the lake's own options, once: they are kept in the catalog, and may be set otherwise."""
    options = {
        "parquet_row_group_size": str(ROW_GROUP_SIZE),
        # A third larger than by `zstd`, and read in 0.7 to 0.9 of the processor time; from an
        # object store it is the bytes that take time.
        "parquet_compression": "zstd" if url.is_remote else "snappy",
        "target_file_size": _FILE_SIZE if url.reads_files else _DUCKLAKES_FILE_SIZE,
    }
    present = cursor.execute(
        f"SELECT option_name FROM ducklake_options({literal(LAKE)}) WHERE scope = 'GLOBAL'"
    ).fetchall()
    for name, value in options.items():
        if (name,) not in present:
            cursor.execute(f"CALL {LAKE}.set_option({literal(name)}, {literal(value)})")


@again_on_conflict
def index_catalog(cursor: duckdb.DuckDBPyConnection, url: DuckLakeURL) -> None:
    """Make the catalog's indexes in PostgreSQL, once. Without them it is slower, no more."""
    if url.catalog != "postgres":
        return
    present = sge.select("indexname").from_("pg_indexes")
    present = present.where(sge.column("schemaname").eq(sge.Literal.string(url.schema)))
    statement = literal(present.sql(dialect="postgres"))
    try:
        found = cursor.execute(
            f"SELECT * FROM postgres_query({literal(METADATA)}, {statement})"
        ).fetchall()
        for table, column in _INDEXES:
            name = f"bqdatastore_{table}_{column}"
            if (name,) not in found:
                made = _index(name, url.schema, table, column).sql(dialect="postgres")
                cursor.execute(f"CALL postgres_execute({literal(METADATA)}, {literal(made)})")
    except duckdb.Error as error:
        if is_conflict(error):
            raise
        log.warning(
            "ckan.datastore.write_url: the DuckLake catalog got no indexes, so it will be slow "
            "with thousands of tables: %s",
            url.without_password(str(error)),
        )


def _index(name: str, schema: str, table: str, column: str) -> sge.Create:
    return sge.Create(
        this=sge.Index(
            this=sge.to_identifier(name, quoted=True),
            table=sge.table_(table, db=schema, quoted=True),
            params=sge.IndexParameters(columns=[sge.column(column, quoted=True)]),
        ),
        kind="INDEX",
        exists=True,
    )
