"""One engine of each kind, opened on an empty place of its own."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from ckanext.bqdatastore.engines import registry
from ckanext.bqdatastore.engines.base import Engine, EngineSettings


def _urls(kind: str, folder: Path) -> tuple[str, str]:
    lake = folder / "lake"
    if kind == "sqlite":
        url = f"ducklake:sqlite:///{folder}/catalog.sqlite?data_path={lake}"
        return url, url
    options = f"schema=test_{uuid.uuid4().hex[:12]}&data_path={lake}"
    write_url = os.environ["CKAN_DATASTORE_WRITE_URL"].split("?")[0]
    read_url = os.environ["CKAN_DATASTORE_READ_URL"].split("?")[0]
    return f"{write_url}?{options}", f"{read_url}?{options}"


@pytest.fixture(scope="session", params=["postgres", "sqlite"])
def settings(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> EngineSettings:
    """Settings of an engine on a place of its own."""
    folder = tmp_path_factory.mktemp("engine")
    write_url, read_url = _urls(request.param, folder)
    return EngineSettings(write_url, read_url, folder, statement_timeout=30.0)


@pytest.fixture(scope="session")
def opened_engine(settings: EngineSettings) -> Iterator[Engine]:
    opened = registry.load("ducklake")(settings)
    opened.open()
    yield opened
    opened.close()


@pytest.fixture
def engine(opened_engine: Engine) -> Engine:
    """An engine without tables."""
    for name in opened_engine.tables():
        opened_engine.drop(name)
    return opened_engine
