"""PostgreSQL's SQL as data, sent to the stock backend and to ours: the answers are equal.

The tables are made once on each side. Their aliases are the names by which the queries know them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml
from ckan.tests import factories

from ckanext.bqdatastore.tests.engines import postgresql_tables
from ckanext.bqdatastore.tests.engines.test_ducklake_translate import CASES, SAME, query

from .harness import STOCK, Answer, Client, active, differences
from .known import compared

HERE = Path(__file__).parent / "sql"


def _read(name: str) -> Any:
    return yaml.safe_load((HERE / name).read_text(encoding="utf-8"))


TABLES = _read("tables.yaml")
QUERIES = [sql for section in _read("queries.yaml").values() for sql in section]
SHARED = [query(case) for _, case in SAME][::4] + CASES["refused"][::4]
"""Some of what is compared below CKAN, on a table `t` of every type: all would take minutes."""

LEAST_EQUAL = 300


def _every_type() -> dict[str, Any]:
    """The table of the cases below CKAN, as a client makes it."""
    fields = [{"id": name, "type": kind} for name, (kind, _) in postgresql_tables.columns()]
    names = [field["id"] for field in fields]
    records = [dict(zip(names, row[1:], strict=True)) for row in postgresql_tables.rows()]
    return {"fields": fields, "records": records}


def _asked(
    client: Client, resources: Sequence[str], tables: Mapping[str, Any], queries: Sequence[str]
) -> list[Answer]:
    for resource_id, (alias, table) in zip(resources, tables.items(), strict=True):
        request = {"resource_id": resource_id, "aliases": [alias], "force": True, **table}
        made = client.call("datastore_create", request)
        assert made.status == 200, made
    return [client.call("datastore_search_sql", {"sql": sql}) for sql in queries]


def _unlisted(app: Any, tables: Mapping[str, Any], queries: Sequence[str]) -> tuple[list[str], int]:
    """The differences that no kind explains, and how many queries have equal answers."""
    client = Client(app, factories.SysadminWithToken()["token"])
    resources = [factories.Resource()["id"] for _ in tables]
    with active(STOCK):
        stock = _asked(client, resources, tables, queries)
        for resource_id in resources:
            client.call("datastore_delete", {"resource_id": resource_id, "force": True})
    ours = _asked(client, resources, tables, queries)
    found, equal = [], 0
    for sql, a, b in zip(queries, stock, ours, strict=True):
        steps = [{"search_sql": {"sql": sql}}]
        found += [f"{sql}\n    {each.difference}" for each in compared(steps, [a], [b])]
        equal += not differences(a, b)
    return found, equal


@pytest.mark.usefixtures("with_plugins", "clean_tables")
def test_queries_over_real_tables_have_the_same_answers(app: Any) -> None:
    found, equal = _unlisted(app, TABLES, QUERIES)
    assert not found, "\n".join(found)
    assert equal >= LEAST_EQUAL


@pytest.mark.usefixtures("with_plugins", "clean_tables")
def test_cases_of_the_translation_have_the_same_answers(app: Any) -> None:
    found, _ = _unlisted(app, {postgresql_tables.NAME: _every_type()}, SHARED)
    assert not found, "\n".join(found)


@pytest.mark.ckan_config("ckan.datastore.search.rows_max", 4)
@pytest.mark.usefixtures("with_plugins", "clean_tables")
def test_what_is_too_long_is_cut_at_the_same_row(app: Any) -> None:
    queries = [
        "select _id from trees order by _id",
        "select _id from trees order by _id desc limit 4",
        "select _id from trees order by _id limit 5",
        "select code from districts order by code",
        "select code from districts union all select code from districts order by 1",
        "select a from nothing_yet",
        "select count(*) from trees",
        "values (1), (2), (3), (4), (5)",
        "with t as (select _id from trees) select * from t order by _id offset 5",
        "select _id from trees order by _id offset 6",
    ]
    found, equal = _unlisted(app, TABLES, queries)
    assert not found, "\n".join(found)
    assert equal == len(queries)
