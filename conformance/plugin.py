"""A pytest plugin that puts this extension's backend under CKAN's own tests.

`ckan.plugins = datastore …` becomes `datastore bqdatastore …`, and the wipe between tests goes
through the backend.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Iterator
from typing import Any

import psycopg2
import pytest
import sqlalchemy as sa

_PLUGIN = "bqdatastore"

_DROP_FUNCTIONS = """
DO $$ DECLARE f regprocedure; BEGIN
    FOR f IN SELECT oid FROM pg_proc WHERE pronamespace = 'public'::regnamespace LOOP
        EXECUTE format('DROP FUNCTION %s', f);
    END LOOP;
END $$
"""


def _with_ours(value: str) -> str:
    names = value.split()
    if "datastore" in names and _PLUGIN not in names:
        names.insert(names.index("datastore") + 1, _PLUGIN)
    return " ".join(names)


def _rewritten(mark: pytest.Mark) -> pytest.Mark:
    if mark.name == "ckan_config" and mark.args[:1] == ("ckan.plugins",):
        return pytest.mark.ckan_config("ckan.plugins", _with_ours(mark.args[1])).mark
    return mark


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    seen = set()
    for item in items:
        for node in item.listchain():
            if id(node) not in seen:
                seen.add(id(node))
                node.own_markers[:] = [_rewritten(mark) for mark in node.own_markers]


def wipe_datastore() -> None:
    """Drop every table through the backend, and every trigger function."""
    from ckanext.bqdatastore.site import opened_engine

    engine = opened_engine()
    if engine is not None:
        for name in engine.tables():
            engine.drop(name)
    with psycopg2.connect(os.environ["CKAN_BQDATASTORE_TRIGGER_URL"]) as connection:
        connection.cursor().execute(_DROP_FUNCTIONS)
    connection.close()


@pytest.fixture(autouse=True, scope="session")
def _ckan_datastore_tests_on_our_backend() -> Iterator[None]:
    import ckan.model as model
    from ckanext.datastore.backend import postgres

    def rebuild_all_dbs(session: Any) -> None:
        wipe_datastore()
        model.repo.rebuild_db()

    scratch = sa.create_engine("sqlite://")
    patch = pytest.MonkeyPatch()
    patch.setattr(postgres, "get_write_engine", lambda: scratch)
    patch.setattr(postgres, "get_read_engine", lambda: scratch)
    helpers = importlib.import_module("ckanext.datastore.tests.helpers")
    patch.setattr(helpers, "rebuild_all_dbs", rebuild_all_dbs)
    patch.setattr(helpers, "clear_db", lambda session: wipe_datastore())
    yield
    patch.undo()
