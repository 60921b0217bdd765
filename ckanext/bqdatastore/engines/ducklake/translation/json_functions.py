"""JSON in DuckDB's words: the functions and operators over JSON kept as text, and what makes it.

What comes out is the same JSON as PostgreSQL's, not always with the same blanks.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import sqlglot.expressions as sge

from ckanext.bqdatastore.translation.terms import (
    FLOATS,
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

from .casts import as_text
from .terms import cast, each, element

Arguments = Sequence[Expression]

_JSON = sge.DataType(this=sge.DType.JSON)


def path(keys: Sequence[Expression], places: bool) -> Expression:
    """DuckDB's path for PostgreSQL's: a key, or a place where it is a number.

    :param places: whether a text that is a number is a place too (`#>`, unlike `->`)
    """
    return joined([sge.Literal.string("$"), *(_step(key, places) for key in keys)])


def _step(key: Expression, places: bool) -> Expression:
    number = whole_number(key)
    text = text_of(key)
    if number is None and text is not None and places and text.lstrip("-").isdigit():
        number = int(text)
    if number is not None:
        return sge.Literal.string(f"[{number}]" if number >= 0 else f"[#-{-number}]")
    if text is not None:
        if '"' in text or not text:
            raise unsupported("JSON keys that are empty or have quotation marks")
        return sge.Literal.string(f'."{text}"')
    if kind(key) in INTEGERS:
        here = joined([sge.Literal.string("["), cast(key, "text"), sge.Literal.string("]")])
        back = joined([sge.Literal.string("[#"), cast(key.copy(), "text"), sge.Literal.string("]")])
        return when((op(sge.GTE, key.copy(), 0), here), otherwise=back)
    return joined([sge.Literal.string('."'), fn("replace", key, '"', ""), sge.Literal.string('"')])


def extract(value: Expression, keys: Sequence[Expression], places: bool = False) -> Expression:
    """The JSON at a path, as text."""
    return cast(fn("json_extract", value, path(keys, places)), "text")


def extract_text(value: Expression, keys: Sequence[Expression], places: bool = False) -> Expression:
    """What is at a path, a string without its quotation marks."""
    return fn("json_extract_string", value, path(keys, places))


def keys_of(array: Expression) -> list[Expression]:
    """The keys of a constant `text[]` path."""
    while isinstance(array, (sge.Paren, sge.Cast)):
        array = array.this
    if isinstance(array, sge.Anonymous) and array.name == "list_value":
        return list(array.expressions)
    raise unsupported("JSON paths that are not constants")


def has_key(value: Expression, key: Expression) -> Expression:
    """PostgreSQL's `?`: a key of an object or a string in an array."""
    in_object = fn("list_contains", fn("json_keys", value), key)
    strings = each(
        cast(
            fn("json_extract", value.copy(), "$[*]"),
            sge.DataType(this=sge.DType.ARRAY, expressions=[_JSON.copy()], nested=True),
        ),
        "x",
        fn("json_extract_string", element("x"), "$"),
    )
    return when(
        (is_null(value.copy()), cast(sge.Null(), "bool")),
        (op(sge.EQ, fn("json_type", value.copy()), "OBJECT"), in_object),
        (
            op(sge.EQ, fn("json_type", value.copy()), "ARRAY"),
            fn("list_contains", strings, key.copy()),
        ),
        otherwise=op(sge.EQ, fn("json_extract_string", value.copy(), "$"), key.copy()),
    )


def as_json(value: Expression, name: str) -> Expression:
    """`value`, of PostgreSQL type `name`, as DuckDB's JSON; NULL stays NULL."""
    if name in JSONS:
        return cast(value, _JSON.copy())
    if name.startswith("_"):
        return fn("to_json", each(value, "x", as_json(element("x"), name[1:])))
    if name in ("bool", *INTEGERS, "text"):
        return fn("to_json", value)
    if name == "numeric" or name in FLOATS:
        # By its text: DuckDB would make a double of a decimal.
        return cast(as_text(value, name), _JSON.copy())
    text = as_text(value, name)
    if name in ("timestamp", "timestamptz"):
        text = fn("replace", text, " ", "T")
    if name == "timestamptz":
        text = op(sge.DPipe, text, ":00")
    return fn("to_json", text)


def _null_as_json(value: Expression) -> Expression:
    null = cast(sge.Literal.string("null"), _JSON.copy())
    return fn("coalesce", as_json(value, kind(value)), null)


def _to_json(arguments: Arguments) -> Expression:
    return cast(as_json(arguments[0], kind(arguments[0])), "text")


def _built_array(arguments: Arguments) -> Expression:
    if not arguments:
        return sge.Literal.string("[]")
    return cast(fn("json_array", *map(_null_as_json, arguments)), "text")


def _built_object(arguments: Arguments) -> Expression:
    if not arguments:
        return sge.Literal.string("{}")
    if len(arguments) % 2:
        raise unsupported("json_build_object with a key that has no value")
    pairs: list[Expression] = []
    for key, value in zip(arguments[::2], arguments[1::2], strict=True):
        pairs += [as_text(key, kind(key)), _null_as_json(value)]
    return cast(fn("json_object", *pairs), "text")


def _typeof(arguments: Arguments) -> Expression:
    named = {"OBJECT": "object", "ARRAY": "array", "VARCHAR": "string", "BOOLEAN": "boolean"}
    found = fn("json_type", arguments[0])
    branches = [(op(sge.EQ, found.copy(), duck), name) for duck, name in named.items()]
    return when(
        (is_null(arguments[0].copy()), cast(sge.Null(), "text")),
        *((test, sge.Literal.string(name)) for test, name in branches),
        (op(sge.EQ, found.copy(), "NULL"), "null"),
        otherwise="number",
    )


def _array_length(arguments: Arguments) -> Expression:
    return cast(fn("json_array_length", arguments[0]), "int4")


def _extract_path(arguments: Arguments) -> Expression:
    return extract(arguments[0], arguments[1:], places=True)


def _extract_path_text(arguments: Arguments) -> Expression:
    return extract_text(arguments[0], arguments[1:], places=True)


def _element(arguments: Arguments) -> Expression:
    return extract(arguments[0], arguments[1:])


def _element_text(arguments: Arguments) -> Expression:
    return extract_text(arguments[0], arguments[1:])


JSON_FUNCTIONS: dict[str, Callable[[Arguments], Expression]] = {
    **{
        f"{prefix}{name}": build
        for prefix in ("json_", "jsonb_")
        for name, build in (
            ("typeof", _typeof),
            ("array_length", _array_length),
            ("extract_path", _extract_path),
            ("extract_path_text", _extract_path_text),
            ("array_element", _element),
            ("array_element_text", _element_text),
            ("build_array", _built_array),
            ("build_object", _built_object),
        )
    },
    "to_json": _to_json,
    "to_jsonb": _to_json,
    "array_to_json": _to_json,
}
