"""Files as relations: DuckDB reads them, infers their types, and says where they break."""

from __future__ import annotations

import csv
import dataclasses
import gzip
import io
import re
import threading
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import duckdb
import pyarrow as pa
import sqlglot.expressions as sge

from ..model.errors import InvalidRequest
from ..model.files import FileSource, Progress
from ..model.query import column
from ..model.table import ID, Table
from .duckdb_types import NUMERIC_DIGITS, api_type, duckdb_type, numeric_type

_PROGRESS_SECONDS = 0.2
_START_BYTES = 65_536
_CHUNK_BYTES = 1_048_576

_DELIMITERS = (",", ";", "\t", "|")

# A float8 gives back every number of up to this many digits as it was.
_FLOAT8_DIGITS = 15

_BINARY = re.compile(rb"[\x00-\x08\x0e-\x1a\x1c-\x1f]")

_LINE = re.compile(r"CSV Error on Line: (\d+)")
_VALUE = re.compile(
    r"""Error when converting column ("[^\n]*")\. (Could not convert string "[^\n]*")"""
)
_COLUMNS = re.compile(r"Expected Number of Columns: (\d+) Found: (\d+)")


def inspect_file(
    cursor: duckdb.DuckDBPyConnection, source: FileSource
) -> Sequence[tuple[str, str]]:
    """Names and API types of a file's columns, inferred from all of its rows.

    Numbers that a float8 would shorten are numeric, or text where that is too narrow too.

    :raises InvalidRequest: the file breaks its format; says in which row
    """
    _refuse_unlikely(source)
    describe = sge.Describe(this=sge.select("*").from_(_reader(source)))
    try:
        rows = cursor.execute(describe.sql(dialect="duckdb")).fetchall()
        columns = [(str(name), api_type(kind)) for name, kind, *_ in rows]
        long = [name for name, type in columns if type == "float8" and source.is_delimited]
        exact = {name: _exact_type(digits) for name, digits in _digits(cursor, source, long)}
    except duckdb.Error as error:
        raise _broken(cursor, source, error) from None
    return [(name, exact.get(name, type)) for name, type in columns]


def numeric_digits(
    cursor: duckdb.DuckDBPyConnection, source: FileSource, table: Table
) -> dict[str, tuple[int, int]]:
    """For each numeric field, how many digits its values have before and after the point.

    :raises InvalidRequest: no column holds them
    """
    names = dict(zip(source.columns, table.fields, strict=True)) if source.columns else {}
    numeric = [name for name, field in names.items() if field.type == "numeric"]
    try:
        found = _digits(cursor, source, numeric)
    except duckdb.Error as error:
        raise _broken(cursor, source, error) from None
    needed = {}
    for name, digits in found:
        if _exact_type(digits) == "text":
            raise InvalidRequest(
                "file",
                f'{source.path.name}: "{name}" cannot be numeric: it has other values, or more '
                f"than {NUMERIC_DIGITS} digits.",
            )
        needed[names[name].id] = max(digits.whole, 1), digits.scale
    return needed


def numeric_types(digits: Mapping[str, tuple[int, int]]) -> dict[str, sge.DataType]:
    """DuckDB's types for fields with so many digits before and after the point."""
    return {id: numeric_type(whole + scale, scale) for id, (whole, scale) in digits.items()}


def file_relation(
    source: FileSource, table: Table, digits: Mapping[str, tuple[int, int]]
) -> sge.Select:
    """The file's rows, numbered from 1, with the columns of the table in order.

    :param digits: those of the numeric fields, see `numeric_digits`
    """
    numeric = numeric_types(digits)
    positions = [f"c{number}" for number in range(len(table.fields))]
    values: list[sge.Expr] = [
        sge.alias_(sge.Window(this=sge.RowNumber()), ID),
        *(
            sge.Cast(this=sge.column(position), to=numeric.get(field.id) or duckdb_type(field.type))
            for position, field in zip(positions, table.fields, strict=True)
        ),
    ]
    reader = _reader(source)
    reader.set(
        "alias",
        sge.TableAlias(
            this=sge.to_identifier("f"), columns=[sge.to_identifier(name) for name in positions]
        ),
    )
    return sge.select(*values).from_(reader)


@dataclasses.dataclass(frozen=True)
class _Digits:
    """How the numbers of a column are written.

    :param plain: whether all are digits with at most a sign and a point
    """

    plain: bool
    whole: int
    scale: int


def _exact_type(digits: _Digits) -> str:
    if digits.whole + digits.scale <= _FLOAT8_DIGITS:
        return "float8"
    if digits.plain and max(digits.whole, 1) + digits.scale <= NUMERIC_DIGITS:
        return "numeric"
    return "text"


def _digits(
    cursor: duckdb.DuckDBPyConnection, source: FileSource, names: Sequence[str]
) -> list[tuple[str, _Digits]]:
    """The longest numbers of the named columns, as they stand in the file."""
    if not names:
        return []
    values: list[sge.Expr] = []
    for name in names:
        text = sge.cast(column(name), "VARCHAR", dialect="duckdb")
        for value in (
            sge.Anonymous(
                this="bool_and",
                expressions=[
                    sge.Anonymous(
                        this="regexp_full_match",
                        expressions=[text, sge.Literal.string(r"\s*[+-]?\d*\.?\d*\s*")],
                    )
                ],
            ),
            sge.Max(this=_digit_count(text, r"\s*[+-]?0*(\d*)")),
            sge.Max(this=_digit_count(text, r"\.(\d*)")),
        ):
            values.append(value)
    everything = dataclasses.replace(source, types=tuple((name, "text") for name in names))
    select = sge.select(*values).from_(_reader(everything))
    row = cursor.execute(select.sql(dialect="duckdb")).fetchone() or ()
    return [
        (
            name,
            _Digits(
                row[3 * number] is not False, row[3 * number + 1] or 0, row[3 * number + 2] or 0
            ),
        )
        for number, name in enumerate(names)
    ]


def _digit_count(text: sge.Expr, pattern: str) -> sge.Expr:
    found = sge.Anonymous(
        this="regexp_extract",
        expressions=[text.copy(), sge.Literal.string(pattern), sge.Literal.number(1)],
    )
    return sge.Length(this=found)


def run_with_progress(
    cursor: duckdb.DuckDBPyConnection,
    statement: sge.Expr,
    source: FileSource,
    progress: Progress | None,
) -> int:
    """Run the INSERT of a file and tell how far it has come; how many rows went in.

    :raises InvalidRequest: the file breaks its format; says in which row
    """
    try:
        with _watched(cursor, progress):
            count = int(cursor.execute(statement.sql(dialect="duckdb")).fetchall()[0][0])
    except duckdb.Error as error:
        raise _broken(cursor, source, error) from None
    if progress is not None:
        progress(100.0)
    return count


def read_with_progress(
    cursor: duckdb.DuckDBPyConnection,
    rows: sge.Select,
    source: FileSource,
    batch_rows: int,
    progress: Progress | None,
) -> Iterator[pa.RecordBatch]:
    """Batches of a file's rows, each read when it is asked for; tells how far it has come.

    :raises InvalidRequest: the file breaks its format; says in which row
    """
    try:
        with _watched(cursor, progress):
            yield from cursor.execute(rows.sql(dialect="duckdb")).to_arrow_reader(batch_rows)
    except (duckdb.Error, pa.ArrowException, OSError) as error:
        # Arrow hands on what DuckDB raised while streaming, as text.
        raise _broken(cursor, source, error) from None


@contextmanager
def _watched(cursor: duckdb.DuckDBPyConnection, progress: Progress | None) -> Iterator[None]:
    """Tell how far the statement has come that runs within."""
    if progress is None:
        yield
        return
    done = threading.Event()

    def watch() -> None:
        while not done.wait(_PROGRESS_SECONDS):
            percent = cursor.query_progress()
            if percent >= 0:
                progress(percent)

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield
    finally:
        done.set()
        watcher.join()


def _reader(source: FileSource) -> sge.Table:
    """`read_csv(…)` and its kin as a relation."""
    path = sge.Literal.string(str(source.path))
    options: dict[str, sge.Expr] = {}
    if source.format in ("csv", "tsv"):
        function = "read_csv"
        options = {
            # All said, nothing guessed: else a ragged file is taken for one of a single column.
            "delim": sge.Literal.string(_delimiter_of(source)),
            "quote": sge.Literal.string('"'),
            "escape": sge.Literal.string('"'),
            "header": sge.true(),
            "skip": sge.Literal.number(0),
            "strict_mode": sge.true(),
            "null_padding": sge.false(),
            "sample_size": sge.Literal.number(-1),
            "nullstr": _texts(source.null_values or ("",)),
        }
    elif source.format in ("json", "ndjson"):
        function = "read_json"
        options = {
            "sample_size": sge.Literal.number(-1),
            "format": sge.Literal.string(
                "newline_delimited" if source.format == "ndjson" else "array"
            ),
        }
    else:
        function = "read_parquet"
    if source.types and source.is_delimited:
        options["types"] = sge.Struct(
            expressions=[
                sge.PropertyEQ(
                    this=sge.Literal.string(name), expression=sge.Literal.string(_read_as(type))
                )
                for name, type in source.types
            ]
        )
    arguments = [path] + [
        sge.PropertyEQ(this=sge.to_identifier(name), expression=value)
        for name, value in options.items()
    ]
    return sge.Table(this=sge.Anonymous(this=function, expressions=arguments))


def _read_as(type: str) -> str:
    # Numbers are read as text, so that they can be made exact.
    return "VARCHAR" if type == "numeric" else duckdb_type(type).sql(dialect="duckdb")


def _texts(values: Sequence[str]) -> sge.Array:
    return sge.Array(expressions=[sge.Literal.string(value) for value in values])


def _delimiter_of(source: FileSource) -> str:
    """What parts the heading into the most columns."""
    if source.format == "tsv":
        return "\t"
    text = _text_start(source.path)
    return max(
        _DELIMITERS,
        key=lambda delimiter: len(next(csv.reader(io.StringIO(text), delimiter=delimiter), [])),
    )


def _text_start(path: Path) -> str:
    return _start(path).decode("utf-8-sig", errors="replace")


def _start(path: Path) -> bytes:
    """The first bytes of a file, unpacked."""
    with gzip.open(path) if path.suffix.lower() == ".gz" else path.open("rb") as file:
        return file.read(_START_BYTES)


def _end(path: Path) -> bytes:
    """The last bytes of a file, unpacked. What is packed is read through, which checks all of it.

    :raises OSError: or `EOFError`, `zlib.error`: it was packed, and is damaged or cut off
    """
    if path.suffix.lower() != ".gz":
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - _START_BYTES))
            return file.read()
    end = b""
    with gzip.open(path) as unpacked:
        while chunk := unpacked.read(_CHUNK_BYTES):
            end = (end + chunk)[-_START_BYTES:]
    return end


def _refuse_unlikely(source: FileSource) -> None:
    """Refuse what plainly is no text, before anything is made of it."""
    if source.format == "parquet":
        return
    try:
        start, end = _start(source.path), _end(source.path)
    except (OSError, EOFError, zlib.error) as error:
        reason = str(error).rstrip(".")
        raise InvalidRequest("file", f"{source.path.name} cannot be unpacked: {reason}.") from None
    if not start.strip():
        raise InvalidRequest("file", f"{source.path.name} is empty.")
    if source.format == "json" and not end.rstrip().endswith(b"]"):
        raise InvalidRequest("file", f"{source.path.name} is not a whole JSON array.")
    if _BINARY.search(start):
        raise InvalidRequest(
            "file", f"{source.path.name} is not a {source.format} file: it holds binary data."
        )


def _broken(
    cursor: duckdb.DuckDBPyConnection, source: FileSource, error: Exception
) -> InvalidRequest:
    """DuckDB's long explanation of a bad file as one sentence with its line number."""
    text = str(error)
    if "Error when sniffing" in text:
        text = _first_broken_line(cursor, source) or text
    name = f"{source.path.name} is not a readable {source.format} file"
    line = _LINE.search(text)
    where = f", line {line[1]}" if line else ""
    columns = _COLUMNS.search(text)
    value = _VALUE.search(text)
    if "unicode" in text.lower():
        reason = "it is not UTF-8; convert it first"
    elif columns:
        reason = f"{columns[2]} values where the heading has {columns[1]}"
    elif value:
        reason = f"{value[1]}: {value[2]}"
    else:
        lines = [each.strip() for each in text.split("\n") if each.strip()]
        told = lines[2:3] if line else lines[:1]
        reason = " ".join(told).split("Error: ", 1)[-1].rstrip(".")
    return InvalidRequest("file", f"{name}{where}: {reason}.")


def _first_broken_line(cursor: duckdb.DuckDBPyConnection, source: FileSource) -> str:
    """What DuckDB says of the line that keeps it from making columns of the file."""
    heading = next(
        csv.reader(io.StringIO(_text_start(source.path)), delimiter=_delimiter_of(source))
    )
    reader = _reader(source)
    options = {
        each.name: each for each in reader.this.expressions if isinstance(each, sge.PropertyEQ)
    }
    columns = sge.Struct(
        expressions=[
            sge.PropertyEQ(
                this=sge.Literal.string(f"c{number}"), expression=sge.Literal.string("VARCHAR")
            )
            for number in range(len(heading))
        ]
    )
    kept = [each for name, each in options.items() if name not in ("sample_size", "types")]
    reader.this.set(
        "expressions",
        [
            reader.this.expressions[0],
            *kept,
            sge.PropertyEQ(this=sge.to_identifier("auto_detect"), expression=sge.false()),
            sge.PropertyEQ(this=sge.to_identifier("columns"), expression=columns),
        ],
    )
    try:
        # Only the values make DuckDB read every line.
        first = sge.Max(this=sge.column("c0"))
        cursor.execute(sge.select(first).from_(reader).sql(dialect="duckdb")).fetchall()
    except duckdb.Error as error:
        return str(error)
    return ""
