"""SQL over the API: whatever is asked, the answer is bounded, and no internal server error."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import ckantoolkit as tk
import pytest
from ckan.tests import factories

from ckanext.bqdatastore import sql_request
from ckanext.bqdatastore.model.errors import InvalidRequest
from ckanext.bqdatastore.query import guard

MB = "ckanext.bqdatastore.sql.max_answer_mb"

pytestmark = pytest.mark.usefixtures("with_plugins", "clean_tables")


@pytest.fixture
def table() -> str:
    resource = factories.Resource()
    tk.get_action("datastore_create")(
        {"ignore_auth": True},
        {
            "resource_id": resource["id"],
            "aliases": "trees",
            "force": True,
            "fields": [
                *({"id": "species", "type": "text"}, {"id": "height", "type": "numeric"}),
                *({"id": "planted", "type": "date"}, {"id": "more", "type": "json"}),
            ],
            "records": [
                {"species": "oak", "height": n, "planted": "2020-01-02"} for n in range(90)
            ],
        },
    )
    return str(resource["id"])


def ask(app: Any, sql: str) -> Any:
    return app.post(
        "/api/action/datastore_search_sql",
        data=json.dumps({"sql": sql}),
        headers={"Content-Type": "application/json"},
    )


@pytest.mark.ckan_config(MB, "1")
def test_a_large_answer_is_refused_by_its_limit_and_the_next_is_given(app: Any, table: str) -> None:
    answer = ask(app, "SELECT repeat(species, 9000) AS x FROM trees")
    assert answer.status_code == 409
    (message,) = answer.json["error"]["query"]
    assert MB in message
    assert "larger than 1 MB" in message
    small = ask(app, "SELECT repeat(species, 900) AS x FROM trees")
    assert small.status_code == 200
    assert len(small.json["result"]["records"]) == 90


def test_the_limit_holds_over_the_batches_of_an_answer_together(
    app: Any, table: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    sql = (
        "SELECT repeat('x', 100) AS x FROM trees a, trees b, trees c "
        "WHERE c.height < 2"  # 16,200 rows, a batch of which has 2,048
    )
    monkeypatch.setitem(tk.config, MB, "2")
    assert ask(app, sql).status_code == 200
    monkeypatch.setitem(tk.config, MB, "1")
    answer = ask(app, sql)
    assert answer.status_code == 409
    assert MB in answer.json["error"]["query"][0]


@pytest.mark.ckan_config(MB, "0.1")
def test_names_of_columns_count_for_each_row(app: Any, table: str) -> None:
    columns = ", ".join(f"true AS {'x' * 50}{place:04}" for place in range(1_000))
    answer = ask(app, f"SELECT {columns} FROM trees")
    assert answer.status_code == 409
    assert MB in answer.json["error"]["query"][0]
    assert ask(app, f"SELECT {columns} FROM trees LIMIT 2").status_code == 200


@pytest.mark.ckan_config("ckanext.bqdatastore.sql_queries_per_user", "1")
@pytest.mark.parametrize("sql", ["SELECT max(height) FROM trees", f"SELECT {'1,' * 6_000}1"])
def test_a_query_has_its_place_while_it_is_translated(
    app: Any, table: str, monkeypatch: pytest.MonkeyPatch, sql: str
) -> None:
    taken = []

    @contextmanager
    def place(caller: str | None) -> Iterator[None]:
        taken.append(True)
        try:
            yield
        finally:
            taken.clear()

    def refused(*_: Any, **__: Any) -> Any:
        raise InvalidRequest("query", f"with {len(taken)} place")

    monkeypatch.setattr(sql_request, "place_for_query", place)
    monkeypatch.setattr(guard, "bind", refused)
    assert ask(app, sql).json["error"]["query"] == ["with 1 place"]
    assert taken == []


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT 'infinity'::date AS x",
        "SELECT '-infinity'::timestamp AS x",
        "SELECT 'infinity'::timestamptz AS x",
        "SELECT '20000-01-01'::date AS x",
        "SELECT make_date(-44, 3, 15) AS x",
        "SELECT make_date(20000, 1, 1) AS x FROM trees",
        "SELECT planted + 5000000 AS x FROM trees",
        "SELECT planted + interval '170000000 years' AS x FROM trees",
        "SELECT array_agg('infinity'::date) AS x FROM trees",
        f"SELECT {'9' * 5_000}",
        f"SELECT species FROM trees LIMIT {'9' * 5_000}",
        "SELECT '1e999999999'::numeric",
        f"SELECT interval '{'9' * 5_000} days'",
        'SELECT "array"(species) FROM trees',
        'SELECT "grouping"(1)',
        f"SELECT {'initcap(' * 50}species{')' * 50} FROM trees",
        f"SELECT {'(' * 25}height{' / 3)' * 25} FROM trees",
        f"SELECT {'(' * 40}height{' / 3 + 1)' * 40} FROM trees",
        f"SELECT {'1/(' * 16}height::int{')' * 16} FROM trees",
        "SELECT species LIKE ANY (ARRAY["
        + ", ".join(f"'%a{place}%'" for place in range(2_000))
        + "]) FROM trees",
        f"SELECT '{'[' * 90_000}{']' * 90_000}'::json AS x",
        "SELECT '1e400'::json AS x",
        "SELECT more #> '{--5}' AS x FROM trees",
        f"SELECT species ~ '{'(' * 4_000}{')' * 4_000}' FROM trees",
        f"SELECT num_nulls({'height, ' * 600}1) FROM trees",
        "SELECT more" + "->'a'" * 55 + " FROM trees",
        "SELECT more::jsonb ?| '{}' FROM trees",
        "SELECT make_time(24, 0, 0), make_time(23, 59, 60)",
        "SELECT '24:00'::interval::time, time '23:59:59.9999999'",
        "SELECT *, * FROM (" * 14 + "SELECT species FROM trees" + ") x" * 14,
    ],
    ids=lambda sql: sql[:40],
)
def test_nothing_ends_in_an_internal_server_error(app: Any, table: str, sql: str) -> None:
    assert ask(app, sql).status_code in (200, 403, 409)


@pytest.mark.parametrize("fault", [ValueError, OverflowError, RecursionError, AttributeError])
def test_what_breaks_the_guard_is_a_refusal_and_is_logged(
    fault: type[Exception],
    app: Any,
    table: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def broken(*_: Any, **__: Any) -> Any:
        raise fault("it broke")

    monkeypatch.setattr(guard, "bind", broken)
    with caplog.at_level(logging.ERROR, logger="ckanext.bqdatastore.sql_request"):
        answer = ask(app, "SELECT species FROM trees")
    assert answer.status_code == 409
    assert "The query could not be understood" in str(answer.json["error"])
    (record,) = caplog.records
    assert "SELECT species FROM trees" in record.getMessage()
    assert record.exc_info is not None
    assert record.exc_info[0] is fault
