"""The words that the translation to DuckDB is built from, and the PostgreSQL types it reads."""

from __future__ import annotations

from collections.abc import Sequence

import sqlglot.expressions as sge

from ckanext.bqdatastore.model.errors import InvalidRequest, Unsupported
from ckanext.bqdatastore.model.query import operand

Expression = sge.Expr

_KINDS: dict[sge.DType, str] = {
    sge.DType.BOOLEAN: "bool",
    sge.DType.SMALLINT: "int2",
    sge.DType.INT: "int4",
    sge.DType.BIGINT: "int8",
    sge.DType.DECIMAL: "numeric",
    sge.DType.FLOAT: "float4",
    sge.DType.DOUBLE: "float8",
    sge.DType.TEXT: "text",
    sge.DType.DATE: "date",
    sge.DType.TIME: "time",
    sge.DType.TIMESTAMP: "timestamp",
    sge.DType.TIMESTAMPTZ: "timestamptz",
    sge.DType.INTERVAL: "interval",
    sge.DType.JSON: "json",
    sge.DType.JSONB: "jsonb",
    sge.DType.UUID: "uuid",
    sge.DType.OBJECT: "tsvector",
    sge.DType.UNKNOWN: "text",
}
"""PostgreSQL's names of the types that a bound tree carries."""

STORED: dict[str, str] = {
    "bool": "BOOLEAN",
    "int2": "SMALLINT",
    "int4": "INTEGER",
    "int8": "BIGINT",
    "float4": "FLOAT",
    "float8": "DOUBLE",
    "text": "VARCHAR",
    "date": "DATE",
    "time": "TIME",
    "timestamp": "TIMESTAMP",
    "timestamptz": "TIMESTAMPTZ",
    "interval": "INTERVAL",
    "json": "VARCHAR",
    "jsonb": "VARCHAR",
    "uuid": "VARCHAR",
    "tsvector": "VARCHAR[]",
}
"""DuckDB's type of each PostgreSQL type but `numeric`, which needs a precision."""

INTEGERS = ("int2", "int4", "int8")
FLOATS = ("float4", "float8")
JSONS = ("json", "jsonb")

SCALE = 16
"""Digits after the point of a `numeric` that DuckDB computes in floating point, as PostgreSQL's
division gives; 22 are left before it."""

_INTEGER_DIGITS = {"int2": 5, "int4": 10, "int8": 19}


def kind(tree: Expression) -> str:
    """The PostgreSQL type that a bound expression carries; `_` before an array's elements'."""
    written = tree.type
    if not isinstance(written, sge.DataType):
        return "text"
    return kind_of(written)


def kind_of(written: sge.DataType) -> str:
    if written.this == sge.DType.ARRAY:
        return f"_{kind_of(written.expressions[0])}"
    return _KINDS[written.this]


def stored(name: str, source: str = "numeric") -> sge.DataType:
    """DuckDB's type for a PostgreSQL type.

    :param source: what is cast, which says how many digits a `numeric` needs
    """
    if name.startswith("_"):
        element = stored(name[1:], source.removeprefix("_"))
        return sge.DataType(this=sge.DType.ARRAY, expressions=[element], nested=True)
    if name == "numeric":
        return decimal(_INTEGER_DIGITS[source], 0) if source in INTEGERS else decimal(38, SCALE)
    return sge.DataType.build(STORED[name], dialect="duckdb")


def decimal(precision: int, scale: int) -> sge.DataType:
    parameters = [
        sge.DataTypeParam(this=sge.Literal.number(digits)) for digits in (precision, scale)
    ]
    return sge.DataType(this=sge.DType.DECIMAL, expressions=parameters)


def fn(name: str, *arguments: Expression | str | int) -> sge.Anonymous:
    """A call of DuckDB's function `name`; text and numbers become literals."""
    return sge.Anonymous(this=name, expressions=[term(argument) for argument in arguments])


def term(value: Expression | str | int) -> Expression:
    if isinstance(value, str):
        return sge.Literal.string(value)
    if isinstance(value, int):
        number = sge.Literal.number(abs(value))
        return number if value >= 0 else sge.Paren(this=sge.Neg(this=number))
    return value


def cast(tree: Expression, to: str | sge.DataType) -> sge.Cast:
    """`tree` cast to a PostgreSQL type as DuckDB stores it, or to a DuckDB type."""
    return sge.Cast(this=tree, to=stored(to) if isinstance(to, str) else to)


def op(
    kind: type[sge.Binary], left: Expression | str | int, right: Expression | str | int
) -> sge.Paren:
    """A binary expression in brackets."""
    return sge.Paren(this=kind(this=operand(term(left)), expression=operand(term(right))))


def when(
    *branches: tuple[Expression, Expression | str | int], otherwise: Expression | str | int
) -> sge.Paren:
    """A `CASE` in brackets."""
    ifs = [sge.If(this=condition, true=term(result)) for condition, result in branches]
    return sge.Paren(this=sge.Case(ifs=ifs, default=term(otherwise)))


def is_null(tree: Expression) -> sge.Paren:
    return op(sge.Is, tree, sge.Null())


def fails(message: str) -> Expression:
    """An expression that raises `message` where it is evaluated."""
    return fn("error", message)


def each(array: Expression, name: str, body: Expression) -> Expression:
    """`array` with `body` in the place of every element, which it calls `name`."""
    return fn("list_transform", array, sge.Lambda(this=body, expressions=[sge.to_identifier(name)]))


def element(name: str) -> sge.Column:
    """The element that `each` calls `name`."""
    return sge.column(sge.to_identifier(name))


def text_of(tree: Expression) -> str | None:
    """The text of a literal (perhaps in a cast to text); None for anything else."""
    while isinstance(tree, sge.Paren):
        tree = tree.this
    if isinstance(tree, sge.Literal) and tree.is_string:
        return str(tree.this)
    return None


def whole_number(tree: Expression) -> int | None:
    """The value of an integer literal; None for anything else."""
    while isinstance(tree, (sge.Paren, sge.Cast)):
        tree = tree.this
    sign = 1
    if isinstance(tree, sge.Neg):
        sign, tree = -1, tree.this
    if isinstance(tree, sge.Literal) and tree.is_int:
        return sign * int(tree.name)
    return None


def constant(tree: Expression, what: str) -> str:
    """The text of a literal argument.

    :raises Unsupported: it is no literal
    """
    text = text_of(tree)
    if text is None:
        raise unsupported(f"{what} that is not a constant")
    return text


def unsupported(feature: str) -> InvalidRequest:
    """The error for what DuckDB cannot do as PostgreSQL does."""
    return Unsupported("DuckLake", feature)


def joined(parts: Sequence[Expression]) -> Expression:
    """Texts end to end: NULL where one of them is."""
    merged: list[Expression] = []
    for part in parts:
        if merged and _is_text(part) and _is_text(merged[-1]):
            merged[-1] = sge.Literal.string(f"{merged[-1].this}{part.this}")
        else:
            merged.append(part)
    result, *parts = merged
    for part in parts:
        result = sge.DPipe(this=operand(result), expression=operand(part))
    return sge.Paren(this=result) if parts else result


def _is_text(tree: Expression) -> bool:
    return isinstance(tree, sge.Literal) and tree.is_string


def shown_bool(value: Expression) -> Expression:
    return when((value, "t"), (sge.Not(this=operand(value.copy())), "f"), otherwise=sge.Null())
