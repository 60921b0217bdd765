"""JSON in BigQuery's words: the functions and operators over JSON kept as text, and what makes it.

What comes out is the same JSON as PostgreSQL's, not always with the same blanks.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import sqlglot.expressions as sge

from ckanext.bqdatastore.translation import literals, values
from ckanext.bqdatastore.translation.terms import (
    INTEGERS,
    JSONS,
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

from ..forms import as_text as plain_text
from ..forms import joined as joined_items
from ..forms import unnested
from .casts import as_text
from .terms import cast, fails, item, items, named, once

Arguments = Sequence[Expression]


def _parsed(value: Expression) -> Expression:
    """The text as BigQuery's JSON, whose numbers are doubles: only to ask for types."""
    return fn("PARSE_JSON", value, named("wide_number_mode", sge.Literal.string("round")))


def _step(key: Expression, places: bool) -> list[str]:
    """The ways to spell one step of a path.

    :param places: whether a text that is a number is a place too (`#>`, unlike `->`)
    """
    number, text = whole_number(key), text_of(key)
    if number is not None:
        if number < 0:
            raise unsupported("JSON places that count from the end")
        return [f"[{number}]"]
    if text is None:
        raise unsupported("JSON keys that are not constants")
    if not text or set(text) & set("\"'\\`") or not text.isprintable():
        raise unsupported("JSON keys that are empty or have quotation marks")
    spelled = [f'."{text}"']
    if places and literals.PLACE.fullmatch(text):
        if text.startswith("-"):
            raise unsupported("JSON places that count from the end")
        spelled.append(f"[{int(text)}]")
    return spelled


def _paths(keys: Sequence[Expression], places: bool) -> list[str]:
    found = ["$"]
    for key in keys:
        found = [path + step for path in found for step in _step(key, places)]
        if len(found) > 4:
            raise unsupported("JSON paths with so many numbers")
    return found


def _last_of_equal_keys(value: Expression) -> Expression:
    """A constant without what PostgreSQL passes over: BigQuery takes the first of equal keys."""
    text = text_of(value)
    return value if text is None else sge.Literal.string(values.jsonb(text))


def extract(value: Expression, keys: Sequence[Expression], places: bool = False) -> Expression:
    """The JSON at a path, as text."""
    paths = _paths(keys, places)

    def made(one: Expression) -> Expression:
        found = [fn("JSON_QUERY", one, path) for path in paths]
        # For a JSON null in a text BigQuery says NULL.
        nulls = [
            op(sge.EQ, fn("JSON_TYPE", fn("JSON_QUERY", _parsed(one), path)), "null")
            for path in paths
        ]
        null = nulls[0]
        for other in nulls[1:]:
            null = op(sge.Or, sge.func("coalesce", null, sge.false()), other)
        named_null = when((null, "null"), otherwise=cast(sge.Null(), "text"))
        return sge.func("coalesce", *found, named_null)

    return once(_last_of_equal_keys(value), made)


def extract_text(value: Expression, keys: Sequence[Expression], places: bool = False) -> Expression:
    """What is at a path, a string without its quotation marks."""
    paths = _paths(keys, places)

    def made(one: Expression) -> Expression:
        found: list[Expression] = []
        for path in paths:
            found += [
                fn("JSON_VALUE", one, path),
                fn("NULLIF", fn("JSON_QUERY", one, path), "null"),
            ]
        return sge.func("coalesce", *found)

    return once(_last_of_equal_keys(value), made)


def keys_of(array: Expression) -> list[Expression]:
    """The elements of a constant array."""
    while isinstance(array, (sge.Paren, sge.Cast)):
        array = array.this
    is_made = isinstance(array, sge.Anonymous) and array.name == "STRUCT"
    list_ = array.expressions[0].this if is_made else None
    if not isinstance(list_, sge.Array):
        raise unsupported("arrays that are not constants")
    found = [each.expressions[0].this for each in list_.expressions]
    if any(isinstance(each, sge.Select) for each in found):
        raise unsupported("arrays that are not constants")
    return found


def has_key(value: Expression, key: Expression) -> Expression:
    """PostgreSQL's `?`: a key of an object or a string in an array."""
    (path,) = _paths([key], places=False)

    def made(one: Expression) -> Expression:
        whole = _parsed(one)
        kind_ = fn("JSON_TYPE", whole)
        in_object = sge.Not(this=is_null(fn("JSON_QUERY", whole, path)))
        text = sge.column("_e")
        strings = sge.select(sge.Literal.number(1)).from_(
            unnested(fn("JSON_QUERY_ARRAY", one), "_e")
        )
        is_string = fn("STARTS_WITH", text, '"')
        equal = op(sge.EQ, fn("JSON_VALUE", text, "$"), key)
        return when(
            (is_null(one), cast(sge.Null(), "bool")),
            (op(sge.EQ, kind_, "object"), in_object),
            (
                op(sge.EQ, kind_, "array"),
                sge.Exists(this=strings.where(op(sge.And, is_string, equal))),
            ),
            (op(sge.EQ, kind_, "string"), op(sge.EQ, fn("JSON_VALUE", one, "$"), key)),
            otherwise=sge.false(),
        )

    return once(value, made)


def as_json(value: Expression, name: str) -> Expression:
    """`value`, of PostgreSQL type `name`, as JSON text; NULL stays NULL."""
    if name in JSONS:
        return value
    if name.startswith("_"):
        return once(value, lambda one: _array_json(one, name))
    if name == "text":
        return fn("TO_JSON_STRING", value) if _is_never_null(value) else _unless_null(value)
    if name in INTEGERS or name == "bool":
        return plain_text(value)
    if name == "numeric":
        return as_text(value, name)
    if name == "float8":
        return once(value, _float_json)
    text = as_text(value, name)
    if name in ("timestamp", "timestamptz"):
        text = fn("REPLACE", text, " ", "T")
    quote = sge.Literal.string('"')
    ending = sge.Literal.string(':00"') if name == "timestamptz" else quote
    return joined([quote, text, ending])


def _is_never_null(value: Expression) -> bool:
    return isinstance(value, sge.Literal)


def _unless_null(value: Expression) -> Expression:
    return once(
        value,
        lambda one: when(
            (is_null(one), cast(sge.Null(), "text")), otherwise=fn("TO_JSON_STRING", one)
        ),
    )


def _float_json(value: Expression) -> Expression:
    plain = as_text(value, "float8")
    special = op(sge.Or, fn("IS_NAN", value), fn("IS_INF", value))
    return when((special, fn("CONCAT", '"', plain, '"')), otherwise=plain)


def _array_json(value: Expression, name: str) -> Expression:
    null = sge.Literal.string("null")
    each = sge.func("coalesce", as_json(item("_e"), name[1:]), null)
    listed = joined_items(each, ",", items(value), "_e")
    inner = sge.func("coalesce", listed, sge.Literal.string(""))
    return when((is_null(value), cast(sge.Null(), "text")), otherwise=fn("CONCAT", "[", inner, "]"))


def or_null(value: Expression) -> Expression:
    """`value` as JSON text, with JSON's null for NULL."""
    return sge.func("coalesce", as_json(value, kind(value)), sge.Literal.string("null"))


def _to_json(arguments: Arguments) -> Expression:
    return as_json(arguments[0], kind(arguments[0]))


def _built_array(arguments: Arguments) -> Expression:
    parts: list[Expression] = []
    for place, argument in enumerate(arguments):
        parts += [sge.Literal.string("," if place else "["), or_null(argument)]
    return joined([*parts, sge.Literal.string("]" if parts else "[]")])


def member(key: Expression, value: Expression) -> Expression:
    """A member of a JSON object, as text."""
    return joined([fn("TO_JSON_STRING", key), sge.Literal.string(":"), or_null(value)])


def _built_object(arguments: Arguments) -> Expression:
    if len(arguments) % 2:
        raise unsupported("json_build_object with a key that has no value")
    parts: list[Expression] = []
    for place in range(0, len(arguments), 2):
        key, value = arguments[place : place + 2]
        if text_of(key) is None:
            raise unsupported("json_build_object with a key that is not a constant")
        parts += [sge.Literal.string("," if place else "{"), member(key, value)]
    return joined([*parts, sge.Literal.string("}" if parts else "{}")])


def _typeof(arguments: Arguments) -> Expression:
    return fn("JSON_TYPE", _parsed(arguments[0]))


def _array_length(arguments: Arguments) -> Expression:
    def made(one: Expression) -> Expression:
        listed = fn("JSON_QUERY_ARRAY", one)
        return when(
            (is_null(one), cast(sge.Null(), "int8")),
            (is_null(listed), fails("cannot get array length of a non-array")),
            otherwise=fn("ARRAY_LENGTH", listed),
        )

    return once(arguments[0], made)


JSON_FUNCTIONS: dict[str, Callable[[Arguments], Expression]] = {
    **{
        f"{prefix}{name}": build
        for prefix in ("json_", "jsonb_")
        for name, build in (
            ("typeof", _typeof),
            ("array_length", _array_length),
            ("extract_path", lambda a: extract(a[0], a[1:], places=True)),
            ("extract_path_text", lambda a: extract_text(a[0], a[1:], places=True)),
            ("array_element", lambda a: extract(a[0], a[1:])),
            ("array_element_text", lambda a: extract_text(a[0], a[1:])),
            ("build_array", _built_array),
            ("build_object", _built_object),
        )
    },
    "to_json": _to_json,
    "to_jsonb": _to_json,
    "array_to_json": _to_json,
}
