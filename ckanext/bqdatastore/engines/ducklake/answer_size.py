"""Ends a query whose answer grows too large, before DuckDB puts the rows together that make it so.

DuckDB hands an answer over some thousand rows at a time, as copies that no memory limit counts. A
text that many rows share, or many columns, is then copied for each: of a megabyte, which an
aggregate made once, gigabytes come. So the query itself adds up what its rows take, and breaks off.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Sequence

import sqlglot.expressions as sge

from ...model.errors import AnswerTooLarge
from .fulltext import call

_FIXED = frozenset(
    [
        *("bool", "int2", "int4", "int8", "float4", "float8", "numeric", "uuid"),
        *("date", "time", "timetz", "timestamp", "timestamptz", "interval"),
    ]
)
"""API types whose values take a few bytes each."""

_DOCUMENT = "tsvector"
"""Of a row's texts, a list."""

_ELEMENT_BYTES = 16

_ANSWER = "answer"
_MESSAGE = "the answer has more than {} bytes"
_FOUND = re.compile(_MESSAGE.format(r"(\d+)"))


def measured(tree: sge.Expr, outputs: Sequence[tuple[str, str]], most_bytes: int) -> sge.Expr:
    """The query, which fails as soon as its texts and lists have more bytes than that.

    :param tree: in DuckDB's words
    :param outputs: name and API type of each of its columns
    """
    texts, lists, within = [], [], []
    documents = 0
    for place, (_, type) in enumerate(outputs):
        if type == _DOCUMENT or type.startswith("_"):
            lists.append(_list_bytes(_column(place)))
            documents += type == _DOCUMENT
            # One document is what is in the row anyway, and to look at its words is slow.
            if type.removeprefix("_") not in _FIXED and (type != _DOCUMENT or documents > 1):
                within.append(_bytes_within(_column(place)))
        elif type not in _FIXED:
            texts.append(_text_bytes(_column(place)))
    # Elements are only looked at where it is known that they are not too many.
    steps = [step for step in (texts + lists, within) if step]
    if not steps:
        return tree
    columns = [sge.to_identifier(_name(place)) for place in range(len(outputs))]
    alias = sge.TableAlias(this=sge.to_identifier(_ANSWER), columns=columns)
    source = sge.Subquery(this=tree, alias=alias)
    bounded = sge.select()
    for number, step in enumerate(steps):
        bounded = _bounded(source, step, f"total{number}", most_bytes)
        source = bounded.subquery(_ANSWER, copy=False)
    named = (_column(place).as_(name, quoted=True) for place, (name, _) in enumerate(outputs))
    return bounded.select(*named, append=False, copy=False)


def too_large(text: str) -> AnswerTooLarge | None:
    """What an error of DuckDB's says, if it is that of a query which `measured` made."""
    found = _FOUND.search(text)
    return AnswerTooLarge(int(found[1])) if found else None


def _bounded(
    source: sge.Subquery, sizes: list[sge.Expr], total: str, most_bytes: int
) -> sge.Select:
    # Such a window is computed as rows come, and none is kept for it.
    so_far = sge.WindowSpec(
        kind="ROWS", start="UNBOUNDED", start_side="PRECEDING", end="CURRENT ROW"
    )
    row = functools.reduce(lambda sum, each: sge.Add(this=sum, expression=each), sizes)
    window = sge.Window(this=call("sum", row), spec=so_far).as_(total)
    summed = sge.select(sge.Star(), window, copy=False).from_(source, copy=False)
    over = sge.GT(this=sge.column(total), expression=sge.convert(most_bytes))
    broken_off = call("error", _MESSAGE.format(most_bytes))
    return (
        sge.select(sge.Star(), copy=False)
        .from_(summed.subquery(_ANSWER, copy=False), copy=False)
        .where(sge.Case(ifs=[sge.If(this=over, true=broken_off)], default=sge.true()), copy=False)
    )


def _name(place: int) -> str:
    return f"c{place}"


def _column(place: int) -> sge.Column:
    return sge.column(_name(place))


def _text_bytes(value: sge.Expr) -> sge.Expr:
    return _or_none(call("strlen", sge.cast(value, "VARCHAR", dialect="duckdb")))


def _list_bytes(value: sge.Expr) -> sge.Expr:
    size = sge.Mul(this=call("len", value), expression=sge.convert(_ELEMENT_BYTES))
    return _or_none(size)


def _bytes_within(value: sge.Expr) -> sge.Expr:
    element = sge.column("x")
    body = call("strlen", sge.cast(element, "VARCHAR", dialect="duckdb"))
    lengths = sge.Lambda(this=body, expressions=[sge.to_identifier("x")])
    return _or_none(call("list_sum", call("list_transform", value, lengths)))


def _or_none(size: sge.Expr) -> sge.Expr:
    return call("coalesce", size, sge.convert(0))
