"""Requests that nobody thought of: generated, and sent to the stock backend and to ours."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from typing import Any

import pytest
from ckan.tests import factories
from hypothesis import HealthCheck, Phase, given, settings

from ckanext.bqdatastore.engines.ducklake.connection import LAKE
from ckanext.bqdatastore.engines.ducklake.engine import DuckLakeEngine
from ckanext.bqdatastore.site import engine_of_site

from .generated import REQUESTS, sequences
from .harness import Client, both
from .known import Unlisted, compared

KEPT = {"small writes in the catalog": 10, "every write in files": 0}
"""Writes of how many rows DuckLake keeps in its catalog; 10 is what it does by itself."""

SEQUENCES = int(os.environ.get("DIFFERENTIAL_REQUESTS", "100")) // REQUESTS // len(KEPT)
"""How many tables are made in either way; each is asked `REQUESTS` times."""

_SHOWN = 12


@pytest.fixture(params=list(KEPT))
def rows_kept(request: pytest.FixtureRequest, with_plugins: None) -> Iterator[None]:
    """A lake that keeps rows in its catalog, and one that does not."""
    _keep(KEPT[request.param])
    yield
    _keep(KEPT["small writes in the catalog"])


def _keep(rows: int) -> None:
    engine = engine_of_site()
    assert isinstance(engine, DuckLakeEngine)
    with engine._connections.writer() as cursor:
        cursor.execute(f"CALL {LAKE}.set_option('data_inlining_row_limit', '{rows}')")


@pytest.mark.usefixtures("with_plugins", "clean_tables", "rows_kept")
def test_generated_requests_have_the_same_answers(app: Any, request: pytest.FixtureRequest) -> None:
    client = Client(app, factories.SysadminWithToken()["token"])
    resource_id = factories.Resource()["id"]
    unlisted: list[Unlisted] = []

    @settings(
        max_examples=SEQUENCES,
        deadline=None,
        database=None,
        derandomize=request.config.getoption("--hypothesis-seed") is None,
        phases=[Phase.generate],  # one request more takes longer than reading ten
        suppress_health_check=list(HealthCheck),
    )
    @given(sequences())
    def compare(steps: list[dict[str, Any]]) -> None:
        stock, ours = both(client, resource_id, steps)
        client.call("datastore_delete", {"resource_id": resource_id, "force": True})
        unlisted.extend(compared(steps, stock, ours))

    compare()
    shown = [f"{each}\n{json.dumps(each.steps, ensure_ascii=False)}" for each in unlisted[:_SHOWN]]
    assert not unlisted, f"{len(unlisted)} unlisted differences:\n" + "\n\n".join(shown)
