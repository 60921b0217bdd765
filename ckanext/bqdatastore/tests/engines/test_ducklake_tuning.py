"""What a lake is told at its start."""

from __future__ import annotations

import logging
from contextlib import closing
from pathlib import Path

import pytest

from ckanext.bqdatastore.engines.base import EngineSettings
from ckanext.bqdatastore.engines.ducklake import tuning
from ckanext.bqdatastore.engines.ducklake.engine import DuckLakeEngine
from ckanext.bqdatastore.model.table import Field, Table
from ckanext.bqdatastore.model.write import TableChange

from .conftest import urls


@pytest.fixture
def settings(tmp_path: Path) -> EngineSettings:
    return EngineSettings(*urls("postgres", tmp_path), tmp_path)


def indexes(engine: DuckLakeEngine) -> set[tuple[str, str]]:
    """Ours, with a number that another one of the same name would not have."""
    database = engine._connections.catalog_database
    assert database is not None
    schema = engine._connections.read_url.schema
    found = database.read(
        "SELECT c.relname, c.oid::text FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace "
        "WHERE nspname = %(schema)s AND relkind = 'i' AND relname LIKE 'bqdatastore%%'",
        {"schema": schema},
    )
    return {(name, number) for name, number in found}


def test_a_catalog_in_postgresql_has_indexes_made_once(settings: EngineSettings) -> None:
    with closing(DuckLakeEngine(settings)) as first:
        first.open()
        made = indexes(first)
    assert len(made) == len(tuning._INDEXES)
    with closing(DuckLakeEngine(settings)) as second:
        second.open()
        assert indexes(second) == made


def test_without_them_it_works_and_says_so(
    settings: EngineSettings, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(tuning, "_INDEXES", (("ducklake_nothing", "table_id"),))
    with closing(DuckLakeEngine(settings)) as engine, caplog.at_level(logging.WARNING):
        engine.open()
        engine.apply(TableChange(None, Table("things", (Field("n", "int4"),))))
        assert engine.tables() == ["things"]
    (said,) = [each for each in caplog.messages if "indexes" in each]
    assert "ducklake_nothing" in said
