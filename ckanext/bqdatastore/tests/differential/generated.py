"""Makes request sequences: a table of some types, rows for it, and what a client may ask of it."""

from __future__ import annotations

import datetime
import string
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from hypothesis import strategies as st

REQUESTS = 10
"""How many requests follow the making of a table."""

Draw = Callable[[st.SearchStrategy[Any]], Any]
Record = dict[str, Any]
Step = dict[str, Any]

_NAMES = (
    "a",
    "A",
    "Name",
    "two words",
    "it's",
    "100%",
    "%s",
    "{0}",
    "é 日本",
    "from",
    "x,y",
    "a.b",
)

_WORDS = (
    "Run",
    "running",
    "São Paulo",
    "a-b",
    "it's",
    "10",
    "-1.5",
    "x@y.org",
    "2013-01-02",
    "the",
)

_PLAIN = string.ascii_letters + string.digits + " ,.;'\"\\/%-_\n\tß\u00e9\u65e5\U0001f600"

texts = st.one_of(
    st.sampled_from(_WORDS),
    st.lists(st.sampled_from(_WORDS), min_size=2, max_size=4).map(" ".join),
    st.text(alphabet=_PLAIN, max_size=12),
)


def _integers(bits: int) -> st.SearchStrategy[int]:
    edge = 2 ** (bits - 1)
    return st.one_of(
        st.integers(-100, 100), st.integers(-edge, edge - 1), st.sampled_from((-edge, edge - 1))
    )


_floats = st.one_of(
    st.floats(allow_nan=False, allow_infinity=False),
    st.floats(-1000, 1000).map(lambda number: round(number, 2)),
    st.sampled_from((0.1, 1e15, 1e16, 1e-7, 123456789.125, "NaN", "Infinity", "-Infinity")),
)

_decimals = st.one_of(
    st.integers(-(10**17), 10**17),
    st.decimals(-(10**9), 10**9, places=4).map(lambda number: str(number.normalize())),
    st.sampled_from((0.5, "1e3", "-0", "12345678901234567.0625", "0.000000000000000001")),
)

_moments = st.datetimes(datetime.datetime(1, 1, 1), datetime.datetime(9999, 12, 31))


def _moment_text(moment: datetime.datetime) -> str:
    return moment.isoformat(" " if moment.second % 2 else "T")


_zones = st.sampled_from(("", "Z", "+00", "+05:30", "-08"))

_json = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-(2**53), 2**53), texts),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.sampled_from(_WORDS), inner, max_size=3)
    ),
    max_leaves=6,
)

VALUES: Mapping[str, st.SearchStrategy[Any]] = {
    "text": texts,
    "varchar": texts,
    "int2": _integers(16),
    "int4": _integers(32),
    "int8": _integers(64),
    "float4": st.sampled_from((0.5, 1.1, -3.25, 16777216, 1e10, "NaN", 0)),
    "float8": _floats,
    "numeric": _decimals,
    "bool": st.one_of(st.booleans(), st.sampled_from(("t", "no", "1"))),
    "date": st.one_of(st.dates().map(str), _moments.map(_moment_text)),
    "time": st.times().map(str),
    "timestamp": st.one_of(_moments.map(_moment_text), st.dates().map(str)),
    "timestamptz": st.builds(lambda m, zone: _moment_text(m) + zone, _moments, _zones),
    "json": _json,
    "jsonb": st.sampled_from(('{"b": 1, "a": [1, null]}', "[1.50, 2]", '"text"', "null", "{}")),
    "uuid": st.uuids().map(str),
    "_text": st.lists(st.one_of(st.none(), texts), max_size=3),
    "_int4": st.lists(st.one_of(st.none(), _integers(32)), max_size=3),
    "_float8": st.lists(st.floats(-1e6, 1e6), max_size=3),
    # Arrays of numbers do not widen yet: see the README.
    "_numeric": st.lists(st.integers(-(10**5), 10**5), max_size=3),
    "_bool": st.lists(st.booleans(), max_size=3),
}
"""API types to values that a client may send for them."""

_WRONG = st.one_of(texts, st.integers(), st.booleans(), st.lists(st.integers(), max_size=2), _json)

# PostgreSQL has no order for `json`, and one of its own for `jsonb`.
_SORTABLE = frozenset(VALUES) - {"json", "jsonb"}


def _names() -> st.SearchStrategy[str]:
    made = st.text(alphabet=string.ascii_letters + " %'é日:-", min_size=1, max_size=8)
    return st.one_of(st.sampled_from(_NAMES), made.map(str.strip).filter(bool))


class _Table:
    """A table being asked: its fields, and the values that were sent for it so far."""

    def __init__(self, draw: Draw) -> None:
        self.draw = draw
        names = draw(st.lists(_names(), min_size=1, max_size=5, unique=True))
        self.types = {name: draw(st.sampled_from(sorted(VALUES))) for name in names}
        self.key = [name for name in names[:1] if self.types[name] in ("text", "int4", "uuid")]
        if self.key and draw(st.booleans()):
            self.key = []
        self.sent: list[Record] = []
        # docs/differences.md, "Numbers given out": whether the two tables' rows may have other
        # numbers, and whether they may be in another order. No number is asked for then.
        self.is_renumbered = False
        self.is_reordered = False

    @property
    def fields(self) -> list[dict[str, Any]]:
        return [{"id": name, "type": type} for name, type in self.types.items()]

    def value(self, name: str) -> Any:
        return self.draw(st.one_of(st.none(), *[VALUES[self.types[name]]] * 5))

    def record(self) -> Record:
        record = {name: self.value(name) for name in self.types}
        if self.draw(st.integers(0, 5)) == 0:
            record.pop(self.draw(st.sampled_from(list(record))))
        self.sent.append(record)
        return record

    def records(self, most: int) -> list[Record]:
        return [self.record() for _ in range(self.draw(st.integers(1, most)))]

    def known_value(self, name: str) -> Any:
        """A value that some row may have, or another of the type."""
        known = [record[name] for record in self.sent if record.get(name) is not None]
        if known and self.draw(st.integers(0, 3)):
            return self.draw(st.sampled_from(known))
        return self.draw(VALUES[self.types[name]])

    def one(self, among: Sequence[str] | None = None) -> str:
        return str(self.draw(st.sampled_from(list(among or self.types))))

    @property
    def sortable(self) -> list[str]:
        return [name for name, type in self.types.items() if type in _SORTABLE]


def _filters(table: _Table) -> Any:
    def comparison() -> dict[str, Any]:
        name = table.one()
        compared = () if table.types[name] == "jsonb" else ("gt", "gte", "lt", "lte")
        how = table.draw(st.sampled_from(("eq", "in", *compared)))
        value = table.known_value(name)
        if how == "in":
            return {name: [value, table.known_value(name)]}
        return {name: value} if how == "eq" else {name: {how: value}}

    shapes = ("one", "one", "two", "or", "range", "wrong", *([] if table.is_renumbered else ["id"]))
    shape = table.draw(st.sampled_from(shapes))
    if shape == "or":
        return {"$or": [comparison(), comparison()]}
    if shape == "id":
        return {"_id": table.draw(st.sampled_from((1, 2, [1, 3], {"gt": 1}, {"lte": 2})))}
    if shape == "wrong":
        value = table.draw(st.one_of(_WRONG, st.none(), st.just("")))
        return {table.one(): table.draw(st.sampled_from((value, [value, value], {"gte": value})))}
    ordered = [name for name, type in table.types.items() if type != "jsonb"]
    if shape == "range" and ordered:
        name = table.one(ordered)
        low, high = table.known_value(name), table.known_value(name)
        return {name: {"gte": low, "lte": high}}
    return comparison() if shape == "one" else {**comparison(), **comparison()}


def _search(table: _Table) -> Step:
    draw = table.draw
    request: dict[str, Any] = {}
    if draw(st.booleans()):
        request["filters"] = _filters(table)
    if not table.is_renumbered and draw(st.integers(0, 3)) == 0:
        request["records_format"] = draw(st.sampled_from(("lists", "csv", "tsv")))
    if not table.is_reordered and draw(st.integers(0, 3)) == 0:
        request["limit"] = draw(st.integers(0, 3))
        request["offset"] = draw(st.integers(0, 2))
    if draw(st.integers(0, 3)) == 0:
        names = draw(st.lists(st.sampled_from(list(table.types)), min_size=1, unique=True))
        request["fields"] = names
    if draw(st.integers(0, 2)) == 0 and table.sortable:
        request["sort"] = _sort(table)
    if draw(st.integers(0, 4)) == 0:
        request["include_next_page"] = True
    if draw(st.integers(0, 5)) == 0:
        request["include_total"] = draw(st.booleans())
    return {"search": request}


def _quoted(name: str) -> str:
    return f'"{name}"'


def _sort(table: _Table) -> list[str]:
    """A definite order: PostgreSQL leaves open how equal rows follow each other."""
    ends = ("", " asc", " desc", " desc nulls last", " nulls first")
    names = table.draw(st.lists(st.sampled_from(table.sortable), unique=True, max_size=2))
    return [_quoted(name) + table.draw(st.sampled_from(ends)) for name in names] + ["_id"]


def _distinct(table: _Table) -> Step:
    names = table.draw(st.lists(st.sampled_from(table.sortable or ["_id"]), unique=True))
    names = names or ["_id"]
    sort = [_quoted(name) for name in names]
    return {"search": {"distinct": True, "fields": names, "sort": sort}}


def _full_text(table: _Table) -> Step:
    draw = table.draw
    word = draw(st.one_of(st.sampled_from(_WORDS), texts))
    request: dict[str, Any] = {"q": word, "sort": "_id"}
    if draw(st.integers(0, 2)) == 0:
        request["q"] = {table.one(): word}
    if draw(st.integers(0, 3)) == 0:
        request["plain"] = False
        request["q"] = draw(
            st.sampled_from(("run:*", "run & !paulo", "são | 10", "a <-> b", "& x"))
        )
    if draw(st.integers(0, 4)) == 0:
        request["filters"] = _filters(table)
    if draw(st.integers(0, 4)) == 0:
        request["full_text"] = draw(st.sampled_from(_WORDS))
    if not table.is_renumbered and draw(st.integers(0, 4)) == 0:
        request["records_format"] = draw(st.sampled_from(("lists", "csv")))
    if draw(st.integers(0, 4)) == 0:
        request["language"] = draw(st.sampled_from(("simple", "english", "nosuch")))
    return {"search": request}


def _insert(table: _Table) -> Step:
    shown = table.draw(st.booleans())
    table.is_renumbered |= bool(table.key)  # a key that is there: refused
    return {"upsert": {"method": "insert", "records": table.records(3), "include_records": shown}}


def _update(table: _Table) -> Step:
    if table.is_renumbered:
        return _upsert(table)
    record = table.record()
    record["_id"] = table.draw(st.integers(1, 6))
    method = table.draw(st.sampled_from(("update", "upsert")))
    table.is_renumbered = table.is_reordered = method == "upsert"
    return {"upsert": {"method": method, "records": [record], "include_records": True}}


def _upsert(table: _Table) -> Step:
    method = table.draw(st.sampled_from(("upsert", "upsert", "update")))
    records = table.records(3)
    for record in records:
        record.update({name: table.known_value(name) for name in table.key})
    table.is_renumbered = True
    shown = len(records) == 1 and table.draw(st.booleans())
    return {"upsert": {"method": method, "records": records, "include_records": shown}}


def _wrong(table: _Table) -> Step:
    record = table.record()
    record[table.one()] = table.draw(_WRONG)
    table.is_renumbered = True
    return {"upsert": {"method": "insert", "records": [record]}}


def _delete(table: _Table) -> Step:
    shown = table.draw(st.booleans())
    return {"records_delete": {"filters": _filters(table), "include_deleted_records": shown}}


def _alter(table: _Table) -> Step:
    fields = table.fields
    name = table.draw(st.sampled_from(("new", "Ñew", "n%w")))
    if name not in table.types:
        type = table.draw(st.sampled_from(sorted(VALUES)))
        fields = [*fields, {"id": name, "type": type}]
        table.types[name] = type
    table.is_renumbered |= bool(table.key)
    return {"create": {"fields": fields, "records": table.records(2)}}


def _info(table: _Table) -> Step:
    return {"info": {"include_meta": False, "include_fields_schema": False}}


_ASKED = (_search, _search, _search, _search, _distinct, _full_text, _info)
_WRITTEN = (_insert, _insert, _update, _upsert, _wrong, _delete, _alter)


@st.composite
def sequences(draw: Draw) -> list[Step]:
    """The making of a table and `REQUESTS` requests, in the form of the cases in YAML."""
    table = _Table(draw)
    create: dict[str, Any] = {"fields": table.fields, "records": table.records(6)}
    if table.key:
        create["primary_key"] = table.key
    steps: list[Step] = [{"create": create}]
    for _ in range(REQUESTS):
        makers = _WRITTEN if draw(st.integers(0, 3)) == 0 else _ASKED
        steps.append(draw(st.sampled_from(makers))(table))
    return steps
