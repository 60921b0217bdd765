"""A record as one line of CSV or TSV, as `COPY … TO STDOUT csv` writes it, made by the engine."""

from __future__ import annotations

from collections.abc import Sequence

import sqlglot.expressions as sge

# Whatever their values are, there is no comma, tab, quote or line end in them.
_NEVER_QUOTED = frozenset(
    [
        *("int", "int2", "int4", "int8", "float", "float4", "float8", "numeric", "bool"),
        *("date", "time", "timestamp", "timestamptz", "uuid"),
    ]
)


def copy_line(values: Sequence[tuple[sge.Expr, str]], delimiter: str) -> sge.Expr:
    """The line without its end.

    Nulls are empty, empty texts are quoted; a text is quoted where it holds the delimiter, a quote
    or a line end.

    :param values: the texts of a record's values and their API types
    """
    parts: list[sge.Expr] = []
    for value, type in values:
        if type not in _NEVER_QUOTED:
            value = _quoted(value, delimiter, alone=len(values) == 1)
        parts += [_text(delimiter), sge.func("coalesce", value, _text(""))]
    return _concatenated(*parts[1:])


def _quoted(value: sge.Expr, delimiter: str, *, alone: bool) -> sge.Expr:
    pattern = f'[{delimiter}"\r\n]|^$'
    if alone:
        # COPY's end-of-data mark, alone on a line, must not be taken for one.
        pattern += r"|^\\\.$"
    doubled = sge.func("replace", value.copy(), _text('"'), _text('""'))
    return sge.Case(
        ifs=[
            sge.If(
                this=sge.RegexpLike(this=value.copy(), expression=_text(pattern)),
                true=_concatenated(_text('"'), doubled, _text('"')),
            )
        ],
        default=value,
    )


def _concatenated(*texts: sge.Expr) -> sge.Expr:
    """One call for all of them: of `||` every step would copy what the steps before it made.

    None of the texts is null where a whole is wanted.
    """
    return sge.Anonymous(this="CONCAT", expressions=list(texts))


def _text(value: str) -> sge.Expr:
    return sge.Literal.string(value)
