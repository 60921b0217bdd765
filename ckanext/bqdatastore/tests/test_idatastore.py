"""`IDatastore` plugins that add fragments of PostgreSQL: as on the stock backend, or refused."""

from __future__ import annotations

import copy
import dataclasses
import datetime
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from ckan import plugins
from ckan.tests import factories

from ckanext.bqdatastore import ckan_versions

from .differential.harness import OURS, STOCK, Answer, Client, active, both, differences

PLUGIN = "sample_datastore_plugin"
"""CKAN's own plugin of that interface, which here adds what a test says."""

FIELDS = [
    {"id": "name", "type": "text"},
    {"id": "age", "type": "int4"},
    {"id": "height", "type": "numeric"},
    {"id": "born", "type": "timestamp"},
    {"id": "tags", "type": "_text"},
    {"id": "Odd % é", "type": "text"},
]
RECORDS = [
    {"name": "Ada", "age": 36, "height": 1.65, "born": "1815-12-10", "tags": ["a", "b"]},
    {"name": "Grace", "age": 85, "height": 1.7, "born": "1906-12-09T12:30:01", "tags": []},
    {"name": "Alan's", "age": None, "height": None, "born": None, "Odd % é": "it's"},
    {"name": "alice", "age": 36, "height": 2, "born": "2001-02-03", "tags": ["c"]},
]

Step = Mapping[str, Any]

pytestmark = [
    pytest.mark.ckan_config("ckan.plugins", f"datastore bqdatastore {PLUGIN}"),
    pytest.mark.usefixtures("with_plugins", "clean_tables"),
]


@dataclasses.dataclass(frozen=True)
class Added:
    """What the plugin adds to a query, or puts in the place of what is there."""

    where: Sequence[Any] = ()
    select: Sequence[str] = ()
    sort: Sequence[str] = ()
    instead: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    first: bool = False
    as_iterators: bool = False

    def to(self, query: dict[str, Any]) -> dict[str, Any]:
        for key in ("where", "select", "sort"):
            there, added = query.get(key, []), list(getattr(self, key))
            if added:
                query[key] = added + there if self.first else there + added
        query.update(self.instead)
        if self.as_iterators:
            query["where"] = iter(copy.deepcopy(query["where"]))
        return query


def _plugin_adds(patch: pytest.MonkeyPatch, added: Added) -> None:
    plugin = plugins.get_plugin(PLUGIN)
    assert plugin is not None
    for hook in ("datastore_search", "datastore_delete"):
        patch.setattr(plugin, hook, lambda context, data, types, query: added.to(query))


def _client(app: Any) -> tuple[Client, str]:
    return Client(app, factories.SysadminWithToken()["token"]), factories.Resource()["id"]


WHERE: Mapping[str, Sequence[Any]] = {
    "bound values": [('"age" BETWEEN :least AND :most', {"least": 30, "most": 40})],
    "two of them": [("age > :a", {"a": 30}), ("name <> :b", {"b": "Ada"})],
    "or": [('"age" < :min OR "age" > :max', {"min": 40, "max": 80})],
    "no values": [("age IS NULL",)],
    "text to a number": [("age = :age", {"age": "36"})],
    "quotes in a value": [("name = :name", {"name": "Alan's"})],
    "SQL in a value": [("name = :name", {"name": "x') OR 1=1 --"})],
    "pattern": [("name ILIKE :like", {"like": "a%"})],
    "list": [("name = ANY(:names)", {"names": ["Ada", "alice"]})],
    "tuple": [("name IN :names", {"names": ("Ada", "alice")})],
    "null": [("age = :nothing", {"nothing": None})],
    "date": [("born < :day", {"day": datetime.date(1900, 1, 1)})],
    "moment as text": [("born >= :day", {"day": "1906-12-09T12:30:01"})],
    "casts": [("age::text = :age AND born::date = :day", {"age": "36", "day": "1815-12-10"})],
    "functions": [("lower(name) = :name AND length(name) = 3", {"name": "ada"})],
    "float": [("height > :height", {"height": 1.65})],
    "large number": [("age < :age", {"age": 2**40})],
    "boolean": [("(age > 40) = :old", {"old": True})],
    "value of another plugin": [("age > :a", {"a": 40}), ("age > :a - 10",)],
    "odd name": [('"Odd % é" = :it', {"it": "it's"})],
    "an escaped colon": [("name <> '\\:x'",)],
}


def test_conditions_choose_the_same_rows(app: Any, monkeypatch: Any) -> None:
    steps: list[Step] = [{"search": {}}, {"search": {"filters": {"_id": [1, 2, 4]}}}]
    cases = {name: Added(where=where) for name, where in WHERE.items()}
    assert _different(app, monkeypatch, cases, steps) == {}


def test_conditions_may_come_as_copies_and_once_only(app: Any, monkeypatch: Any) -> None:
    client, resource_id = _client(app)
    request = {"resource_id": resource_id, "force": True, "fields": FIELDS, "records": RECORDS}
    assert client.call("datastore_create", request).status == 200
    added = Added(where=[("age > :least", {"least": 40})], as_iterators=True)
    _plugin_adds(monkeypatch, added)
    search = {"resource_id": resource_id, "filters": {"name": ["Ada", "Grace"]}}
    found = client.call("datastore_search", search).body["records"]
    assert [row["name"] for row in found] == ["Grace"]


def test_conditions_choose_what_is_deleted(app: Any, monkeypatch: Any) -> None:
    deletion = {"records_delete": {"filters": {"name": ["Ada", "Grace"]}}}
    client, resource_id = _client(app)
    create = {"create": {"fields": FIELDS, "records": RECORDS}}
    _plugin_adds(monkeypatch, Added(where=WHERE["pattern"]))
    for stock, ours in zip(*both(client, resource_id, [create, deletion]), strict=True):
        assert differences(stock, ours) == []
    _plugin_adds(monkeypatch, Added())
    left = client.call("datastore_search", {"resource_id": resource_id}).body["records"]
    assert {row["name"] for row in left} == {"Grace", "Alan's", "alice"}


SELECT = {
    "a name of its own": Added(select=['age * 2 AS "twice %"']),
    "no name": Added(select=["lower(name)"]),
    "first": Added(select=["age + 1 AS next"], first=True),
    "a field by another name": Added(select=["age AS years", "height AS h"]),
    "text": Added(select=["name || ' is ' || age::text AS said"]),
    "case": Added(select=["CASE WHEN age > 40 THEN 'old' ELSE 'young' END AS how"]),
    "instead of all": Added(instead={"select": ['"name"', "coalesce(age, -1) AS age"]}),
    "with sort": Added(select=["age % 10 AS digit"], sort=["age % 10 DESC NULLS LAST", "name"]),
}


def test_columns_are_added(app: Any, monkeypatch: Any) -> None:
    steps: list[Step] = [
        {"search": {"limit": 3}},
        {"search": {"fields": ["name"]}},
        {"search": {"records_format": "csv"}},
    ]
    assert _different(app, monkeypatch, SELECT, steps) == {}


def test_added_moments_look_as_the_fields_do(app: Any, monkeypatch: Any) -> None:
    client, resource_id = _client(app)
    request = {"resource_id": resource_id, "fields": FIELDS, "records": RECORDS, "force": True}
    assert client.call("datastore_create", request).status == 200
    _plugin_adds(monkeypatch, Added(select=["born AS birth"]))
    records = client.call("datastore_search", {"resource_id": resource_id}).body["records"]
    assert [row["birth"] for row in records] == [row["born"] for row in records]
    assert records[0]["born"]


SORT = {
    "an expression": Added(sort=["length(name) DESC", "name"]),
    "a field": Added(sort=['"name" desc']),
    "nulls": Added(sort=["age DESC NULLS LAST", "_id DESC"]),
    "two in one": Added(sort=["age NULLS FIRST, name"]),
    "by _id": Added(sort=['"_id" desc']),
    "before the request's": Added(sort=["age"], first=True),
    "instead of the request's": Added(instead={"sort": ["lower(name)"]}),
    "limit and offset": Added(instead={"limit": 2, "offset": 1}),
    "distinct": Added(instead={"distinct": True, "select": ["age"], "sort": ["age"]}),
}


def test_rows_are_ordered(app: Any, monkeypatch: Any) -> None:
    steps: list[Step] = [
        {"search": {}},
        {"search": {"sort": "name desc"}},
    ]
    if ckan_versions.SHOWS_FILTERS:  # CKAN 2.11 knows no next page, and limits before `distinct`
        steps.append({"search": {"include_next_page": True, "limit": 2}})
    assert _different(app, monkeypatch, SORT, steps) == {}


def _different(
    app: Any, patch: pytest.MonkeyPatch, cases: Mapping[str, Added], steps: Sequence[Step]
) -> dict[str, list[str]]:
    """For each case where a client could tell the backends apart, or stock refuses it: how."""
    client, resource_id = _client(app)
    request = {"resource_id": resource_id, "fields": FIELDS, "records": RECORDS, "force": True}
    answers: dict[str, dict[str, list[Answer]]] = {}
    for backend in (STOCK, OURS):
        with active(backend):
            _plugin_adds(patch, Added())
            assert client.call("datastore_create", request).status == 200
            answers[backend] = {}
            for name, added in cases.items():
                _plugin_adds(patch, added)
                answers[backend][name] = [
                    client.call("datastore_search", {"resource_id": resource_id, **step["search"]})
                    for step in steps
                ]
    found: dict[str, list[str]] = {}
    for name in cases:
        for stock, ours in zip(*(answers[each][name] for each in (STOCK, OURS)), strict=True):
            refused = [f"stock: {stock.body}"] if stock.status != 200 else []
            if different := refused or differences(stock, ours):
                found.setdefault(name, []).extend(different)
    return found


REFUSED = {
    "two expressions": Added(where=[("age > 1, age < 3",)]),
    "out of the brackets": Added(where=[("1=1) OR (1=1",)]),
    "another clause": Added(where=[("1=1) FROM pg_class WHERE (1=1",)]),
    "two statements": Added(where=[("1=1; DROP TABLE x",)]),
    "a comment": Added(where=[("age > 1 -- ",), ("no such",)]),
    "a sub-query": Added(where=[("age IN (SELECT 1)",)]),
    "no value": Added(where=[("age > :nothing_of_that",)]),
    "no column": Added(where=[("nosuch > 1",)]),
    "values without names": Added(where=[("age > %s", 5)]),
    "no function": Added(where=[("pg_sleep(1) IS NULL",)]),
    "no condition": Added(where=[("age + 1",)]),
    "a value in a text": Added(where=[("name = ' :a '", {"a": 1})]),
    "a number without end": Added(where=[("age < :a", {"a": 10**5000})]),
    "a text that is none": Added(where=[("name = :a", {"a": "\ud800"})]),
    "no end of depth": Added(where=[(f"{'initcap(' * 40}name{')' * 40} = 'x'",)]),
    "no end of length": Added(select=[f"{'repeat(name, 90000) || ' * 4} name AS long"]),
    "an aggregate": Added(select=["count(*) AS n"]),
    "a window": Added(select=["row_number() OVER () AS n"]),
    "a table": Added(select=["1 AS one FROM pg_class"]),
    "a position": Added(sort=["1"]),
    "a limit": Added(sort=["age LIMIT 1"]),
}


def test_what_cannot_be_joined_is_refused_by_name(app: Any, monkeypatch: Any) -> None:
    client, resource_id = _client(app)
    request = {"resource_id": resource_id, "force": True, "fields": FIELDS, "records": RECORDS}
    assert client.call("datastore_create", request).status == 200
    for name, added in REFUSED.items():
        _plugin_adds(monkeypatch, added)
        answer = client.call("datastore_search", {"resource_id": resource_id})
        assert answer.status == 409, name
        (message,) = answer.body["query"]
        sent = [each[0] for each in added.where] + [*added.select, *added.sort]
        assert message.startswith(f"Plugin {PLUGIN} added "), name
        assert any(repr(each) in message for each in sent), name
