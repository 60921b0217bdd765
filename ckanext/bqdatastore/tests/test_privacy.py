"""Rows of a private dataset go to those who may see it, by every route, and to nobody else.

Each route is a row of a table: who asks, and with which status it ends. The stock backend must end
with the same, but where a row says otherwise.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlencode

import ckantoolkit as tk
import pytest
from ckan.tests import factories

from .differential.harness import OURS, STOCK, active

USERS = ("anonymous", "stranger", "member", "editor", "sysadmin")
SECRET = "forty-two secrets"

Statuses = Mapping[str, int]


def statuses(*each: int) -> Statuses:
    return dict(zip(USERS, each, strict=True))


SEEN = statuses(403, 403, 200, 200, 200)
SEEN_ON_PAGE = statuses(404, 404, 200, 200, 200)
CHANGED = statuses(403, 403, 403, 200, 200)
CHANGED_ON_PAGE = statuses(404, 404, 404, 200, 200)
OPEN = statuses(200, 200, 200, 200, 200)


@dataclasses.dataclass(frozen=True)
class Route:
    """A way to the private table. `{hidden}`, `{alias}` and `{public}` stand for tables.

    :param path: a page to GET, or the name of an action
    :param data: what is posted to the action
    :param stock: the stock backend's statuses, where they are others
    :param shows: whether rows come with status 200
    """

    path: str
    statuses: Statuses
    data: Mapping[str, Any] | None = None
    stock: Statuses | None = None
    shows: bool = True


def sql(text: str, **options: Any) -> Route:
    return Route("datastore_search_sql", SEEN, {"sql": text}, **options)


# The stock backend looks for a resource of the alias's name, and finds none.
NO_RESOURCE = statuses(404, 404, 404, 404, 200)

READS = {
    "search": Route("datastore_search", SEEN, {"resource_id": "{hidden}"}),
    "search, alias": Route("datastore_search", SEEN, {"resource_id": "{alias}"}),
    "search, total": Route(
        "datastore_search", SEEN, {"resource_id": "{hidden}", "limit": 0}, shows=False
    ),
    "sql": sql('SELECT * FROM "{hidden}"'),
    "sql, count": sql('SELECT count(*) FROM "{hidden}"', shows=False),
    "sql, public schema": sql('SELECT * FROM public."{hidden}"'),
    "sql, join": sql('SELECT h.name FROM "{public}" p JOIN "{hidden}" h ON true'),
    "sql, comma": sql('SELECT h.name FROM "{public}" p, "{hidden}" h'),
    "sql, left join": sql('SELECT h.name FROM "{public}" p LEFT JOIN "{hidden}" h ON p.n = h.n'),
    "sql, sub-query": sql('SELECT * FROM (SELECT * FROM "{hidden}") s'),
    "sql, where": sql(
        'SELECT * FROM "{public}" WHERE n IN (SELECT n FROM "{hidden}")', shows=False
    ),
    "sql, scalar": sql('SELECT (SELECT max(name) FROM "{hidden}") AS name FROM "{public}"'),
    "sql, cte": sql(
        # A CTE of any other name the stock backend takes for a table.
        'WITH "{public}" AS (SELECT * FROM "{hidden}") SELECT * FROM "{public}"'
    ),
    "sql, cte of the table's name": sql(
        'WITH "{hidden}" AS (SELECT * FROM "{hidden}") SELECT * FROM "{hidden}"'
    ),
    "sql, cte of its name further in": sql(
        'SELECT * FROM "{hidden}" WHERE n IN (WITH "{hidden}" AS (SELECT 1 AS n) '
        'SELECT n FROM "{hidden}")'
    ),
    "sql, union": sql('SELECT name FROM "{public}" UNION ALL SELECT name FROM "{hidden}"'),
    "sql, except": sql(
        'SELECT name FROM "{public}" EXCEPT SELECT name FROM "{hidden}"', shows=False
    ),
    "sql, exists": sql(
        'SELECT n FROM "{public}" WHERE EXISTS (SELECT 1 FROM "{hidden}" WHERE n > 0)', shows=False
    ),
    "sql, lateral": sql(
        'SELECT l.name FROM "{public}" p, LATERAL (SELECT name FROM "{hidden}" h WHERE h.n = p.n) l'
    ),
    "sql, having": sql(
        'SELECT n FROM "{public}" GROUP BY n HAVING n <= (SELECT max(n) FROM "{hidden}")',
        shows=False,
    ),
    "sql, order by": sql(
        'SELECT n FROM "{public}" ORDER BY (SELECT max(n) FROM "{hidden}")', shows=False
    ),
    "sql, limit": sql(
        'SELECT n FROM "{public}" LIMIT (SELECT max(n) FROM "{hidden}")', shows=False
    ),
    "sql, filter": sql(
        'SELECT count(*) FILTER (WHERE n IN (SELECT n FROM "{hidden}")) FROM "{public}"',
        shows=False,
    ),
    "sql, alias": sql('SELECT * FROM "{alias}"', stock=NO_RESOURCE),
    "sql, alias in a join": sql(
        'SELECT h.name FROM "{public}" p JOIN "{alias}" h ON true', stock=NO_RESOURCE
    ),
    "info": Route("datastore_info", SEEN, {"id": "{hidden}"}, shows=False),
    "info, alias": Route("datastore_info", SEEN, {"id": "{alias}"}, shows=False),
    "dump csv": Route("/datastore/dump/{hidden}", SEEN_ON_PAGE),
    "dump tsv": Route("/datastore/dump/{hidden}?format=tsv", SEEN_ON_PAGE),
    "dump json": Route("/datastore/dump/{hidden}?format=json", SEEN_ON_PAGE),
    "dump xml": Route("/datastore/dump/{hidden}?format=xml", SEEN_ON_PAGE),
    "dump csv, alias": Route("/datastore/dump/{alias}", SEEN_ON_PAGE),
    "dump json, alias": Route("/datastore/dump/{alias}?format=json", SEEN_ON_PAGE),
    "dictionary": Route("/dataset/{dataset}/dictionary/{hidden}", CHANGED_ON_PAGE, shows=False),
    "api info": Route("/datastore/api_info/{hidden}", SEEN_ON_PAGE, shows=False),
    # For comparison: what is public stays so beside it.
    "search, public": Route("datastore_search", OPEN, {"resource_id": "{public}"}, shows=False),
    "sql, public": Route(
        "datastore_search_sql", OPEN, {"sql": 'SELECT * FROM "{public}"'}, shows=False
    ),
    "dump, public": Route("/datastore/dump/{public}", OPEN, shows=False),
}

RECORD = {"n": 7, "name": "written"}

# In this order: the last one drops the table.
WRITES = {
    "create": Route(
        "datastore_create", CHANGED, {"resource_id": "{hidden}", "records": [RECORD], "force": True}
    ),
    "insert": Route(
        "datastore_upsert",
        CHANGED,
        {"resource_id": "{hidden}", "method": "insert", "records": [RECORD], "force": True},
    ),
    "update": Route(
        "datastore_upsert",
        CHANGED,
        {
            "resource_id": "{hidden}",
            "method": "update",
            "records": [{"_id": 1, "n": 1}],
            "force": True,
        },
    ),
    "upsert": Route(
        "datastore_upsert",
        CHANGED,
        {"resource_id": "{hidden}", "records": [{"_id": 1, "n": 1}], "force": True},
    ),
    "dry run": Route(
        "datastore_upsert",
        CHANGED,
        {
            "resource_id": "{hidden}",
            "method": "insert",
            "records": [RECORD],
            "force": True,
            "dry_run": True,
        },
    ),
    "insert, alias": Route(
        "datastore_upsert",
        statuses(404, 404, 404, 404, 404),
        {"resource_id": "{alias}", "method": "insert", "records": [RECORD], "force": True},
    ),
    "records_delete": Route(
        "datastore_records_delete",
        CHANGED,
        {"resource_id": "{hidden}", "filters": {"n": 7}, "force": True},
    ),
    "delete by filters": Route(
        "datastore_delete", CHANGED, {"resource_id": "{hidden}", "filters": {"n": 7}, "force": True}
    ),
    "delete": Route(
        "datastore_delete",
        statuses(403, 403, 403, 200, 404),  # the editor's has worked
        {"resource_id": "{hidden}", "force": True},
    ),
}


@dataclasses.dataclass(frozen=True)
class Site:
    """A CKAN with a private and a public dataset, and everybody's tokens.

    :param names: what the places in braces stand for
    """

    app: Any
    tokens: Mapping[str, str | None]
    names: Mapping[str, str]

    def ask(self, route: Route, user: str) -> tuple[int, str]:
        """Status and body of the route's answer to a user."""
        token = self.tokens[user]
        headers = {"Authorization": token} if token else {}
        if route.data is None:
            response = self.app.get(
                self._filled(route.path), headers=headers, follow_redirects=False
            )
        else:
            response = self.app.post(
                f"/api/action/{route.path}",
                data=self._filled(json.dumps(route.data)),
                headers={**headers, "Content-Type": "application/json"},
            )
        return response.status_code, response.body

    def _filled(self, text: str) -> str:
        for name, value in self.names.items():
            text = text.replace(f"{{{name}}}", value)
        return text

    def make_tables(self) -> None:
        """The two tables, on the backend that is active."""
        records = [{"n": 1, "name": SECRET}, {"n": 2, "name": f"other {SECRET}"}]
        for table, rows in (
            ("hidden", records),
            ("public", [{"n": 1, "name": "known to all"}]),
        ):
            data = {
                "resource_id": self.names[table],
                "fields": [{"id": "n", "type": "int4"}, {"id": "name", "type": "text"}],
                "records": rows,
                "force": True,
            }
            if table == "hidden":
                data["aliases"] = [self.names["alias"]]
            tk.get_action("datastore_create")({"ignore_auth": True}, data)

    def drop_tables(self) -> None:
        for table in ("hidden", "public"):
            try:
                tk.get_action("datastore_delete")(
                    {"ignore_auth": True}, {"resource_id": self.names[table], "force": True}
                )
            except tk.ObjectNotFound:
                continue


@pytest.fixture
def site(with_plugins: None, clean_tables: None, app: Any) -> Site:
    users = {name: factories.UserWithToken() for name in ("stranger", "member", "editor")}
    organization = factories.Organization(
        users=[
            {"name": users["member"]["name"], "capacity": "member"},
            {"name": users["editor"]["name"], "capacity": "editor"},
        ]
    )
    other = factories.Organization()
    tk.get_action("organization_member_create")(
        {"ignore_auth": True},
        {"id": other["id"], "username": users["stranger"]["name"], "role": "admin"},
    )
    private = factories.Dataset(private=True, owner_org=organization["id"])
    public = factories.Dataset(owner_org=organization["id"])
    return Site(
        app,
        {
            "anonymous": None,
            **{name: user["token"] for name, user in users.items()},
            "sysadmin": factories.SysadminWithToken()["token"],
        },
        {
            "dataset": private["name"],
            "hidden": factories.Resource(package_id=private["id"])["id"],
            "public": factories.Resource(package_id=public["id"])["id"],
            "alias": "another name of it",
        },
    )


@pytest.fixture(params=[OURS, STOCK])
def backend(request: pytest.FixtureRequest, site: Site) -> Iterator[str]:
    """Each of the two in turn, with the tables on it."""
    with active(request.param):
        site.drop_tables()
        site.make_tables()
        try:
            yield request.param
        finally:
            site.drop_tables()


def wrong(site: Site, backend: str, routes: Mapping[str, Route]) -> list[str]:
    """What went otherwise than the table says."""
    found = []
    for name, route in routes.items():
        expected = route.stock if backend == STOCK and route.stock else route.statuses
        for user in USERS:
            status, body = site.ask(route, user)
            if status != expected[user]:
                found.append(f"{name}, {user}: {status} and not {expected[user]}: {body[:300]}")
            if status != 200 and SECRET in body:
                found.append(f"{name}, {user}: the refusal shows what it refuses: {body[:300]}")
    return found


def test_reads(site: Site, backend: str) -> None:
    assert wrong(site, backend, READS) == []


def test_who_is_let_in_gets_the_rows(site: Site, backend: str) -> None:
    missing = [
        name
        for name, route in READS.items()
        if route.shows
        and (backend == OURS or route.stock is None)
        and SECRET not in site.ask(route, "member")[1]
    ]
    assert missing == []


def test_writes(site: Site, backend: str) -> None:
    assert wrong(site, backend, WRITES) == []


def test_refused_writes_change_nothing(site: Site, backend: str) -> None:
    before = site.ask(READS["search"], "sysadmin")[1]
    for route in WRITES.values():
        for user in ("anonymous", "stranger", "member"):
            site.ask(route, user)
    assert site.ask(READS["search"], "sysadmin")[1] == before


def test_a_dictionary_that_is_posted_by_a_stranger_is_refused(site: Site, backend: str) -> None:
    names = site.names
    path = f"/dataset/{names['dataset']}/dictionary/{names['hidden']}"
    for user in ("stranger", "member", "editor"):
        response = site.app.post(
            path,
            data=urlencode({"info__1__label": "A label"}),
            headers={
                "Authorization": site.tokens[user],
                "Content-Type": "application/x-www-form-urlencoded",
            },
            follow_redirects=False,
        )
        assert response.status_code == (302 if user == "editor" else 404)


# Whether a table is hidden or absent must not show


UNKNOWN = "11111111-2222-3333-4444-555555555555"

QUESTIONS = [
    'SELECT * FROM "{table}"',
    'SELECT no_such_column FROM "{table}"',
    'SELECT n / 0 FROM "{table}"',
    'SELECT name::int FROM "{table}"',
    'SELECT * FROM "{table}" WHERE name = 5',
    'SELECT pg_sleep(1) FROM "{table}"',
    'SELECT t.* FROM "{public}" p JOIN "{table}" t USING (n)',
    'SELECT * FROM public."{table}"',
    'WITH c AS (SELECT * FROM "{table}") SELECT * FROM c',
]


def test_sql_answers_for_a_hidden_table_as_for_one_that_is_not_there(site: Site) -> None:
    with active(OURS):
        site.make_tables()
        for question in QUESTIONS:
            for user in ("anonymous", "stranger"):
                answers = []
                for table in (site.names["hidden"], site.names["alias"], UNKNOWN):
                    route = sql(question.replace("{table}", table))
                    status, body = site.ask(route, user)
                    error = json.loads(body)["error"]
                    assert table not in json.dumps(error)
                    answers.append((status, error))
                assert answers == [answers[-1]] * 3, (question, user)
                assert answers[0][0] == 403


def test_sql_of_a_sysadmin_says_that_a_table_is_not_there(site: Site) -> None:
    with active(OURS):
        status, body = site.ask(sql(f'SELECT * FROM "{UNKNOWN}"'), "sysadmin")
    assert status == 409
    assert "does not exist" in body


# The list of tables


def test_the_list_of_tables_is_that_of_stock(site: Site) -> None:
    listed = {}
    route = Route("datastore_search", OPEN, {"resource_id": "_table_metadata", "limit": 1000})
    own = set(site.names.values())
    for backend in (OURS, STOCK):
        with active(backend):
            site.drop_tables()
            site.make_tables()
            for user in USERS:
                status, body = site.ask(route, user)
                assert status == 200
                listed[backend, user] = {
                    (record["name"], record["alias_of"])
                    for record in json.loads(body)["result"]["records"]
                    if record["name"] in own
                }
            site.drop_tables()
    assert {frozenset(each) for each in listed.values()} == {
        frozenset(
            {
                (site.names["hidden"], None),
                (site.names["public"], None),
                (site.names["alias"], site.names["hidden"]),
            }
        )
    }


def test_the_list_of_tables_is_for_sysadmins_in_sql(site: Site, backend: str) -> None:
    text = "SELECT * FROM (SELECT count(*) FROM _table_metadata) AS q"
    # The stock backend looks for a resource of that name, and finds none.
    answered = statuses(403, 403, 403, 403, 200)
    route = Route("datastore_search_sql", answered, {"sql": text}, stock=NO_RESOURCE, shows=False)
    assert wrong(site, backend, {"sql": route}) == []


def test_a_table_that_the_site_shows_to_all_is_found_by_the_name_that_is_set(
    site: Site, backend: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if tk.config.get("ckan.datastore.public_table_search") is None:
        pytest.skip("CKAN 2.11 has no such setting; 2.12 has")
    alias = site.names["alias"]
    monkeypatch.setitem(tk.config, "ckan.datastore.public_table_search", [alias])
    routes = {
        "as it is set": Route("datastore_search", OPEN, {"resource_id": alias}),
        "by another name": Route("datastore_search", SEEN, {"resource_id": "{hidden}"}),
    }
    assert wrong(site, backend, routes) == []


def test_the_list_of_tables_goes_to_nobody_where_the_site_says_so(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(tk.config, "ckan.datastore.public_table_search", [])
    route = Route("datastore_search", OPEN, {"resource_id": "_table_metadata"})
    for user in ("anonymous", "stranger"):
        answers = {}
        for backend in (OURS, STOCK):
            with active(backend):
                answers[backend] = site.ask(route, user)[0]
        assert answers[OURS] == answers[STOCK] == 404
