"""Makes CKAN's pytest plugin ready for tests on a fresh stack. `devstack run` loads it."""

from __future__ import annotations

import pytest
from ckan import model
from ckan.config import environment


@pytest.hookimpl(trylast=True)
def pytest_sessionstart(session: pytest.Session) -> None:
    """Once CKAN has its configuration, make the tables of its database, and let tests change
    what the environment says.

    CKAN reads `CKAN_DATASTORE_WRITE_URL` and its like again whenever plugins are loaded, over
    whatever a test has marked with `ckan_config`. test.ini has their values by now, so CKAN is told
    to look no more; the variables stay for the processes that tests start.
    """
    environment.CONFIG_FROM_ENV_VARS.clear()
    model.repo.init_db()
