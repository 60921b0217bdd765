"""How the BigQuery engine puts a file's table in place of another, and sends what is large."""

from __future__ import annotations

import dataclasses
import json
import os
from contextlib import closing
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import google.cloud.bigquery.client
import pytest

from ckanext.bqdatastore.engines.base import Engine, EngineSettings
from ckanext.bqdatastore.engines.bigquery.engine import BigQueryEngine
from ckanext.bqdatastore.engines.bigquery.loading import layout_of
from ckanext.bqdatastore.engines.bigquery.statements import Layout
from ckanext.bqdatastore.engines.bigquery.tables import Entry
from ckanext.bqdatastore.model.errors import DatastoreFault, InvalidRequest
from ckanext.bqdatastore.model.files import FileSource
from ckanext.bqdatastore.model.table import ID, Field, Table
from ckanext.bqdatastore.model.write import TableChange

from .fault_proxy import FaultProxy
from .test_bigquery_jobs import ENDPOINT, through
from .test_contract import everything

ENGINE_KINDS = ("bigquery",)

DAYS = Table("days", (Field("Day", "date"), Field("n", "int8")), primary_key=("n",))
COLUMNS = {ID: ID, "Day": "Day", "n": "n"}


def days(folder: Path, count: int) -> FileSource:
    file = folder / "days.csv"
    file.write_text("Day,n\n" + "".join(f"2020-01-31,{n}\n" for n in range(count)))
    return FileSource(file, "csv", (), DAYS.field_ids, (("Day", "date"), ("n", "int8")))


def entry(layout: Layout) -> Entry:
    return Entry(DAYS, COLUMNS, {}, 1, tuple(COLUMNS), 0, "1", layout)


def test_one_statement_says_all_of_a_table(
    engine: Engine, settings: EngineSettings, tmp_path: Path
) -> None:
    """Nobody sees the new rows with the old metadata, or the other way round."""
    with (
        FaultProxy(ENDPOINT, lambda: None) as proxy,
        closing(through(settings, proxy.url, (("bigquery.partition_by", "Day"),))) as loading,
    ):
        assert loading.load(DAYS, days(tmp_path, 3)) == 3
    (statement,) = [each for each in proxy.statements if each.startswith("CREATE")]
    for part in (
        "CREATE OR REPLACE TABLE",
        "PARTITION BY DATE_TRUNC(`Day`, MONTH)",
        "CLUSTER BY `n`",
        "labels=[STRUCT('bqdatastore', 'table'), STRUCT('bqdatastore_next_id', '4')]",
        'description=\'{"v":1,"fields":[{"id":"Day","type":"date"}',
        "AS SELECT",
    ):
        assert part in statement


def test_a_table_stays_partitioned_as_it_is() -> None:
    """BigQuery puts a table in place only of one that is partitioned and clustered alike."""
    before = entry(Layout("Day", ("n",)))
    assert layout_of(DAYS, COLUMNS, before, "") == before.layout
    before = entry(Layout(None, ("n",)))
    assert layout_of(DAYS, COLUMNS, before, "Day") == before.layout
    assert layout_of(DAYS, COLUMNS, None, "Day") == Layout("Day", ("n",))
    assert layout_of(DAYS, COLUMNS, None, "n") == Layout(None, ("n",))


@pytest.mark.parametrize("fields", [(Field("n", "int8"),), (Field("Day", "text"),)])
def test_a_file_without_the_dates_of_the_partitions_is_refused(fields: tuple[Field, ...]) -> None:
    after = Table("days", fields)
    columns = {ID: ID, **{field.id: field.id for field in fields}}
    with pytest.raises(InvalidRequest, match='partitioned by "Day", in which the file has no'):
        layout_of(after, columns, entry(Layout("Day", ("n",))), "Day")


def test_a_large_file_is_sent_in_pieces(
    engine: Engine, settings: EngineSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(google.cloud.bigquery.client, "_DEFAULT_CHUNKSIZE", 256 * 1024)
    with (
        FaultProxy(ENDPOINT, lambda: None) as proxy,
        closing(through(settings, proxy.url)) as loading,
    ):
        assert loading.load(DAYS, days(tmp_path, 100_000)) == 100_000
    assert proxy.sent > 2
    assert proxy.started.count("load") == 1
    assert [row["n"] for row in everything(engine, DAYS)] == list(range(100_000))
    assert os.listdir(tmp_path) == ["days.csv"]


class RefusingProxy(FaultProxy):
    """Refuses each statement that puts a table in place of another; or loses the answer to it."""

    def __init__(self, lost: bool) -> None:
        super().__init__(ENDPOINT, lambda: None)
        self._lost = lost

    def _passed_on(
        self, request: BaseHTTPRequestHandler, body: bytes
    ) -> tuple[int, dict[str, str], bytes]:
        if b"CREATE OR REPLACE TABLE" not in body:
            return super()._passed_on(request, body)
        if self._lost:
            super()._passed_on(request, body)
        error = {"message": "refused", "reason": "invalidQuery"}
        content = {"error": {"code": 400, "message": "refused", "errors": [error]}}
        return 400, {}, json.dumps(content).encode()


KEYLESS = dataclasses.replace(DAYS, primary_key=())


def clustered_by(engine: Engine) -> tuple[str, ...]:
    assert isinstance(engine, BigQueryEngine)
    found = engine._written.find(DAYS.name)
    assert found is not None
    assert found.entry is not None
    return found.entry.layout.clustered_by


def test_a_load_that_fails_leaves_the_table_as_it_was(
    engine: Engine, settings: EngineSettings, tmp_path: Path
) -> None:
    """BigQuery replaces a table only by one clustered alike, so that is changed before."""
    engine.load(DAYS, days(tmp_path, 3))
    before = everything(engine, DAYS)
    with (
        RefusingProxy(lost=False) as proxy,
        closing(through(settings, proxy.url)) as loading,
        pytest.raises(DatastoreFault),
    ):
        loading.load(KEYLESS, days(tmp_path, 5))
    assert engine.describe("days") == DAYS
    assert everything(engine, DAYS) == before
    assert clustered_by(engine) == ("n",)
    assert engine.load(KEYLESS, days(tmp_path, 5)) == 5
    assert engine.describe("days") == KEYLESS
    assert clustered_by(engine) == (ID,)


def test_a_load_whose_end_is_not_heard_of_is_whole_and_can_be_repeated(
    engine: Engine, settings: EngineSettings, tmp_path: Path
) -> None:
    engine.load(KEYLESS, days(tmp_path, 3))
    with (
        RefusingProxy(lost=True) as proxy,
        closing(through(settings, proxy.url)) as loading,
        pytest.raises(DatastoreFault),
    ):
        loading.load(DAYS, days(tmp_path, 5))
    assert len(everything(engine, DAYS)) == 5
    assert engine.load(DAYS, days(tmp_path, 4)) == 4
    assert len(everything(engine, DAYS)) == 4
    assert clustered_by(engine) == ("n",)


@pytest.mark.parametrize("by_load", [True, False])
def test_an_alias_that_is_not_there_is_made_by_a_repetition(
    engine: Engine, tmp_path: Path, by_load: bool
) -> None:
    assert isinstance(engine, BigQueryEngine)
    named = dataclasses.replace(DAYS, aliases=("calendar",))
    engine.apply(TableChange(None, named))
    engine._written.remove("calendar")  # as if the call that makes it had failed
    assert engine.resolve("calendar") is None
    if by_load:
        engine.load(named, days(tmp_path, 2))
    else:
        engine.apply(TableChange(named, named))
    assert engine.resolve("calendar") == "days"
