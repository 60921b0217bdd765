"""Whether a document answers a query, and how well."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from devstack.search_stand_in.analysis import (
    Positions,
    comparable,
    has_gram,
    index_terms,
    query_terms,
)
from devstack.search_stand_in.query import (
    Boolean,
    Everything,
    Occur,
    Phrase,
    Query,
    Range,
    Term,
    Wildcard,
)
from devstack.search_stand_in.schema import Kind, Schema


class Document:
    """The values of one document by field, copies included, cut into terms when first asked."""

    def __init__(self, schema: Schema, values: Mapping[str, list[str]]) -> None:
        self._schema = schema
        self._values = values
        self._terms: dict[str, list[Positions]] = {}

    def values(self, field: str) -> list[str]:
        return self._values.get(field, [])

    def terms(self, field: str) -> list[Positions]:
        """For each of the field's values its terms by position."""
        if field not in self._terms:
            kind = self._schema.field(field).kind
            self._terms[field] = [index_terms(kind, value) for value in self.values(field)]
        return self._terms[field]


@dataclass(frozen=True)
class Matcher:
    """Scores documents.

    :param fields: what a query without a field looks in, with each one's weight.
    :param tie: how much the fields beside the best one add to a score.
    :param all_terms: whether a word that is cut into several terms needs all of them.
    """

    schema: Schema
    fields: Mapping[str, float]
    tie: float = 0.0
    all_terms: bool = False

    def score(self, query: Query, document: Document) -> float | None:
        """How well `document` matches, None if it does not."""
        if isinstance(query, Boolean) and all(
            occur is Occur.MUST_NOT for occur, _ in query.clauses
        ):
            # On the top level "nothing but" means "everything but"; so Solr has it.
            everything = Boolean(((Occur.MUST, Everything()), *query.clauses))
            return self._score(everything, document) if query.clauses else None
        return self._score(query, document)

    def _score(self, query: Query, document: Document) -> float | None:
        if isinstance(query, Everything):
            return query.boost
        if isinstance(query, Boolean):
            return self._boolean(query, document)
        if query.field is not None:
            found = self._field_score(query, query.field, document)
            return None if found is None else found * query.boost
        scores = [
            found * weight
            for field, weight in self.fields.items()
            if (found := self._field_score(query, field, document)) is not None
        ]
        if not scores:
            return None
        best = max(scores)
        return query.boost * (best + self.tie * (sum(scores) - best))

    def _boolean(self, query: Boolean, document: Document) -> float | None:
        total, optional, required = 0.0, 0, False
        asked = False
        for occur, clause in query.clauses:
            if self._is_empty(clause):
                continue
            asked = asked or occur is not Occur.MUST_NOT
            found = self._score(clause, document)
            if occur is Occur.MUST_NOT:
                if found is not None:
                    return None
                continue
            required = required or occur is Occur.MUST
            if found is None:
                if occur is Occur.MUST:
                    return None
                continue
            optional += occur is Occur.SHOULD
            total += found
        minimum = query.minimum or 0
        if not required:
            minimum = max(minimum, 1)
        return total * query.boost if asked and optional >= minimum else None

    def _is_empty(self, query: Query) -> bool:
        """Whether nothing is left of a word once it is cut into terms, as with a lone ``&``."""
        if not isinstance(query, (Term, Phrase)):
            return False
        fields = [query.field] if query.field is not None else list(self.fields)
        return not any(query_terms(self.schema.field(field).kind, query.text) for field in fields)

    def _field_score(
        self, query: Term | Phrase | Wildcard | Range, field: str, document: Document
    ) -> float | None:
        kind = self.schema.field(field).kind
        if isinstance(query, Range):
            return 1.0 if self._in_range(query, kind, document.values(field)) else None
        if isinstance(query, Wildcard):
            return 1.0 if _has_pattern(query.pattern, field, kind, document) else None
        if kind is Kind.TEXT_NGRAM:
            return _gram_score(query.text, document.values(field))
        if not kind.is_text:
            wanted = comparable(kind, query.text)
            same = any(comparable(kind, value) == wanted for value in document.values(field))
            return 1.0 if same else None
        terms = query_terms(kind, query.text)
        if not terms:
            return None
        if isinstance(query, Phrase):
            count = sum(_phrase_count(terms, positions) for positions in document.terms(field))
            return _weight(count, document.terms(field))
        counts = [_term_count(term, document.terms(field)) for term in terms]
        if (all if self.all_terms else any)(counts):
            return _weight(sum(counts), document.terms(field))
        return None

    @staticmethod
    def _in_range(query: Range, kind: Kind, values: list[str]) -> bool:
        low = None if query.low is None else comparable(kind, query.low)
        high = None if query.high is None else comparable(kind, query.high)

        def within(text: str) -> bool:
            # Both sides come from `comparable` with one kind, so they are of one type.
            value = comparable(kind, text)
            above = low is None or value > low or (query.includes_low and value == low)  # type: ignore[operator]
            below = high is None or value < high or (query.includes_high and value == high)  # type: ignore[operator]
            return above and below

        return any(within(value) for value in values)


def _has_pattern(pattern: str | None, field: str, kind: Kind, document: Document) -> bool:
    if pattern is None:
        return bool(document.values(field))
    compiled = re.compile(pattern.lower() if kind.is_text else pattern, re.DOTALL)
    return any(
        compiled.fullmatch(term)
        for positions in document.terms(field)
        for alternatives in positions
        for term in alternatives
    )


def _gram_score(text: str, values: list[str]) -> float | None:
    words = text.split()
    found = bool(words) and any(all(has_gram(value, word) for word in words) for value in values)
    return 1.0 if found else None


def _term_count(term: str, values: list[Positions]) -> int:
    return sum(term in alternatives for positions in values for alternatives in positions)


def _phrase_count(terms: list[str], positions: Positions) -> int:
    return sum(
        all(term in positions[start + place] for place, term in enumerate(terms))
        for start in range(len(positions) - len(terms) + 1)
    )


def _weight(count: int, values: list[Positions]) -> float | None:
    """More for more often, less for in longer text."""
    length = sum(len(positions) for positions in values)
    return count / (count + 0.3 + 0.03 * length) if count else None
