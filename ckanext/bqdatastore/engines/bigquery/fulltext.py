"""How BigQuery looks for the words of a full-text query: tokens by RE2, stems word by word.

A tree may hold two calls that BigQuery does not know: `STEM` of a word of the query, and
`HAS_STEM` of a token. `stemming.with_stems` puts in their place what it does know.
"""

from __future__ import annotations

from collections.abc import Sequence

import sqlglot.expressions as sge

from ...model.fulltext import Body, Grammar, Lexeme
from .forms import (
    among,
    as_text,
    call,
    field,
    float_text,
    moment,
    number,
    numeric_text,
    time_text,
    unnested,
)
from .forms import text as text_of
from .stemming import HAS_STEM, STEM
from .types import ELEMENT, LIST, data_type

# Stands in no token.
_SEPARATOR = "\x01"

# PostgreSQL keeps no more positions of one lexeme.
_MOST_POSITIONS = 256

# More than a document has places.
_WORD = 2**32

_TEXTS = frozenset(["text", "varchar", "bpchar", "name", "json", "jsonb", "uuid"])
_PLAIN = frozenset(["int", "int2", "int4", "int8", "bool", "date"])


class BigQueryFullText:
    """The part of the dialect that full-text search needs: `query.fulltext.FullTextDialect`."""

    def full_text_value(self, value: sge.Expr, type: str, in_row: bool) -> sge.Expr:
        if type in _TEXTS:
            return value
        if type == "nested":
            # A composite of two: the value, and a text that is always empty.
            return _concat('{"json":', value, ',"extra":""}') if in_row else value
        if type in ("float4", "float8"):
            return call("LOWER", float_text(value, type))
        if type == "numeric":
            return numeric_text(value)
        if type in ("timestamp", "timestamptz"):
            shown = moment(value, type)
            if not in_row:
                shown = call("REPLACE", shown, text_of("T"), text_of(" "))
                return shown if type == "timestamp" else _concat("", shown, "+00")
            return shown if type == "timestamp" else _concat("", shown, "+00:00")
        if type == "time":
            return time_text(value)
        if type.startswith("_"):
            return _array_text(value)
        return as_text(value)

    def full_text_equals(
        self, value: sge.Expr, type: str, word: sge.Expr, in_row: bool
    ) -> sge.Expr:
        return sge.EQ(this=self.full_text_value(value, type, in_row), expression=word)

    def full_text_lexeme(self, word: sge.Expr, stemmer: str | None) -> sge.Expr:
        return word if stemmer is None else call(STEM, word, text_of(stemmer))

    def full_text_may_contain(self, text: sge.Expr, lexeme: Lexeme) -> sge.Expr | None:
        if lexeme.stemmer is not None:
            return None
        place = call("STRPOS", call("LOWER", text), lexeme.value.copy())
        return sge.GT(this=place, expression=number(0))

    def full_text_is_compound(self, text: sge.Expr, lexeme: Lexeme, grammar: Grammar) -> sge.Expr:
        pattern = grammar.compound if lexeme.stemmer is None else grammar.word_compound
        return _matches(call("LOWER", text), pattern)

    def full_text_runs(
        self, text: sge.Expr, letter: sge.Expr, lexeme: Lexeme, grammar: Grammar
    ) -> sge.Expr:
        return _extract_all(call("LOWER", text), _raw(grammar.run))

    def full_text_tokens(
        self, text: sge.Expr, token: sge.Expr, grammar: Grammar, counted: bool
    ) -> sge.Expr:
        lower = call("LOWER", text)
        match = sge.column("_match")
        place = "_match_place" if counted else None
        matches = sge.select(_parts(match, grammar)).from_(
            unnested(_extract_all(lower.copy(), token), "_match", place)
        )
        if counted:
            taken = sge.not_(_matches(match, grammar.no_token))
            matches = matches.where(taken).order_by(_first("_match_place"))
        parts = call("ARRAY_TO_STRING", _array_of(matches), text_of(_SEPARATOR))
        everything = sge.func("coalesce", parts, text_of(""))
        found = call("SPLIT", everything, text_of(_SEPARATOR))
        if counted:
            # Nothing split is one empty text, which would have a place.
            found = sge.If(
                this=sge.EQ(this=everything.copy(), expression=text_of("")),
                true=_no_texts(),
                false=found,
            )
        return sge.Case(
            ifs=[sge.If(this=_matches(lower, grammar.compound), true=found)],
            default=_extract_all(lower.copy(), _raw(grammar.run)),
        )

    def full_text_contains(self, tokens: sge.Expr, lexeme: Lexeme) -> sge.Expr:
        fitting = sge.select(number(1)).from_(unnested(tokens, "_token"))
        return sge.Exists(this=fitting.where(_fits(sge.column("_token"), lexeme)))

    def full_text_count(self, tokens: sge.Expr, lexeme: Lexeme) -> sge.Expr:
        count = sge.select(sge.Count(this=sge.Star())).from_(unnested(tokens, "_token"))
        return count.where(_fits(sge.column("_token"), lexeme)).subquery()

    def full_text_positions(self, tokens: sge.Expr, lexeme: Lexeme) -> sge.Expr:
        place = sge.Add(this=sge.column("_place"), expression=number(1))
        return _array_of(
            sge.select(place)
            .from_(unnested(tokens, "_token", "_place"))
            .where(_fits(sge.column("_token"), lexeme))
            .order_by(_first("_place"))
        )

    def full_text_document(self, texts: Sequence[sge.Expr]) -> sge.Expr:
        if len(texts) == 1:
            return sge.func("coalesce", texts[0], text_of(""))
        return call("ARRAY_TO_STRING", sge.Array(expressions=list(texts)), text_of(" "))

    def full_text_blanks(self, value: sge.Expr, number: int) -> sge.Expr:
        blanks = sge.Array(expressions=[text_of("") for _ in range(number)])
        return sge.If(this=value.is_(sge.null()), true=_no_texts(), false=blanks)

    def full_text_joined(self, lists: Sequence[sge.Expr]) -> sge.Expr:
        return call("ARRAY_CONCAT", *lists)

    def full_text_date_part(self, value: sge.Expr, part: str) -> sge.Expr:
        whole = sge.Extract(this=sge.Var(this=part.upper()), expression=value)
        if part != "second":
            return whole
        micros = sge.Extract(this=sge.Var(this="MICROSECOND"), expression=value.copy())
        fraction = call("MOD", micros, number(1_000_000))
        return sge.If(
            this=sge.EQ(this=fraction, expression=number(0)), true=whole, false=sge.null()
        )

    def full_text_with(self, value: sge.Expr, body: Body) -> sge.Expr:
        source = sge.select(value.as_("_value")).subquery("_once")
        return sge.select(body(sge.column("_value"))).from_(source).subquery()

    def full_text_no_positions(self) -> sge.Expr:
        return sge.Cast(this=sge.Array(), to=data_type("ARRAY<INT64>"))

    def full_text_shift(self, positions: sge.Expr, distance: int) -> sge.Expr:
        moved = sge.Add(this=sge.column("_at"), expression=number(distance))
        return _array_of(sge.select(moved).from_(unnested(positions, "_at")))

    def full_text_union(self, a: sge.Expr, b: sge.Expr) -> sge.Expr:
        return call("ARRAY_CONCAT", a, b)

    def full_text_intersection(self, a: sge.Expr, b: sge.Expr) -> sge.Expr:
        both = sge.select(sge.column("_at")).from_(unnested(a, "_at"))
        return _array_of(both.where(among(sge.column("_at"), b)))

    def full_text_difference(self, a: sge.Expr, b: sge.Expr) -> sge.Expr:
        left = sge.select(sge.column("_at")).from_(unnested(a, "_at"))
        return _array_of(left.where(sge.not_(among(sge.column("_at"), b))))

    def full_text_not_empty(self, positions: sge.Expr) -> sge.Expr:
        return sge.GT(this=call("ARRAY_LENGTH", positions), expression=number(0))

    def full_text_weight(self, count: sge.Expr) -> sge.Expr:
        few = [
            sge.If(this=number(n), true=_double(sum(1 / each**2 for each in range(1, n + 1))))
            for n in range(3)
        ]

        def weight(once: sge.Expr) -> sge.Expr:
            limited = call("LEAST", once.copy(), number(_MOST_POSITIONS))
            return sge.Case(this=once, ifs=few, default=_sum_of_squares(limited))

        return self.full_text_with(count, weight)

    def full_text_prefix_weight(self, tokens: sge.Expr, lexeme: Lexeme) -> sge.Expr:
        # By token and not by stem, which is not known here.
        counted = (
            sge.select(sge.Count(this=sge.Star()).as_("_number"))
            .from_(unnested(tokens, "_token"))
            .where(_fits(sge.column("_token"), lexeme))
            .group_by(sge.column("_token"))
        )
        weight = sge.Sum(this=_sum_of_squares(sge.column("_number")))
        return sge.func(
            "coalesce",
            sge.select(weight).from_(counted.subquery("_counted")).subquery(),
            _double(0.0),
        )

    def full_text_proximity(self, positions: Sequence[sge.Expr]) -> sge.Expr:
        """One less the product, over all pairs of places, of one less the pair's weight."""
        # The places of all words as one list, so that each is worked out once: those of the second
        # word begin at `_WORD`, those of the third at twice that.
        places = self.full_text_joined(
            [
                self.full_text_shift(each, position * _WORD) if position else each
                for position, each in enumerate(positions)
            ]
        )
        first, second = sge.column("_first"), sge.column("_second")
        distance = call(
            "ABS",
            sge.Sub(this=call("MOD", first, _word()), expression=call("MOD", second, _word())),
        )
        # `word_distance` of tsrank.c; the root of both words' weights (0.1 each) and of it.
        slope = sge.Sub(
            this=sge.Div(this=distance.copy(), expression=_double(1.5)), expression=number(2)
        )
        curve = sge.Add(
            this=_double(1.005),
            expression=sge.Mul(this=_double(0.05), expression=call("EXP", slope)),
        )
        near = sge.Div(this=_double(0.1), expression=call("SQRT", curve))
        # BigQuery has no product: logarithms are added.
        logarithm = call("LN", sge.Sub(this=_double(1.0), expression=near))
        later = sge.LT(
            this=call("DIV", first.copy(), _word()), expression=call("DIV", second.copy(), _word())
        )

        def miss(all_places: sge.Expr) -> sge.Expr:
            total = (
                sge.select(sge.Sum(this=logarithm))
                .from_(unnested(all_places.copy(), "_first"))
                .join(unnested(all_places.copy(), "_second"), join_type="cross")
                .where(later, distance.between(number(1), number(100)))
            )
            return call("EXP", sge.func("coalesce", total.subquery(), _double(0.0)))

        return sge.Sub(this=_double(1.0), expression=self.full_text_with(places, miss))


def _word() -> sge.Expr:
    return number(_WORD)


def _array_text(value: sge.Expr) -> sge.Expr:
    """An array as JSON text, as a row shows it; null for a null."""
    structs = call("TO_JSON_STRING", field(value, LIST))
    opened = call("REPLACE", structs, text_of(f'{{"{ELEMENT}":'), text_of(""))
    closed = call("REPLACE", opened, text_of("}"), text_of(""))
    return sge.If(this=value.copy().is_(sge.null()), true=sge.null(), false=closed)


def _parts(match: sge.Expr, grammar: Grammar) -> sge.Expr:
    """The tokens that a match stands for, as one text."""
    slash = call("STRPOS", match.copy(), text_of("/"))
    before = sge.Sub(this=slash.copy(), expression=number(1))
    host = call("SUBSTR", match.copy(), number(1), before)
    whole = call("RTRIM", match.copy(), text_of("-"))
    separator = text_of(_SEPARATOR)
    return sge.Case(
        ifs=[
            sge.If(
                this=_matches(match, grammar.address),
                true=call(
                    "CONCAT",
                    *(match.copy(), separator, host, separator.copy()),
                    call("SUBSTR", match.copy(), slash),
                ),
            ),
            sge.If(
                this=sge.and_(
                    sge.GT(this=call("STRPOS", match.copy(), text_of("-")), expression=number(0)),
                    sge.not_(_matches(match, grammar.undivided)),
                ),
                true=call(
                    "CONCAT",
                    *(whole, separator.copy()),
                    call("REPLACE", whole.copy(), text_of("-"), separator.copy()),
                ),
            ),
            sge.If(
                this=_matches(match, grammar.signed_version),
                true=call("LTRIM", match.copy(), text_of("-+")),
            ),
        ],
        default=match.copy(),
    )


def _fits(token: sge.Expr, lexeme: Lexeme) -> sge.Expr:
    """Whether a token has the lexeme."""
    if lexeme.stemmer is None:
        if lexeme.prefix:
            return call("STARTS_WITH", token, lexeme.value.copy())
        return sge.In(this=token, expressions=[each.copy() for each in lexeme.spellings])
    prefix = sge.true() if lexeme.prefix else sge.false()
    same = call(HAS_STEM, token, lexeme.value.copy(), text_of(lexeme.stemmer), prefix)
    if not lexeme.stop_words:
        return same
    stopped = sge.In(this=token.copy(), expressions=[each.copy() for each in lexeme.stop_words])
    return sge.and_(same, sge.not_(stopped))


def _no_texts() -> sge.Expr:
    return sge.Cast(this=sge.Array(), to=data_type("ARRAY<STRING>"))


def _array_of(select: sge.Select) -> sge.Expr:
    return sge.Array(expressions=[select])


def _first(name: str) -> sge.Ordered:
    return sge.Ordered(this=sge.column(name), nulls_first=True)


def _matches(value: sge.Expr, pattern: str) -> sge.Expr:
    return call("REGEXP_CONTAINS", value.copy(), _raw(pattern))


def _extract_all(value: sge.Expr, pattern: sge.Expr) -> sge.Expr:
    return call("REGEXP_EXTRACT_ALL", value, pattern)


def _raw(pattern: str) -> sge.Expr:
    return sge.Literal.string(pattern)


def _concat(before: str, value: sge.Expr, after: str) -> sge.Expr:
    """The three as one text; null for a null."""
    return call("CONCAT", text_of(before), value, text_of(after))


def _double(value: float) -> sge.Expr:
    return sge.Cast(this=sge.Literal.number(repr(float(value))), to=data_type("FLOAT64"))


def _sum_of_squares(count: sge.Expr) -> sge.Expr:
    """`1/1 + 1/4 + ... + 1/count^2`"""
    place = sge.column("_term")
    term = sge.Div(
        this=_double(1.0), expression=sge.paren(sge.Mul(this=place, expression=place.copy()))
    )
    series = unnested(call("GENERATE_ARRAY", number(1), count), "_term")
    total = sge.select(sge.Sum(this=term)).from_(series)
    return sge.func("coalesce", total.subquery(), _double(0.0))
