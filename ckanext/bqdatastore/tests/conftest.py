"""Fixtures of the whole suite; run it with `python -m devstack run -- pytest`, or `make test`."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from ckan import plugins
from ckan.common import aslist
from ckan.tests import helpers
from werkzeug.serving import make_server

from devstack.process import Service
from devstack.valkey import start_valkey
from devstack.watchdog import Watchdog


@pytest.fixture(autouse=True)
def loggers_enabled() -> None:
    """Let our loggers speak: CKAN's commands, run by tests before, silence those that are there."""
    for name, logger in logging.root.manager.loggerDict.items():
        if name.startswith("ckanext.bqdatastore") and isinstance(logger, logging.Logger):
            logger.disabled = False


@pytest.fixture
def clean_tables(clean_db: None, clean_index: None) -> None:
    """An empty CKAN, and no tables in the DataStore engine of this process."""
    from ckanext.bqdatastore.site import opened_engine

    engine = opened_engine()
    if engine is not None:
        for name in engine.tables():
            engine.drop(name)


@pytest.fixture
def address(app: Any) -> Iterator[tuple[str, int]]:
    """Where CKAN is served by the server of `ckan run`."""
    server = make_server("localhost", 0, app.flask_app, threaded=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield "localhost", server.server_port
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def valkey(tmp_path: Path) -> Iterator[tuple[str, Service]]:
    """The URL of a server of this test's own, and the server, to be killed."""
    watchdog = Watchdog()
    own = start_valkey(tmp_path, watchdog)
    try:
        yield own.url, own.service
    finally:
        own.service.stop()
        watchdog.dismiss()


_made: tuple[Mapping[str, Any], Any] | None = None


@pytest.fixture
def app(make_app: Any, ckan_config: Any) -> Any:
    """CKAN's test client, on the application of the test before if the settings are the same.

    To make one takes longer than most tests do.
    """
    global _made
    settings = {name: value for name, value in ckan_config.items() if isinstance(value, str)}
    names = aslist(ckan_config["ckan.plugins"])
    if _made is None or _made[0] != settings or not all(map(plugins.plugin_loaded, names)):
        _made = settings, make_app().app
    return helpers.CKANTestApp(_made[1])
