"""How long the texts and lists are that a query makes for one row, by its words alone.

An engine makes them for some thousand rows at once, beside what its memory limit counts. In
sub-queries `x || x` doubles a text at each level, so a short query could fill any memory. What is
stored is taken to be of usual length; longer values make the answer that many times too small.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
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

_ROWS_GATHERED = _GATHERED // _STORED
"""So many rows an aggregate puts together for the length that is assumed."""

PUTTING_TOGETHER = (
    *("string_agg", "array_agg", "array"),
    *("json_agg", "jsonb_agg", "json_object_agg", "jsonb_object_agg"),
)
CHOOSING = ("max", "min")
"""Aggregates whose values are as long as all their rows are, and as one of them."""

_OF_ITEM = 16
"""Bytes of an item of a list beside its letters, of which it may have one or none."""

_WRITTEN_LARGER: dict[str, int] = {
    # Quotes and backslashes become two letters, control characters of JSON six.
    **dict.fromkeys(("quote_literal", "quote_nullable", "quote_ident", "format"), 2),
    **dict.fromkeys(("to_json", "to_jsonb", "array_to_json"), 6),
    **{
        f"{prefix}_{name}": 6
        for prefix in ("json", "jsonb")
        for name in ("build_array", "build_object", "object")
    },
    # `Month` and `Day` are as wide as the longest name.
    "to_char": 4,
    "overlay": 2,
    "array_positions": 8,
}
"""How many times its arguments, all together, what a function makes can be. JSON stays as it is."""

_AROUND = 3
"""Letters that such a function puts around its argument."""

_PATTERNS = (sge.Like, sge.ILike, sge.SimilarTo)
_PATTERN_SIGNS = ("~~", "!~~", "~~*", "!~~*")
_OF_PATTERN = 10
"""Lengths of a pattern that is no constant which are made, step by step, of it."""


@dataclasses.dataclass(frozen=True)
class _Relation:
    """Lengths of the columns of a source, by name, and of those that are not known by name."""

    columns: Mapping[str, int] = dataclasses.field(default_factory=dict)
    others: int = _STORED


_Relations = Mapping[str, _Relation]


def longest_gathered(made: int) -> int:
    """So long what an aggregate has put together may be where others are made of it for each row.

    :param made: what `made_for_one_row` says of the query, which takes it for `_GATHERED`
    """
    return _GATHERED * LONGEST // max(made, _GATHERED)


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
            return length if is_long(tree) else _OTHER
        if isinstance(tree, sge.Literal):
            return len(tree.this) if tree.is_string else _OTHER
        lengths = [
            self._length(each, sources, ctes)
            for each in tree.iter_expressions()
            if not isinstance(each, (sge.DataType, sge.Identifier, sge.TableAlias))
        ]
        if isinstance(tree, (sge.DPipe, sge.Array)):
            return self._made(sum(lengths) + len(lengths))
        if isinstance(tree, sge.Anonymous):
            return self._of_call(tree, lengths)
        if _is_pattern_test(tree) and not isinstance(tree.expression, sge.Literal):
            self._made(_OF_PATTERN * lengths[1])
        longest = max(lengths, default=0)
        return longest if is_long(tree) else max(longest if _has_no_type(tree) else 0, _OTHER)

    def _of_call(self, call: sge.Anonymous, lengths: list[int]) -> int:
        name, arguments = call.name, call.expressions
        if name in PUTTING_TOGETHER:
            return _GATHERED + lengths[0] + self._made(_separators(call, max(lengths)))
        if name in CHOOSING:
            return max(lengths, default=_OTHER)
        if not is_long(call):
            return _OTHER
        if name == "initcap":  # the words are taken apart
            self._made(_OF_ITEM * lengths[0])
        rule = _LENGTHS.get(name)
        if rule is not None:
            return self._made(rule(lengths, arguments))
        times = _WRITTEN_LARGER.get(name)
        if times is not None:
            larger = sum(
                length if _is_json(argument) else times * length
                for length, argument in zip(lengths, arguments, strict=True)
            )
            return self._made(larger + _AROUND * len(lengths))
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


def is_long(tree: Any) -> bool:
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


def _is_json(tree: Any) -> bool:
    """Whether it is written into other JSON as it is."""
    return bool(tree.type) and tree.type.is_type(sge.DType.JSON, sge.DType.JSONB)


def _has_no_type(tree: Any) -> bool:
    """Whether it is a part of a query and no value."""
    return not tree.type


def _is_pattern_test(tree: Any) -> bool:
    if isinstance(tree, sge.Operator):
        return tree.args["operator"].name in _PATTERN_SIGNS
    return isinstance(tree, _PATTERNS)


def _separators(call: sge.Anonymous, longest: int) -> int:
    """How long all that `string_agg` puts between the rows is.

    :param longest: the length of its longest argument
    """
    if call.name != "string_agg":
        return 0
    last = call.expressions[-1]
    while isinstance(last, (sge.Order, sge.Distinct)):
        last = last.this if isinstance(last, sge.Order) else last.expressions[-1]
    return _ROWS_GATHERED * (len(last.name) if isinstance(last, sge.Literal) else longest)


def _number(tree: Any, otherwise: int) -> int:
    """A whole number that is written out; 0 for one below."""
    if isinstance(tree, sge.Literal) and tree.is_int:
        return max(int(tree.name), 0)
    return otherwise


def _count(tree: Any) -> int:
    """How many elements a list has whose dimensions are given."""
    counts = tree.expressions if isinstance(tree, sge.Array) else [tree]
    product = 1
    for each in counts:
        product *= _number(each, _REPEATED)
    return min(product, _REPEATED)


def _padded(lengths: Sequence[int], arguments: Sequence[Any]) -> int:
    return min(_number(arguments[1], _REPEATED), _REPEATED)


def _replaced(lengths: Sequence[int], arguments: Sequence[Any]) -> int:
    """Every letter, and nothing at the end, may be replaced; groups are part of what replaces."""
    return (lengths[0] + 1) * (lengths[2] + 1)


def _separated(lengths: Sequence[int], arguments: Sequence[Any]) -> int:
    """A list with a text after each item, none of which counts as shorter than one letter."""
    whole = arguments[0]
    gathered = isinstance(whole, sge.Anonymous) and whole.name in PUTTING_TOGETHER
    items = _ROWS_GATHERED if gathered else lengths[0]
    return lengths[0] + items * sum(lengths[1:])


def _split(lengths: Sequence[int], arguments: Sequence[Any]) -> int:
    """A list with an item for each letter, but of what an aggregate has put together."""
    whole = arguments[0]
    gathered = isinstance(whole, sge.Anonymous) and whole.name in PUTTING_TOGETHER
    return (2 if gathered else 1 + _OF_ITEM) * lengths[0] + 1


def _matched(lengths: Sequence[int], arguments: Sequence[Any]) -> int:
    """Each group may be all of the text."""
    pattern = arguments[1]
    groups = pattern.name.count("(") if isinstance(pattern, sge.Literal) else lengths[1]
    return lengths[0] * max(groups, 1)


_LENGTHS: dict[str, Callable[[Sequence[int], Sequence[Any]], int]] = {
    "repeat": lambda lengths, arguments: min(
        lengths[0] * _number(arguments[1], _REPEATED), _REPEATED
    ),
    "lpad": _padded,
    "rpad": _padded,
    "replace": _replaced,
    "regexp_replace": _replaced,
    "array_replace": lambda lengths, arguments: lengths[0] * (lengths[2] + 1),
    "array_fill": lambda lengths, arguments: (lengths[0] + 1) * _count(arguments[1]),
    "array_to_string": _separated,
    "string_to_array": _split,
    "regexp_split_to_array": _split,
    "regexp_match": _matched,
    "concat_ws": lambda lengths, arguments: sum(lengths) + lengths[0] * len(lengths),
    "array_append": lambda lengths, arguments: sum(lengths) + 1,
    "array_prepend": lambda lengths, arguments: sum(lengths) + 1,
}
"""How long what a function makes can be, by the lengths of its arguments."""
