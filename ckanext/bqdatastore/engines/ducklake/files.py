"""Files as relations: DuckDB reads them, infers their types, and says where they break."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import duckdb
import sqlglot.expressions as sge

from ...model.errors import InvalidRequest
from ...model.table import ID, Table
from ..base import FileSource, Progress
from .types import api_type, stored_type

_PROGRESS_SECONDS = 0.2


def inspect_file(
    cursor: duckdb.DuckDBPyConnection, source: FileSource
) -> Sequence[tuple[str, str]]:
    """Names and API types of a file's columns, inferred from all of its rows.

    :raises InvalidRequest: the file breaks its format; says in which row
    """
    _refuse_empty(source)
    describe = sge.Describe(this=sge.select("*").from_(_reader(source)))
    try:
        rows = cursor.execute(describe.sql(dialect="duckdb")).fetchall()
    except duckdb.Error as error:
        raise _broken(source, error) from None
    return [(name, api_type(kind)) for name, kind, *_ in rows]


def file_relation(
    cursor: duckdb.DuckDBPyConnection, source: FileSource, table: Table
) -> sge.Select:
    """The file's rows, numbered from 1 in the file's order, its columns those of the table in order."""
    positions = [f"c{number}" for number in range(len(table.fields))]
    values: list[sge.Expr] = [
        sge.Window(this=sge.RowNumber()).as_(ID),
        *(
            sge.Cast(this=sge.column(position), to=stored_type(field.type))
            if field.type != "numeric"
            else sge.column(position)
            for position, field in zip(positions, table.fields, strict=True)
        ),
    ]
    alias = sge.TableAlias(
        this=sge.to_identifier("f"), columns=[sge.to_identifier(name) for name in positions]
    )
    reader = _reader(source)
    reader.set("alias", alias)
    return sge.select(*values).from_(reader)


def run_with_progress(
    cursor: duckdb.DuckDBPyConnection, statement: sge.Expr, progress: Progress | None
) -> int:
    """Run an INSERT and tell how far it has come; how many rows went in."""
    done = threading.Event()

    def watch() -> None:
        while not done.wait(_PROGRESS_SECONDS):
            percent = cursor.query_progress()
            if percent >= 0 and progress is not None:
                progress(percent)

    watcher = threading.Thread(target=watch, daemon=True)
    if progress is not None:
        watcher.start()
    try:
        count = int(cursor.execute(statement.sql(dialect="duckdb")).fetchall()[0][0])
    except duckdb.Error as error:
        raise _broken(None, error) from None
    finally:
        done.set()
        if progress is not None:
            watcher.join()
    if progress is not None:
        progress(100.0)
    return count


def _reader(source: FileSource) -> sge.Table:
    """`read_csv(…)` and its kin as a relation."""
    path = sge.Literal.string(str(source.path))
    options: dict[str, sge.Expr] = {}
    if source.format in ("csv", "tsv"):
        function = "read_csv"
        options = {
            "header": sge.true(),
            "sample_size": sge.Literal.number(-1),
            "strict_mode": sge.true(),
            "null_padding": sge.false(),
            "nullstr": sge.Array(
                expressions=[sge.Literal.string(text) for text in source.null_values]
                or [sge.Literal.string("")]
            ),
        }
        if source.format == "tsv":
            options["delim"] = sge.Literal.string("\t")
    elif source.format in ("json", "ndjson"):
        function = "read_json"
        options = {"sample_size": sge.Literal.number(-1)}
    else:
        function = "read_parquet"
    arguments = [path] + [
        sge.PropertyEQ(this=sge.to_identifier(name), expression=value)
        for name, value in options.items()
    ]
    return sge.Table(this=sge.Anonymous(this=function, expressions=arguments))


def _refuse_empty(source: FileSource) -> None:
    if source.path.stat().st_size == 0:
        raise InvalidRequest("file", f"{source.path.name} is empty.")


def _broken(source: FileSource | None, error: duckdb.Error) -> InvalidRequest:
    """DuckDB's long explanation of a bad file as one sentence with its line number."""
    text = str(error).strip()
    lines = [line.strip() for line in text.split("\n") if line.strip()]
    reason = lines[0].split(": ", 1)[-1]
    said = next(
        (line for line in lines[1:] if line.startswith(("Expected", "Value", "Original"))), ""
    )
    name = f"{source.path.name} is not a readable {source.format} file: " if source else ""
    return InvalidRequest("file", f"{name}{reason} {said}".strip())
