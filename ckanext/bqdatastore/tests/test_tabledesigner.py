"""CKAN's Table Designer, whose rows are checked by trigger functions, by way of its pages."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from ckan.tests import factories, helpers

from ckanext.bqdatastore import config
from ckanext.bqdatastore.model.errors import Misconfigured

PLUGINS = "bqdatastore tabledesigner datatables_view datastore"

pytestmark = [
    pytest.mark.ckan_config("ckan.plugins", PLUGINS),
    pytest.mark.usefixtures("with_plugins", "clean_tables"),
]

FIELDS: list[dict[str, Any]] = [
    {"id": "code", "tdtype": "text", "tdpkreq": "pk", "tdpattern": "[a-z ]+"},
    {"id": "kind", "tdtype": "choice", "tdpkreq": "req", "tdchoices": "red\ngreen"},
    {"id": "size", "tdtype": "integer", "tdminimum": "1", "tdmaximum": "9"},
    {"id": "mail", "tdtype": "email"},
    {"id": "uid", "tdtype": "uuid"},
    {"id": "exact", "tdtype": "numeric", "tdminimum": "0.5"},
    {"id": "flag", "tdtype": "boolean"},
    {"id": "more", "tdtype": "json"},
    {"id": "day", "tdtype": "date", "tdminimum": "2000-01-01"},
    {"id": "at", "tdtype": "timestamp", "tdmaximum": "2030-01-01 00:00:00"},
]

GOOD = {
    "code": " abc ",
    "kind": "red",
    "size": "5",
    "mail": " me@example.org ",
    "uid": "213b972d-75c0-48b7-b14a-5a19eb58a1fa",
    "exact": "2.01",
    "flag": "true",
    "more": '{"a": [1]}',
    "day": "2024-01-01",
    "at": "2024-01-01T12:00",
}

STORED = {
    "_id": 1,
    **GOOD,
    "code": "abc",
    "size": 5,
    "mail": "me@example.org",
    "exact": 2.01,
    "flag": True,
    "at": "2024-01-01T12:00:00.000",
}


Page = Callable[..., Any]


@pytest.fixture
def resource() -> dict[str, Any]:
    dataset = factories.Dataset()
    made: dict[str, Any] = helpers.call_action(
        "resource_create", package_id=dataset["id"], url_type="tabledesigner", name="t"
    )
    return made


@pytest.fixture
def post(app: Any, resource: dict[str, Any]) -> Page:
    """Sends a form to one of the pages of the resource."""
    headers = {"Authorization": factories.SysadminWithToken()["token"]}

    def send(page: str, form: dict[str, Any], **query: Any) -> Any:
        address = f"/dataset/{resource['package_id']}/{page.format(resource['id'])}"
        return app.post(
            address, data=form, query_string=query, headers=headers, follow_redirects=False
        )

    return send


@pytest.fixture
def designed(post: Page) -> Page:
    form = {
        f"fields__{number}__{name}": value
        for number, field in enumerate(FIELDS)
        for name, value in {"tdpkreq": "", **field}.items()
    }
    form |= {f"info__{number}__label": field["id"] for number, field in enumerate(FIELDS)}
    assert post("dictionary/{}", form).status_code == 302
    return post


def row(**changes: str) -> dict[str, str]:
    values = {**GOOD, **changes}
    return {f"col__{number}__value": values[f["id"]] for number, f in enumerate(FIELDS)}


def rows(resource: dict[str, Any]) -> list[dict[str, Any]]:
    found = helpers.call_action("datastore_search", resource_id=resource["id"], sort="_id")
    return list(found["records"])


def test_a_designed_table_is_described(designed: Page, resource: dict[str, Any]) -> None:
    info = helpers.call_action("datastore_info", id=resource["id"])
    assert [(each["id"], each["tdtype"]) for each in info["fields"]] == [
        (each["id"], each["tdtype"]) for each in FIELDS
    ]


def test_a_good_row_is_added_as_the_rules_make_it(designed: Page, resource: dict[str, Any]) -> None:
    assert designed("tabledesigner/{}/add-row", row()).status_code == 302
    stored = rows(resource)
    assert {**stored[0], "more": GOOD["more"]} == STORED


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("code", "  ", "Primary key must not be empty"),
        ("code", "A1", "Does not match pattern"),
        ("kind", "blue", "Invalid choice"),
        ("kind", "", "Missing value"),
        ("size", "0", "Below minimum"),
        ("size", "10", "Above maximum"),
        ("mail", "nobody", "Invalid email"),
        ("exact", "0.49", "Below minimum"),
        ("day", "1999-12-31", "Below minimum"),
        ("at", "2030-01-01T00:00:01", "Above maximum"),
        ("size", "five", "Invalid input"),
        ("uid", "x", "Invalid input"),
    ],
)
def test_a_bad_value_is_shown_with_its_reason(
    designed: Page, resource: dict[str, Any], field: str, value: str, message: str
) -> None:
    answer = designed("tabledesigner/{}/add-row", row(**{field: value}))
    assert answer.status_code == 200
    assert message in answer.get_data(as_text=True)
    assert rows(resource) == []


def test_a_key_that_is_taken_is_shown_even_if_only_blanks_tell_them_apart(
    designed: Page, resource: dict[str, Any]
) -> None:
    designed("tabledesigner/{}/add-row", row())
    answer = designed("tabledesigner/{}/add-row", row(code="abc"))
    assert "Duplicate primary key exists" in answer.get_data(as_text=True)
    assert len(rows(resource)) == 1


def test_a_row_is_edited_and_deleted(designed: Page, resource: dict[str, Any]) -> None:
    designed("tabledesigner/{}/add-row", row())
    designed("tabledesigner/{}/add-row", row(code="other"))
    answer = designed("tabledesigner/{}/edit-row", row(size="99"), _id=1)
    assert "Above maximum" in answer.get_data(as_text=True)
    assert (
        designed("tabledesigner/{}/edit-row", row(code="new", size="9"), _id=1).status_code == 302
    )
    assert [(each["code"], each["size"]) for each in rows(resource)] == [("new", 9), ("other", 5)]
    assert designed("tabledesigner/{}/delete-rows", {}, _id=1).status_code == 302
    assert [each["_id"] for each in rows(resource)] == [2]


def test_other_rules_are_for_rows_to_come_and_can_be_run_on_those_that_are_there(
    designed: Page, resource: dict[str, Any]
) -> None:
    designed("tabledesigner/{}/add-row", row())
    form = {
        "fields__0__id": "code",
        "fields__0__tdtype": "text",
        "fields__0__tdpkreq": "pk",
        "fields__0__tdpattern": "x+",
        "info__0__label": "Code",
    }
    assert designed("dictionary/{}", form).status_code == 302
    assert [each["code"] for each in rows(resource)] == ["abc"]
    with pytest.raises(Exception, match="Does not match pattern"):
        helpers.call_action("datastore_run_triggers", resource_id=resource["id"])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"tdtype": "integer", "tdminimum": "one"}, "Invalid constraint for type: int8"),
        ({"tdtype": "date", "tdmaximum": "2024-02-30"}, "Invalid constraint for type: date"),
        ({"tdtype": "numeric", "tdminimum": "2", "tdmaximum": "1.5"}, "Less than minumum"),
        ({"tdtype": "text", "tdpattern": "[a-"}, "Invalid regular expression"),
    ],
)
def test_a_rule_that_makes_no_sense_is_refused(
    post: Page, changes: dict[str, str], message: str
) -> None:
    form = {f"fields__0__{name}": value for name, value in {"id": "a", **changes}.items()}
    answer = post("dictionary/{}", {**form, "fields__0__tdpkreq": "", "info__0__label": "A"})
    assert answer.status_code == 200
    assert message in answer.get_data(as_text=True)


def test_the_start_tells_of_plugins_in_the_wrong_order(ckan_config: Any) -> None:
    ckan_config["ckan.plugins"] = "tabledesigner datastore bqdatastore"
    with pytest.raises(Misconfigured, match='"bqdatastore" must stand before "tabledesigner"'):
        config.check_plugins()


def test_the_start_tells_of_a_missing_database(ckan_config: Any) -> None:
    config.check_plugins()
    ckan_config["ckanext.bqdatastore.trigger_url"] = ""
    with pytest.raises(Misconfigured, match="tabledesigner"):
        config.check_plugins()
