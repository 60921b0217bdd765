"""The documents, in memory and in a file, and what can be asked of them."""

from __future__ import annotations

import json
import re
import sqlite3
import threading
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from devstack.search_stand_in.analysis import comparable, format_date, parse_date
from devstack.search_stand_in.errors import BadRequest
from devstack.search_stand_in.matching import Document, Matcher
from devstack.search_stand_in.query import Query, parse, parse_dismax, parse_edismax
from devstack.search_stand_in.schema import Kind, Schema

# A request's parameters; each may be given several times.
Parameters = Mapping[str, Sequence[str]]
Source = dict[str, Any]

_TRUE = ("true", "on", "yes", "1")


class SearchIndex:
    """Documents by their unique key. Safe to use from several threads."""

    def __init__(self, schema: Schema, path: Path | None = None) -> None:
        """
        :param path: a file that keeps the documents from one start to the next.
        """
        self.schema = schema
        self._lock = threading.RLock()
        self._documents: dict[str, tuple[Source, Document]] = {}
        self._file = sqlite3.connect(path or ":memory:", check_same_thread=False)
        self._file.execute(
            "CREATE TABLE IF NOT EXISTS document (key TEXT PRIMARY KEY, source TEXT)"
        )
        for key, source in self._file.execute("SELECT key, source FROM document"):
            fields = json.loads(source)
            self._documents[key] = (fields, self._document(fields))

    def add(self, sources: Iterable[Source]) -> None:
        """Add documents, or replace those of the same key.

        :raises BadRequest: a document does not fit the schema; then none is added.
        """
        added = {}
        for source in sources:
            fields = {
                name: self._normal(name, value)
                for name, value in {**self.schema.defaults, **source}.items()
            }
            added[self._key(fields)] = (fields, self._document(fields))
        with self._lock, self._file:
            self._documents.update(added)
            self._file.executemany(
                "INSERT OR REPLACE INTO document VALUES (?, ?)",
                [(key, json.dumps(fields)) for key, (fields, _) in added.items()],
            )

    def delete(self, keys: Iterable[str]) -> None:
        with self._lock, self._file:
            for key in keys:
                self._documents.pop(key, None)
                self._file.execute("DELETE FROM document WHERE key = ?", [key])

    def delete_matching(self, text: str) -> None:
        """Delete all documents that a query in Lucene syntax finds."""
        query, matcher = parse(text, default_operator="OR"), Matcher(self.schema, {"text": 1.0})
        with self._lock:
            self.delete(
                [
                    key
                    for key, (_, document) in self._documents.items()
                    if matcher.score(query, document) is not None
                ]
            )

    def select(self, parameters: Parameters) -> dict[str, Any]:
        """Answer a search with Solr's JSON response, less its header.

        :raises BadRequest: a parameter cannot be understood.
        """
        start, rows = _integer(parameters, "start", 0), _integer(parameters, "rows", 10)
        found = self._find(parameters)
        self._sort(found, _one(parameters, "sort", "score desc"))
        response: dict[str, Any] = {
            "response": {
                "numFound": len(found),
                "start": start,
                "numFoundExact": True,
                "docs": [
                    self._stored(source, score, parameters.get("fl", []))
                    for source, _, score in found[start : start + rows]
                ],
            }
        }
        if _one(parameters, "facet", "false").lower() in _TRUE:
            response["facet_counts"] = {
                "facet_queries": {},
                "facet_fields": {
                    field: self._facet(field, [document for _, document, _ in found], parameters)
                    for field in parameters.get("facet.field", [])
                },
                "facet_ranges": {},
                "facet_intervals": {},
                "facet_heatmaps": {},
            }
        return response

    def _find(self, parameters: Parameters) -> list[tuple[Source, Document, float]]:
        query, matcher = self._query(parameters)
        operator = _one(parameters, "q.op", "OR")
        plain = Matcher(
            self.schema, {_one(parameters, "df", "text"): 1.0}, all_terms=operator.upper() == "AND"
        )
        filters = [parse(text, default_operator=operator) for text in parameters.get("fq", [])]
        found = []
        with self._lock:
            documents = list(self._documents.values())
        for source, document in documents:
            if all(plain.score(each, document) is not None for each in filters):
                score = matcher.score(query, document)
                if score is not None:
                    found.append((source, document, score))
        return found

    def _query(self, parameters: Parameters) -> tuple[Query, Matcher]:
        text = _one(parameters, "q", "*:*")
        parser = _one(parameters, "defType", "lucene")
        operator = _one(parameters, "q.op", "OR")
        default_field = _one(parameters, "df", "text")
        if parser == "lucene":
            matcher = Matcher(
                self.schema, {default_field: 1.0}, all_terms=operator.upper() == "AND"
            )
            return parse(text, default_operator=operator), matcher
        if parser not in ("dismax", "edismax"):
            raise BadRequest(f"The search stand-in has no query parser {parser}")
        matcher = Matcher(
            self.schema,
            _weights(_one(parameters, "qf", default_field)),
            tie=float(_one(parameters, "tie", "0")),
        )
        minimum = _one(parameters, "mm", "100%" if operator.upper() == "AND" else "0%")
        read = parse_dismax if parser == "dismax" else parse_edismax
        return read(text, minimum_match=minimum), matcher

    def _sort(self, found: list[tuple[Source, Document, float]], order: str) -> None:
        steps = []
        for step in filter(None, (part.strip() for part in order.split(","))):
            named = re.fullmatch(r"(\S+)\s+(asc|desc)", step, re.IGNORECASE)
            if not named:
                raise BadRequest(
                    "Can't determine a Sort Order (asc or desc) in sort spec "
                    f"'{order}', pos={len(step)}"
                )
            steps.append((named[1], named[2].lower() == "desc"))
        # The last step first: sorting keeps the order of equals.
        for name, descending in reversed(steps):
            if name == "score":
                found.sort(key=lambda each: each[2], reverse=descending)
                continue
            field = self.schema.field(name)
            if "(" in name:
                raise BadRequest(f"The search stand-in cannot sort by a function: {name}")
            if field.multi_valued or field.kind.is_text:
                raise BadRequest(f"can not sort on multivalued field: {name}")

            def key(each: tuple[Source, Document, float], name: str = name) -> Any:
                value = each[1].values(name)[0]
                return comparable(self.schema.field(name).kind, value)

            present = [each for each in found if each[1].values(name)]
            missing = [each for each in found if not each[1].values(name)]
            present.sort(key=key, reverse=descending)
            last = field.sorts_missing_last or descending
            found[:] = [*present, *missing] if last else [*missing, *present]

    def _facet(
        self, field: str, documents: list[Document], parameters: Parameters
    ) -> list[str | int]:
        def setting(name: str, default: str) -> str:
            return _one(
                parameters, f"f.{field}.facet.{name}", _one(parameters, f"facet.{name}", default)
            )

        counts: Counter[str] = Counter()
        for document in documents:
            counts.update(
                {
                    term
                    for positions in document.terms(field)
                    for alternatives in positions
                    for term in alternatives
                }
            )
        limit, least = int(setting("limit", "100")), int(setting("mincount", "0"))
        by_count = setting("sort", "count" if limit > 0 else "index") == "count"
        kept = sorted((term, count) for term, count in counts.items() if count >= least)
        if by_count:
            kept.sort(key=lambda each: -each[1])
        if limit >= 0:
            kept = kept[:limit]
        return [part for pair in kept for part in pair]

    def _stored(self, source: Source, score: float, names: Sequence[str]) -> Source:
        wanted = [name for part in names for name in re.split(r"[\s,]+", part) if name]
        stored = {name: value for name, value in source.items() if self.schema.field(name).stored}
        if wanted and "*" not in wanted:
            stored = {name: value for name, value in stored.items() if name in wanted}
        return {**stored, "score": score} if "score" in wanted else stored

    def _normal(self, name: str, value: Any) -> Any:
        """The value as Solr gives it back: dates in one form, to the millisecond."""
        if self.schema.field(name).kind is Kind.DATE and isinstance(value, str):
            return format_date(parse_date(value))
        return value

    def _key(self, source: Source) -> str:
        key = source.get(self.schema.unique_key)
        if not key:
            raise BadRequest(
                f"Document is missing mandatory uniqueKey field: {self.schema.unique_key}"
            )
        return str(key)

    def _document(self, source: Source) -> Document:
        values: dict[str, list[str]] = {}
        for name, value in source.items():
            field = self.schema.field(name)
            texts = [_text(self._key(source), name, each) for each in _as_list(value)]
            if len(texts) > 1 and not field.multi_valued:
                raise BadRequest(
                    f"ERROR: [doc={self._key(source)}] multiple values encountered for non "
                    f"multiValued field {name}: {texts}"
                )
            for text in texts:
                if field.kind in (Kind.DATE, Kind.NUMBER):
                    comparable(field.kind, text)
            for target in {name, *self.schema.copies(name)}:
                values.setdefault(target, []).extend(texts)
        return Document(self.schema, values)


def _as_list(value: Any) -> list[Any]:
    return [each for each in (value if isinstance(value, list) else [value]) if each is not None]


def _text(key: str, name: str, value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (dict, list)):
        raise BadRequest(f"ERROR: [doc={key}] Error adding field '{name}'='{value}'")
    return str(value)


def _one(parameters: Parameters, name: str, default: str) -> str:
    values = parameters.get(name)
    return values[-1] if values else default


def _integer(parameters: Parameters, name: str, default: int) -> int:
    text = _one(parameters, name, str(default))
    try:
        number = int(text)
    except ValueError:
        raise BadRequest(f'For input string: "{text}"') from None
    if number < 0:
        raise BadRequest(f"'{name}' parameter cannot be negative")
    return number


def _weights(text: str) -> dict[str, float]:
    """``name^4 text`` as fields with their weights."""
    weights = {}
    for part in text.split():
        name, _, weight = part.partition("^")
        weights[name] = float(weight or 1)
    return weights
