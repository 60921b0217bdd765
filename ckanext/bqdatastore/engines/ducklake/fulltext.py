"""How DuckDB looks for the words of a full-text query: tokens by RE2, stems by its Snowball.

A text is read word by word only where a substring test does not rule a word out already. Both work
on one column at a time, so on a column of few different values they run once for each of these.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence

import sqlglot.expressions as sge

from ...model.fulltext import Body, Grammar, Lexeme
from .translation.casts import as_text

# What the English stemmer may have put at the end of a stem in place of what the word had there:
# "flying" -> "fli", "dying" -> "die", "having" -> "have", "ability" -> "abl".
_ENGLISH_ENDING = "(?:[eiy]+|l)$"

# PostgreSQL keeps no more positions of one lexeme.
_MOST_POSITIONS = 256

_TEXTS = frozenset(["text", "varchar", "bpchar", "name", "json", "jsonb", "uuid"])


class DuckDBFullText:
    """The part of the dialect that full-text search needs: `query.fulltext.FullTextDialect`."""

    def full_text_value(self, value: sge.Expr, type: str, in_row: bool) -> sge.Expr:
        if type in _TEXTS:
            return value
        if type == "nested":
            # A composite of two: the value, and a text that is always empty.
            return _joined_text('{"json":', value, ',"extra":""}') if in_row else value
        if type in ("float4", "float8"):
            return call("lower", as_text(value.copy(), type))
        if type == "numeric":
            # The column's scale is that of its widest value: zeros at the end are not the value's.
            return call("regexp_replace", _text(value), r"\.0*$|(\.[0-9]*[1-9])0+$", r"\1")
        if type == "timestamp" and in_row:
            return call("replace", _text(value), " ", "T")
        if type == "timestamptz" and in_row:
            return _joined_text("", call("replace", _text(value), " ", "T"), ":00")
        if type.startswith("_"):
            if in_row:
                return _text(call("to_json", value))
            return _joined_text("{", call("array_to_string", value, ","), "}")
        return _text(value)

    def full_text_equals(
        self, value: sge.Expr, type: str, word: sge.Expr, in_row: bool
    ) -> sge.Expr:
        same = sge.EQ(this=self.full_text_value(value.copy(), type, in_row), expression=word)
        # To write a number out takes fifty times as long as to compare it.
        return sge.and_(_may_be(value, type, word.copy()), same, copy=False)

    def full_text_lexeme(self, word: sge.Expr, stemmer: str | None) -> sge.Expr:
        return word if stemmer is None else _stem(word, stemmer)

    def full_text_may_contain(self, text: sge.Expr, lexeme: Lexeme) -> sge.Expr | None:
        start = _start(lexeme)
        if start is None:
            return None
        return call("contains", text if lexeme.caseless else call("lower", text), start)

    def full_text_is_compound(self, text: sge.Expr, lexeme: Lexeme, grammar: Grammar) -> sge.Expr:
        pattern = grammar.compound if lexeme.stemmer is None else grammar.word_compound
        return _matches(call("lower", text), pattern)

    def full_text_runs(
        self, text: sge.Expr, letter: sge.Expr, lexeme: Lexeme, grammar: Grammar
    ) -> sge.Expr:
        start = _start(lexeme)
        pattern = call("concat", letter, "+")
        if start is not None:
            # Of letters and digits alone, so it means itself. Five times as fast as all runs.
            pattern = call("concat", letter, "*", start, letter.copy(), "*")
        return call("regexp_extract_all", call("lower", text), pattern)

    def full_text_tokens(
        self, text: sge.Expr, token: sge.Expr, grammar: Grammar, counted: bool
    ) -> sge.Expr:
        lower = call("lower", text)
        matches: sge.Expr = call("regexp_extract_all", lower.copy(), token)
        if counted:
            matches = _filter(
                matches, lambda match: sge.not_(_matches(match, grammar.no_token)), "_match"
            )

        def expanded(match: sge.Expr) -> sge.Expr:
            host = call("split_part", match.copy(), "/", sge.Literal.number(1))
            path = call("substr", match.copy(), _plus(call("length", host.copy()), 1))
            joined = call("rtrim", match.copy(), "-")
            parts = call("string_split", joined.copy(), "-")
            return sge.Case(
                ifs=[
                    sge.If(
                        this=_matches(match, grammar.address), true=_list(match.copy(), host, path)
                    ),
                    sge.If(
                        this=sge.and_(
                            call("contains", match.copy(), "-"),
                            sge.not_(_matches(match, grammar.undivided)),
                        ),
                        true=call("list_prepend", joined, parts),
                    ),
                    sge.If(
                        this=_matches(match, grammar.signed_version),
                        true=_list(call("ltrim", match.copy(), "-+")),
                    ),
                ],
                default=_list(match.copy()),
            )

        return sge.Case(
            ifs=[
                sge.If(
                    this=_matches(lower, grammar.compound),
                    true=call("flatten", _transform(matches, expanded, "_match")),
                )
            ],
            default=call("regexp_extract_all", lower.copy(), grammar.run),
        )

    def full_text_contains(self, tokens: sge.Expr, lexeme: Lexeme) -> sge.Expr:
        if lexeme.prefix or lexeme.stop_words:
            return sge.GT(this=self.full_text_count(tokens, lexeme), expression=_number(0))
        if lexeme.stemmer is None:
            return call("list_has_any", tokens, _list(*(each.copy() for each in lexeme.spellings)))
        found = _transform(tokens, functools.partial(_fits, lexeme=lexeme), "_token")
        return call("list_contains", found, sge.true())

    def full_text_count(self, tokens: sge.Expr, lexeme: Lexeme) -> sge.Expr:
        return call("len", _filter(tokens, functools.partial(_fits, lexeme=lexeme), "_token"))

    def full_text_positions(self, tokens: sge.Expr, lexeme: Lexeme) -> sge.Expr:
        fits = _fits(sge.column("_token"), lexeme)
        places = sge.Lambda(
            this=sge.Case(ifs=[sge.If(this=fits, true=sge.column("_place"))]),
            expressions=[sge.to_identifier("_token"), sge.to_identifier("_place")],
        )
        return _filter(
            call("list_transform", tokens, places),
            lambda place: sge.not_(place.is_(sge.null())),
            "_place",
        )

    def full_text_document(self, texts: Sequence[sge.Expr]) -> sge.Expr:
        return call("concat_ws", " ", *texts)

    def full_text_blanks(self, value: sge.Expr, number: int) -> sge.Expr:
        blanks = _list(*(sge.Literal.string("") for _ in range(number)))
        return sge.Case(ifs=[sge.If(this=value.is_(sge.null()), true=_list())], default=blanks)

    def full_text_joined(self, lists: Sequence[sge.Expr]) -> sge.Expr:
        return call("flatten", _list(*lists))

    def full_text_date_part(self, value: sge.Expr, part: str) -> sge.Expr:
        number = call(part, value)
        if part != "second":
            return number
        fraction = sge.Mod(this=call("microsecond", value.copy()), expression=_number(1_000_000))
        whole = sge.EQ(this=fraction, expression=_number(0))
        return sge.Case(ifs=[sge.If(this=whole, true=number)])

    def full_text_with(self, value: sge.Expr, body: Body) -> sge.Expr:
        return call("list_extract", _transform(_list(value), body, "_value"), _number(1))

    def full_text_no_positions(self) -> sge.Expr:
        return sge.cast(_list(), "BIGINT[]", dialect="duckdb")

    def full_text_shift(self, positions: sge.Expr, distance: int) -> sge.Expr:
        return _transform(positions, lambda place: _plus(place, distance), "_place")

    def full_text_union(self, a: sge.Expr, b: sge.Expr) -> sge.Expr:
        return call("list_concat", a, b)

    def full_text_intersection(self, a: sge.Expr, b: sge.Expr) -> sge.Expr:
        return call("list_intersect", a, b)

    def full_text_difference(self, a: sge.Expr, b: sge.Expr) -> sge.Expr:
        return _filter(a, lambda place: sge.not_(call("list_contains", b.copy(), place)), "_kept")

    def full_text_not_empty(self, positions: sge.Expr) -> sge.Expr:
        return sge.GT(this=call("len", positions), expression=_number(0))

    def full_text_weight(self, count: sge.Expr) -> sge.Expr:
        few = [
            sge.If(this=_number(n), true=_double(sum(1 / each**2 for each in range(1, n + 1))))
            for n in range(3)
        ]

        def weight(count: sge.Expr) -> sge.Expr:
            limited = call("least", count.copy(), _number(_MOST_POSITIONS))
            return sge.Case(this=count.copy(), ifs=few, default=_sum_of_squares(limited))

        # Each branch of a CASE would count again.
        return self.full_text_with(count, weight)

    def full_text_prefix_weight(self, tokens: sge.Expr, lexeme: Lexeme) -> sge.Expr:
        def weight(lexemes: sge.Expr) -> sge.Expr:
            def of_one(one: sge.Expr) -> sge.Expr:
                same = _filter(
                    lexemes.copy(),
                    lambda other: sge.EQ(this=other, expression=one.copy()),
                    "_other",
                )
                return _sum_of_squares(call("len", same))

            each = _transform(call("list_distinct", lexemes.copy()), of_one, "_lexeme")
            return sge.func("coalesce", call("list_sum", each), _double(0.0))

        found = _filter(tokens, functools.partial(_fits, lexeme=lexeme), "_token")
        if lexeme.stemmer is not None:
            stem = functools.partial(_stem, language=lexeme.stemmer)
            found = _transform(found, stem, "_token")
        return self.full_text_with(found, weight)

    def full_text_proximity(self, positions: Sequence[sge.Expr]) -> sge.Expr:
        """One less the product, over all pairs of places, of one less the pair's weight."""

        def miss(left: sge.Expr, right: sge.Expr) -> sge.Expr:
            distance = call("abs", sge.Sub(this=left, expression=right))
            # `word_distance` of tsrank.c; the root of both words' weights (0.1 each) and of it.
            slope = sge.Sub(
                this=sge.Div(this=distance.copy(), expression=_double(1.5)), expression=_number(2)
            )
            curve = sge.Add(
                this=_double(1.005),
                expression=sge.Mul(this=_double(0.05), expression=call("exp", slope)),
            )
            near = sge.Div(this=_double(0.1), expression=call("sqrt", curve))
            return sge.Case(
                ifs=[
                    sge.If(this=sge.EQ(this=distance.copy(), expression=_number(0)), true=_one()),
                    sge.If(this=sge.GT(this=distance, expression=_number(100)), true=_one()),
                ],
                default=sge.Sub(this=_one(), expression=near),
            )

        def misses(left: sge.Expr, right: sge.Expr) -> sge.Expr:
            return call(
                "flatten",
                _transform(
                    left.copy(),
                    lambda first: _transform(
                        right.copy(), lambda second: miss(first, second), "_second"
                    ),
                    "_first",
                ),
            )

        def with_later(lists: sge.Expr, number: int) -> sge.Expr:
            left = call("list_extract", lists.copy(), _number(number))
            later = call("list_slice", lists.copy(), _number(number + 1), _number(len(positions)))
            return misses(left, call("flatten", later))

        def of_all(lists: sge.Expr) -> sge.Expr:
            # Not pair by pair: of a hundred words there are five thousand.
            pairs = [with_later(lists, number) for number in range(1, len(positions))]
            product = call("list_product", call("flatten", _list(*pairs)))
            return sge.Sub(this=_one(), expression=product)

        return sge.func("coalesce", self.full_text_with(_list(*positions), of_all), _double(0.0))


def _fits(token: sge.Expr, lexeme: Lexeme) -> sge.Expr:
    """Whether a token has the lexeme."""
    if lexeme.stemmer is None:
        if lexeme.prefix:
            return call("starts_with", token, lexeme.value.copy())
        return sge.In(this=token, expressions=[each.copy() for each in lexeme.spellings])
    stem = _stem(token.copy(), lexeme.stemmer)
    fits: sge.Expr = sge.EQ(this=stem, expression=lexeme.value.copy())
    if lexeme.prefix:
        fits = call("starts_with", stem, lexeme.value.copy())
    if lexeme.stop_words:
        stopped = sge.In(this=token.copy(), expressions=[x.copy() for x in lexeme.stop_words])
        fits = sge.and_(fits, sge.not_(stopped))
    start = _start(lexeme)
    if start is None:
        return fits
    # Stemming takes half a microsecond, and is for neither most tokens nor the word itself.
    ifs = [sge.If(this=call("starts_with", token.copy(), start), true=fits)]
    if lexeme.spellings:
        same = sge.In(this=token, expressions=[each.copy() for each in lexeme.spellings])
        ifs.insert(0, sge.If(this=same, true=sge.true()))
    return sge.Case(ifs=ifs, default=sge.false())


def _start(lexeme: Lexeme) -> sge.Expr | None:
    """How every token with the lexeme begins; None where nothing is known."""
    if lexeme.stemmer is None:
        return lexeme.value.copy()
    if lexeme.stemmer == "english":
        return call("regexp_replace", lexeme.value.copy(), _ENGLISH_ENDING, "")
    return None


def _may_be(number: sge.Expr, type: str, word: sge.Expr) -> sge.Expr:
    """Whether a number may have the word for its text; null for a word that is no number."""
    if type == "float4":
        return sge.EQ(this=number, expression=_tried(word, sge.DType.FLOAT))
    wanted = _tried(word, sge.DType.DOUBLE)
    if type == "float8":
        return sge.EQ(this=number, expression=wanted)
    # A double is not exactly the decimal that it was made from.
    distance = call("abs", sge.Sub(this=sge.cast(number, sge.DType.DOUBLE), expression=wanted))
    near = sge.Mul(this=_double(1e-9), expression=call("abs", wanted.copy()))
    return sge.LTE(this=distance, expression=near)


def _tried(word: sge.Expr, type: sge.DType) -> sge.Expr:
    return sge.TryCast(this=word, to=type.into_expr())


def call(name: str, *arguments: sge.Expr | str) -> sge.Anonymous:
    return sge.Anonymous(
        this=name,
        expressions=[
            sge.Literal.string(argument) if isinstance(argument, str) else argument
            for argument in arguments
        ],
    )


def _transform(
    values: sge.Expr,
    body: Body,
    variable: str,
) -> sge.Expr:
    return call("list_transform", values, _lambda(body, variable))


def _filter(
    values: sge.Expr,
    body: Body,
    variable: str,
) -> sge.Expr:
    return call("list_filter", values, _lambda(body, variable))


def _lambda(body: Body, variable: str) -> sge.Lambda:
    # No field begins with "_", so the variable hides no column.
    return sge.Lambda(
        this=body(sge.column(variable)),
        expressions=[sge.to_identifier(variable)],
    )


def _stem(word: sge.Expr, language: str) -> sge.Expr:
    return call("stem", word, language)


def _matches(text: sge.Expr, pattern: str) -> sge.Expr:
    return call("regexp_matches", text.copy(), pattern)


def _text(value: sge.Expr) -> sge.Expr:
    return sge.Cast(this=value, to=sge.DType.TEXT.into_expr())


def _joined_text(before: str, value: sge.Expr, after: str) -> sge.Expr:
    """The three as one text; null for a null."""
    start = sge.DPipe(this=sge.Literal.string(before), expression=value)
    return sge.paren(sge.DPipe(this=start, expression=sge.Literal.string(after)))


def _list(*values: sge.Expr) -> sge.Expr:
    return sge.Array(expressions=list(values))


def _number(value: int) -> sge.Expr:
    return sge.Literal.number(value)


def _plus(value: sge.Expr, number: int) -> sge.Expr:
    return sge.Add(this=value, expression=_number(number))


def _double(value: float) -> sge.Expr:
    return sge.Cast(this=sge.Literal.number(repr(float(value))), to=sge.DType.DOUBLE.into_expr())


def _one() -> sge.Expr:
    return _double(1.0)


def _sum_of_squares(count: sge.Expr) -> sge.Expr:
    """`1/1 + 1/4 + ... + 1/count^2`"""
    terms = _transform(
        call("range", _number(1), _plus(count, 1)),
        lambda place: sge.Div(
            this=_one(), expression=sge.paren(sge.Mul(this=place, expression=place.copy()))
        ),
        "_term",
    )
    return sge.func("coalesce", call("list_sum", terms), _double(0.0))
