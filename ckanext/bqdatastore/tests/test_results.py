"""The result cache: the same answer as without it, until a table changes; seen in the header."""

from __future__ import annotations

import dataclasses
import json
import logging
import os
from decimal import Decimal
from pathlib import Path
from typing import Any

import ckantoolkit as tk
import pytest
import sqlalchemy as sa
from ckan import model
from ckan.tests import factories

from ckanext.bqdatastore import config
from ckanext.bqdatastore.engines import registry
from ckanext.bqdatastore.model.query import Parameter
from ckanext.bqdatastore.query.repeatable import is_repeatable
from ckanext.bqdatastore.site import engine_of_site, place_for_query

from .permissions import new_user, private, run

TTL = f"{config.PREFIX}cache.results_ttl"
SIZE = f"{config.PREFIX}cache.results_max_mb"

pytestmark = [
    pytest.mark.usefixtures("with_plugins", "non_clean_db"),
    pytest.mark.ckan_config("ckan.datastore.sqlsearch.enabled", True),
]

FIELDS = [
    {"id": "n", "type": "int4"},
    {"id": "name", "type": "text"},
    {"id": "price", "type": "numeric"},
    {"id": "day", "type": "date"},
]
RECORDS = [
    {"n": n, "name": f"no. {n}", "price": f"{n}.25", "day": f"2026-01-{n + 1:02}"}
    for n in range(20)
]


@dataclasses.dataclass(frozen=True)
class Site:
    app: Any
    resource: str
    user: str
    token: str
    strangers_token: str

    def call(self, action: str, token: str | None = None, **data: Any) -> tuple[int, str, Any]:
        """Status, what the header says of the cache, and the result."""
        model.Session.remove()
        response = self.app.post(
            f"/api/action/{action}",
            data=json.dumps(data),
            headers={
                "Authorization": token or self.token,
                "Content-Type": "application/json",
            },
        )
        header = response.headers.get("X-Datastore-Cache", "")
        return response.status_code, header, json.loads(response.body).get("result")

    def search(self, **data: Any) -> tuple[int, str, Any]:
        return self.call("datastore_search", resource_id=self.resource, **data)

    def sql(self, text: str) -> tuple[int, str, Any]:
        return self.call("datastore_search_sql", sql=text.replace("{t}", f'"{self.resource}"'))

    def insert(self, n: int) -> None:
        records = [{"n": n, "name": "new"}]
        run(
            "datastore_upsert",
            resource_id=self.resource,
            force=True,
            method="insert",
            records=records,
        )


@pytest.fixture
def site(app: Any, monkeypatch: pytest.MonkeyPatch) -> Site:
    monkeypatch.setitem(tk.config, TTL, 3600.0)
    here = private()
    run(
        "datastore_create",
        resource_id=here.resource,
        force=True,
        fields=FIELDS,
        records=RECORDS,
    )
    token = factories.APIToken(user=here.user)["token"]
    return Site(app, here.resource, here.user, token, factories.APIToken(user=new_user())["token"])


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What the engine is asked."""
    queries: list[Any] = []
    engine = engine_of_site()
    query = engine.query

    def noting(*args: Any, **options: Any) -> Any:
        queries.append(args)
        return query(*args, **options)

    monkeypatch.setattr(engine, "query", noting)
    return queries


SEARCHES: list[dict[str, Any]] = [
    {},
    {"limit": 3, "offset": 2, "sort": "n desc"},
    {"filters": {"n": [1, 2, 3]}},
    {"q": "7"},
    {"q": "7 | 8", "plain": False},
    {"q": {"name": "no"}, "fields": ["n", "rank name"]},
    {"records_format": "csv"},
    {"records_format": "lists", "include_total": False},
    {"include_next_page": True, "limit": 5},
    {"distinct": True, "fields": ["price"]},
    {"limit": 0},
]


def test_a_search_is_answered_as_before_and_says_so(site: Site) -> None:
    for request in SEARCHES:
        first, second = site.search(**request), site.search(**request)
        assert first[:2] == (200, "miss"), request
        assert second == (200, "hit", first[2]), request


SQL = [
    "SELECT * FROM {t} ORDER BY n",
    "SELECT sum(price), max(day), count(*) FROM {t} WHERE n > 3",
    "SELECT a.n FROM {t} a JOIN {t} b ON a.n = b.n + 1 ORDER BY 1",
]


def test_sql_is_answered_as_before_and_says_so(site: Site) -> None:
    for text in SQL:
        first, second = site.sql(text), site.sql(text)
        assert first[:2] == (200, "miss"), text
        assert second == (200, "hit", first[2]), text


@pytest.mark.parametrize("format", ["csv", "tsv", "json", "xml"])
def test_a_dump_is_served_as_before_and_says_so(
    site: Site, format: str, monkeypatch: pytest.MonkeyPatch, asked: list[Any]
) -> None:
    monkeypatch.setattr("ckanext.datastore.blueprint.PAGINATE_BY", 7)

    def dump(token: str) -> tuple[int, str, bytes]:
        model.Session.remove()
        response = site.app.get(
            f"/datastore/dump/{site.resource}?format={format}", headers={"Authorization": token}
        )
        return response.status_code, response.headers.get("X-Datastore-Cache", ""), response.data

    first = dump(site.token)
    assert first[:2] == (200, "miss")
    assert first[2].count(b"no. ") == 20
    asked.clear()
    assert dump(site.token) == (200, "hit", first[2])
    assert asked == []
    assert dump(site.strangers_token)[:2] == (404, "")
    site.insert(100)
    status, header, body = dump(site.token)
    assert (status, header) == (200, "miss")
    assert b"new" in body


def test_requests_that_differ_in_a_value_or_a_type_do_not_meet(site: Site) -> None:
    for request in ({"n": 1}, {"n": 2}, {"name": "no. 1"}, {"n": [1, 2]}):
        status, header, result = site.search(filters=request)
        assert (status, header) == (200, "miss")
        assert result["total"] == (2 if request == {"n": [1, 2]} else 1)


def test_a_write_makes_it_stale(site: Site) -> None:
    assert site.search()[2]["total"] == 20
    assert site.search()[1] == "hit"
    site.insert(100)
    status, header, result = site.search()
    assert (status, header, result["total"]) == (200, "miss", 21)
    count = "SELECT count(*) AS c FROM {t}"
    assert site.sql(count)[2]["records"] == [{"c": 21}]
    run("datastore_records_delete", resource_id=site.resource, force=True, filters={"n": 100})
    assert site.sql(count)[2]["records"] == [{"c": 20}]
    changed = [*FIELDS, {"id": "more", "type": "text"}]
    run("datastore_create", resource_id=site.resource, force=True, fields=changed)
    assert "more" in site.search()[2]["records"][0]


def test_a_write_to_another_table_leaves_it(site: Site) -> None:
    other = private()
    run("datastore_create", resource_id=other.resource, force=True, fields=FIELDS, records=RECORDS)
    count = "SELECT count(*) AS c FROM {t}"
    assert [site.search()[1], site.sql(count)[1]] == ["miss", "miss"]
    for action, data in (
        ("datastore_upsert", {"method": "insert", "records": [{"n": 50}]}),
        ("datastore_records_delete", {"filters": {"n": 50}}),
        ("datastore_create", {"fields": [*FIELDS, {"id": "more", "type": "text"}]}),
        ("datastore_delete", {}),
    ):
        run(action, resource_id=other.resource, force=True, **data)
        assert [site.search()[1], site.sql(count)[1]] == ["hit", "hit"], action


def test_sql_over_two_tables_is_stale_after_a_write_to_either(site: Site) -> None:
    other = private()
    run("datastore_create", resource_id=other.resource, force=True, fields=FIELDS, records=RECORDS)
    run("organization_member_create", id=other.organization, username=site.user, role="member")
    text = f'SELECT count(*) AS c FROM {{t}} a, "{other.resource}" b WHERE a.n = b.n'
    assert [site.sql(text)[1] for _ in range(2)] == ["miss", "hit"]
    for written in (site.resource, other.resource):
        run(
            "datastore_upsert",
            resource_id=written,
            force=True,
            method="insert",
            records=[{"n": 100}],
        )
        assert [site.sql(text)[1] for _ in range(2)] == ["miss", "hit"]
    assert site.sql(text)[2]["records"] == [{"c": 21}]


# What callers in the process are given


MIXED_FIELDS = [
    {"id": "exact", "type": "numeric"},
    {"id": "many", "type": "_numeric"},
    {"id": "real", "type": "float8"},
    {"id": "big", "type": "int8"},
    {"id": "more", "type": "json"},
    {"id": "at", "type": "timestamp"},
    {"id": "yes", "type": "bool"},
    {"id": "näme", "type": "text"},
]
MIXED = [
    {
        "exact": "12345678901234567890.12345678901",
        "many": ["0.1", None, "5"],
        "real": 0.1,
        "big": 2**62 + 1,
        "more": {"a": [1, 2.5, None]},
        "at": "2026-01-01T10:00:00.123",
        "yes": True,
        "näme": 'é "quoted" \u2028',
    },
    {"exact": "5", "real": "NaN"},
    {},
]


@pytest.fixture
def mixed(site: Site) -> str:
    here = private()
    run("datastore_create", resource_id=here.resource, force=True, fields=MIXED_FIELDS)
    run(
        "datastore_upsert",
        resource_id=here.resource,
        force=True,
        method="insert",
        records=MIXED,
    )
    return here.resource


def typed(value: Any) -> Any:
    """The value with its type, and that of all in it."""
    if isinstance(value, dict):
        return {name: typed(each) for name, each in value.items()}
    if isinstance(value, list):
        return [typed(each) for each in value]
    return type(value), str(value)


@pytest.mark.parametrize("format", ["objects", "lists", "csv", "tsv"])
def test_a_search_in_the_process_is_given_the_same_values(
    mixed: str, asked: list[Any], format: str
) -> None:
    first = run("datastore_search", resource_id=mixed, records_format=format)
    assert asked
    asked.clear()
    second = run("datastore_search", resource_id=mixed, records_format=format)
    assert asked == []
    assert typed(second) == typed(first)


def test_sql_in_the_process_is_given_the_same_values(
    mixed: str, asked: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    sql = f'SELECT *, exact AS "exact 2", 1.50 AS "two", "näme" AS two FROM "{mixed}" ORDER BY _id'
    first = run("datastore_search_sql", sql=sql)
    assert isinstance(first["records"][0]["exact"], Decimal)
    asked.clear()
    second = run("datastore_search_sql", sql=sql)
    assert asked == []
    assert typed(second) == typed(first)
    monkeypatch.setitem(tk.config, TTL, 0.0)
    assert typed(run("datastore_search_sql", sql=sql)) == typed(first)


EVERY_TYPE = [
    *("1", "1::int2", "9223372036854775807", "1.50", "1.5::float8", "0.1::float4", "1.0::float8"),
    *("'NaN'::float8", "'-Infinity'::float8", "true", "'x'", "'x'::varchar", "null"),
    *("date '2026-01-01'", "time '12:00:01.5'", "timestamp '2026-01-01 10:00:00.123'"),
    *(
        "uuid 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'",
        "json '[1.50, null]'",
        "jsonb '{\"a\": 1.50}'",
    ),
    *(
        "ARRAY[1, null]",
        "ARRAY[1.5, null]",
        "ARRAY['x']",
        "ARRAY[true]",
        "ARRAY[date '2026-01-01']",
    ),
    *("ARRAY[timestamp '2026-01-01 10:00:00.123']", "ARRAY['NaN'::float8]", "ARRAY[0.1::float4]"),
    *(
        "max(day) - min(day)",
        "interval '1 year 2 months -3 days 04:05:06.007'",
        "ARRAY[interval '1 day', null]",
        "avg(price)",
        "sum(n)",
        "count(*)",
        "array_agg(price)",
        "json_agg(day)",
    ),
]


@pytest.mark.parametrize("value", EVERY_TYPE)
def test_a_value_of_every_type_is_the_same_from_the_cache(
    site: Site, asked: list[Any], value: str
) -> None:
    sql = f'SELECT {value} AS value FROM "{site.resource}"'
    first = run("datastore_search_sql", sql=sql)
    over_http = site.sql(sql)
    assert over_http[:2] == (200, "hit")
    asked.clear()
    second = run("datastore_search_sql", sql=sql)
    assert asked == []
    assert typed(second) == typed(first)
    tk.config[TTL] = 0.0  # put back by the fixture
    assert site.sql(sql) == (200, "", over_http[2])


def test_over_http_the_body_is_the_same_with_and_without_it(
    site: Site, mixed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    sysadmin = factories.SysadminWithToken()["token"]
    requests: list[tuple[str, dict[str, Any]]] = [
        ("datastore_search", {"resource_id": mixed}),
        ("datastore_search", {"resource_id": mixed, "records_format": "lists", "limit": 0}),
        ("datastore_search_sql", {"sql": f'SELECT * FROM "{mixed}" ORDER BY _id'}),
        ("datastore_search_sql", {"sql": f'SELECT * FROM "{mixed}" WHERE _id < 0'}),
    ]
    for action, data in requests:
        answers = [site.call(action, sysadmin, **data) for _ in range(2)]
        assert [header for _, header, _ in answers] == ["miss", "hit"]
        with monkeypatch.context() as off:
            off.setitem(tk.config, TTL, 0.0)
            answers.append(site.call(action, sysadmin, **data))
        assert typed(answers[0][2]) == typed(answers[1][2]) == typed(answers[2][2])


def test_rows_that_the_site_does_not_show_are_told_of(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(tk.config, "ckan.datastore.search.rows_max", 7)
    for header in ("miss", "hit"):
        _, said, result = site.sql("SELECT n FROM {t} ORDER BY n")
        assert (said, len(result["records"]), result["records_truncated"]) == (header, 7, True)


@pytest.mark.ckan_config("ckanext.bqdatastore.sql_queries_per_user", "1")
def test_an_answer_that_is_kept_takes_no_place_among_queries(site: Site) -> None:
    text = "SELECT count(*) FROM {t}"
    assert site.sql(text)[0] == 200
    with place_for_query(f"user {site.user}"):
        assert site.sql(text)[:2] == (200, "hit")
        assert site.sql("SELECT max(n) FROM {t}")[0] == 409


def test_forms_of_one_statement_do_not_meet(site: Site) -> None:
    """CSV and TSV are of one statement."""
    found = {
        format: site.search(records_format=format)[1:]
        for format in ("objects", "lists", "csv", "tsv")
    }
    assert [header for header, _ in found.values()] == ["miss"] * 4
    assert found["csv"][1]["records"] == found["tsv"][1]["records"].replace("\t", ",")


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("SELECT name AS x, n AS x FROM {t}", "SELECT name AS x, n AS x_1 FROM {t}"),
        ("SELECT '[1]'::json AS j FROM {t}", "SELECT '[1]'::json::text AS j FROM {t}"),
    ],
)
def test_outputs_of_other_names_or_types_do_not_meet(site: Site, first: str, second: str) -> None:
    site.sql(first)
    kept = site.sql(second)[2]
    tk.config[TTL] = 0
    fresh = site.sql(second)[2]
    assert kept["records"] == fresh["records"]


def test_who_may_not_see_it_is_not_given_it(site: Site) -> None:
    site.search()
    assert site.search()[1] == "hit"
    status, header, result = site.call(
        "datastore_search", site.strangers_token, resource_id=site.resource
    )
    assert (status, header, result) == (403, "", None)
    text = f'SELECT * FROM "{site.resource}"'
    assert [site.sql(text)[1] for _ in range(2)] == ["miss", "hit"]
    status, header, result = site.call("datastore_search_sql", site.strangers_token, sql=text)
    assert (status, header, result) == (403, "", None)


CHANGING = [
    "SELECT now() FROM {t}",
    "SELECT current_timestamp FROM {t}",
    "SELECT current_date FROM {t}",
    "SELECT localtimestamp FROM {t}",
    "SELECT clock_timestamp() FROM {t}",
    "SELECT statement_timestamp() FROM {t}",
    "SELECT random() FROM {t}",
    "SELECT age(day) FROM {t}",
    "SELECT 'now'::timestamp FROM {t}",
    "SELECT * FROM {t} WHERE day < 'today'::date",
    "SELECT * FROM {t} WHERE day < 'tomorrow'",
    "SELECT * FROM {t} WHERE n > 3 AND (SELECT random()) >= 0",
]


def test_sql_that_tells_the_time_or_draws_lots_is_never_kept(site: Site) -> None:
    answered = 0
    for text in CHANGING:
        statuses = [site.sql(text)[:2] for _ in range(2)]
        assert "hit" not in [header for _, header in statuses], text
        answered += statuses[0][0] == 200
    assert answered >= 8


def test_it_is_off_unless_a_setting_says_otherwise(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(tk.config, TTL, 0.0)
    assert [site.search()[:2] for _ in range(2)] == [(200, "")] * 2


def test_no_function_that_postgresql_calls_volatile_is_kept() -> None:
    """Of those that queries may call, on either engine."""
    database = sa.create_engine(os.environ["DEVSTACK_STOCK_WRITE_URL"])
    with database.connect() as connection:
        found = connection.execute(sa.text("SELECT proname FROM pg_proc WHERE provolatile = 'v'"))
        volatile = {name for (name,) in found}
    database.dispose()
    lists = [
        (Path(registry.__file__).parent / each / "allowed_functions.txt").read_text().split()
        for each in ("ducklake", "bigquery")
    ]
    allowed = volatile & {name for names in lists for name in names}
    assert allowed
    assert {name for name in allowed if is_repeatable(f"SELECT {name}(x) FROM t", {})} == set()


def test_what_is_too_big_is_not_kept(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(tk.config, SIZE, 1)
    big = [{"n": 1000 + n, "name": "x" * 1000} for n in range(2000)]
    run("datastore_upsert", resource_id=site.resource, force=True, method="insert", records=big)
    large, small = {"limit": 2000, "include_total": False}, {"limit": 5, "include_total": False}
    assert [site.search(**large)[1] for _ in range(2)] == ["miss", "miss"]
    assert [site.search(**small)[1] for _ in range(2)] == ["miss", "hit"]


def test_the_log_tells_of_a_hit(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    told = f"Answered from the result cache: objects of {site.resource}"
    with caplog.at_level(logging.INFO, "ckanext.bqdatastore.results"):
        site.search()
        assert told not in caplog.messages
        site.search()
    assert told in caplog.messages


@pytest.mark.parametrize(
    "value", ["today", "see you Tomorrow", object(), [1, 2], {"a": 1}, memoryview(b"1")]
)
def test_a_value_that_changes_or_is_not_told_by_its_text_is_not_kept(value: object) -> None:
    assert not is_repeatable("SELECT $p", {"p": Parameter(value)})
    assert is_repeatable("SELECT $p", {"p": Parameter("2026-01-01")})


@pytest.mark.parametrize(
    "statement",
    [
        'SELECT "age", "known", "updated", "randomized" FROM t',
        "SELECT CAST(x AS UUID), DATE_TRUNC('day', y), AGE(a, b) FROM t",
    ],
)
def test_words_that_only_look_alike_do_not_matter(statement: str) -> None:
    assert is_repeatable(statement, {})
