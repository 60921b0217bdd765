"""What is measured: each line's request, as data."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from .tables import KEY, Subject

ANONYMOUS, ORDINARY, SYSADMIN = "anonymous", "ordinary", "sysadmin"


@dataclasses.dataclass(frozen=True)
class Request:
    """One HTTP request, without who asks: with a body it is a POST."""

    path: str
    body: bytes | None = None

    @classmethod
    def action(cls, name: str, **data: Any) -> Request:
        return cls(f"/api/3/action/{name}", json.dumps(data).encode())


@dataclasses.dataclass(frozen=True)
class Line:
    """A request that is asked again and again of one table.

    :param make: the request for a resource; the number is another one each time
    :param before: a request of the same round that is asked first and not timed
    :param limited: whether the answer is a read, of which raw DuckDB can show the limit
    """

    name: str
    make: Callable[[str, int], Request]
    caller: str = ORDINARY
    before: Callable[[str, int], Request] | None = None
    limited: bool = True


def _search(**data: Any) -> Callable[[str, int], Request]:
    def make(resource: str, number: int) -> Request:
        return Request.action("datastore_search", resource_id=resource, **data)

    return make


def _sql(text: str) -> Callable[[str, int], Request]:
    def make(resource: str, number: int) -> Request:
        return Request.action("datastore_search_sql", sql=text.format(f'"{resource}"'))

    return make


def _info(resource: str, number: int) -> Request:
    return Request.action("datastore_info", resource_id=resource)


def _dump(resource: str, number: int) -> Request:
    return Request(f"/datastore/dump/{resource}")


def read_lines(subject: Subject) -> Iterator[Line]:
    """Every way to read a table."""
    a, b = subject.few
    join, restricted = subject.joined
    for caller in (ANONYMOUS, ORDINARY, SYSADMIN):
        yield Line(f"search default, {caller}", _search(), caller)
    yield Line("search without total", _search(include_total=False))
    yield Line("search by key", _search(filters={"_id": subject.rows // 2}))
    yield Line("search by two text filters", _search(filters=dict(subject.texts)))
    yield Line("search by range", _search(filters=dict(subject.range)))
    yield Line("search sorted by number", _search(sort=f"{subject.number} desc"))
    yield Line("search at 90% offset", _search(offset=subject.rows * 9 // 10))
    keyset = {"_id": {"gt": subject.rows * 9 // 10}}
    yield Line(
        "search keyset page",
        _search(filters=keyset, sort="_id", include_total=False, include_next_page=True),
    )
    yield Line("search q rare", _search(q=subject.rare))
    yield Line("search q common", _search(q=subject.common))
    yield Line("search distinct", _search(fields=[a, b], distinct=True, sort=a))
    yield Line("search 32,000 rows", _search(limit=32_000))
    yield Line(
        "SQL group",
        _sql(
            f'SELECT "{a}", "{b}", count(*) AS n, avg("{subject.number}") AS mean '
            f'FROM {{0}} GROUP BY "{a}", "{b}" ORDER BY n DESC'
        ),
    )
    yield Line(
        "SQL self-join",
        _sql(
            f"SELECT count(*) AS n FROM (SELECT * FROM {{0}} WHERE {restricted}) AS x "
            f'JOIN {{0}} AS y ON x."{join}" = y."{join}"'
        ),
    )
    yield Line(
        "SQL window",
        _sql(
            f'SELECT * FROM (SELECT "{a}", "{subject.number}", row_number() OVER '
            f'(PARTITION BY "{a}" ORDER BY "{subject.number}" DESC NULLS LAST, _id) AS place '
            "FROM {0}) AS ranked WHERE place <= 3 ORDER BY 1, 3"
        ),
    )
    yield Line(
        "SQL count distinct", _sql(f'SELECT count(DISTINCT "{subject.different}") AS n FROM {{0}}')
    )
    yield Line("info", _info)
    yield Line("dump csv", _dump)


def write_lines(sample: Sequence[dict[str, Any]], rows: int) -> Iterator[Line]:
    """Every way to write to a table whose primary key is `key`.

    :param sample: records of the table, to write again under other keys
    :param rows: how many the table has before; the keys from 1 on are theirs
    """

    def write(method: str, count: int, new: bool) -> Callable[[str, int], Request]:
        def make(resource: str, number: int) -> Request:
            # New keys never meet each other, known ones are each written once in a while.
            start = rows + 1 + number * count if new else 1 + number * count % (rows - count)
            changed = [
                {**sample[position % len(sample)], KEY: start + position}
                for position in range(count)
            ]
            return Request.action(
                "datastore_upsert",
                resource_id=resource,
                method=method,
                records=changed,
                force=True,
            )

        return make

    def delete(resource: str, number: int) -> Request:
        known = {KEY: 1 + number * 7 % rows}
        return Request.action("datastore_delete", resource_id=resource, filters=known, force=True)

    yield Line("insert 1", write("insert", 1, new=True), limited=False)
    # Far from the keys that other lines give out.
    yield Line(
        "insert 1,000",
        lambda resource, number: write("insert", 1_000, new=True)(resource, number + 1_000),
        limited=False,
    )
    yield Line("upsert 1", write("upsert", 1, new=False), limited=False)
    yield Line("upsert 1,000", write("upsert", 1_000, new=False), limited=False)
    yield Line("delete by filter", delete, limited=False)
    yield Line(
        "search right after a write",
        _search(),
        before=write("upsert", 1, new=False),
        limited=False,
    )


MIXED = (
    "search default, ordinary",
    "search by key",
    "search by two text filters",
    "search sorted by number",
    "SQL group",
    "info",
)
"""The lines that eight clients ask for in turn."""


def chosen(names: Sequence[str], wanted: str) -> list[str]:
    """The names that the words of `wanted` ask for, in order; all where it is empty.

    The words are read from left to right: each name is the longest run of words that begins a
    name, `insert 1` before `insert`. A name written out is that line alone, a beginning all that
    begin so.

    :raises ValueError: words that begin no name
    """
    words = wanted.split()
    found: set[str] = set()
    while words:
        for length in range(len(words), 0, -1):
            start = " ".join(words[:length])
            matching = [name for name in names if _begins(name, start)]
            if matching:
                found.update([start] if start in names else matching)
                words = words[length:]
                break
        else:
            raise ValueError(f'no line begins with "{words[0]}"')
    return [name for name in names if not wanted.split() or name in found]


def _begins(name: str, start: str) -> bool:
    plain = name.replace(",", "")
    return plain == start or plain.startswith(f"{start} ") or name == start
