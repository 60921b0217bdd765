"""What each action asks of BigQuery: jobs, requests and tables read, as `docs/bigquery.md` has it.

The emulator's answers to "how many bytes" are always 0, so what is counted is what prices go by:
how often which columns of how many tables are read. With `BIGQUERY_COSTS=write` in the environment
the table in the page is written instead (`make bigquery-costs`).
"""

from __future__ import annotations

import dataclasses
import inspect
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlglot
import sqlglot.expressions as sge
from ckan.tests import factories

from ckanext.bqdatastore.engines.bigquery.jobs import Jobs
from ckanext.bqdatastore.loading.load import load_file
from ckanext.bqdatastore.site import close_engine

from .engines.conftest import bigqueryurls
from .engines.fault_proxy import FaultProxy
from .permissions import run

PAGE = Path(__file__).parents[3] / "docs" / "bigquery.md"
HEADER = "| action | query jobs | load jobs | requests | columns read, of 6 | least billed |"
RULE = "|---|---|---|---|---|---|"

FIELDS = [
    {"id": "name", "type": "text"},
    {"id": "n", "type": "int4"},
    {"id": "price", "type": "numeric"},
    {"id": "day", "type": "date"},
    {"id": "note", "type": "text"},
]
COLUMNS = {"_id", *(field["id"] for field in FIELDS)}
LEAST_MB = 10


def records(count: int, start: int = 0) -> list[dict[str, Any]]:
    return [
        {"name": f"no. {n}", "n": n, "price": "1.25", "day": "2026-01-31", "note": "chevaux"}
        for n in range(start, start + count)
    ]


@dataclasses.dataclass(frozen=True)
class Cost:
    """Of one action.

    :param requests: besides those that ask whether a job has ended
    :param columns: how many of the resource's columns each query reads that reads any
    :param tables: read by all queries together
    """

    action: str
    queries: int
    loads: int
    requests: int
    columns: tuple[int, ...]
    tables: int

    def line(self) -> str:
        columns = " + ".join(map(str, self.columns)) or "-"
        least = f"{self.tables * LEAST_MB} MB" if self.tables else "0"
        counts = (self.queries, self.loads, self.requests)
        return f"| {' | '.join([self.action, *map(str, counts), columns, least])} |"


class Meter:
    """A place between CKAN and the emulator where requests are counted."""

    def __init__(self, endpoint: str) -> None:
        self.proxy = FaultProxy(endpoint, lambda: None)
        self.costs: list[Cost] = []

    def of(self, name: str, action: Callable[[], Any], table: str) -> Any:
        self.proxy.asked = 0
        self.proxy.started.clear()
        self.proxy.statements.clear()
        result = action()
        reads = [_tables_read(text, table) for text in self.proxy.statements]
        self.costs.append(
            Cost(
                name,
                self.proxy.started.count("query"),
                self.proxy.started.count("load"),
                self.proxy.asked,
                tuple(columns for columns, _ in reads if columns),
                sum(tables for _, tables in reads),
            )
        )
        return result


def _tables_read(text: str, table: str) -> tuple[int, int]:
    """How many of a table's columns a statement is billed for, and of how many tables in all."""
    tree = sqlglot.parse_one(text, read="bigquery")
    # Definitions cost nothing, and neither does the table that rows are put into.
    read = tree.expression if isinstance(tree, sge.Create | sge.Insert) else tree
    if not isinstance(read, sge.Query | sge.DML):
        return 0, 0
    tables = [each for each in read.find_all(sge.Table) if each.catalog]
    own = {each.alias for each in tables if each.name == table}
    columns = {each.name for each in read.find_all(sge.Column) if each.table in own} & COLUMNS
    if own and isinstance(read, sge.DML):
        columns = COLUMNS  # to change rows is billed as to read all of them
    return len(columns), len({each.name for each in tables})


@pytest.fixture
def meter(
    ckan_config: Any, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> Iterator[Meter]:
    """A site whose tables are in the emulator, by way of a meter."""
    # The engine's tests check statements until the session ends: one request more for each.
    monkeypatch.setattr(Jobs, "_query", inspect.unwrap(Jobs._query))
    url, _ = bigqueryurls()
    endpoint = os.environ["DEVSTACK_BIGQUERY_URL"]
    made = Meter(endpoint)
    with made.proxy as proxy:
        for side in ("write", "read"):
            there = url.replace(endpoint, proxy.url)
            monkeypatch.setitem(ckan_config, f"ckan.datastore.{side}_url", there)
        for fixture in ("with_plugins", "non_clean_db"):
            request.getfixturevalue(fixture)
        yield made
        close_engine()


def test_costs_are_those_of_the_page(meter: Meter, app: Any, tmp_path: Path) -> None:
    dataset = factories.Dataset()
    resource = factories.Resource(package_id=dataset["id"])["id"]
    sysadmin = factories.SysadminWithToken()["token"]
    file = tmp_path / "things.csv"
    lines = [",".join(map(str, record.values())) for record in records(10_000)]
    file.write_text("\n".join([",".join(field["id"] for field in FIELDS), *lines]))

    def call(name: str, action: str, **data: Any) -> Any:
        def act() -> Any:
            return run(action, **{"resource_id": resource, "force": True, **data})

        return meter.of(name, act, resource)

    def search(name: str, **data: Any) -> Any:
        def act() -> Any:
            return run("datastore_search", resource_id=resource, **data)

        return meter.of(name, act, resource)

    def upsert(name: str, method: str, rows: list[dict[str, Any]]) -> None:
        call(name, "datastore_upsert", method=method, records=rows)

    call("create an empty table", "datastore_create", fields=FIELDS, primary_key=["name"])
    upsert("upsert 10,000 rows", "upsert", records(10_000))
    upsert("upsert 1 row", "upsert", records(1))
    upsert("insert 1 row", "insert", records(1, 10_000))
    upsert("update 1 row", "update", records(1))
    search("search: the first page and the total")
    search("search without total", include_total=False)
    few = {"filters": {"n": 5}, "fields": ["name", "n"]}
    search("search of 2 fields by a filter, with total: a page that is not full", **few)
    search("the same, a full page", limit=1, **few)
    search("search by `q`, with total: a page that is not full", q="horse")
    search("the same, a full page", q="chevaux", limit=1)
    search("search of a field by `q` in French, the first", q={"note": "cheval"}, language="french")
    search("the same again", q={"note": "cheval"}, language="french")

    def sql() -> Any:
        return run("datastore_search_sql", sql=f'SELECT max(n) FROM "{resource}"')

    meter.of("SQL query of one column", sql, resource)
    meter.of("info", lambda: run("datastore_info", id=resource), resource)

    def dump() -> Any:
        return app.get(f"/datastore/dump/{resource}", headers={"Authorization": sysadmin})

    meter.of("dump 10,001 rows", dump, resource)
    call("delete rows by a filter", "datastore_records_delete", filters={"n": 5})
    meter.of("`ckan bqdatastore load`", lambda: load_file(resource, file), resource)
    call("delete the table", "datastore_delete")

    table = "\n".join([HEADER, RULE, *(cost.line() for cost in meter.costs)])
    page = PAGE.read_text(encoding="utf-8")
    before, rest = page.split(HEADER)
    after = rest[rest.index("\n\n") :]
    if os.environ.get("BIGQUERY_COSTS") == "write":
        PAGE.write_text(before + table + after, encoding="utf-8")
    else:
        assert page == before + table + after
