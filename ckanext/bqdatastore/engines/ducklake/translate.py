"""A bound PostgreSQL query, said in DuckDB's words so that values and types stay PostgreSQL's.

Takes a tree whose expressions carry their PostgreSQL types and gives one for sqlglot's `duckdb`
generator. What the two databases do alike passes through; the tables here and in the modules
beside this one hold what they do not.
"""

from __future__ import annotations

from collections.abc import Callable

import sqlglot.expressions as sge

from ...model.errors import InvalidRequest, Unsupported
from ...model.query import WHOLE, operand
from ...model.tree_size import copied, one_statement
from ...translation import literals
from ...translation.growth import grown, size
from ...translation.terms import (
    FLOATS,
    INTEGERS,
    JSONS,
    Expression,
    Untranslatable,
    constant,
    fn,
    is_null,
    kind,
    kind_of,
    op,
    unsupported,
    when,
    whole_number,
)
from .fulltext import DuckDBFullText
from .translation import comparisons
from .translation.aggregates import AGGREGATES, Finish, aggregate, ordered_set
from .translation.bounds import at_most
from .translation.casts import as_text, converted, numeric_literal
from .translation.division import is_quotient, product_of_quotients, quotient
from .translation.functions import modulo, nonzero, scalar
from .translation.json_paths import extract, extract_text, has_key, keys_of
from .translation.lazily import connected, of_rows
from .translation.pattern_functions import like, matches, whole_match
from .translation.sharing import with_operands_once
from .translation.terms import cast, decimal


def translate(tree: sge.Expr) -> sge.Expr:
    """The same query for DuckDB; `tree` stays as it is.

    :param tree: as `query.guard.bind` gives it
    :raises Unsupported: what DuckDB cannot do with PostgreSQL's result
    """
    try:
        with one_statement():
            result = _translated(tree.copy())
    except Untranslatable as fault:
        raise Unsupported("DuckLake", fault.feature) from None
    except RecursionError:
        raise InvalidRequest("message", "Query is too deeply nested") from None
    _settle_types(result)
    return result


def _settle_types(tree: Expression) -> None:
    """Say the type of every output that DuckDB might see otherwise (the sum of two NULLs)."""
    if isinstance(tree, sge.Select):
        for target in tree.expressions:
            value = target.this
            if isinstance(target, sge.Alias) and not isinstance(value, (sge.Column, sge.Cast)):
                name = kind(target.this)
                if "numeric" not in name and not isinstance(value, sge.Literal):
                    target.set("this", cast(value, name))
    elif isinstance(tree, sge.SetOperation):
        _settle_types(tree.this)
        _settle_types(tree.expression)
    elif isinstance(tree, sge.Subquery):
        _settle_types(tree.this)


def _translated(tree: Expression) -> Expression:
    if isinstance(tree, sge.Cast) and kind_of(tree.to) in FLOATS:
        _read_as_float(tree)
    if isinstance(tree, (sge.Window, sge.Filter, sge.WithinGroup)) or _is_aggregate(tree):
        before = None
        call, finish = _call(tree)
        result = finish(call)
    else:
        _translate_children(tree)
        before = size(tree) - 1
        result = _by_rule(tree)
        if result is not tree and isinstance(tree, WHOLE) and not isinstance(result, WHOLE):
            result = sge.Paren(this=result)
    result.type = tree.type
    grown(result, before)
    return result


def _by_rule(tree: Expression) -> Expression:
    rule = _RULES.get(type(tree))
    if rule is None:
        return tree
    # A pattern with its escape character is said as one; not all sides of an AND, or branches of
    # a CASE, may be worked out.
    apart = isinstance(tree, sge.Anonymous) and tree.name in _APART
    if apart or isinstance(tree, (sge.Escape, sge.Connector, sge.Case)):
        return rule(tree)
    return with_operands_once(tree, rule)


_APART = ("array", "at_most")
"""Calls that are not asked for operands to be said once: of a sub-query, which is no value, and of
what must not be copied."""


def _translate_children(tree: Expression, skip: str = "") -> None:
    for key, value in list(tree.args.items()):
        if key == skip or isinstance(value, (sge.DataType, sge.TableAlias, sge.Identifier)):
            continue
        if isinstance(value, sge.Expr):
            tree.set(key, _translated(value))
        elif isinstance(value, list):
            tree.set(
                key,
                [_translated(item) if isinstance(item, sge.Expr) else item for item in value],
            )


def _is_aggregate(tree: Expression) -> bool:
    return isinstance(tree, sge.Anonymous) and tree.name in AGGREGATES


def _call(tree: Expression) -> tuple[Expression, Finish]:
    """A call of an aggregate with what stands around it; the finish goes around all of that."""
    if isinstance(tree, sge.Anonymous):
        _translate_children(tree)
        if tree.name in AGGREGATES:
            return aggregate(tree.name, tree.expressions)
        return scalar(tree.name, tree.expressions), lambda result: result
    if isinstance(tree, sge.WithinGroup):
        _translate_children(tree.this)
        _translate_children(tree.expression)
        return ordered_set(tree.this.name, tree.this.expressions, tree.expression.expressions)
    call, finish = _call(tree.this)
    _translate_children(tree, skip="this")
    if isinstance(tree, sge.Filter) and isinstance(call, sge.Anonymous):
        of_rows(call, tree.expression.this)
    tree.set("this", call)
    return tree, finish


def _read_as_float(tree: sge.Cast) -> None:
    """A constant `numeric` that is wanted as a float is one: it may have any exponent."""
    place: Expression = tree
    while isinstance(place.this, (sge.Paren, sge.Neg)):
        place = place.this
    number = place.this
    if isinstance(number, sge.Literal) and not number.is_string and kind(number) == "numeric":
        float_ = cast(sge.Literal.string(number.name), kind_of(tree.to))
        float_.type = tree.to
        place.set("this", float_)
        for between in place.walk() if place is not tree else ():
            between.type = tree.to


_LEAST = {"int4": str(-(2**31)), "int8": str(-(2**63))}
"""The least integers: DuckDB reads the sign after the digits, and makes them a wider type."""


def _literal(tree: sge.Literal) -> Expression:
    if not tree.is_string and kind(tree) in _LEAST and tree.name == _LEAST[kind(tree)]:
        return cast(sge.Literal.string(tree.name), kind(tree))
    if tree.is_string or kind(tree) != "numeric":
        return tree
    return numeric_literal(tree.name)


def _integers_alike(tree: sge.Binary) -> None:
    """DuckDB makes a literal as narrow as its neighbour; PostgreSQL's is an int4 at least."""
    if kind(tree) not in INTEGERS or not all(kind(side) in INTEGERS for side in _sides(tree)):
        return
    if kind(tree) == "int4" and all(kind(side) == "int4" for side in _sides(tree)):
        return
    for key in ("this", "expression"):
        side = tree.args[key]
        if kind(side) != kind(tree) or whole_number(side) is not None:
            tree.set(key, cast(side, kind(tree)))


def _sides(tree: sge.Binary) -> tuple[Expression, Expression]:
    return tree.this, tree.expression


def _add(tree: sge.Binary) -> Expression:
    if kind(tree) == "numeric":
        return _wide(tree)
    if kind(tree) == "date":
        _days_as_int4(tree)
    _integers_alike(tree)
    return tree


def _subtract(tree: sge.Sub) -> Expression:
    kinds = [kind(side) for side in _sides(tree)]
    if kinds == ["date", "date"]:
        return cast(tree, "int4")
    if kinds == ["time", "time"]:
        micros = op(sge.Sub, fn("epoch_us", tree.this), fn("epoch_us", tree.expression))
        return fn("to_microseconds", micros)
    if kinds[0] == "jsonb":
        raise unsupported("the removal of keys from jsonb")
    return _add(tree)


def _days_as_int4(tree: sge.Binary) -> None:
    """Days are added to a date as an integer: `_id` is a bigint."""
    for key in ("this", "expression"):
        if kind(tree.args[key]) in INTEGERS:
            tree.set(key, cast(tree.args[key], "int4"))


def _divide(tree: sge.Div) -> Expression:
    left, right = _sides(tree)
    if kind(tree) in INTEGERS:
        _integers_alike(tree)
        return nonzero(left, right, op(sge.IntDiv, tree.this, tree.expression))
    if kind(tree) == "numeric":
        return quotient(left, right)
    return nonzero(left, right, sge.Paren(this=tree))


def _modulo(tree: sge.Mod) -> Expression:
    _integers_alike(tree)
    return modulo(*_sides(tree))


def _power(tree: sge.Pow) -> Expression:
    return scalar("power", _sides(tree))


def _concatenate(tree: sge.DPipe) -> Expression:
    left, right = _sides(tree)
    if kind(tree) in JSONS:
        raise unsupported("the merging of jsonb with ||")
    arrays = [kind(side).startswith("_") for side in (left, right)]
    if arrays == [True, True]:
        return scalar("array_cat", (left, right))
    if any(arrays):
        return fn("list_append" if arrays[0] else "list_prepend", left, right)
    texts = [as_text(side, kind(side)) for side in (left, right)]
    return sge.DPipe(this=operand(texts[0]), expression=operand(texts[1]))


def _like(tree: sge.Binary) -> Expression:
    if isinstance(tree.parent, sge.Escape):
        return tree
    return like(tree.this, tree.expression, isinstance(tree, sge.ILike))


def _escape(tree: sge.Escape) -> Expression:
    escape = literals.escape_character(constant(tree.expression, "an escape character"))
    test = tree.this
    if isinstance(test, sge.SimilarTo):
        return _similar(test, escape)
    return like(test.this, test.expression, isinstance(test, sge.ILike), escape)


def _similar(tree: sge.SimilarTo, escape: str | None = None) -> Expression:
    if escape is None and isinstance(tree.parent, sge.Escape):
        return tree
    pattern = constant(tree.expression, "a SIMILAR TO pattern")
    return whole_match(tree.this, literals.similar(pattern, escape))


def _matched(flags: str, negated: bool) -> Callable[[sge.Operator], Expression]:
    def rule(tree: sge.Operator) -> Expression:
        found = matches(tree.this, tree.expression, flags)
        return sge.Not(this=found) if negated else found

    return rule


def _liked(node: type[sge.Binary], negated: bool) -> Callable[[sge.Operator], Expression]:
    def rule(tree: sge.Operator) -> Expression:
        found = sge.Paren(this=like(tree.this, tree.expression, node is sge.ILike))
        return sge.Not(this=found) if negated else found

    return rule


def _arrow(take: Callable[..., Expression], path: bool) -> Callable[[sge.Operator], Expression]:
    def rule(tree: sge.Operator) -> Expression:
        keys = keys_of(tree.expression) if path else [tree.expression]
        return take(tree.this, keys, path)

    return rule


def _contains(tree: sge.Operator) -> Expression:
    return _contained(tree.this, tree.expression)


def _contained(outer: Expression, inner: Expression) -> Expression:
    if kind(outer) in JSONS:
        raise unsupported("the operators @> and <@ on jsonb")
    # A null is in no array, not even in one that has nulls.
    whole = op(sge.EQ, fn("len", inner.copy()), fn("list_count", inner.copy()))
    missing = op(sge.Or, is_null(outer.copy()), is_null(inner.copy()))
    found = op(sge.And, fn("list_has_all", outer, inner), whole)
    return when((missing, cast(sge.Null(), "bool")), otherwise=found)


def _has_keys(name: type[sge.Connector]) -> Callable[[sge.Operator], Expression]:
    def rule(tree: sge.Operator) -> Expression:
        # A null is no key: it is passed over.
        passed = sge.Boolean(this=name is sge.And)
        result: Expression = passed
        for key in keys_of(tree.expression):
            test = fn("coalesce", has_key(copied(tree.this), key), passed.copy())
            result = test if result is passed else op(name, result, test)
        missing = is_null(copied(tree.this))
        return when((missing, cast(sge.Null(), "bool")), otherwise=result)

    return rule


def _bits(node: type[sge.Binary]) -> Callable[[sge.Operator], Expression]:
    return lambda tree: cast(op(node, *_sides(tree)), kind(tree))


_BITS = {"int2": 16, "int4": 32, "int8": 64}


def _places(tree: sge.Operator) -> Expression:
    """How far a number is shifted: as far as a processor does, which sees the last bits alone."""
    return op(sge.BitwiseAnd, tree.expression, 63 if kind(tree) == "int8" else 31)


def _shifted_left(tree: sge.Operator) -> Expression:
    """By multiplication, what goes over the end cut off: DuckDB shifts no negative number."""
    bits = _BITS[kind(tree)]
    power = op(sge.BitwiseLeftShift, _huge(sge.Literal.number(1)), _places(tree))
    whole, half = (_huge(sge.Literal.string(str(2**places))) for places in (bits, bits - 1))
    shifted = op(sge.Add, op(sge.Mul, _huge(tree.this), power), half)
    # Twice: the rest of a negative number is negative in DuckDB.
    rest = op(sge.Mod, op(sge.Add, op(sge.Mod, shifted, whole), whole.copy()), whole.copy())
    return cast(op(sge.Sub, rest, half.copy()), kind(tree))


def _huge(value: Expression) -> sge.Cast:
    return cast(value, sge.DataType(this=sge.DType.INT128))


def _shifted_right(tree: sge.Operator) -> Expression:
    number, places = (cast(value, "int8") for value in (tree.this, _places(tree)))
    return cast(op(sge.BitwiseRightShift, number, places), kind(tree))


_OPERATORS: dict[str, Callable[[sge.Operator], Expression]] = {
    "~": _matched("", False),
    "~*": _matched("i", False),
    "!~": _matched("", True),
    "!~*": _matched("i", True),
    "~~": _liked(sge.Like, False),
    "!~~": _liked(sge.Like, True),
    "~~*": _liked(sge.ILike, False),
    "!~~*": _liked(sge.ILike, True),
    "^@": lambda tree: fn("starts_with", *_sides(tree)),
    "->": _arrow(extract, False),
    "->>": _arrow(extract_text, False),
    "#>": _arrow(extract, True),
    "#>>": _arrow(extract_text, True),
    "?": lambda tree: has_key(*_sides(tree)),
    "?|": _has_keys(sge.Or),
    "?&": _has_keys(sge.And),
    "@>": _contains,
    "<@": lambda tree: _contained(tree.expression, tree.this),
    "&&": lambda tree: fn("list_has_any", *_sides(tree)),
    "&": _bits(sge.BitwiseAnd),
    "|": _bits(sge.BitwiseOr),
    "#": lambda tree: fn("xor", *_sides(tree)),
    "<<": _shifted_left,
    ">>": _shifted_right,
}


def _operator(tree: sge.Operator) -> Expression:
    sign = tree.args["operator"].name
    rule = _OPERATORS.get(sign)
    if rule is None:
        raise unsupported(f"the operator {sign}")
    if isinstance(tree.expression, (sge.Any, sge.All)):
        return _any_pattern(tree, rule)
    return rule(tree)


def _any_pattern(tree: sge.Operator, rule: Callable[[sge.Operator], Expression]) -> Expression:
    """`LIKE ANY (array)` by a constant array: one test for each of its elements."""
    quantifier = tree.expression
    connector = sge.Or if isinstance(quantifier, sge.Any) else sge.And
    result: Expression | None = None
    for item in keys_of(quantifier.this):
        one = sge.Operator(this=copied(tree.this), operator=tree.args["operator"], expression=item)
        test = sge.Paren(this=rule(one))
        result = test if result is None else op(connector, result, test)
    return result or sge.Boolean(this=connector is sge.And)


def _array(tree: sge.Array) -> Expression:
    return cast(fn("list_value", *tree.expressions), kind(tree)) if tree.expressions else tree


def _bracket(tree: sge.Bracket) -> Expression:
    """An element or a slice; places before the first are nothing, never counted from the end."""
    index = tree.expressions[0]
    if isinstance(index, sge.Slice):
        low, high = index.this or sge.Literal.number(1), index.expression
        begin = fn("greatest", low, 1)
        end = fn("greatest", high, 0) if high else fn("len", tree.this.copy())
        return fn("list_slice", tree.this, begin, end)
    place = whole_number(index)
    found = fn("list_extract", tree.this, index)
    if place is not None and place >= 1:
        return found
    return when((op(sge.GTE, index.copy(), 1), found), otherwise=sge.Null())


def _function(tree: sge.Anonymous) -> Expression:
    if tree.name == "array":
        return fn("array", *tree.expressions)
    if tree.name == "row_document":
        return _document(tree.expressions)
    if tree.name == "at_most":
        return at_most(*tree.expressions)
    return scalar(tree.name, tree.expressions)


def _document(fields: list[Expression]) -> Expression:
    """The texts of a row's fields, as PostgreSQL's `row_to_json` shows them."""
    texts = [
        _FULL_TEXT.full_text_value(field, "nested" if kind(field) == "json" else kind(field), True)
        for field in fields
    ]
    return cast(fn("list_value", *texts), "tsvector")


_FULL_TEXT = DuckDBFullText()


def _multiply(tree: sge.Mul) -> Expression:
    if kind(tree) == "numeric":
        both = all(map(is_quotient, _sides(tree)))
        return product_of_quotients(*_sides(tree)) if both else _wide(tree)
    return _add(tree)


def _wide(tree: sge.Binary) -> Expression:
    """Decimals of up to 18 digits stay so in DuckDB, and overflow; one wide side makes room."""
    literals_at = [key for key in ("this", "expression") if _is_decimal(tree.args[key])]
    if literals_at:
        side = _bare(tree.args[literals_at[0]])
        assert isinstance(side, sge.Cast)
        scale = int(side.to.expressions[1].name)
        tree.set(literals_at[0], cast(side.this, decimal(38, scale)))
    elif isinstance(tree, sge.Mul):
        tree.set("this", op(sge.Mul, tree.this, cast(sge.Literal.number(1), decimal(38, 0))))
    else:
        tree.set("this", op(sge.Add, tree.this, cast(sge.Literal.number(0), decimal(19, 0))))
    return tree


def _bare(tree: Expression) -> Expression:
    while isinstance(tree, sge.Paren):
        tree = tree.this
    return tree


def _is_decimal(tree: Expression) -> bool:
    """Whether it is a constant that `numeric_literal` made."""
    tree = _bare(tree)
    return isinstance(tree, sge.Cast) and isinstance(tree.this, sge.Literal)


def _current_date(tree: sge.CurrentDate) -> Expression:
    return cast(fn("now"), "date")


_RULES: dict[type, Callable[..., Expression]] = {
    sge.Literal: _literal,
    sge.Cast: converted,
    sge.And: connected,
    sge.Or: connected,
    sge.Add: _add,
    sge.Sub: _subtract,
    sge.Mul: _multiply,
    sge.Div: _divide,
    sge.Mod: _modulo,
    sge.Pow: _power,
    sge.DPipe: _concatenate,
    sge.EQ: comparisons.compare,
    sge.NEQ: comparisons.compare,
    sge.LT: comparisons.compare,
    sge.LTE: comparisons.compare,
    sge.GT: comparisons.compare,
    sge.GTE: comparisons.compare,
    sge.Between: comparisons.between,
    sge.In: comparisons.contained,
    sge.NullSafeEQ: comparisons.compare,
    sge.NullSafeNEQ: comparisons.compare,
    sge.Case: comparisons.case,
    sge.Ordered: comparisons.ordered,
    sge.Like: _like,
    sge.ILike: _like,
    sge.SimilarTo: _similar,
    sge.Escape: _escape,
    sge.Operator: _operator,
    sge.Array: _array,
    sge.Bracket: _bracket,
    sge.Anonymous: _function,
    sge.Nullif: comparisons.nullif,
    sge.CurrentDate: _current_date,
    sge.Greatest: comparisons.extreme,
    sge.Least: comparisons.extreme,
}
