"""Which backend the DataStore's URLs choose, with the extension loaded."""

from __future__ import annotations

import os
from typing import Any

import pytest
from ckan import plugins
from ckanext.datastore.backend import DatastoreBackend
from ckanext.datastore.backend.postgres import DatastorePostgresqlBackend
from ckanext.example_idatastorebackend.example_sqlite import DatastoreExampleSqliteBackend

from ckanext.bqdatastore.backend import AnalyticsBackend


@pytest.mark.parametrize(
    ("url", "backend"),
    [
        ("{CKAN_DATASTORE_%s_URL}", AnalyticsBackend),
        ("{DEVSTACK_STOCK_%s_URL}", DatastorePostgresqlBackend),
        ("sqlite://x", DatastoreExampleSqliteBackend),
    ],
    ids=["ours", "stock", "another plugin's"],
)
@pytest.mark.parametrize(
    "loaded",
    [
        "datastore bqdatastore example_idatastorebackend",
        "example_idatastorebackend bqdatastore datastore",
    ],
)
def test_the_urls_choose_the_backend(
    ckan_config: Any,
    monkeypatch: pytest.MonkeyPatch,
    loaded: str,
    url: str,
    backend: type[DatastoreBackend],
) -> None:
    monkeypatch.setitem(ckan_config, "ckan.plugins", loaded)
    for side in ("write", "read"):
        chosen = url.replace("%s", side.upper()).format_map(os.environ)
        monkeypatch.setitem(ckan_config, f"ckan.datastore.{side}_url", chosen)
    plugins.load_all()
    try:
        assert isinstance(DatastoreBackend.get_active_backend(), backend)
    finally:
        plugins.unload_all()
