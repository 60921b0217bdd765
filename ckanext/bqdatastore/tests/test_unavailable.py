"""What a client hears while others keep their turn to write, or the catalog is away."""

from __future__ import annotations

import socket
from typing import Any

import ckantoolkit as tk
import pytest
from ckan.tests import factories, helpers

from ckanext.bqdatastore.site import turn

pytestmark = pytest.mark.usefixtures("with_plugins", "clean_tables")


@pytest.fixture
def resource() -> Any:
    made = factories.Resource()
    helpers.call_action(
        "datastore_create",
        resource_id=made["id"],
        force=True,
        fields=[{"id": "name", "type": "text"}],
        records=[{"name": "Ada"}],
    )
    return made


def post(app: Any, action: str, data: dict[str, Any]) -> Any:
    headers = {"Authorization": factories.SysadminWithToken()["token"]}
    return app.post(f"/api/action/{action}", json=data, headers=headers)


def test_others_keep_their_turn(app: Any, resource: Any, monkeypatch: Any) -> None:
    monkeypatch.setitem(tk.config, "ckanext.bqdatastore.lock_timeout", 0.2)
    data = {"resource_id": resource["id"], "force": True, "records": [{"name": "Grace"}]}
    data["method"] = "insert"
    with turn(resource["id"]):
        said = post(app, "datastore_upsert", data)
    assert said.status_code == 409
    assert "try again later" in said.json["error"]["resource_id"][0]
    assert helpers.call_action("datastore_search", resource_id=resource["id"])["total"] == 1
    assert post(app, "datastore_upsert", data).status_code == 200


def test_the_catalog_is_away(app: Any, resource: Any, monkeypatch: Any) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        away = f"ducklake:postgresql://someone:hidden@127.0.0.1:{unused.getsockname()[1]}/gone"
        with monkeypatch.context() as patch:
            for side in ("write", "read"):
                patch.setitem(tk.config, f"ckan.datastore.{side}_url", away)
            said = post(app, "datastore_search", {"resource_id": resource["id"]})
    assert said.status_code == 500  # as with the stock backend and its database
    assert said.json["success"] is False
    for secret in ("hidden", "someone", "127.0.0.1"):
        assert secret not in said.text
    assert post(app, "datastore_search", {"resource_id": resource["id"]}).status_code == 200
