"""What the BigQuery engine asks for, and what becomes of rows when answers fail."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import sqlglot.expressions as sge

from ckanext.bqdatastore.engines.base import Engine, EngineSettings
from ckanext.bqdatastore.engines.bigquery import jobs
from ckanext.bqdatastore.engines.bigquery.engine import BigQueryEngine
from ckanext.bqdatastore.model.errors import (
    DatastoreFault,
    EngineUnavailable,
    Misconfigured,
    QueryFailed,
)
from ckanext.bqdatastore.model.files import FileSource
from ckanext.bqdatastore.model.query import ParameterNames, Query, bound, column, table
from ckanext.bqdatastore.model.table import ID, Field, Table
from ckanext.bqdatastore.model.write import Deletion, Rows, TableChange, Write, WriteMode

from .fault_proxy import KINDS, FaultProxy, random_faults
from .test_contract import everything, rows, write

ENGINE_KINDS = ("bigquery",)

ENDPOINT = os.environ.get("DEVSTACK_BIGQUERY_URL", "")
THINGS = Table("things", (Field("name", "text"), Field("n", "int4")), primary_key=("name",))
FAULTS = 100


def through(
    settings: EngineSettings,
    address: str,
    options: tuple[tuple[str, str], ...] = (),
    caller: Callable[[], str | None] = lambda: None,
) -> BigQueryEngine:
    """An engine on the same dataset by another address."""
    url = settings.write_url.replace(ENDPOINT, address)
    return BigQueryEngine(
        EngineSettings(url, url, Path(), statement_timeout=60.0, options=options, caller=caller)
    )


@pytest.fixture
def things(engine: Engine) -> Table:
    engine.apply(TableChange(None, THINGS))
    return THINGS


@pytest.fixture
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the engine try again at once: what it does then is the same."""
    monkeypatch.setattr(jobs, "_FIRST_PAUSE", 0.01)
    monkeypatch.setattr(jobs, "_LONGEST_PAUSE", 0.05)


@pytest.fixture
def counted(
    engine: Engine, settings: EngineSettings, things: Table
) -> Iterator[Callable[[Callable[[Engine], Any]], dict[str, int]]]:
    """How many jobs of each kind an action starts."""
    with (
        FaultProxy(ENDPOINT, lambda: None) as proxy,
        closing(through(settings, proxy.url)) as counted,
    ):

        def jobs_of(action: Callable[[Engine], Any]) -> dict[str, int]:
            proxy.started.clear()
            action(counted)
            return {kind: proxy.started.count(kind) for kind in ("load", "query")}

        yield jobs_of


def csv_of(content: dict[str, int], folder: Path) -> FileSource:
    """A file of things."""
    file = folder / "things.csv"
    lines = ["name,n", *(f"{name},{n}" for name, n in content.items())]
    file.write_text("\n".join(lines) + "\n")
    types = tuple((field.id, field.type) for field in THINGS.fields)
    return FileSource(file, "csv", (), THINGS.field_ids, types)


def many(count: int, start: int = 0) -> Rows:
    names = pa.array([f"thing {n}" for n in range(start, start + count)])
    data = pa.table({"name": names, "n": pa.array(range(count), pa.int32())})
    return Rows(data, ("name",), tuple(range(count)))


def test_labels_tell_the_user_of_each_job(settings: EngineSettings, things: Table) -> None:
    users = iter(["5f3c", None])
    page = Query(sge.select(column("name")).from_(table("things")))
    site = (("site", "Our Site"),)
    with (
        FaultProxy(ENDPOINT, lambda: None) as proxy,
        closing(through(settings, proxy.url, site, lambda: next(users))) as labelled,
    ):
        labelled.query(page)
        labelled.query(page)
    same = {"site": "our_site", "action": "search", "resource": "things"}
    assert proxy.labels == [{**same, "user": "5f3c"}, same]


@pytest.mark.parametrize(
    ("type", "truncated"),
    [
        ("date", "PARTITION BY DATE_TRUNC(`Day`, MONTH)"),
        ("timestamp", "PARTITION BY DATETIME_TRUNC(`Day`, MONTH)"),
        ("timestamptz", "PARTITION BY TIMESTAMP_TRUNC(`Day`, MONTH)"),
        ("text", None),
    ],
)
def test_new_tables_are_partitioned(
    engine: Engine, settings: EngineSettings, type: str, truncated: str | None
) -> None:
    days = Table("days", (Field("Day", type), Field("n", "int4")))
    with (
        FaultProxy(ENDPOINT, lambda: None) as proxy,
        closing(through(settings, proxy.url, (("bigquery.partition_by", "Day"),))) as partitioning,
    ):
        batch = rows(days, [{"Day": None, "n": 1}])
        partitioning.apply(TableChange(None, days, Write(WriteMode.INSERT, (batch,))))
        assert len(everything(partitioning, days)) == 1
    (created,) = [text for text in proxy.statements if text.startswith("CREATE TABLE")]
    assert truncated in created if truncated else "PARTITION" not in created


def test_a_dry_run_refuses_what_costs_too_much(
    engine: Engine, settings: EngineSettings, things: Table
) -> None:
    engine.apply(TableChange(things, things, Write(WriteMode.UPSERT, (many(3),))))
    page = Query(sge.select(column("name")).from_(table("things")))
    limit = (("bigquery.maximum_bytes_billed", "20000000"),)
    with (
        FaultProxy(ENDPOINT, lambda: None, dry_run_bytes=20_000_001) as proxy,
        closing(through(settings, proxy.url, limit)) as limited,
    ):
        with pytest.raises(QueryFailed, match=r'read 20000001 bytes of "things".* 20000000 '):
            limited.query(page)
        assert proxy.started == []
    with (
        FaultProxy(ENDPOINT, lambda: None, dry_run_bytes=20_000_000) as proxy,
        closing(through(settings, proxy.url, limit)) as limited,
    ):
        assert limited.query(page).read_all().num_rows == 3
        assert proxy.started == ["query"]


def test_jobs_of_each_action(counted: Callable[[Any], dict[str, int]], tmp_path: Path) -> None:
    upsert = TableChange(THINGS, THINGS, Write(WriteMode.UPSERT, (many(10_000),)))
    names = ParameterNames()
    condition = column("n") > names.bind(5, "int8")
    page = sge.select(column("name")).from_(table("things")).order_by(column(ID)).limit(100)
    total = sge.select(sge.Count(this=sge.Star())).from_(table("things"))
    filtered = bound(total.copy().where(condition.copy()), names.values)
    delete = Deletion(THINGS, Query(condition, names.values))
    new = rows(THINGS, [{"name": "new", "n": 1}])
    file = csv_of({f"thing {n}": n for n in range(10_000)}, tmp_path)
    keyless = dataclasses.replace(THINGS, name="keyless", primary_key=())

    def search(engine: Engine) -> None:
        engine.query(Query(page)).read_all()
        engine.query(Query(total)).read_all()

    def filtered_search(engine: Engine) -> None:
        engine.query(Query(page)).read_all()
        engine.query(filtered).read_all()

    actions: dict[str, tuple[Callable[[Engine], Any], dict[str, int]]] = {
        "upsert of 10,000": (lambda e: e.apply(upsert), {"load": 1, "query": 1}),
        "insert with a key": (
            lambda e: write(e, THINGS, "insert", new),
            {"load": 1, "query": 2},
        ),
        "search and its total": (search, {"load": 0, "query": 1}),
        "search and a filtered total": (filtered_search, {"load": 0, "query": 2}),
        "info": (lambda e: (e.describe("things"), e.statistics(THINGS)), {"load": 0, "query": 0}),
        "is it there": (lambda e: e.resolve("things"), {"load": 0, "query": 0}),
        "all tables": (lambda e: (e.tables(), e.aliases()), {"load": 0, "query": 0}),
        "delete": (lambda e: e.delete(delete), {"load": 0, "query": 1}),
        "load with a key": (lambda e: e.load(THINGS, file), {"load": 1, "query": 2}),
        "load without": (lambda e: e.load(keyless, file), {"load": 1, "query": 1}),
        "drop": (lambda e: e.drop("things"), {"load": 0, "query": 0}),
    }
    assert {name: counted(action) for name, (action, _) in actions.items()} == {
        name: jobs for name, (_, jobs) in actions.items()
    }


@pytest.mark.parametrize("kind", KINDS)
def test_one_fault_of_each_request_is_overcome(
    kind: str, engine: Engine, settings: EngineSettings, things: Table, short_pauses: None
) -> None:
    """Request by request: the first is spoiled once, then the second, and so on."""
    place = [0, 0]

    def choose() -> str | None:
        place[0] += 1
        return kind if place[0] == place[1] else None

    with FaultProxy(ENDPOINT, choose) as proxy, closing(through(settings, proxy.url)) as spoiled:
        for number in range(1, 40):
            before = len(proxy.injected)
            place[:] = [0, number]
            batch = rows(THINGS, [{"name": f"{number} a", "n": 1}, {"name": f"{number} b", "n": 2}])
            write(spoiled, THINGS, "insert", batch)
            assert engine.row_count(THINGS) == 2 * number
            if len(proxy.injected) == before:
                break
        else:
            pytest.fail("an insert makes fewer requests than that")
    found = everything(engine, THINGS)
    assert len({row[ID] for row in found}) == len(found)


def test_rows_are_those_acknowledged_whatever_fails(
    engine: Engine, settings: EngineSettings, things: Table, short_pauses: None, tmp_path: Path
) -> None:
    expected: dict[str, int] = {}
    refused = 0
    choose = random_faults(0.2, seed=5)
    with FaultProxy(ENDPOINT, choose) as proxy, closing(through(settings, proxy.url)) as spoiled:
        number = 0
        while len(proxy.injected) < FAULTS:
            number += 1
            after = _changed(expected, number)
            try:
                _change(spoiled, expected, number, tmp_path)
            except DatastoreFault:
                refused += 1
                found = _stored(engine)
                assert found in (expected, after), "a write is wholly in or wholly out"
                after = found
            expected = after
            assert _stored(engine) == expected
    assert refused, "some of them were more than could be overcome"
    numbers = [row[ID] for row in everything(engine, THINGS)]
    assert len(set(numbers)) == len(numbers)


def _names(number: int) -> list[str]:
    return [f"{number} {letter}" for letter in "abc"]


def _changed(known: dict[str, int], number: int) -> dict[str, int]:
    """What the rows are after the change of that number."""
    if number % 7 == 0:
        return {**dict(list(known.items())[:5]), **dict.fromkeys(_names(number), number)}
    if number % 3 == 0:
        return {name: n for name, n in known.items() if n % 3}
    if number % 3 == 1:
        return {**known, **dict.fromkeys(_names(number), number)}
    return {**known, **dict.fromkeys([*_names(number), *list(known)[:2]], number)}


def _change(engine: Engine, known: dict[str, int], number: int, folder: Path) -> None:
    if number % 7 == 0:
        engine.load(THINGS, csv_of(_changed(known, number), folder))
        return
    if number % 3 == 0:
        names = ParameterNames()
        third = sge.EQ(
            this=sge.Mod(this=column("n"), expression=names.bind(3, "int8")),
            expression=names.bind(0, "int8"),
        )
        engine.delete(Deletion(THINGS, Query(third, names.values)))
        return
    mode, changed = "insert", _names(number)
    key: tuple[str, ...] = ()
    if number % 3 == 2:
        mode, changed, key = "upsert", [*_names(number), *list(known)[:2]], ("name",)
    batch = rows(THINGS, [{"name": name, "n": number} for name in changed], key)
    write(engine, THINGS, mode, batch)


def _stored(engine: Engine) -> dict[str, int]:
    return {row["name"]: row["n"] for row in everything(engine, THINGS)}


def test_a_dataset_that_is_gone_is_one_clear_error(settings: EngineSettings) -> None:
    gone = settings.write_url.replace("/test_", "/gone_")
    with (
        closing(BigQueryEngine(EngineSettings(gone, gone, Path()))) as engine,
        pytest.raises(Misconfigured, match="there is no dataset gone_"),
    ):
        engine.open()


@pytest.mark.parametrize(
    ("status", "reason", "message"),
    [
        (403, "quotaExceeded", "a quota is used up"),
        (403, "accessDenied", "refused access to .*: bigquery.tables.getData is missing"),
        (403, "billingNotEnabled", "is not enabled"),
        (404, "notFound", "does not exist any more"),
    ],
)
def test_a_refusal_is_one_clear_error(
    status: int,
    reason: str,
    message: str,
    engine: Engine,
    things: Table,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from google.api_core.exceptions import from_http_status
    from google.cloud import bigquery

    text = "Permission bigquery.tables.getData denied on table things (secret-token)"

    def refuse(*_: Any, **__: Any) -> Any:
        raise from_http_status(status, text, errors=[{"reason": reason, "message": text}])

    monkeypatch.setattr(bigquery.Client, "query", refuse)
    with pytest.raises(EngineUnavailable, match=message):
        engine.query(Query(sge.select(column("n")).from_(table("things")))).read_all()
