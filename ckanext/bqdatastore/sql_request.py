"""A request of SQL: whose tables it reads, and the answer.

CKAN's dicts in, the guard's tree to the engine, Python values or their JSON text out.
"""

from __future__ import annotations

import dataclasses
import logging
import math
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from decimal import Decimal
from typing import Any, TypedDict
from weakref import WeakKeyDictionary

import ckantoolkit as tk
import msgspec
import pyarrow as pa
from ckan.lib.lazyjson import LazyJSONObject

from . import config, results
from .callers import name_of_caller, whether_gone
from .engines.base import Engine
from .model.errors import AnswerTooLarge, DatastoreFault, InvalidRequest, NotPermitted, Unsupported
from .model.query import Query, ShapedQuery
from .model.recent import Recent
from .model.table import Table
from .model.tree_size import one_statement
from .query import guard, table_metadata
from .query.fulltext import vectors
from .records import formats
from .search_request import seconds_allowed
from .site import place_for_query

log = logging.getLogger(__name__)

_MEGABYTE = 1024 * 1024
_TakePlace = Callable[[], None]


def answer(engine: Engine, context: Any, data_dict: dict[str, Any]) -> None:
    """Run the request's `sql`, and put `records` and `fields` into its dict.

    :raises InvalidRequest, NotPermitted, QueryTimeout, QueryCancelled, QueryFailed, TooManyQueries:
    """
    sql = data_dict.get("sql")
    if not isinstance(sql, str):
        raise InvalidRequest("sql", "Must be a text" if sql else "Missing value")
    with _place_when_needed(context) as take_place:
        _answer(engine, context, data_dict, sql, take_place)


@contextmanager
def _place_when_needed(context: Any) -> Iterator[Callable[[], None]]:
    """A place among its caller's queries, which the first call takes.

    Not only the engine works for a query: a long one takes seconds to be understood.
    """
    with ExitStack() as place:
        taken = False

        def take() -> None:
            nonlocal taken
            if not taken:
                place.enter_context(place_for_query(name_of_caller(context)))
                taken = True

        yield take


def _answer(
    engine: Engine, context: Any, data_dict: dict[str, Any], sql: str, take_place: _TakePlace
) -> None:
    if len(sql) > _LONGEST_KEPT:
        take_place()
    with _refused_at_worst(sql):
        parsed = guard.parse(sql)
    tables: dict[str, Table] = {}
    real_names = []
    for name in parsed.tables:
        real = engine.resolve(name)
        real_names.append(real or name)
        known = engine.describe(real) if real else None
        if known is not None:
            tables[name] = known
    # Whether a table is hidden or absent must not show: both are refused here alike.
    try:
        context["check_access"](real_names)
    except tk.ObjectNotFound:
        raise NotPermitted("Not authorized to read resource.") from None
    if table_metadata.NAME in parsed.tables:
        tables[table_metadata.NAME] = table_metadata.listing(engine.tables(), engine.aliases())
    limit = config.rows_max()
    query, outputs = _bound(engine, sql, parsed, tables, limit, take_place)
    fields = [(field.id, field.form) for field in outputs]

    def make() -> _Answer:
        take_place()
        rows = _rows(engine, query, seconds_allowed(context))
        _check_names(rows, fields)
        shown = _with_vectors(engine, rows.slice(0, limit), fields)
        with _refused_at_worst(sql):
            return _Answer(formats.python_records(shown, fields), rows.num_rows > limit)

    form = _form(fields, lazy="api_version" in context)
    try:
        found = results.body(engine, query, real_names, form, make)
    except RecursionError:
        # Nested deeper than the engine's statement can be written out.
        raise InvalidRequest(guard.MESSAGE, "Query is too deeply nested") from None
    if found.truncated:
        data_dict["records_truncated"] = True
    data_dict["records"] = found.records
    data_dict["fields"] = [{"id": field.id, "type": field.type} for field in outputs]


@dataclasses.dataclass(frozen=True)
class _Binding:
    """What a text came to over some tables.

    :param tables: they are known by their identity, so they stay
    :param rows: how many rows the tables had at most, of which that was asked
    """

    tables: Mapping[str, Table]
    rows: Mapping[str, float]
    outputs: tuple[guard.OutputField, ...]


_KEPT_BINDINGS = 500
_LONGEST_KEPT = 10_000  # letters
_bindings: WeakKeyDictionary[Engine, Recent[Hashable, _Binding]] = WeakKeyDictionary()


def _bound(
    engine: Engine,
    sql: str,
    parsed: guard.ParsedSQL,
    tables: Mapping[str, Table],
    limit: int,
    take_place: _TakePlace,
) -> tuple[Query, tuple[guard.OutputField, ...]]:
    """The query over the tables, of which the caller may read every one, and what it gives.

    To bind and translate a query may take longer than to run it, so the ends of it are kept. Who
    asks again has been authorized anew.
    """
    listing = tables.get(table_metadata.NAME)
    described = {known.name: known for known in tables.values() if known is not listing}
    rows: dict[str, float] = {}
    most_bytes = int(config.sql_max_answer_mb() * _MEGABYTE)

    def most_rows(name: str) -> float:
        rows[name] = _most_rows(engine, described[name]) if name in described else math.inf
        return rows[name]

    def bind() -> tuple[Query, tuple[guard.OutputField, ...]]:
        with _refused_at_worst(sql), one_statement():
            bound = guard.bind(parsed, tables, engine.allowed_functions, limit + 1, most_rows)
            outputs = [(field.id, field.form) for field in bound.fields]
            tree = engine.dialect.translate(bound.query.tree)
            if isinstance(listing, table_metadata.Listing):
                tree = table_metadata.listed(tree, listing)
            tree = engine.dialect.bounded(tree, outputs, most_bytes)
        return Query(tree, bound.query.parameters), bound.fields

    kept = _bindings.setdefault(engine, Recent(_KEPT_BINDINGS))
    key = (sql, limit, tuple((name, id(known)) for name, known in tables.items()))
    binding = kept.get(key)
    made: Query | None = None
    if binding is not None and all(most_rows(name) == binding.rows[name] for name in binding.rows):
        outputs = binding.outputs
    else:
        take_place()
        made, outputs = bind()
        if listing is None and len(sql) <= _LONGEST_KEPT:
            kept.put(key, _Binding(tables, dict(rows), outputs))
    types = (f"{name} {known.name} {known.types!r}" for name, known in tables.items())
    shape = ("sql", sql, str(limit), str(most_bytes), repr(rows), repr(listing), *types)
    return ShapedQuery(shape, tuple(described), {}, lambda: made or bind()[0]), outputs


@contextmanager
def _refused_at_worst(sql: str) -> Iterator[None]:
    """The last line of defence: what breaks on a query refuses it, and is logged."""
    try:
        yield
    except DatastoreFault:
        raise
    except Exception:
        # Whatever it is: the query is at fault, or we are, but not the site that the caller asks.
        log.exception("datastore_search_sql broke down on: %.2000s", sql)
        raise InvalidRequest(guard.MESSAGE, "The query could not be understood") from None


def _rows(engine: Engine, query: Query, seconds: float | None) -> pa.Table:
    """
    :raises InvalidRequest: they are more than fit
    """
    megabytes = config.sql_max_answer_mb()
    try:
        return engine.query(query, seconds, whether_gone()).read_all(megabytes * _MEGABYTE)
    except AnswerTooLarge:
        raise _too_large() from None


def _too_large() -> InvalidRequest:
    return InvalidRequest(
        "query",
        f"The answer is larger than {config.sql_max_answer_mb():g} MB "
        f"({config.PREFIX}sql.max_answer_mb); "
        "ask for fewer rows or columns, or for shorter texts",
    )


_AROUND_A_VALUE = 8  # bytes
_ROOM_FOR_NAMES = 2
"""Of the limit for an answer: so many times as much may the names of its columns take as JSON."""


def _check_names(rows: pa.Table, fields: Sequence[tuple[str, str]]) -> None:
    """Each row is given out with the names of its columns, which the engine does not count.

    :raises InvalidRequest: that would be too much
    """
    row = sum(len(name.encode()) + _AROUND_A_VALUE for name, _ in fields)
    if rows.num_rows * row > _ROOM_FOR_NAMES * config.sql_max_answer_mb() * _MEGABYTE:
        raise _too_large()


class _Answer(msgspec.Struct):
    """
    :param records: a list of dictionaries, or their text
    :param truncated: whether there are more than the site shows
    """

    records: Any
    truncated: bool


_to_msgpack = msgspec.msgpack.encode
_from_msgpack = msgspec.msgpack.Decoder(tuple[str, bool]).decode
_to_json = msgspec.json.Encoder(decimal_format="number").encode


def _form(fields: Sequence[tuple[str, str]], lazy: bool) -> results.Form[_Answer]:
    """Records are kept as JSON. One statement may stand for outputs of other names and types.

    :param lazy: whether the API's view writes the text as it is; everybody else wants values
    """

    def to_bytes(made: _Answer) -> bytes:
        return _to_msgpack((_to_json(made.records).decode(), made.truncated))

    def from_bytes(kept: bytes) -> _Answer:
        text, truncated = _from_msgpack(kept)
        if text == "[]":
            return _Answer([], truncated)
        return _Answer(LazyJSONObject(text) if lazy else _values(text, fields), truncated)

    return results.Form(f"SQL {config.rows_max()} {list(fields)!r}", to_bytes, from_bytes)


def _values(text: str, fields: Sequence[tuple[str, str]]) -> Any:
    """Records from JSON, with the exact numbers that were made into it."""
    kinds: dict[str, Any] = {
        "numeric": Decimal | None,
        "_numeric": list[Decimal | None] | None,
    }
    # Not a class: names of columns may be any text.
    record = TypedDict("record", {name: kinds.get(type, Any) for name, type in fields})  # type: ignore[misc]
    return msgspec.json.decode(text, type=list[record])


def _most_rows(engine: Engine, known: Table) -> float:
    """How many rows a table has at most: every row has a number, and no number is given twice."""
    try:
        return engine.next_id(known) - 1
    except Unsupported:
        return math.inf


def _with_vectors(engine: Engine, rows: pa.Table, fields: Sequence[tuple[str, str]]) -> pa.Table:
    """The rows with the documents of `_full_text` columns as PostgreSQL shows vectors."""
    dialect: Any = engine.dialect

    def stems(words: Sequence[str]) -> dict[str, str]:
        query = vectors.stems_query(words, dialect)
        found = engine.query(query).read_all()
        return dict(zip(*(each.to_pylist() for each in found.columns), strict=True))

    for position, (_, type) in enumerate(fields):
        if type == "tsvector":
            texts = vectors.vectors(rows.column(position).to_pylist(), stems)
            name = rows.column_names[position]
            rows = rows.set_column(position, name, pa.array(texts, pa.string()))
    return rows
