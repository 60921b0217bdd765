"""The words that translations are built from, and the PostgreSQL types that they read."""

from __future__ import annotations

from collections.abc import Sequence

import sqlglot.expressions as sge

from ..model.query import operand

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
    sge.DType.STRUCT: "json",
    sge.DType.JSONB: "jsonb",
    sge.DType.UUID: "uuid",
    sge.DType.OBJECT: "tsvector",
    sge.DType.UNKNOWN: "text",
}
"""PostgreSQL's names of the types that a bound tree carries."""

INTEGERS = ("int2", "int4", "int8")
FLOATS = ("float4", "float8")
JSONS = ("json", "jsonb")


class Untranslatable(Exception):
    """What the engine cannot be told so that it means what PostgreSQL does.

    :param feature: its name, for whoever asked
    """

    def __init__(self, feature: str) -> None:
        self.feature = feature
        super().__init__(feature)


def unsupported(feature: str) -> Untranslatable:
    """The error for what the engine cannot do as PostgreSQL does."""
    return Untranslatable(feature)


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


def fn(name: str, *arguments: Expression | str | int) -> sge.Anonymous:
    """A call of the engine's function `name`; text and numbers become literals."""
    return sge.Anonymous(this=name, expressions=[term(argument) for argument in arguments])


def term(value: Expression | str | int) -> Expression:
    if isinstance(value, str):
        return sge.Literal.string(value)
    if isinstance(value, int):
        number = sge.Literal.number(abs(value))
        return number if value >= 0 else sge.Paren(this=sge.Neg(this=number))
    return value


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

    :raises Untranslatable: it is no literal
    """
    text = text_of(tree)
    if text is None:
        raise unsupported(f"{what} that is not a constant")
    return text


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
