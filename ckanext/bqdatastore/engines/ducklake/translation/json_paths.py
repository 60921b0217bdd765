"""JSON taken apart in DuckDB's words: paths and keys of JSON that is kept as text.

What is taken out has the blanks of `jsonb`, which are also those of the JSON that is written into
a table.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import sqlglot.expressions as sge

from ckanext.bqdatastore.translation import values
from ckanext.bqdatastore.translation.terms import (
    INTEGERS,
    Expression,
    fn,
    is_null,
    joined,
    kind,
    op,
    text_of,
    unsupported,
    when,
    whole_number,
)

from .terms import cast, each, element, fails, stored

_JSON = sge.DataType(this=sge.DType.JSON)


_TOKEN = "_token"


def spaced(text: Expression) -> Expression:
    """JSON text with a blank after each comma and colon, as `jsonb` and Python write it."""
    tokens = fn("regexp_extract_all", text, r'"(?:[^"\\]|\\.)*"|[,:]\s*|[^",:]+')
    first = fn("left", element(_TOKEN), 1)
    shown = when(
        (op(sge.EQ, first, ","), ", "),
        (op(sge.EQ, first.copy(), ":"), ": "),
        otherwise=element(_TOKEN),
    )
    return fn("array_to_string", each(tokens, _TOKEN, shown), "")


def _unspaced(value: Expression) -> Expression:
    """The JSON that `spaced` was given, to take more out of it."""
    if isinstance(value, sge.Anonymous) and value.name == "array_to_string":
        shown = value.expressions[0]
        if isinstance(shown.expressions[1], sge.Lambda):
            (name,) = shown.expressions[1].expressions
            if name.name == _TOKEN:
                text: Expression = shown.expressions[0].expressions[0]
                return text.this if isinstance(text, sge.Cast) else text
    return value


def subject(value: Expression) -> Expression:
    """What to read a JSON value from; of equal keys in it none but the last is there."""
    while isinstance(value, sge.Paren):
        value = value.this
    text = text_of(value)
    if text is not None:
        return sge.Literal.string(values.jsonb(text))
    return _unspaced(value)


def extract(value: Expression, keys: Sequence[Expression], places: bool = False) -> Expression:
    """The JSON at a path, as text.

    :param places: whether a text that is a number is a place too (`#>`, unlike `->`)
    """
    return spaced(cast(_extracted("json_extract", value, keys, places), "text"))


def extract_text(value: Expression, keys: Sequence[Expression], places: bool = False) -> Expression:
    """What is at a path, a string without its quotation marks."""
    found = _extracted("json_extract_string", value, keys, places)
    kind_ = fn("json_type", _extracted("json_extract", value, keys, places))
    opening = sge.In(
        this=fn("left", found.copy(), 1),
        expressions=[sge.Literal.string("{"), sge.Literal.string("[")],
    )
    nested = sge.In(
        this=kind_, expressions=[sge.Literal.string("OBJECT"), sge.Literal.string("ARRAY")]
    )
    return when((op(sge.And, opening, nested), spaced(found.copy())), otherwise=found)


def _extracted(
    name: str, value: Expression, keys: Sequence[Expression], places: bool
) -> Expression:
    """DuckDB's function `name` at a path, step by step where one path cannot say it."""
    here, path = subject(value).copy(), _Path()
    last = len(keys) - 1
    for number, key in enumerate(keys):
        step = _pointer(key) if places else _dollar(key)
        if step and path.takes(step):
            path.add(step)
            continue
        here, path = path.of(here, "json_extract"), _Path()
        if step:
            path.add(step)
        else:
            here = _by_type(here, key, places, name if number == last else "json_extract")
            if number == last:
                return here
    return path.of(here, name)


class _Path:
    """Steps that DuckDB takes at once: a `$` path or a JSON pointer."""

    def __init__(self) -> None:
        self._steps: list[Expression] = []
        self._pointer = False

    def takes(self, step: tuple[bool, list[Expression]]) -> bool:
        return not self._steps or step[0] == self._pointer

    def add(self, step: tuple[bool, list[Expression]]) -> None:
        self._pointer, parts = step
        self._steps += parts

    def of(self, value: Expression, name: str) -> Expression:
        if not self._steps:
            return value if name == "json_extract" else fn(name, value, "$")
        begin = [] if self._pointer else [sge.Literal.string("$")]
        return fn(name, value, joined([*begin, *self._steps]))


def _dollar(key: Expression) -> tuple[bool, list[Expression]] | None:
    """A step of `->`: by a number into arrays, by a text into objects."""
    number, text = whole_number(key), text_of(key)
    if number is not None:
        return False, [sge.Literal.string(f"[{number}]" if number >= 0 else f"[#-{-number}]")]
    if text is not None:
        if text and not set(text) & {'"', "*"}:
            return False, [sge.Literal.string(f'."{text}"')]
        return _pointed(text)
    if kind(key) in INTEGERS:
        here = joined([sge.Literal.string("["), cast(key, "text"), sge.Literal.string("]")])
        back = joined([sge.Literal.string("[#"), cast(key.copy(), "text"), sge.Literal.string("]")])
        return False, [when((op(sge.GTE, key.copy(), 0), here), otherwise=back)]
    return None


_PLACE = re.compile(r"[ \t\n\v\f\r]*[+-]?\d+", re.A)
"""What PostgreSQL takes for a place in an array."""

_POINTER = re.compile(r"0|[1-9][0-9]{0,8}")
"""What a pointer takes for one."""


def _pointer(key: Expression) -> tuple[bool, list[Expression]] | None:
    """A step of `#>`: a pointer's number is a key in an object and a place in an array."""
    text = text_of(key)
    if text is None or (_PLACE.fullmatch(text) and not _POINTER.fullmatch(text)):
        return None
    return _pointed(text)


def _pointed(key: str) -> tuple[bool, list[Expression]]:
    return True, [sge.Literal.string("/" + key.replace("~", "~0").replace("/", "~1"))]


def _by_type(value: Expression, key: Expression, places: bool, name: str) -> Expression:
    """A step whose meaning the value decides, which is an object or an array."""
    escaped = fn("replace", fn("replace", cast(key, "text"), "~", "~0"), "/", "~1")
    pointer = joined([sge.Literal.string("/"), escaped])
    branches = [(op(sge.EQ, fn("json_type", value), "OBJECT"), fn(name, value.copy(), pointer))]
    if places:
        is_place = fn("regexp_full_match", key.copy(), _PLACE.pattern)
        place = sge.TryCast(this=fn("trim", key.copy()), to=stored("int4"))
        here = joined([sge.Literal.string("$["), cast(place, "text"), sge.Literal.string("]")])
        back = joined(
            [sge.Literal.string("$[#"), cast(place.copy(), "text"), sge.Literal.string("]")]
        )
        index = when((op(sge.GTE, place.copy(), 0), here), otherwise=back)
        test = op(sge.And, op(sge.EQ, fn("json_type", value.copy()), "ARRAY"), is_place)
        branches.append((test, fn(name, value.copy(), index)))
    kind_ = "text" if name == "json_extract_string" else _JSON.copy()
    return when(*branches, otherwise=cast(sge.Null(), kind_))


def keys_of(array: Expression) -> list[Expression]:
    """The keys of a constant `text[]` path."""
    while isinstance(array, (sge.Paren, sge.Cast)):
        array = array.this
    if isinstance(array, sge.Anonymous) and array.name == "list_value":
        return list(array.expressions)
    raise unsupported("JSON paths that are not constants")


def checked(value: Expression) -> Expression:
    """A text as JSON, refused where an object in it has equal keys: DuckDB takes the first."""
    within = fn("json_extract", value.copy(), "$..*")
    keys = fn("json_keys", element("_part"))
    equal = op(sge.GT, fn("len", keys), fn("list_unique", keys.copy()))
    parts = fn("list_prepend", cast(value.copy(), _JSON.copy()), within)
    found = fn("list_bool_or", each(parts, "_part", equal))
    return when(
        (found, fails("JSON with equal keys in one object is not supported")),
        otherwise=cast(cast(value, _JSON.copy()), "text"),
    )


def has_key(value: Expression, key: Expression) -> Expression:
    """PostgreSQL's `?`: a key of an object or a string in an array."""
    value = subject(value)
    in_object = fn("list_contains", fn("json_keys", value), key)

    def string(part: Expression) -> Expression:
        is_string = op(sge.EQ, fn("json_type", part), "VARCHAR")
        text = fn("json_extract_string", part.copy(), "$")
        return when((is_string, text), otherwise=cast(sge.Null(), "text"))

    strings = each(
        cast(
            fn("json_extract", value.copy(), "$[*]"),
            sge.DataType(this=sge.DType.ARRAY, expressions=[_JSON.copy()], nested=True),
        ),
        "x",
        string(element("x")),
    )
    missing = op(sge.Or, is_null(value.copy()), is_null(key.copy()))
    return when(
        (missing, cast(sge.Null(), "bool")),
        (op(sge.EQ, fn("json_type", value.copy()), "OBJECT"), in_object),
        (
            op(sge.EQ, fn("json_type", value.copy()), "ARRAY"),
            fn("list_contains", strings, key.copy()),
        ),
        otherwise=fn("coalesce", op(sge.EQ, string(value.copy()), key.copy()), sge.false()),
    )
