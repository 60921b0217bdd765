"""A pytest plugin that runs CKAN's own DataStore tests, unmodified, on our backend.

    python -m devstack run -- pytest --ckan-ini=conformance/test.ini -p conformance.plugin \
        -o consider_namespace_packages=true --import-mode=importlib --pyargs ckanext.datastore.tests

Whoever loads `datastore` gets `bqdatastore` with it, what wipes the DataStore's database between
tests wipes our tables, and who looks into PostgreSQL sees a mirror of them (`mirror.py`). Tests
about PostgreSQL itself are left out by name (`left_out.yaml`); the run ends with a table of all
that did not run or did not pass.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import ckanext.datastore
import psycopg2
import pytest
from ckan import model, plugins
from ckan.common import aslist, config

from . import left_out
from .mirror import Mirror

_OURS = "bqdatastore"
_OWN_URLS = "ducklake"
"""The engine whose URLs are the DataStore's in the environment; others have variables of their
own."""

_DROP_FUNCTIONS = """
DO $$ DECLARE f regprocedure; BEGIN
    FOR f IN SELECT oid FROM pg_proc WHERE pronamespace = 'public'::regnamespace LOOP
        EXECUTE format('DROP FUNCTION %s', f);
    END LOOP;
END $$
"""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--datastore-engine", default=_OWN_URLS, help="The engine that the tables are in."
    )


def pytest_configure(config: pytest.Config) -> None:
    engine = config.getoption("--datastore-engine")
    if engine == _OWN_URLS:
        return
    for side in ("WRITE", "READ"):
        variable = f"DEVSTACK_{engine.upper()}_{side}_URL"
        if variable not in os.environ:
            raise pytest.UsageError(f"--datastore-engine={engine}: {variable} is not set.")
        os.environ[f"CKAN_DATASTORE_{side}_URL"] = os.environ[variable]


@pytest.hookimpl(tryfirst=True)
def pytest_collection(session: pytest.Session) -> None:
    """Put our backend in the place of CKAN's own, before any of its tests is imported."""
    patch = pytest.MonkeyPatch()
    session.config.add_cleanup(patch.undo)
    _load_ours_with_datastore(patch)
    mirror = Mirror()
    _show_mirror(patch, mirror)
    _wipe_ours(patch, mirror)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    reasons = left_out.reasons(config.getoption("--datastore-engine"))
    for item in items:
        name = _names[item.nodeid] = _name(item)
        if name in reasons:
            item.add_marker(pytest.mark.skip(reason=reasons[name]))


_names: dict[str, str] = {}
"""Each test's name in the list of those left out; what pytest calls it depends on where it is."""


def _name(item: pytest.Item) -> str:
    package = Path(ckanext.datastore.__file__).parent.parent
    _, _, inside = item.nodeid.partition("::")
    return f"{item.path.relative_to(package)}::{inside.partition('[')[0]}"


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """The table of what did not run or did not pass, and the figures."""
    write = terminalreporter.write_line
    counts = {}
    for outcome, also in (("passed", ()), ("failed", ("error",)), ("skipped", ())):
        reports = [
            report for key in (outcome, *also) for report in terminalreporter.stats.get(key, [])
        ]
        counts[outcome] = len({report.nodeid for report in reports})
        if outcome == "passed":
            continue
        for report in reports:
            write(f"{outcome:8} {_names.get(report.nodeid, report.nodeid)}")
            write(f"         {_reason(report)}")
    write(", ".join(f"{number} {outcome}" for outcome, number in counts.items()))


def _reason(report: Any) -> str:
    if report.skipped:
        return str(report.longrepr[2]).removeprefix("Skipped: ")
    crash = getattr(report.longrepr, "reprcrash", None)
    lines = (crash.message if crash else str(report.longrepr)).splitlines()
    return lines[0] if lines else ""


def _with_ours(names: Sequence[str]) -> list[str]:
    found = list(names)
    if "datastore" in found and _OURS not in found and not plugins.plugin_loaded(_OURS):
        found.insert(found.index("datastore") + 1, _OURS)
    return found


def _load_ours_with_datastore(patch: pytest.MonkeyPatch) -> None:
    core = importlib.import_module("ckan.plugins.core")
    load, unload = core.load, core.unload

    def load_with_ours(*names: str, force_update: bool = False) -> Any:
        found = _with_ours(names)
        if found != list(names):
            # As a site would have it, for those who look there.
            config["ckan.plugins"] = _with_ours(aslist(config.get("ckan.plugins")))
        loaded = load(*found, force_update=force_update)
        return loaded[0] if len(names) == 1 and isinstance(loaded, list) else loaded

    def unload_with_ours(*names: str) -> None:
        if "datastore" in names and _OURS not in names and plugins.plugin_loaded(_OURS):
            names = (_OURS, *names)
        unload(*names)

    for module in (core, plugins):
        patch.setattr(module, "load", load_with_ours)
        patch.setattr(module, "unload", unload_with_ours)


def _show_mirror(patch: pytest.MonkeyPatch, mirror: Mirror) -> None:
    from ckanext.datastore.backend import postgres

    patch.setattr(postgres, "get_write_engine", lambda: mirror.engine)
    patch.setattr(postgres, "get_read_engine", lambda: mirror.engine)
    backend = postgres.DatastorePostgresqlBackend
    configure: Callable[..., Any] = backend.configure
    functions = Path(postgres.__file__).parent.parent / "allowed_functions.txt"

    def configure_for_postgresql(self: Any, config: Any) -> Any:
        """For tests that make such a backend themselves."""
        stock = {
            "ckan.datastore.write_url": os.environ["DEVSTACK_STOCK_WRITE_URL"],
            "ckan.datastore.read_url": os.environ["DEVSTACK_STOCK_READ_URL"],
            "ckan.datastore.sqlsearch.allowed_functions_file": str(functions),
        }
        return configure(self, {**config, **stock})

    patch.setattr(backend, "configure", configure_for_postgresql)


def _wipe_ours(patch: pytest.MonkeyPatch, mirror: Mirror) -> None:
    helpers = importlib.import_module("ckanext.datastore.tests.helpers")
    clear_stock = helpers.clear_db

    def clear(session: Any) -> None:
        wipe()
        clear_stock(session)
        mirror.forget()

    def rebuild(session: Any) -> None:
        clear(session)
        model.repo.rebuild_db()

    patch.setattr(helpers, "clear_db", clear)
    # CKAN's own first reads the database's name off the DataStore's URL.
    patch.setattr(helpers, "rebuild_all_dbs", rebuild)


def wipe() -> None:
    """Drop every table through its engine, and every trigger function."""
    from ckanext.bqdatastore.site import opened_engine

    engine = opened_engine()
    if engine is not None:
        for name in engine.tables():
            engine.drop(name)
    with psycopg2.connect(os.environ["CKAN_BQDATASTORE_TRIGGER_URL"]) as connection:
        connection.cursor().execute(_DROP_FUNCTIONS)
    connection.close()
