"""Which language and which fields a full-text request searches, by setting and by parameter."""

from __future__ import annotations

from typing import Any

import ckantoolkit as tk
import pytest
from ckan.tests import factories, helpers

pytestmark = pytest.mark.usefixtures("with_plugins", "clean_tables")

RECORDS = [
    {"country": "Brazil running", "note": "vertes"},
    {"country": "Italy", "note": "runs of Brazil"},
    {"country": "runs", "note": None},
]


@pytest.fixture
def resource_id() -> str:
    resource_id = str(factories.Resource()["id"])
    fields = [{"id": name, "type": "text"} for name in ("country", "note")]
    helpers.call_action(
        "datastore_create", resource_id=resource_id, force=True, fields=fields, records=RECORDS
    )
    return resource_id


def _found(resource_id: str, **request: Any) -> list[int]:
    answer = helpers.call_action("datastore_search", resource_id=resource_id, **request)
    return sorted(record["_id"] for record in answer["records"])


def test_english_is_the_default_language(resource_id: str) -> None:
    assert _found(resource_id, q="ran runs") == []
    assert _found(resource_id, q="runs") == [1, 2, 3]
    assert _found(resource_id, q={"country": "running"}) == [1, 3]


@pytest.mark.ckan_config("ckan.datastore.default_fts_lang", "simple")
def test_a_setting_chooses_another_language(resource_id: str) -> None:
    # A row is always indexed in English: of the words only the lexemes themselves are found.
    assert _found(resource_id, q="runs") == []
    assert _found(resource_id, q="run") == [1, 2, 3]


@pytest.mark.ckan_config("ckan.datastore.default_fts_lang", "simple")
@pytest.mark.ckan_config("ckan.datastore.default_fts_index_field_types", "text")
def test_a_field_is_read_in_the_language_of_the_setting(resource_id: str) -> None:
    assert _found(resource_id, q={"country": "runs"}) == [3]


@pytest.mark.ckan_config("ckan.datastore.default_fts_lang", "simple")
@pytest.mark.ckan_config("ckan.datastore.default_fts_index_field_types", "text")
def test_a_parameter_goes_before_the_setting(resource_id: str) -> None:
    assert _found(resource_id, q={"note": "vert"}, language="french") == [1]
    assert _found(resource_id, q={"country": "running"}, language="english") == [1, 3]


def test_a_text_is_looked_for_in_the_whole_row(resource_id: str) -> None:
    assert _found(resource_id, q="brazil") == [1, 2]
    assert _found(resource_id, q={"country": "brazil"}) == [1]


@pytest.mark.parametrize("of", ["row", "field"])
def test_a_query_of_too_many_words_is_refused(of: str, resource_id: str) -> None:
    def found(words: int) -> list[int]:
        text = "brazil " * words
        return _found(resource_id, q=text if of == "row" else {"country": text})

    assert found(100) == ([1, 2] if of == "row" else [1])
    with pytest.raises(tk.ValidationError, match="101 words; at most 100"):
        found(101)


def test_a_field_that_is_not_there_is_refused(resource_id: str) -> None:
    with pytest.raises(tk.ValidationError, match="nosuch"):
        _found(resource_id, q={"nosuch": "brazil"})


@pytest.mark.ckan_config("ckan.datastore.default_fts_lang", "french")
def test_a_field_without_an_index_must_have_the_word_in_the_row_as_well(resource_id: str) -> None:
    # "running" is a lexeme to French, and the field has it; the row, in English, has "run".
    assert _found(resource_id, q={"country": "running"}) == []


@pytest.mark.ckan_config("ckan.datastore.default_fts_lang", "french")
@pytest.mark.ckan_config("ckan.datastore.default_fts_index_field_types", "text")
def test_a_field_with_an_index_is_searched_alone(resource_id: str) -> None:
    assert _found(resource_id, q={"country": "running"}) == [1]
