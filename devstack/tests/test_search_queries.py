"""What the search stand-in finds: a request's parameters, and the documents that answer it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread
from typing import Any

import pysolr
import pytest

from devstack.installed import package_folder
from devstack.search_stand_in.errors import BadRequest
from devstack.search_stand_in.index import SearchIndex
from devstack.search_stand_in.query import minimum_should_match
from devstack.search_stand_in.schema import Schema
from devstack.search_stand_in.server import listen

# As CKAN sends them for a search without fields in it.
DISMAX = {
    "defType": ["dismax"],
    "qf": ["name^4 title^4 tags^2 groups^2 text"],
    "mm": ["2<-1 5<80%"],
    "tie": ["0.1"],
}

DOCUMENTS: list[dict[str, Any]] = [
    {
        "index_id": "1",
        "name": "river-levels",
        "title": "Levels of the Rhine",
        "notes": "Measured at Cologne, every hour.",
        "tags": ["water", "time series"],
        "res_format": ["CSV", "JSON"],
        "permission_labels": ["public"],
        "capacity": "public",
        "state": "active",
        "metadata_modified": "2024-03-01T10:00:00.123456Z",
        "views_total": 12,
    },
    {
        "index_id": "2",
        "name": "wifi",
        "title": "Public Wi-Fi hotspots",
        "notes": "Where citizens' phones connect; the river too",
        "tags": ["net"],
        "res_format": ["CSV"],
        "permission_labels": ["creator-a b", "member-x"],
        "capacity": "private",
        "state": "active",
        "metadata_modified": "2025-03-01T10:00:00Z",
        "views_total": 3,
        "extras_theme": "Telecommunications",
    },
    {
        "index_id": "3",
        "name": "old",
        "title": "Straßen und Cafés",
        "permission_labels": ["public"],
        "capacity": "public",
        "state": "deleted",
        "metadata_modified": "2020-01-01T00:00:00Z",
    },
]


@pytest.fixture(scope="module")
def schema() -> Schema:
    return Schema.read(package_folder("ckan") / "config" / "solr" / "schema.xml")


@pytest.fixture
def index(schema: Schema) -> SearchIndex:
    index = SearchIndex(schema)
    index.add(DOCUMENTS)
    return index


def names(index: SearchIndex, **parameters: list[str]) -> list[str]:
    answer = index.select({"sort": ["name asc"], "rows": ["100"], **parameters})
    return [document["name"] for document in answer["response"]["docs"]]


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("*:*", ["old", "river-levels", "wifi"]),
        ("name:wifi", ["wifi"]),
        ("name:WIFI", []),  # a string field, as it is
        ('name:"river-levels"', ["river-levels"]),
        (r"name:river\-levels", ["river-levels"]),
        ("name:river-levels", ["river-levels"]),
        ("name:river*", ["river-levels"]),
        ("name:?ifi", ["wifi"]),
        ("name:[p TO s]", ["river-levels"]),
        ("title:rhine", ["river-levels"]),
        ("title:level", ["river-levels"]),  # stems
        ("title:wifi", ["wifi"]),  # catenated
        ("title:fi", ["wifi"]),
        ("title:cafe", ["old"]),  # folded
        ('title:"of the rhine"', ["river-levels"]),
        ('title:"the of rhine"', []),
        ("title:hot*", ["wifi"]),
        ("river", ["river-levels", "wifi"]),  # by the default field, which has copies of others
        ("telecommunication", ["wifi"]),
        ("river AND phones", ["wifi"]),
        ("+river -phones", ["river-levels"]),
        ("river NOT phones", ["river-levels"]),
        ("-name:wifi", ["old", "river-levels"]),
        ("name:wifi OR name:old", ["old", "wifi"]),
        ("name:(wifi OR old)", ["old", "wifi"]),
        ("(name:wifi OR name:old) AND state:deleted", ["old"]),
        ("name:wifi^2.5 || title:rhine^0", ["river-levels", "wifi"]),
        ("tags:(water AND \"time series\")", ["river-levels"]),
        ("extras_theme:*", ["wifi"]),
        ("-extras_theme:[* TO *]", ["old", "river-levels"]),
        ("metadata_modified:[2024-01-01T00:00:00Z TO *]", ["river-levels", "wifi"]),
        ("metadata_modified:{* TO 2024-03-01T10:00:00.123Z]", ["old", "river-levels"]),
        ("metadata_modified:{* TO 2024-03-01T10:00:00.123Z}", ["old"]),
        ("metadata_modified:[NOW-1DAY TO NOW]", []),
        ("views_total:[5 TO 100]", ["river-levels"]),
        ("views_total:3", ["wifi"]),
        ('permission_labels:("public" OR "member-x")', ["old", "river-levels", "wifi"]),
        ('permission_labels:("creator-a b")', ["wifi"]),
        ('+entity_type:package AND +(id:"1" OR name:"old") AND +state:"deleted"', []),
        ("name_ngram:fi", ["wifi"]),
        ("title_ngram:ott", []),
    ],
)  # fmt: skip
def test_lucene_query_finds(index: SearchIndex, query: str, found: list[str]) -> None:
    assert names(index, q=[query]) == found


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("river", ["river-levels", "wifi"]),
        ("rhine cologne", ["river-levels"]),
        ("rhine phones", []),  # of two words both
        ("rhine cologne hour phones", ["river-levels"]),  # of four all but one
        ("rhine OR phones", []),
        ("+river -phones", ["river-levels"]),
        ('"the river"', ["wifi"]),
        ('unbalanced " rhine', []),
        ("rhine (cologne) [hour]", ["river-levels"]),
        ("net:", ["wifi"]),
        ("rhine - ", ["river-levels"]),
        ("rhine +- cologne", ["river-levels"]),
    ],
)
def test_dismax_query_finds(index: SearchIndex, query: str, found: list[str]) -> None:
    assert names(index, q=[query], **DISMAX) == found


def test_edismax_takes_fields_and_what_is_no_syntax(index: SearchIndex) -> None:
    edismax = {**DISMAX, "defType": ["edismax"]}
    assert names(index, q=["title:rhine"], **edismax) == ["river-levels"]
    assert names(index, q=["rhine (cologne"], **edismax) == ["river-levels"]
    assert names(index, q=["--rhine"], **edismax) == ["river-levels"]


def test_every_filter_must_match(index: SearchIndex) -> None:
    filters = ["+state:active", 'permission_labels:("public")']
    assert names(index, q=["*:*"], fq=filters) == ["river-levels"]


def test_q_op_makes_words_required(index: SearchIndex) -> None:
    assert names(index, q=["rhine phones"]) == ["river-levels", "wifi"]
    assert names(index, q=["rhine phones"], **{"q.op": ["AND"]}) == []
    assert names(index, q=["rhine OR phones"], **{"q.op": ["AND"]}) == ["river-levels", "wifi"]


@pytest.mark.parametrize(
    ("optional", "rule", "needed"),
    [
        (1, "2<-1 5<80%", 1),
        (2, "2<-1 5<80%", 2),
        (3, "2<-1 5<80%", 2),
        (5, "2<-1 5<80%", 4),
        (6, "2<-1 5<80%", 4),
        (10, "2<-1 5<80%", 8),
        (4, "-25%", 3),
        (4, "75%", 3),
        (2, "5", 2),
        (2, "-5", 0),
    ],
)
def test_minimum_should_match(optional: int, rule: str, needed: int) -> None:
    assert minimum_should_match(optional, rule) == needed


def test_a_word_in_a_weighty_field_ranks_first(index: SearchIndex) -> None:
    index.add([{"index_id": "4", "name": "x", "title": "River", "state": "active"}])
    answer = index.select({"q": ["river"], **DISMAX})
    assert answer["response"]["docs"][0]["name"] == "x"


def test_sort_by_several_fields_puts_missing_strings_last(index: SearchIndex) -> None:
    order = "organization asc, metadata_modified desc"
    assert names(index, q=["*:*"], sort=[order]) == ["wifi", "river-levels", "old"]


def test_facets_count_what_was_found(index: SearchIndex) -> None:
    answer = index.select(
        {
            "q": ["state:active"],
            "facet": ["true"],
            "facet.field": ["res_format", "tags", "organization"],
            "facet.limit": ["2"],
            "facet.mincount": ["1"],
        }
    )
    assert answer["facet_counts"]["facet_fields"] == {
        "res_format": ["CSV", 2, "JSON", 1],
        "tags": ["net", 1, "time series", 1],
        "organization": [],
    }


def test_answer_has_stored_fields_only(index: SearchIndex) -> None:
    (document,) = index.select({"q": ["name:wifi"]})["response"]["docs"]
    assert document["metadata_modified"] == "2025-03-01T10:00:00Z"
    assert document["extras_theme"] == "Telecommunications"
    assert not {"permission_labels", "views_total", "text"} & set(document)


def test_fl_chooses_fields(index: SearchIndex) -> None:
    (document,) = index.select({"q": ["name:wifi"], "fl": ["name,state", "score"]})["response"][
        "docs"
    ]
    assert document == {"name": "wifi", "state": "active", "score": 1.0}


def test_dates_come_back_to_the_millisecond(index: SearchIndex) -> None:
    (document,) = index.select({"q": ["name:river-levels"]})["response"]["docs"]
    assert document["metadata_modified"] == "2024-03-01T10:00:00.123Z"


def test_start_and_rows_page_through(index: SearchIndex) -> None:
    assert names(index, q=["*:*"], start=["1"], rows=["1"]) == ["river-levels"]


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"q": ['name:"open']}, "Cannot parse"),
        ({"q": ["name:a:b"]}, "Cannot parse"),
        ({"q": ["(a"]}, "Cannot parse"),
        ({"q": ["a)"]}, "Cannot parse"),
        ({"q": ["AND a"]}, "Cannot parse"),
        ({"q": ["--rhine"], **DISMAX}, "Cannot parse"),
        ({"q": ["name:roam~1"]}, "no fuzzy"),
        ({"q": ["{!bool must=a}"]}, "no local parameters"),
        ({"q": ["metadata_modified:yesterday"]}, "Invalid Date String"),
        ({"q": ["*:*"], "sort": ["name"]}, "Can't determine a Sort Order"),
        ({"q": ["*:*"], "sort": ["title asc"]}, "can not sort on multivalued field"),
        ({"q": ["*:*"], "rows": ["-1"]}, "cannot be negative"),
    ],
)
def test_what_cannot_be_answered_is_refused(
    index: SearchIndex, parameters: dict[str, list[str]], message: str
) -> None:
    with pytest.raises(BadRequest, match=message):
        index.select(parameters)


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ({"name": "no key"}, "uniqueKey"),
        ({"index_id": "9", "name": ["a", "b"]}, "non multiValued field name"),
        ({"index_id": "9", "end_date": "soon"}, "Invalid Date String"),
        ({"index_id": "9", "anything": {"a": 1}}, "Error adding field"),
    ],
)
def test_a_document_that_does_not_fit_is_refused(
    index: SearchIndex, document: dict[str, Any], message: str
) -> None:
    with pytest.raises(BadRequest, match=message):
        index.add([{"index_id": "8", "name": "beside it"}, document])
    assert names(index, q=["name:beside*"]) == []


def test_a_document_of_the_same_key_is_replaced(index: SearchIndex) -> None:
    index.add([{"index_id": "2", "name": "wireless"}])
    assert names(index, q=["*:*"]) == ["old", "river-levels", "wireless"]


def test_documents_stay_in_the_file(schema: Schema, tmp_path: Path) -> None:
    first = SearchIndex(schema, tmp_path / "documents")
    first.add(DOCUMENTS)
    first.delete(["1"])
    again = SearchIndex(schema, tmp_path / "documents")
    assert names(again, q=["*:*"]) == ["old", "wifi"]


@contextmanager
def served(index: SearchIndex) -> Iterator[pysolr.Solr]:
    server, port = listen(index, 0)
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield pysolr.Solr(f"http://127.0.0.1:{port}/solr/ckan", timeout=10)
    finally:
        server.shutdown()
        server.server_close()


def test_over_http_by_the_client_that_ckan_has(schema: Schema) -> None:
    with served(SearchIndex(schema)) as solr:
        solr.add(DOCUMENTS, commit=True)
        # Longer than what the client puts into an address.
        several = [f'name:"{name}"' for name in ["wifi", *(str(n) for n in range(100))]]
        assert [document["name"] for document in solr.search(" OR ".join(several))] == ["wifi"]
        assert solr.search("*:*", fq=["state:active", "capacity:public"]).hits == 1
        solr.delete(q='+name:"wifi"')
        solr.delete(id="3")
        solr.commit()
        assert [document["name"] for document in solr.search("*:*")] == ["river-levels"]
        assert '"OK"' in solr.ping()
        with pytest.raises(pysolr.SolrError, match=r"HTTP 400.*Cannot parse"):
            solr.search("a:b:c")
