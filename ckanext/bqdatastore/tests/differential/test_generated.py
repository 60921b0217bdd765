"""Requests that nobody thought of: generated, and sent to the stock backend and to ours."""

from __future__ import annotations

import json
import os
from typing import Any

import pytest
from ckan.tests import factories
from hypothesis import HealthCheck, Phase, given, settings

from .generated import REQUESTS, sequences
from .harness import Client, both
from .known import Unlisted, compared

SEQUENCES = int(os.environ.get("DIFFERENTIAL_REQUESTS", "100")) // REQUESTS
"""How many tables are made; each is asked `REQUESTS` times."""

_SHOWN = 12


@pytest.mark.usefixtures("with_plugins", "clean_tables")
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
