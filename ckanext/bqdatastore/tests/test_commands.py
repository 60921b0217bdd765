"""CKAN's own `ckan datastore` commands and `ckanapi` on our tables."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import ckanapi
import ckantoolkit as tk
import pytest
from ckan.cli.cli import ckan
from ckan.tests import factories, helpers
from werkzeug.serving import make_server

from ckanext.bqdatastore.site import engine_of_site

pytestmark = pytest.mark.usefixtures("with_plugins", "clean_tables")

RECORDS = [{"name": "Ada", "born": "1815-12-10"}, {"name": "Grace, A.", "born": None}]


@pytest.fixture
def resource() -> Any:
    made = factories.Resource()
    helpers.call_action(
        "datastore_create",
        resource_id=made["id"],
        force=True,
        fields=[{"id": "name", "type": "text"}, {"id": "born", "type": "timestamp"}],
        records=RECORDS,
    )
    return made


DUMPS: dict[str, Any] = {
    "csv": '_id,name,born\r\n1,Ada,1815-12-10T00:00:00.000\n2,"Grace, A.",\n',
    "tsv": "_id\tname\tborn\r\n1\tAda\t1815-12-10T00:00:00.000\n2\tGrace, A.\t\n",
    "json": [[1, "Ada", "1815-12-10T00:00:00.000"], [2, "Grace, A.", None]],
    "xml": '<row _id="2"><name>Grace, A.</name><born xsi:nil="true" /></row>',
}


@pytest.mark.parametrize("format", DUMPS)
def test_dump(format: str, resource: Any, cli: Any, tmp_path: Path) -> None:
    file = tmp_path / "dumped"
    arguments = ["datastore", "dump", resource["id"], str(file), "--format", format]
    result = cli.invoke(ckan, arguments)
    assert result.exit_code == 0, result.output
    dumped = file.read_bytes().decode()
    expected = DUMPS[format]
    if format == "json":
        assert json.loads(dumped)["records"] == expected
    elif format == "xml":
        assert expected in dumped
    else:
        assert dumped == expected


def test_purge_drops_tables_of_resources_that_are_gone(resource: Any, cli: Any) -> None:
    # CKAN 2.12's own action looks for the resource and fails: `logic.action.datastore_delete`.
    orphan = factories.Resource()
    helpers.call_action("datastore_create", resource_id=orphan["id"], force=True, records=RECORDS)
    helpers.call_action("package_delete", id=orphan["package_id"])
    helpers.call_action("dataset_purge", id=orphan["package_id"])
    result = cli.invoke(ckan, ["datastore", "purge"], input="y\n")
    assert result.exit_code == 0, result.output
    assert "Dropped 1 tables" in result.output
    assert engine_of_site().tables() == [resource["id"]]


def test_nobody_but_a_sysadmin_drops_a_table_whose_resource_is_gone(resource: Any) -> None:
    user = factories.User()
    helpers.call_action("package_delete", id=resource["package_id"])
    helpers.call_action("dataset_purge", id=resource["package_id"])
    told = []
    for id in (resource["id"], "no such table"):
        with pytest.raises(tk.ObjectNotFound) as refused:
            helpers.call_action(
                "datastore_delete",
                {"user": user["name"], "ignore_auth": False},
                resource_id=id,
                force=True,
            )
        told.append(str(refused.value))
    assert told[0] == told[1]  # whether the table is there does not show
    assert engine_of_site().tables() == [resource["id"]]


def test_deleting_a_resource_drops_its_table(resource: Any) -> None:
    helpers.call_action("resource_delete", id=resource["id"])
    assert engine_of_site().tables() == []


@pytest.fixture
def address(app: Any) -> Iterator[str]:
    """The site, served on this machine."""
    server = make_server("127.0.0.1", 0, app.flask_app, threaded=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.port}"
    server.shutdown()
    thread.join()


def test_ckanapi_goes_on_unchanged(resource: Any, address: str) -> None:
    user = factories.SysadminWithToken()
    api = ckanapi.RemoteCKAN(address, apikey=user["token"])
    found = api.action.datastore_search(resource_id=resource["id"], filters={"name": "Ada"})
    assert [record["name"] for record in found["records"]] == ["Ada"]
    api.action.datastore_upsert(
        resource_id=resource["id"], force=True, method="insert", records=[{"name": "Joan"}]
    )
    counted = api.action.datastore_search_sql(sql=f'SELECT count(*) FROM "{resource["id"]}"')
    assert counted["records"] == [{"count": 3}]
    with pytest.raises(ckanapi.ValidationError) as caught:
        api.action.datastore_search(resource_id=resource["id"], sort="nosuch")
    assert "sort" in caught.value.error_dict
    with pytest.raises(ckanapi.NotFound):
        api.action.datastore_search(resource_id="nosuch")
