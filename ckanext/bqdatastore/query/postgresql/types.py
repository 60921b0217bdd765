"""PostgreSQL's type rules: which overload a call means, what it casts to, what a CASE results in.

Types go by their names in PostgreSQL's catalogue (`int4`, `_text`); `unknown` is a literal that
nothing has given a type yet. The rules are chapter 10 of PostgreSQL's manual.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from typing import Any

import sqlglot.expressions as sge
from pglast import ast

from ckanext.bqdatastore.model.errors import InvalidRequest

from .catalogue import FUNCTIONS, OPERATORS, Signature
from .nodes import fields

UNKNOWN = "unknown"
TSVECTOR = "tsvector"
"""A row's document for full-text search: a query can give it out, and nothing else."""
NESTED = "nested"
"""A field of JSON: `json` to every operator, but an answer has its value and not its text."""

VARCHAR = "varchar"
"""`text` to every rule; a cast remembers that it was this, for the name of an output's type."""

_NOT_WRITTEN = ("bpchar", "name", "oid", NESTED, TSVECTOR, UNKNOWN)
"""Types that no cast may name."""

_NODES: dict[str, sge.DType] = {
    "bool": sge.DType.BOOLEAN,
    "int2": sge.DType.SMALLINT,
    "int4": sge.DType.INT,
    "int8": sge.DType.BIGINT,
    "numeric": sge.DType.DECIMAL,
    "float4": sge.DType.FLOAT,
    "float8": sge.DType.DOUBLE,
    "text": sge.DType.TEXT,
    "date": sge.DType.DATE,
    "time": sge.DType.TIME,
    "timestamp": sge.DType.TIMESTAMP,
    "timestamptz": sge.DType.TIMESTAMPTZ,
    "interval": sge.DType.INTERVAL,
    "json": sge.DType.JSON,
    "jsonb": sge.DType.JSONB,
    "uuid": sge.DType.UUID,
    TSVECTOR: sge.DType.OBJECT,
    NESTED: sge.DType.STRUCT,
    UNKNOWN: sge.DType.UNKNOWN,
}
_NAMES = {node: name for name, node in _NODES.items()}

_SPELLINGS = {"varchar": "text", "name": "text", "bpchar": "text", "int": "int4", "oid": "int8"}
"""Types of the API that PostgreSQL's rules treat as another one."""

_MANUAL = {
    "int2": "smallint",
    "int4": "integer",
    "int8": "bigint",
    "float4": "real",
    "float8": "double precision",
    "bool": "boolean",
    "time": "time without time zone",
    "timestamp": "timestamp without time zone",
    "timestamptz": "timestamp with time zone",
}
"""How PostgreSQL's messages spell a type where they do not use its name."""

_CATEGORIES = {
    "N": "int2 int4 int8 numeric float4 float8",
    "S": "text",
    "D": "date time timestamp timestamptz",
    "T": "interval",
    "B": "bool",
}
_CATEGORY = {name: key for key, names in _CATEGORIES.items() for name in names.split()}
_PREFERRED = frozenset({"float8", "text", "timestamptz", "interval", "bool"})

_IMPLICIT = {
    "int2": "int4 int8 numeric float4 float8",
    "int4": "int8 numeric float4 float8",
    "int8": "numeric float4 float8",
    "numeric": "float4 float8",
    "float4": "float8",
    "date": "timestamp timestamptz",
    "timestamp": "timestamptz",
    "time": "interval",
    NESTED: "json",
}
_EXPLICIT = {
    **dict.fromkeys(_CATEGORIES["N"].split(), _CATEGORIES["N"]),
    "int4": f"{_CATEGORIES['N']} bool",
    "bool": "int4",
    "date": "timestamp timestamptz",
    "time": "interval",
    "timestamp": "date time timestamptz",
    "timestamptz": "date time timestamp",
    "interval": "time",
    "json": "jsonb",
    NESTED: "jsonb",
    "jsonb": f"json bool {_CATEGORIES['N']}",
}

_ANY_ELEMENT = ("anyelement", "anynonarray", "anyarray")
_ANY_COMPATIBLE = ("anycompatible", "anycompatiblenonarray", "anycompatiblearray")

# Masks of PostgreSQL's `INTERVAL '1' YEAR`; only the ones that name one unit.
_INTERVAL_UNITS = {4: "year", 2: "month", 8: "day", 1024: "hour", 2048: "minute", 4096: "second"}


def canonical(name: str) -> str:
    """An API type's name as these rules know it; `_` names an array."""
    if name.startswith("_"):
        return f"_{canonical(name[1:])}"
    return _SPELLINGS.get(name, name)


def node(name: str) -> sge.DataType:
    """The sqlglot type of a PostgreSQL type."""
    if name.startswith("_"):
        return sge.DataType(this=sge.DType.ARRAY, expressions=[node(name[1:])], nested=True)
    return sge.DataType(this=_NODES[name])


def name(kind: sge.DataType) -> str:
    """The PostgreSQL type of a sqlglot type that `node` made."""
    if kind.this == sge.DType.ARRAY:
        return f"_{name(kind.expressions[0])}"
    return _NAMES.get(kind.this, "text")


def shown(kind: str) -> str:
    """A type as PostgreSQL's messages spell it."""
    if kind.startswith("_"):
        return f"{shown(kind[1:])}[]"
    return _MANUAL.get(kind, kind)


def type_of_name(written: Any) -> sge.DataType | tuple[sge.DataType, str]:
    """The type that a cast names; with a unit for `INTERVAL '1' YEAR`.

    :raises InvalidRequest: a type that is not one of the API's
    """
    fields(written, "names typmods typemod arrayBounds")
    names = [part.sval for part in written.names]
    kind = _SPELLINGS.get(names[-1], names[-1])
    in_catalogue = len(names) == 1 or (len(names) == 2 and names[0] == "pg_catalog")
    if not in_catalogue or kind not in _NODES or names[-1] in _NOT_WRITTEN:
        raise InvalidRequest("query", f'type "{".".join(names)}" is not supported')
    modifiers = [_modifier(modifier) for modifier in written.typmods or ()]
    if kind == "interval" and len(modifiers) == 1 and modifiers[0] in _INTERVAL_UNITS:
        return node(kind), _INTERVAL_UNITS[modifiers[0]]
    bounds = written.arrayBounds or ()
    if len(bounds) > 1:
        raise InvalidRequest("query", "Arrays of more than one dimension are not supported")
    if modifiers and (bounds or not _modifiable(names[-1], modifiers)):
        raise InvalidRequest("query", f'The modifier of type "{names[-1]}" is not supported')
    tree = node(f"_{kind}" if bounds else kind)
    if names[-1] == VARCHAR and not bounds:
        tree.meta[VARCHAR] = True
    for modifier in modifiers:
        tree.append("expressions", sge.DataTypeParam(this=sge.Literal.number(modifier)))
    return tree


def _modifier(written: Any) -> int:
    value = getattr(written, "val", None)
    if not isinstance(value, ast.Integer) or value.ival is None:
        raise InvalidRequest("query", "type modifiers must be simple constants")
    return value.ival


def _modifiable(kind: str, modifiers: Sequence[int]) -> bool:
    if kind == "numeric":
        scale = modifiers[1] if len(modifiers) > 1 else 0
        return 1 <= modifiers[0] <= 38 and 0 <= scale <= modifiers[0] and len(modifiers) < 3
    return kind == "varchar" and len(modifiers) == 1 and modifiers[0] > 0


def implicit(source: str, target: str) -> bool:
    """Whether PostgreSQL casts `source` to `target` unasked."""
    return (
        source in (target, UNKNOWN)
        or target in _IMPLICIT.get(source, "").split()
        or (source.startswith("_") and target.startswith("_") and implicit(source[1:], target[1:]))
    )


def castable(source: str, target: str) -> bool:
    """Whether PostgreSQL casts `source` to `target` when told to."""
    if TSVECTOR in (source, target):
        return False
    return (
        implicit(source, target)
        or "text" in (source, target)
        or target in _EXPLICIT.get(source, "").split()
        or (source.startswith("_") and target.startswith("_") and castable(source[1:], target[1:]))
    )


def common(kinds: Iterable[str], where: str) -> str:
    """The type of values that stand for each other (`CASE`, `UNION`, `ARRAY`, ...).

    :raises InvalidRequest: there is none
    """
    listed = list(kinds)
    known = [kind for kind in listed if kind != UNKNOWN]
    if not known:
        return "text"
    chosen = known[0]
    for kind in known[1:]:
        if kind == chosen:
            continue
        if _category(kind) != _category(chosen):
            raise InvalidRequest(
                "query", f"{where} types {shown(chosen)} and {shown(kind)} cannot be matched"
            )
        if chosen not in _PREFERRED and implicit(chosen, kind) and not implicit(kind, chosen):
            chosen = kind
    for kind in known:
        if not implicit(kind, chosen):
            raise InvalidRequest(
                "query", f"{where} types {shown(chosen)} and {shown(kind)} cannot be matched"
            )
    return chosen


def _category(kind: str) -> str:
    if kind == NESTED:
        kind = "json"
    return "A" if kind.startswith("_") else _CATEGORY.get(kind, f"U{kind}")


@dataclasses.dataclass(frozen=True)
class Call:
    """The overload that a call means: the types to cast its arguments to, and its result's.

    :param exact: how many arguments are of just the type that it declares
    """

    arguments: tuple[str, ...]
    result: str
    exact: int = 0


def function(called: str, kinds: Sequence[str]) -> Call:
    """:raises InvalidRequest: there is no such function, or no telling which"""
    chosen = _choose(FUNCTIONS.get(called, ()), kinds)
    if chosen is None:
        listed = ", ".join(map(shown, kinds))
        raise InvalidRequest("query", f"function {called}({listed}) does not exist")
    return chosen


def operator(sign: str, kinds: Sequence[str]) -> Call:
    """:raises InvalidRequest: there is no such operator, or no telling which"""
    signatures = [s for s in OPERATORS.get(sign, ()) if len(s.arguments) == len(kinds)]
    chosen = None
    if len(kinds) == 2 and UNKNOWN in kinds and len(set(kinds)) == 2:
        # An untyped literal is first tried as the type of the other side.
        other = next(kind for kind in kinds if kind != UNKNOWN)
        exact = [s for s in signatures if s.arguments == (other, other)]
        if sign == "||" and other.startswith("_"):
            chosen = Call((other, other), other)
        elif exact:
            chosen = Call(exact[0].arguments, exact[0].result)
    chosen = chosen or _choose(signatures, kinds)
    if chosen is None:
        listed = f" {sign} ".join(map(shown, kinds)) if len(kinds) == 2 else f"{sign} {kinds[0]}"
        raise InvalidRequest("query", f"operator does not exist: {listed}")
    return chosen


def _choose(signatures: Iterable[Signature], kinds: Sequence[str]) -> Call | None:
    """PostgreSQL's choice among overloads, by exact matches, then by preferred types."""
    found = [call for call in (_fit(signature, kinds) for signature in signatures) if call]
    if len(found) > 1:
        found = _best(found, lambda call: call.exact)
    if len(found) > 1:
        found = _best(found, lambda call: call.exact + _preferences(call, kinds))
    if len(found) > 1 and UNKNOWN in kinds:
        found = _by_literals(found, kinds)
    if len(found) > 1:
        known = {kind for kind in kinds if kind != UNKNOWN}
        if len(known) == 1:
            assumed = known.pop()
            alike = [call for call in found if all(implicit(assumed, a) for a in call.arguments)]
            same = [call for call in alike if set(call.arguments) == {assumed}]
            found = same or alike
    if len({call.arguments for call in found}) > 1:
        return None
    return found[0] if found else None


def _best(calls: list[Call], score: Any) -> list[Call]:
    most = max(map(score, calls))
    return [call for call in calls if score(call) == most]


def _preferences(call: Call, kinds: Sequence[str]) -> int:
    return sum(
        kind not in (argument, UNKNOWN) and argument in _PREFERRED
        for kind, argument in zip(kinds, call.arguments, strict=True)
    )


def _by_literals(calls: list[Call], kinds: Sequence[str]) -> list[Call]:
    """The overloads that take untyped literals best: text above all, else the preferred type."""
    for position, kind in enumerate(kinds):
        if kind != UNKNOWN:
            continue
        categories = {_category(call.arguments[position]) for call in calls}
        if "S" in categories:
            wanted = "S"
        elif len(categories) == 1:
            wanted = categories.pop()
        else:
            return calls
        calls = [call for call in calls if _category(call.arguments[position]) == wanted]
        preferred = [call for call in calls if call.arguments[position] in _PREFERRED]
        calls = preferred or calls
    return calls


def _fit(signature: Signature, kinds: Sequence[str]) -> Call | None:
    """The signature with its `any...` types filled in, where `kinds` can be cast to it."""
    declared = signature.taking(len(kinds))
    if declared is None or TSVECTOR in kinds:
        return None
    element = _element(declared, kinds)
    compatible = _compatible(declared, kinds)
    arguments = []
    for kind, wanted in zip(kinds, declared, strict=True):
        if wanted == "any":
            target: str | None = "text" if kind == UNKNOWN else kind
        elif wanted in _ANY_ELEMENT:
            target = _filled(wanted, element)
        elif wanted in _ANY_COMPATIBLE:
            target = _filled(wanted, compatible)
        else:
            target = wanted
        if target is None or not implicit(kind, target):
            return None
        arguments.append(target)
    result: str | None = signature.result
    if result in _ANY_ELEMENT:
        result = _filled(result, element)
    elif result in _ANY_COMPATIBLE:
        result = _filled(result, compatible)
    exact = sum(kind == wanted for kind, wanted in zip(kinds, declared, strict=True))
    return Call(tuple(arguments), result, exact) if result else None


def _filled(wanted: str, element: str | None) -> str | None:
    if element is None:
        return None
    if wanted.endswith("nonarray") and element.startswith("_"):
        return None
    return f"_{element}" if wanted.endswith("array") and "non" not in wanted else element


def _element(declared: Sequence[str], kinds: Sequence[str]) -> str | None:
    """What `anyelement` is: all arguments of its family must agree."""
    found = set()
    for kind, wanted in zip(kinds, declared, strict=True):
        if wanted not in _ANY_ELEMENT or kind == UNKNOWN:
            continue
        if wanted == "anyarray":
            if not kind.startswith("_"):
                return None
            kind = kind[1:]
        found.add(kind)
    if not found and "anyelement" in declared:
        return "text"
    return found.pop() if len(found) == 1 else None


def _compatible(declared: Sequence[str], kinds: Sequence[str]) -> str | None:
    """What `anycompatible` is: the common type of its family's arguments."""
    found = []
    for kind, wanted in zip(kinds, declared, strict=True):
        if wanted not in _ANY_COMPATIBLE or kind == UNKNOWN:
            continue
        if wanted == "anycompatiblearray":
            if not kind.startswith("_"):
                return None
            kind = kind[1:]
        elif kind.startswith("_"):
            return None
        found.append(kind)
    if not found:
        return None
    try:
        return common(found, "")
    except InvalidRequest:
        return None
