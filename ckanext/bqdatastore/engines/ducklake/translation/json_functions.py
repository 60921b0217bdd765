"""JSON in DuckDB's words: PostgreSQL's functions over JSON kept as text, and what makes it.

What is made has PostgreSQL's blanks.
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
    unsupported,
    when,
)

from .casts import as_text
from .json_paths import extract, extract_text, subject
from .terms import cast, each, element, fails

Arguments = Sequence[Expression]

_JSON = sge.DataType(this=sge.DType.JSON)


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


def json_text(value: Expression) -> Expression:
    """`value` as PostgreSQL writes it into JSON; NULL is JSON's null."""
    text = value if kind(value) in JSONS else cast(as_json(value, kind(value)), "text")
    return fn("coalesce", text, "null")


def _to_json(arguments: Arguments) -> Expression:
    return cast(as_json(arguments[0], kind(arguments[0])), "text")


def _array_to_json(arguments: Arguments) -> Expression:
    if len(arguments) == 2:
        pretty = arguments[1]
        if not isinstance(pretty, sge.Boolean) or pretty.this:
            raise unsupported("array_to_json with line feeds")
    return _to_json(arguments)


def _built_array(arguments: Arguments) -> Expression:
    parts: list[Expression] = []
    for argument in arguments:
        parts += [sge.Literal.string(", " if parts else "["), json_text(argument)]
    return joined([*parts, sge.Literal.string("]")]) if parts else sge.Literal.string("[]")


def _built_object(colon: str) -> Callable[[Arguments], Expression]:
    def build(arguments: Arguments) -> Expression:
        if len(arguments) % 2:
            raise unsupported("json_build_object with a key that has no value")
        parts: list[Expression] = []
        for key, value in zip(arguments[::2], arguments[1::2], strict=True):
            begin = sge.Literal.string(", " if parts else "{")
            parts += [begin, member_name(key), sge.Literal.string(colon), json_text(value)]
        return joined([*parts, sge.Literal.string("}")]) if parts else sge.Literal.string("{}")

    return build


def member_name(key: Expression) -> Expression:
    """A key of a JSON object, in quotation marks."""
    null = fails(NULL_KEY)
    return when((is_null(key), null), otherwise=key_text(key.copy()))


NULL_KEY = "null value not allowed for object key"


def key_text(key: Expression) -> Expression:
    """The same, NULL where it is."""
    return cast(fn("to_json", as_text(key, kind(key))), "text")


def _typeof(arguments: Arguments) -> Expression:
    named = {"OBJECT": "object", "ARRAY": "array", "VARCHAR": "string", "BOOLEAN": "boolean"}
    found = fn("json_type", subject(arguments[0]))
    branches = [(op(sge.EQ, found.copy(), duck), name) for duck, name in named.items()]
    return when(
        (is_null(arguments[0].copy()), cast(sge.Null(), "text")),
        *((test, sge.Literal.string(name)) for test, name in branches),
        (op(sge.EQ, found.copy(), "NULL"), "null"),
        otherwise="number",
    )


def _array_length(arguments: Arguments) -> Expression:
    value = subject(arguments[0])
    other = op(sge.NEQ, fn("json_type", value), "ARRAY")
    length = cast(fn("json_array_length", value.copy()), "int4")
    return when((other, fails("cannot get array length of a non-array")), otherwise=length)


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
        )
    },
    "json_build_object": _built_object(" : "),
    "jsonb_build_object": _built_object(": "),
    "to_json": _to_json,
    "to_jsonb": _to_json,
    "array_to_json": _array_to_json,
}
