"""Answers over REST and over the Storage API: which way is taken, and that both tell the same."""

from __future__ import annotations

import os
import sys
from contextlib import closing
from pathlib import Path

import grpc
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import sqlglot.expressions as sge
from google.auth.credentials import AnonymousCredentials
from google.cloud.bigquery_storage import BigQueryReadClient
from google.cloud.bigquery_storage_v1.services.big_query_read.transports import (
    BigQueryReadGrpcTransport,
)

from ckanext.bqdatastore.engines.base import EngineSettings
from ckanext.bqdatastore.engines.bigquery import answers, connection, url
from ckanext.bqdatastore.engines.bigquery.connection import Connection
from ckanext.bqdatastore.engines.bigquery.engine import BigQueryEngine
from ckanext.bqdatastore.engines.bigquery.forms import call, number, unnested
from ckanext.bqdatastore.model.files import FileSource
from ckanext.bqdatastore.model.query import Query
from ckanext.bqdatastore.model.table import Field, Table

from .test_files import LISTS, TYPES, source, write_csv

ENGINE_KINDS = ("bigquery",)

MOST_OVER_REST = 20_000


@pytest.mark.parametrize(("count", "times"), [(MOST_OVER_REST, 0), (MOST_OVER_REST + 1, 1)])
def test_only_large_answers_ask_for_the_storage_api(
    count: int, times: int, opened_engine: BigQueryEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Connection] = []
    monkeypatch.setattr(Connection, "storage_client", lambda side: asked.append(side))
    numbers = unnested(call("GENERATE_ARRAY", number(1), number(count)), "n")
    found = opened_engine.query(Query(sge.select(sge.column("n")).from_(numbers))).read_all()
    assert found.num_rows == count
    assert len(asked) == times


def test_there_is_a_client_where_it_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "_credentials", lambda _: AnonymousCredentials())
    with closing(
        Connection(url.parse("bigquery://project/dataset", "ckan.datastore.read_url"))
    ) as side:
        assert isinstance(side.storage_client(), BigQueryReadClient)
        monkeypatch.setitem(sys.modules, "google.cloud.bigquery_storage", None)
        monkeypatch.delattr("google.cloud.bigquery_storage")
        assert side.storage_client() is None


def test_both_ways_tell_the_same(
    opened_engine: BigQueryEngine, settings: EngineSettings, tmp_path: Path
) -> None:
    # The emulator's schemas tell nothing of a BIGNUMERIC.
    texts = {name: text for name, (text, _) in TYPES.items()} | {"numeric": "1.25"}
    kinds = Table("all-kinds", tuple(Field(name, name) for name in TYPES))
    file = write_csv(
        *(tmp_path / "kinds.csv", list(TYPES)),
        *(list(texts.values()), [None] * len(texts)),
    )
    lists = Table("all-lists", tuple(Field(type, type) for type in LISTS))
    listed = tmp_path / "lists.parquet"
    pq.write_table(pa.table({name: pa.array(v, t) for name, (t, v) in LISTS.items()}), listed)
    channel = grpc.insecure_channel(os.environ["DEVSTACK_BIGQUERY_GRPC_ADDRESS"])
    storage = BigQueryReadClient(transport=BigQueryReadGrpcTransport(channel=channel))
    client = opened_engine._reader.client()
    for table, given in (
        (kinds, source(file, kinds)),
        (lists, FileSource(listed, "parquet", (), lists.field_ids)),
    ):
        opened_engine.load(table, given)
        place = opened_engine._read.reference(table.name)
        over_rest = pa.Table.from_batches(answers.batches(client.list_rows(place)))
        over_grpc = pa.Table.from_batches(answers.batches(client.list_rows(place), storage))
        assert over_grpc.sort_by("_id").equals(over_rest.sort_by("_id"))
        assert over_grpc.num_rows == opened_engine.row_count(table) > 0
