"""Fixtures of the whole suite; run it with `python -m devstack run -- pytest`, or `make test`."""

from __future__ import annotations

import pytest


@pytest.fixture
def clean_tables(clean_db: None, clean_index: None) -> None:
    """An empty CKAN, and no tables in any DataStore engine that this process has opened."""
    from ckanext.bqdatastore.site import opened_engines

    for engine in opened_engines():
        for name in engine.tables():
            engine.drop(name)
