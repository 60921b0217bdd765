"""One engine of each kind, opened on an empty place of its own."""

from __future__ import annotations

import atexit
import os
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
from google.api_core.exceptions import GoogleAPIError
from google.auth.exceptions import GoogleAuthError
from google.cloud import bigquery

from ckanext.bqdatastore.engines import registry
from ckanext.bqdatastore.engines.base import Engine, EngineSettings


def urls(kind: str, folder: Path) -> tuple[str, str]:
    """The write and the read URL of a new place."""
    if kind == "bigquery":
        return bigqueryurls()
    lake = folder / "lake"
    if kind == "sqlite":
        url = f"ducklake:sqlite:///{folder}/catalog.sqlite?data_path={lake}"
        return url, url
    options = f"schema=test_{uuid.uuid4().hex[:12]}&data_path={lake}"
    write_url = os.environ["CKAN_DATASTORE_WRITE_URL"].split("?")[0]
    read_url = os.environ["CKAN_DATASTORE_READ_URL"].split("?")[0]
    return f"{write_url}?{options}", f"{read_url}?{options}"


def bigqueryurls() -> tuple[str, str]:
    """URLs of a new dataset in the emulator."""
    endpoint = os.environ.get("DEVSTACK_BIGQUERY_URL")
    live = os.environ.get("BIGQUERY_LIVE_PROJECT")
    if live:
        return _live_bigquery_urls(live, os.environ["BIGQUERY_LIVE_LOCATION"])
    if not endpoint:
        pytest.skip("needs the emulator: run `python -m devstack run --bigquery` on Python 3.11")
    project = os.environ["DEVSTACK_BIGQUERY_PROJECT"]
    dataset = f"test_{uuid.uuid4().hex[:12]}"
    answer = requests.post(
        f"{endpoint}/bigquery/v2/projects/{project}/datasets",
        json={
            "datasetReference": {"projectId": project, "datasetId": dataset},
            "location": "EU",
        },
        timeout=30,
    )
    answer.raise_for_status()
    url = f"bigquery://{project}/{dataset}?location=EU&endpoint={endpoint}"
    return url, url


def _live_bigquery_urls(project: str, location: str) -> tuple[str, str]:
    """URLs of a new dataset in Google's own BigQuery, which the process removes at its end."""
    try:
        client = bigquery.Client(project=project)
        dataset = bigquery.Dataset(f"{project}.bqdatastore_test_{uuid.uuid4().hex[:12]}")
        dataset.location = location
        dataset.default_table_expiration_ms = 24 * 3600 * 1000
        client.create_dataset(dataset, timeout=30)
    except (GoogleAPIError, GoogleAuthError) as error:
        # One sentence for all tests, which need the same.
        pytest.exit(
            f"No dataset can be made in the Google Cloud project {project}: {error}\n"
            "Log in with `gcloud auth application-default login`, or name a service account's key "
            "file in GOOGLE_APPLICATION_CREDENTIALS. It needs roles/bigquery.user on the project, "
            "in which the BigQuery API is enabled.",
            returncode=1,
        )
    atexit.register(client.delete_dataset, dataset, delete_contents=True, not_found_ok=True)
    url = f"bigquery://{project}/{dataset.dataset_id}?location={location}"
    return url, url


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Every test runs on each kind of engine, or on those that its module names `ENGINE_KINDS`."""
    if "engine_kind" in metafunc.fixturenames:
        kinds = getattr(metafunc.module, "ENGINE_KINDS", ("postgres", "sqlite", "bigquery"))
        metafunc.parametrize("engine_kind", kinds, indirect=True, scope="session")


@pytest.fixture(scope="session")
def engine_kind(request: pytest.FixtureRequest) -> str:
    """What the engine stands on."""
    return str(request.param)


@pytest.fixture(scope="session")
def settings(engine_kind: str, tmp_path_factory: pytest.TempPathFactory) -> EngineSettings:
    """Settings of an engine on a place of its own."""
    folder = tmp_path_factory.mktemp("engine")
    write_url, read_url = urls(engine_kind, folder)
    return EngineSettings(write_url, read_url, folder, statement_timeout=30.0)


@pytest.fixture(scope="session")
def statements_checked(engine_kind: str) -> Iterator[None]:
    """Whatever BigQuery is asked in a test must be what BigQuery would take."""
    if engine_kind != "bigquery":
        yield
        return
    from .googlesql import every_statement_accepted  # slow to import, and seldom needed

    with every_statement_accepted():
        yield


@pytest.fixture(scope="session")
def opened_engine(settings: EngineSettings, statements_checked: None) -> Iterator[Engine]:
    opened = registry.load(settings.write_url.split(":")[0])(settings)
    opened.open()
    yield opened
    opened.close()


@pytest.fixture
def engine(opened_engine: Engine) -> Engine:
    """An engine without tables."""
    for name in opened_engine.tables():
        opened_engine.drop(name)
    return opened_engine
