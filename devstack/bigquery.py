"""Google BigQuery's REST API from the `bqemulator` wheel, which runs it on DuckDB in memory."""

from __future__ import annotations

import os
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

import requests

from devstack.installed import package_folder
from devstack.process import Service, start, start_on_free_port
from devstack.watchdog import Watchdog

PROJECT = "devstack"
DATASET = "datastore"
LOCATION = "EU"
OLDEST_PYTHON = (3, 11)


@dataclass(frozen=True)
class BigQuery:
    """A running emulator."""

    service: Service
    port: int
    grpc_port: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def datastore_url(self) -> str:
        """Of a DataStore in the dataset that is there from the start."""
        return f"bigquery://{PROJECT}/{DATASET}?location={LOCATION}&endpoint={self.url}"

    @property
    def grpc_address(self) -> str:
        """Of the Storage Read and Write APIs."""
        return f"127.0.0.1:{self.grpc_port}"


def start_bigquery(folder: Path, watchdog: Watchdog) -> BigQuery:
    """Start an emulator with one project, `PROJECT`, and an empty dataset, `DATASET`."""
    home = folder / "bigquery"
    _install_spatial(home)

    def start_on(grpc_port: int) -> Service:
        service = start(
            "bigquery",
            [
                # By its path: it is started in a folder of its own.
                *(sys.executable, "-P", str(Path(__file__).with_name("emulator.py"))),
                *("start", "--ephemeral"),
                *("--project", PROJECT),
                # It chooses this port itself and says which; the other one it does not tell.
                *("--rest-port", "0"),
                *("--grpc-port", str(grpc_port)),
                *("--log-format", "json", "--log-level", "info"),
            ],
            folder=folder,
            environment={**os.environ, "HOME": str(home)},
            working_folder=home,
        )
        watchdog.watch_process(service.process.pid, service.stop_signal)
        return service

    service, grpc_port = start_on_free_port(
        start_on, ready=r"rest\.listen", taken="[Aa]ddress already in use|Failed to bind"
    )
    port = int(service.wait_for(r'"port": ?(\d+)')[1])
    bigquery = BigQuery(service, port, grpc_port)
    _make_dataset(bigquery)
    return bigquery


def _make_dataset(bigquery: BigQuery) -> None:
    answer = requests.post(
        f"{bigquery.url}/bigquery/v2/projects/{PROJECT}/datasets",
        json={
            "datasetReference": {"projectId": PROJECT, "datasetId": DATASET},
            "location": LOCATION,
        },
        timeout=30,
    )
    if not answer.ok:
        bigquery.service.stop()
        answer.raise_for_status()


def _install_spatial(home: Path) -> None:
    """Put DuckDB's spatial extension where the emulator looks before it would download it."""
    import duckdb  # slow, and most stacks are without the emulator

    wheel = package_folder("duckdb_extension_spatial") / "extensions" / f"v{duckdb.__version__}"
    connection = duckdb.connect()
    (platform,) = connection.execute("PRAGMA platform").fetchall()[0]
    connection.close()
    target = home / ".duckdb" / "extensions" / f"v{duckdb.__version__}" / platform
    target.mkdir(parents=True, exist_ok=True)
    for extension in wheel.rglob("*.duckdb_extension"):
        shutil.copy2(extension, target)
