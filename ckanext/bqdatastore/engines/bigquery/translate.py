"""A bound PostgreSQL query in BigQuery's words.

The tree's expressions carry their PostgreSQL types. Only what is known here to mean the same in
both, or what can be said so that it does, goes through; anything else is refused by name.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable, Mapping

import sqlglot.expressions as sge

from ...model.errors import Unsupported
from .forms import as_text, call, float_text, moment, number, numeric_text, text, time_text
from .fulltext import BigQueryFullText
from .types import data_type, numeric_type

_T = sge.DType
_INTEGERS = frozenset([_T.SMALLINT, _T.INT, _T.BIGINT])
_FLOATS = frozenset([_T.FLOAT, _T.DOUBLE])
_NUMERICS = frozenset([_T.DECIMAL, _T.BIGDECIMAL])
# How a row's document names the types of its fields.
_DOCUMENT_TYPES: Mapping[sge.DType | None, str] = {
    **dict.fromkeys(_INTEGERS, "int8"),
    **dict.fromkeys(_FLOATS, "float8"),
    **dict.fromkeys(_NUMERICS, "numeric"),
    _T.BOOLEAN: "bool",
    _T.DATE: "date",
    _T.TIME: "time",
    _T.TIMESTAMP: "timestamp",
    _T.TIMESTAMPTZ: "timestamptz",
    _T.JSON: "nested",
    _T.ARRAY: "_text",
}
_NUMBERS = _INTEGERS | _FLOATS | _NUMERICS
_TEXTS = frozenset([_T.TEXT, _T.VARCHAR, _T.CHAR, _T.NAME])
_NO_COMPARISON = frozenset([_T.JSON, _T.JSONB, _T.ARRAY])

# What says the same in both.
_SAME = (
    sge.Select, sge.Subquery, sge.Table, sge.TableAlias, sge.From, sge.Join, sge.Where, sge.Group,
    sge.Having, sge.Order, sge.Ordered, sge.Limit, sge.Offset, sge.With, sge.CTE, sge.Union,
    sge.Intersect, sge.Except, sge.Alias, sge.Column, sge.Identifier, sge.Null, sge.Boolean,
    sge.Star, sge.Paren, sge.And, sge.Or, sge.Not, sge.Is, sge.Case, sge.If, sge.Placeholder,
    sge.DataType, sge.DataTypeParam, sge.Exists, sge.Neg, sge.Like,
    sge.ILike, sge.Distinct, sge.Coalesce, sge.Var, sge.Tuple,
)  # fmt: skip

_COMPARISONS = (sge.EQ, sge.NEQ, sge.LT, sge.LTE, sge.GT, sge.GTE, sge.In, sge.Between)

_STORED = {
    _T.SMALLINT: "INT64",
    _T.INT: "INT64",
    _T.BIGINT: "INT64",
    _T.DOUBLE: "FLOAT64",
    _T.DATE: "DATE",
    _T.TIMESTAMP: "DATETIME",
    _T.BOOLEAN: "BOOL",
}

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
_DATE = re.compile(r"\d{4}-\d\d-\d\d")
_MOMENT = re.compile(r"\d{4}-\d\d-\d\d([ T]\d\d:\d\d:\d\d(\.\d{1,6})?)?")


def translate(tree: sge.Expr) -> sge.Expr:
    """The same query for BigQuery; `tree` stays as it is.

    :param tree: as `query.guard.bind` gives it
    :raises Unsupported: what is not known to have PostgreSQL's result
    """
    result = _translated(tree.copy())
    _name_outputs(result)
    return result


def _translated(node: sge.Expr) -> sge.Expr:
    kind = node.type
    rule = _RULES.get(type(node))
    if rule is None and not isinstance(node, (*_SAME, *_COMPARISONS)):
        raise _unsupported(type(node).__name__.upper())
    types = [_type(each) for each in _operands(node)]
    if isinstance(node, _COMPARISONS) and _NO_COMPARISON.intersection(types):
        raise _unsupported("comparing JSON values or arrays")
    if isinstance(node, _COMPARISONS) and _T.TIMESTAMPTZ in types and len(set(types)) > 1:
        raise _unsupported("comparing times with a zone to others")
    if isinstance(node, sge.Distinct) and node.args.get("on"):
        raise _unsupported("DISTINCT ON")
    for child in list(node.iter_expressions()):
        changed = _translated(child)
        if changed is not child:
            child.replace(changed)
    result = rule(node, types) if rule else node
    result.type = kind
    return result


def _operands(node: sge.Expr) -> list[sge.Expr]:
    return [each for each in node.iter_expressions() if each.type is not None]


def _type(node: sge.Expr) -> sge.DType | None:
    return node.type.this if node.type is not None else None


def _unsupported(what: str) -> Unsupported:
    return Unsupported("bigquery", f"{what} in datastore_search_sql")


def _name_outputs(tree: sge.Expr) -> None:
    """Give outputs names that BigQuery takes, each another; they are read by their places."""
    while isinstance(tree, (sge.Subquery, sge.SetOperation)):
        tree = tree.this
    used: set[str] = set()
    for place, target in enumerate(tree.expressions):
        if not isinstance(target, sge.Alias):
            continue
        if not _NAME.fullmatch(target.alias) or target.alias.lower() in used:
            target.set("alias", sge.to_identifier(f"_output_{place}", quoted=True))
        used.add(target.alias.lower())


# Rules: the node with its parts translated, and the PostgreSQL types that these had.

Types = list["sge.DType | None"]


def _literal(node: sge.Expr, types: Types) -> sge.Expr:
    # To BigQuery 1.5 is a float.
    if _type(node) not in _NUMERICS:
        return node
    whole, _, fraction = str(node.this).partition(".")
    if not (whole + fraction).isdigit():
        raise _unsupported(f"the number {node.this}")
    return sge.Cast(
        this=text(str(node.this)), to=data_type(numeric_type(len(whole), len(fraction)))
    )


def _sum_or_difference(node: sge.Expr, types: Types) -> sge.Expr:
    if set(types) <= _NUMBERS:
        return node
    if types[0] is _T.DATE and types[1] in _INTEGERS:
        return node
    raise _unsupported("calculating with dates and times")


def _product(node: sge.Expr, types: Types) -> sge.Expr:
    if not set(types) <= _NUMBERS:
        raise _unsupported("this multiplication")
    if set(types) <= _NUMERICS:
        # BigQuery keeps nine digits after the point.
        raise _unsupported("multiplying exact numbers (cast one to float8)")
    return node


def _division(node: sge.Expr, types: Types) -> sge.Expr:
    if set(types) <= _INTEGERS:
        return call("DIV", node.this, node.expression)
    if set(types) & _FLOATS:
        return sge.Div(this=node.this, expression=node.expression)
    raise _unsupported("dividing exact numbers (cast one to float8)")


def _remainder(node: sge.Expr, types: Types) -> sge.Expr:
    if set(types) <= _INTEGERS:
        return call("MOD", _bare(node.this), _bare(node.expression))
    raise _unsupported("% of numbers that are no integers")


def _bare(node: sge.Expr) -> sge.Expr:
    return node.unnest()


def _concatenation(node: sge.Expr, types: Types) -> sge.Expr:
    if set(types) <= _TEXTS:
        return node
    raise _unsupported("|| of values that are no text (cast them)")


def _cast(node: sge.Expr, types: Types) -> sge.Expr:
    wanted, given = node.args["to"].this, types[0] if types else None
    value = node.this
    if wanted in _TEXTS:
        return _cut(_text_of(value, given), node.args["to"])
    is_literal = isinstance(value, sge.Literal) and value.is_string
    if wanted is _T.BOOLEAN and (is_literal or given in _TEXTS):
        return _boolean(value)
    if is_literal:
        if wanted is _T.UUID:
            return text(_uuid(str(value.this)))
        if wanted is _T.DATE and not _DATE.fullmatch(str(value.this)):
            raise _unsupported("dates that are not written like 2020-01-31")
        if wanted is _T.TIMESTAMP and not _MOMENT.fullmatch(str(value.this)):
            raise _unsupported("timestamps that are not written like 2020-01-31 10:00:00")
    if wanted in _INTEGERS and given in _FLOATS:
        raise _unsupported("casts of float8 to an integer (they round differently)")
    if wanted in _NUMERICS and not node.args["to"].expressions:
        if given in _INTEGERS | _NUMERICS or isinstance(value, sge.Literal):
            return sge.Cast(this=value, to=data_type("BIGNUMERIC"))
        raise _unsupported("this cast to numeric")
    if given is _T.BOOLEAN and wanted not in (_T.BOOLEAN, *_INTEGERS):
        raise _unsupported("this cast of a boolean")
    if wanted is _T.DATE and given not in (*_TEXTS, _T.DATE, _T.TIMESTAMP):
        raise _unsupported("this cast to a date")
    stored = _STORED.get(wanted)
    if stored is None:
        raise _unsupported(f"casts to {wanted.value.lower()}")
    return sge.Cast(this=value, to=data_type(stored))


def _uuid(written: str) -> str:
    try:
        return str(uuid.UUID(written))
    except ValueError:
        raise _unsupported("a uuid that is none") from None


def _cut(value: sge.Expr, type: sge.DataType) -> sge.Expr:
    """A text as long as its type allows."""
    if not type.expressions:
        return value
    if type.this is not _T.VARCHAR:
        raise _unsupported("casts to char")
    return call("LEFT", value, number(int(type.expressions[0].name)))


def _boolean(value: sge.Expr) -> sge.Expr:
    word = str(value.this).strip().lower() if isinstance(value, sge.Literal) else ""
    if word in ("t", "true"):
        return sge.true()
    if word in ("f", "false"):
        return sge.false()
    raise _unsupported("casts of such texts to bool")


def _text_of(value: sge.Expr, given: sge.DType | None) -> sge.Expr:
    if given in _TEXTS or given is _T.UUID:
        return value
    if given in _NUMERICS:
        return numeric_text(value)
    if given is _T.DOUBLE:
        return float_text(value)
    if given is _T.TIMESTAMP:
        return call("REPLACE", moment(value, "timestamp"), text("T"), text(" "))
    if given is _T.TIME:
        return time_text(value)
    if given in _INTEGERS or given in (_T.BOOLEAN, _T.DATE):
        return as_text(value)
    raise _unsupported("this cast to text")


Arguments = list[sge.Expr]


def _named(name: str) -> Callable[[Arguments, Types], sge.Expr]:
    return lambda arguments, types: call(name, *arguments)


def _only(types_: frozenset[sge.DType], name: str) -> Callable[[Arguments, Types], sge.Expr]:
    def made(arguments: Arguments, types: Types) -> sge.Expr:
        if not set(types) <= types_:
            raise _unsupported(f"{name.lower()}() of this type")
        return call(name, *arguments)

    return made


def _extreme(name: str) -> Callable[[Arguments, Types], sge.Expr]:
    def made(arguments: Arguments, types: Types) -> sge.Expr:
        if _NO_COMPARISON.intersection(types):
            raise _unsupported(f"{name.lower()}() of this type")
        return call(name, *arguments)

    return made


def _average(arguments: Arguments, types: Types) -> sge.Expr:
    if set(types) <= _FLOATS:
        return call("AVG", *arguments)
    exact = sge.Cast(this=arguments[0], to=data_type("BIGNUMERIC"))
    return call("ROUND", call("AVG", exact), number(16))


def _sum(arguments: Arguments, types: Types) -> sge.Expr:
    if types == [_T.BIGINT]:
        exact = sge.Cast(this=arguments[0], to=data_type("BIGNUMERIC"))
        return call("SUM", exact)
    return call("SUM", *arguments)


def _trim(name: str) -> Callable[[Arguments, Types], sge.Expr]:
    # PostgreSQL takes away spaces alone, BigQuery any white space unless told what.
    return lambda arguments, types: call(name, *arguments, *([text(" ")] * (len(arguments) == 1)))


_PARTS = ("year", "quarter", "month", "day", "hour", "minute", "second")


def _truncated(arguments: Arguments, types: Types) -> sge.Expr:
    if len(arguments) != 2:
        raise _unsupported("date_trunc() with a zone")
    part, value = arguments
    name = str(part.this).lower() if isinstance(part, sge.Literal) else ""
    if types[-1] is not _T.TIMESTAMP or name not in _PARTS:
        raise _unsupported("date_trunc() of this part or type")
    return call("DATETIME_TRUNC", value, sge.Var(this=name.upper()))


_FUNCTIONS: Mapping[str, Callable[[Arguments, Types], sge.Expr]] = {
    "count": _named("COUNT"),
    "min": _extreme("MIN"),
    "max": _extreme("MAX"),
    "sum": _sum,
    "avg": _average,
    "abs": _only(_NUMBERS, "ABS"),
    "ceil": _only(_FLOATS, "CEIL"),
    "floor": _only(_FLOATS, "FLOOR"),
    "sqrt": _only(_FLOATS, "SQRT"),
    "exp": _only(_FLOATS, "EXP"),
    "ln": _only(_FLOATS, "LN"),
    "lower": _only(_TEXTS, "LOWER"),
    "upper": _only(_TEXTS, "UPPER"),
    "length": _only(_TEXTS, "CHAR_LENGTH"),
    "reverse": _only(_TEXTS, "REVERSE"),
    "strpos": _only(_TEXTS, "STRPOS"),
    "starts_with": _only(_TEXTS, "STARTS_WITH"),
    "btrim": _trim("TRIM"),
    "ltrim": _trim("LTRIM"),
    "rtrim": _trim("RTRIM"),
    "date_trunc": _truncated,
}


def _document(fields: Arguments, types: Types) -> sge.Expr:
    """The texts of a row's fields; a list that leaves BigQuery can hold no null."""
    texts = [
        _FULL_TEXT.full_text_value(field, _DOCUMENT_TYPES.get(type, "text"), True)
        for field, type in zip(fields, types, strict=True)
    ]
    return sge.Array(expressions=[sge.func("coalesce", each, text("")) for each in texts])


_FULL_TEXT = BigQueryFullText()


def _function(node: sge.Expr, types: Types) -> sge.Expr:
    if node.name == "row_document":
        return _document(list(node.expressions), types)
    rule = _FUNCTIONS.get(node.name.lower())
    if rule is None:
        raise _unsupported(f"{node.name.lower()}()")
    return rule(list(node.expressions), types)


_RULES: Mapping[type[sge.Expr], Callable[[sge.Expr, Types], sge.Expr]] = {
    sge.Literal: _literal,
    sge.Add: _sum_or_difference,
    sge.Sub: _sum_or_difference,
    sge.Mul: _product,
    sge.Div: _division,
    sge.Mod: _remainder,
    sge.DPipe: _concatenation,
    sge.Cast: _cast,
    sge.Anonymous: _function,
}
