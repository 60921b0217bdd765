"""A pytest plugin that runs CKAN's own tests of the DataStore and its consumers on our backend.

    python -m devstack run -- pytest --ckan-ini=conformance/test.ini -p conformance.plugin \
        -o consider_namespace_packages=true --import-mode=importlib --pyargs ckanext.datastore.tests

Whoever loads `datastore` gets `bqdatastore` with it, what wipes the DataStore's database between
tests wipes our tables, and who looks into PostgreSQL sees a mirror of them (`mirror.py`). Tests
about PostgreSQL itself are left out by name (`left_out.yaml`); the run ends with a table of all
that did not run or did not pass, and one of how many did (`figures.py`). With
`--datastore-engine=postgresql` the same tests run on the stock backend, without any of this but the
tables.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import ckan
import ckanext.datastore
import psycopg2
import pytest
from ckan import model, plugins
from ckan.common import aslist, config

from . import figures, left_out
from .mirror import Mirror

_OURS = "bqdatastore"

_STOCK = "postgresql"

_OF_ANY_SITE = {"chained_functions"}
"""Plugins of tests that do without the DataStore: they are to pass beside it all the same."""
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
    parser.addoption(
        "--check-figures", action="store_true", help="Fail where figures differ from stock.yaml."
    )


def pytest_configure(config: pytest.Config) -> None:
    engine = config.getoption("--datastore-engine")
    if engine == _OWN_URLS:
        return
    for side in ("WRITE", "READ"):
        variable = f"DEVSTACK_{'STOCK' if engine == _STOCK else engine.upper()}_{side}_URL"
        if variable not in os.environ:
            raise pytest.UsageError(f"--datastore-engine={engine}: {variable} is not set.")
        os.environ[f"CKAN_DATASTORE_{side}_URL"] = os.environ[variable]


@pytest.hookimpl(tryfirst=True)
def pytest_collection(session: pytest.Session) -> None:
    """Put our backend in the place of CKAN's own, before any of its tests is imported."""
    if session.config.getoption("--datastore-engine") == _STOCK:
        return
    patch = pytest.MonkeyPatch()
    session.config.add_cleanup(patch.undo)
    _load_ours_with_datastore(patch)
    mirror = Mirror()
    _show_mirror(patch, mirror)
    _wipe_ours(patch, mirror)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    engine = config.getoption("--datastore-engine")
    reasons = {} if engine == _STOCK else left_out.reasons(engine, _release())
    for item in items:
        test = _test(item)
        # What pytest calls it depends on where it is, and two extensions may have one of that name.
        item.user_properties.append((_TEST, test))
        reason = reasons.get(_without_parameters(test))
        if reason is not None:
            item.add_marker(pytest.mark.skip(reason=reason))


_TEST = "test of CKAN"
"""The property of a report that names its test: file below `ckanext/`, class and function."""


def _test(item: pytest.Item) -> str:
    package = Path(ckanext.datastore.__file__).parent.parent
    _, _, inside = item.nodeid.partition("::")
    return f"{item.path.relative_to(package)}::{inside}"


def _without_parameters(test: str) -> str:
    return test.partition("[")[0]


def pytest_sessionfinish(session: pytest.Session) -> None:
    """A run on the stock backend that comes out other than recorded fails."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if session.config.getoption("--check-figures") and _not_as_recorded(reporter):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """The table of what did not run or did not pass, and the figures."""
    write = terminalreporter.write_line
    for outcome, test, report in _results(terminalreporter):
        if outcome != "passed":
            write(f"{outcome:8} {_without_parameters(test)}")
            write(f"         {_reason(report)}")
    measured = _measured(terminalreporter)
    for line in figures.table(config.getoption("--datastore-engine"), measured, _recorded()):
        write(line)
    if config.getoption("--check-figures"):
        for line in _not_as_recorded(terminalreporter):
            write(f"not as recorded: {line}")
    write(str(figures.total(measured.values())))


def _results(reporter: Any) -> Iterator[tuple[str, str, Any]]:
    """Outcome, test and report, so that the last of a test's is the worst."""
    for outcome, keys in _KEYS.items():
        for report in (each for key in keys for each in reporter.stats.get(key, [])):
            properties = dict(getattr(report, "user_properties", ()))
            yield outcome, properties.get(_TEST, report.nodeid), report


_KEYS = {"passed": ("passed",), "skipped": ("skipped",), "failed": ("failed", "error")}


def _measured(reporter: Any) -> dict[str, figures.Figures]:
    return figures.by_extension({test: outcome for outcome, test, _ in _results(reporter)})


def _recorded() -> dict[str, figures.Figures]:
    return figures.stock(_release())


def _release() -> str:
    """CKAN's, as `2.12`."""
    return ".".join(ckan.__version__.split(".")[:2])


def _not_as_recorded(reporter: Any) -> list[str]:
    return figures.differences(_measured(reporter), _recorded())


def _reason(report: Any) -> str:
    if report.skipped:
        return str(report.longrepr[2]).removeprefix("Skipped: ")
    crash = getattr(report.longrepr, "reprcrash", None)
    lines = (crash.message if crash else str(report.longrepr)).splitlines()
    return lines[0] if lines else ""


def _with_ours(names: Sequence[str]) -> list[str]:
    found = list(names)
    if not _OF_ANY_SITE.isdisjoint(found) and "datastore" not in found:
        found.insert(0, "datastore")
    if "datastore" in found and _OURS not in found and not plugins.plugin_loaded(_OURS):
        found.insert(found.index("datastore") + 1, _OURS)
    return found


def _load_ours_with_datastore(patch: pytest.MonkeyPatch) -> None:
    core = importlib.import_module("ckan.plugins.core")
    load, unload = core.load, core.unload

    def load_with_ours(*names: str, **options: Any) -> Any:
        found = _with_ours(names)
        if found != list(names):
            # As a site would have it, for those who look there.
            config["ckan.plugins"] = _with_ours(aslist(config.get("ckan.plugins")))
        loaded = load(*found, **options)
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

    def configure_for_postgresql(self: Any, config: Any) -> Any:
        """For tests that make such a backend themselves."""
        stock = {
            "ckan.datastore.write_url": os.environ["DEVSTACK_STOCK_WRITE_URL"],
            "ckan.datastore.read_url": os.environ["DEVSTACK_STOCK_READ_URL"],
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
