"""CKAN's dataset search, as its API and its pages have it, on the search stand-in."""

from __future__ import annotations

from typing import Any

import pytest
from ckan import model
from ckan.lib import search
from ckan.tests import factories
from ckan.tests.helpers import call_action

pytestmark = [
    pytest.mark.ckan_config("ckan.plugins", ""),
    pytest.mark.usefixtures("with_plugins", "clean_db", "clean_index"),
]


def found(**parameters: Any) -> list[str]:
    parameters.setdefault("sort", "name asc")
    return [dataset["name"] for dataset in call_action("package_search", **parameters)["results"]]


def test_dataset_is_found_by_its_words_tags_and_resources() -> None:
    factories.Dataset(
        name="levels",
        title="Levels of the Rhine",
        tags=[{"name": "water"}],
        resources=[{"url": "http://example.org/a.csv", "format": "CSV", "name": "hourly"}],
    )
    factories.Dataset(name="other")
    for query in ("rhine", "level", "water", "hourly", "tags:water", "res_format:CSV"):
        assert found(q=query) == ["levels"], query


def test_update_and_deletion_are_seen() -> None:
    dataset = factories.Dataset(name="levels", title="Rhine")
    call_action("package_patch", id=dataset["id"], title="Danube")
    assert found(q="rhine") == []
    assert found(q="danube") == ["levels"]
    call_action("package_delete", id=dataset["id"])
    assert found() == []


def test_facets_count_organizations_and_tags() -> None:
    organization = factories.Organization(name="waterworks", title="Water Works")
    for name in ("a1", "b1"):
        factories.Dataset(name=name, owner_org=organization["id"], tags=[{"name": "water"}])
    factories.Dataset(name="c1", tags=[{"name": "water"}])
    answer = call_action("package_search", **{"facet.field": ["organization", "tags"]})
    assert answer["facets"] == {"organization": {"waterworks": 2}, "tags": {"water": 3}}
    (item,) = answer["search_facets"]["organization"]["items"]
    assert item["display_name"] == "Water Works"


def test_private_dataset_is_found_by_its_members_only() -> None:
    member, stranger = factories.User(), factories.User()
    organization = factories.Organization(users=[{"name": member["name"], "capacity": "member"}])
    factories.Dataset(name="secret", owner_org=organization["id"], private=True)
    factories.Dataset(name="open")

    def found_by(user: str) -> list[str]:
        context = {"user": user, "ignore_auth": False}
        return found(context=context, include_private=True)

    assert found_by(member["name"]) == ["open", "secret"]
    assert found_by(stranger["name"]) == ["open"]
    assert found_by("") == ["open"]
    assert found() == ["open"]


def test_autocomplete_finds_parts_of_names() -> None:
    factories.Dataset(name="river-levels", title="Levels")
    assert [match["name"] for match in call_action("package_autocomplete", q="er-le")] == [
        "river-levels"
    ]


def test_paging_by_rows_and_start() -> None:
    for number in range(5):
        factories.Dataset(name=f"dataset-{number}")
    assert found(rows=2, start=3) == ["dataset-3", "dataset-4"]
    assert call_action("package_search", rows=0)["count"] == 5


def test_index_is_rebuilt_from_the_database(cli: Any) -> None:
    from ckan.cli.cli import ckan

    factories.Dataset(name="levels")
    search.clear_all()
    assert found() == []
    result = cli.invoke(ckan, ["search-index", "rebuild"])
    assert result.exit_code == 0, result.output
    assert found() == ["levels"]
    result = cli.invoke(ckan, ["search-index", "check"])
    assert "Packages not indexed = 0 out of 1" in result.output
    model.Session.remove()


def test_dataset_page_shows_facets_and_results(app: Any) -> None:
    factories.Dataset(name="levels", title="Levels of the Rhine", tags=[{"name": "water"}])
    page = app.get("/dataset/?q=rhine&tags=water")
    assert page.status_code == 200
    assert "1 dataset found" in page.body
    assert "Levels of the Rhine" in page.body
    assert "Levels of the Rhine" in app.get("/dataset/levels").body


def test_schema_version_is_one_that_ckan_supports() -> None:
    assert search.check_solr_schema_version()
