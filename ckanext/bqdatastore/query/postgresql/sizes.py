"""How long the texts and lists are that a query makes for one row, by its words alone.

An engine makes them for some thousand rows at once, beside what its memory limit counts. In
sub-queries `x || x` doubles a text at each level, so a short query could fill any memory. What is
stored is taken to be of usual length; longer values make the answer that many times too small.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import sqlglot.expressions as sge

LONGEST = 250_000
"""Characters that all texts and lists of one query may have for one row, together."""

_STORED = 100
_OTHER = 20
_GATHERED = 50_000
_REPEATED = 100_000
"""Characters of a stored text; of a number or a date; of what an aggregate puts together, which the
memory limit does count; and as many as an engine lets `repeat` and its like make."""

_PUTTING_TOGETHER = ("string_agg", "array_agg", "json_agg", "jsonb_agg")
_CHOOSING = ("max", "min")
_PADDING = ("lpad", "rpad")
_REPLACING = ("replace", "regexp_replace")


@dataclasses.dataclass(frozen=True)
class _Relation:
    """Lengths of the columns of a source, by name, and of those that are not known by name."""

    columns: Mapping[str, int] = dataclasses.field(default_factory=dict)
    others: int = _STORED


_Relations = Mapping[str, _Relation]


def made_for_one_row(tree: sge.Query) -> int:
    """Characters, about, of all texts and lists that a bound query makes for a row."""
    measuring = _Measuring()
    measuring.query(tree, {}, {})
    return measuring.total


class _Measuring:
    def __init__(self) -> None:
        self.total = 0

    def query(self, tree: Any, outer: _Relations, ctes: _Relations) -> _Relation:
        """What a query gives.

        :param outer: sources of the queries around it
        """
        clause = tree.args.get("with_")
        for cte in clause.expressions if clause else ():
            ctes = {**ctes, cte.alias: self.query(cte.this, outer, ctes)}
        if isinstance(tree, sge.Subquery):
            return self.query(tree.this, outer, ctes)
        if isinstance(tree, sge.SetOperation):
            return _either(
                self.query(tree.this, outer, ctes), self.query(tree.expression, outer, ctes)
            )
        sources = dict(outer)
        if isinstance(tree, sge.Select):
            starts = [tree.args.get("from_"), *tree.args.get("joins", ())]
            for each in starts:
                if each is not None:
                    self._source(each.this, sources, ctes)
        columns: dict[str, int] = {}
        largest = 0
        for key, value in tree.args.items():
            if key in ("with_", "from_"):
                continue
            for each in value if isinstance(value, list) else [value]:
                if not isinstance(each, sge.Expression):
                    continue
                parts = [each.args.get("on")] if isinstance(each, sge.Join) else [each]
                length = max(
                    (self._length(part, sources, ctes) for part in parts if part), default=0
                )
                if key == "expressions":
                    columns[each.alias_or_name] = length
                    largest = max(largest, length)
        return _Relation(columns, largest)

    def _source(self, tree: Any, sources: dict[str, _Relation], ctes: _Relations) -> None:
        if isinstance(tree, sge.Table):
            own = None if tree.args.get("db") else ctes.get(tree.name)
            sources[tree.alias_or_name] = own or _Relation()
        elif isinstance(tree, sge.Lateral):
            sources[tree.alias_or_name] = self.query(tree.this, sources, ctes)
        else:
            sources[tree.alias_or_name] = self.query(tree, sources, ctes)
        for join in tree.args.get("joins") or ():
            self._source(join.this, sources, ctes)

    def _length(self, tree: Any, sources: _Relations, ctes: _Relations) -> int:
        """The length of an expression's value; what is made on the way is added to the total."""
        if isinstance(tree, sge.Query):
            found = self.query(tree, sources, ctes)
            return max(found.columns.values(), default=found.others)
        if isinstance(tree, sge.Column):
            relation = sources.get(tree.table, _Relation())
            length = relation.columns.get(tree.name, relation.others)
            return length if _is_long(tree) else _OTHER
        if isinstance(tree, sge.Literal):
            return len(tree.this) if tree.is_string else _OTHER
        lengths = [
            self._length(each, sources, ctes)
            for each in tree.iter_expressions()
            if not isinstance(each, (sge.DataType, sge.Identifier, sge.TableAlias))
        ]
        if isinstance(tree, (sge.DPipe, sge.Array)):
            return self._made(sum(lengths))
        if isinstance(tree, sge.Anonymous):
            return self._of_call(tree, lengths)
        longest = max(lengths, default=0)
        return longest if _is_long(tree) else max(longest if _has_no_type(tree) else 0, _OTHER)

    def _of_call(self, call: sge.Anonymous, lengths: list[int]) -> int:
        name, arguments = call.name, call.expressions
        if name in _PUTTING_TOGETHER:
            return _GATHERED + sum(lengths)
        if name in _CHOOSING:
            return max(lengths, default=_OTHER)
        if not _is_long(call):
            return _OTHER
        if name == "repeat":
            return self._made(min(lengths[0] * _number(arguments[1], _REPEATED), _REPEATED))
        if name in _PADDING:
            return self._made(min(_number(arguments[1], _REPEATED), _REPEATED))
        if name in _REPLACING and len(lengths) > 2:
            return self._made(lengths[0] * max(lengths[2], 1))
        if name == "array_fill":
            return self._made(lengths[0] * _count(arguments[1]))
        return self._made(sum(lengths))

    def _made(self, length: int) -> int:
        self.total += length
        return length


def _either(one: _Relation, other: _Relation) -> _Relation:
    """Rows of both, under the names of the first."""
    largest = max(one.others, other.others)
    if len(one.columns) != len(other.columns):  # rows of VALUES have no names
        return _Relation({}, largest)
    pairs = zip(one.columns.items(), other.columns.values(), strict=True)
    return _Relation({name: max(length, theirs) for (name, length), theirs in pairs}, largest)


def _is_long(tree: Any) -> bool:
    """Whether values of its type may be of any length."""
    return bool(tree.type) and tree.type.is_type(
        sge.DType.TEXT,
        sge.DType.UNKNOWN,
        sge.DType.ARRAY,
        sge.DType.JSON,
        sge.DType.JSONB,
        sge.DType.STRUCT,
        sge.DType.OBJECT,
    )


def _has_no_type(tree: Any) -> bool:
    """Whether it is a part of a query and no value."""
    return not tree.type


def _number(tree: Any, otherwise: int) -> int:
    """A whole number that is written out."""
    return int(tree.name) if isinstance(tree, sge.Literal) and tree.is_int else otherwise


def _count(tree: Any) -> int:
    """How many elements a list has whose dimensions are given."""
    counts = tree.expressions if isinstance(tree, sge.Array) else [tree]
    product = 1
    for each in counts:
        product *= _number(each, _REPEATED)
    return min(product, _REPEATED)
