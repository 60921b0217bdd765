"""Data files in an object store, which here is moto: S3's requests and replies on this machine.

Google's store takes the same requests where the key is an HMAC key, so `gs://` runs against it too.
What it does not show: TLS, Google's own answers, real credentials and their refusal, and how long a
real store takes.
DuckDB's lock leaves `CREATE SECRET` open; the guard, which takes nothing but a query, does not.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import boto3
import duckdb
import pytest
from moto.server import ThreadedMotoServer

from ckanext.bqdatastore.engines.base import Engine, EngineSettings
from ckanext.bqdatastore.engines.ducklake.engine import DuckLakeEngine
from ckanext.bqdatastore.model.table import Field, Table
from ckanext.bqdatastore.model.write import Deletion, TableChange, Write, WriteMode

from .test_contract import everything, rows

PLACES = Table("places", (Field("name", "text"), Field("n", "int4")), primary_key=("name",))


@pytest.fixture(scope="module")
def moto_endpoint() -> Iterator[str]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    host, port = server.get_host_and_port()
    endpoint = f"http://{host}:{port}"
    client = boto3.client(
        "s3",
        endpoint_url=endpoint,
        region_name="us-east-1",
        aws_access_key_id="key",
        aws_secret_access_key="hidden secret",
    )
    for bucket in ("lake", "other"):
        client.create_bucket(Bucket=bucket)
    client.put_object(Bucket="other", Key="secret.txt", Body=b"secret")
    yield endpoint
    server.stop()


@pytest.fixture(params=["s3", "gs"])
def scheme(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def engine(scheme: str, moto_endpoint: str, tmp_path: Path) -> Iterator[Engine]:
    data_path = f"{scheme}://lake/{tmp_path.name}"
    url = f"ducklake:sqlite:///{tmp_path}/catalog.sqlite?data_path={data_path}"
    options = {
        "ducklake.s3_access_key_id": "key",
        "ducklake.s3_secret_access_key": "hidden secret",
        "ducklake.s3_region": "us-east-1",
        "ducklake.s3_endpoint": moto_endpoint,
        "ducklake.s3_url_style": "path",
    }
    opened = DuckLakeEngine(EngineSettings(url, url, tmp_path, options=tuple(options.items())))
    opened.open()
    yield opened
    opened.close()


def test_writes_and_reads(engine: Engine, tmp_path: Path) -> None:
    batch = rows(PLACES, [{"name": f"place {n}", "n": n} for n in range(5_000)])
    engine.apply(TableChange(None, PLACES, Write(WriteMode.INSERT, (batch,))))
    more = rows(PLACES, [{"name": "place 7", "n": -7}, {"name": "new", "n": 1}], ("name",))
    engine.apply(TableChange(PLACES, PLACES, Write(WriteMode.UPSERT, (more,))))
    found = everything(engine, PLACES)
    assert len(found) == 5_001
    assert {row["n"] for row in found if row["name"] in ("place 7", "new")} == {-7, 1}
    assert not list(tmp_path.rglob("*.parquet"))
    engine.delete(Deletion(PLACES, None))
    assert everything(engine, PLACES) == []


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT * FROM read_text('{scheme}://other/secret.txt')",
        "COPY (SELECT 1) TO '{scheme}://other/stolen.csv'",
        "SELECT * FROM read_text('{endpoint}/other/secret.txt')",
        "SELECT * FROM read_text('/etc/passwd')",
    ],
)
def test_the_reading_side_reaches_no_other_place(
    engine: DuckLakeEngine, sql: str, scheme: str, moto_endpoint: str
) -> None:
    with engine._connections.reader() as cursor, pytest.raises(duckdb.Error):
        cursor.execute(sql.format(scheme=scheme, endpoint=moto_endpoint)).fetchall()


def test_the_secret_does_not_show(engine: DuckLakeEngine) -> None:
    with engine._connections.reader() as cursor:
        shown = cursor.execute("SELECT * FROM duckdb_secrets()").fetchall()
    assert shown
    assert "hidden" not in json.dumps(shown, default=str)
