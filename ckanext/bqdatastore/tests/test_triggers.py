"""Trigger functions on our backend, beyond what `differential/cases/triggers.yaml` compares."""

from __future__ import annotations

import os
from typing import Any

import ckantoolkit as tk
import psycopg2
import pyarrow as pa
import pytest
from ckan.tests import factories, helpers

from ckanext.bqdatastore.model.errors import EngineUnavailable, InvalidRequest, QueryTimeout
from ckanext.bqdatastore.model.table import ID, Field, Table
from ckanext.bqdatastore.model.write import WriteMode
from ckanext.bqdatastore.records.batches import rows_in_order
from ckanext.bqdatastore.triggers.carriers import to_csv
from ckanext.bqdatastore.triggers.database import TriggerDatabase
from ckanext.bqdatastore.triggers.passage import Passed

URL = os.environ["CKAN_BQDATASTORE_TRIGGER_URL"]


def test_rows_behind_an_empty_chunk_travel_as_they_are() -> None:
    """An engine's answer may begin with an empty batch, after which pyarrow writes garbage."""
    values = pa.chunked_array([pa.array([], pa.string()), pa.array(["a", None], pa.string())])
    numbers = pa.chunked_array([pa.array([], pa.int64()), pa.array([1, 2], pa.int64())])
    text = to_csv([(values, "text"), (numbers, "int8")]).getvalue()
    assert text == b'"a",1\n,2\n'


on_our_backend = pytest.mark.usefixtures("with_plugins", "clean_tables")


def function(body: str, name: str = "under_test") -> str:
    """A trigger function on the site's database; its name."""
    helpers.call_action(
        "datastore_function_create",
        name=name,
        or_replace=True,
        rettype="trigger",
        definition=body,
    )
    return name


def create(body: str | None = None, **data: Any) -> str:
    """A resource's id, with a table that has a trigger function of that body."""
    if body is not None:
        data["triggers"] = [{"function": function(body)}]
    resource = factories.Resource()["id"]
    helpers.call_action("datastore_create", resource_id=resource, force=True, **data)
    return str(resource)


def upsert(resource: str, method: str, *records: dict[str, Any], **options: Any) -> Any:
    return helpers.call_action(
        "datastore_upsert",
        resource_id=resource,
        method=method,
        records=list(records),
        force=True,
        **options,
    )


def records(resource: str, **query: Any) -> list[dict[str, Any]]:
    found = helpers.call_action(
        "datastore_search", resource_id=resource, **{"sort": ID, "limit": 32000, **query}
    )
    return list(found["records"])


def count_left(pattern: str) -> int:
    """How many relations and functions of such a name the trigger database holds."""
    with psycopg2.connect(URL) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_class WHERE relname LIKE %s", [pattern])
        return int(cursor.fetchone()[0])


KEYED: dict[str, Any] = {
    "fields": [{"id": "k", "type": "text"}, {"id": "v", "type": "int4"}],
    "primary_key": "k",
}

REFUSE_13 = "BEGIN IF NEW.v = 13 THEN RAISE EXCEPTION 'not %', NEW.v; END IF; RETURN NEW; END;"


@on_our_backend
class TestErrors:
    @pytest.mark.parametrize("method", ["insert", "upsert", "update"])
    @pytest.mark.parametrize("row", [0, 3, 6])
    def test_an_exception_names_the_first_record_that_raised_it(
        self, method: str, row: int
    ) -> None:
        there = [{"k": str(number), "v": 0} for number in range(7)]
        resource = create(REFUSE_13, **KEYED, records=there if method == "update" else [])
        sent = [{"k": str(number), "v": 13 if number >= row else number} for number in range(7)]
        with pytest.raises(tk.ValidationError) as caught:
            upsert(resource, method, *sent)
        assert caught.value.error_dict == {"records": ["not 13"], "records_row": row}
        assert [each["v"] for each in records(resource)] == ([0] * 7 if method == "update" else [])

    def test_a_function_that_is_gone_is_named(self) -> None:
        resource = create(REFUSE_13, **KEYED)
        TriggerDatabase(URL, 10).drop_function("under_test", if_exists=False)
        with pytest.raises(tk.ValidationError) as caught:
            upsert(resource, "insert", {"k": "a"})
        assert caught.value.error_dict == {"triggers": ["function under_test() does not exist"]}

    def test_a_function_in_use_is_not_dropped(self) -> None:
        create(REFUSE_13, **KEYED)
        with pytest.raises(tk.ValidationError) as caught:
            helpers.call_action("datastore_function_delete", name="under_test")
        assert "other objects depend on it" in caught.value.error_dict["name"][0]

    def test_a_trigger_may_not_change_the_row_number(self) -> None:
        resource = create("BEGIN NEW._id := 99; RETURN NEW; END;", **KEYED)
        with pytest.raises(tk.ValidationError, match="may not change _id"):
            upsert(resource, "insert", {"k": "a"})

    def test_a_value_that_no_engine_holds_is_refused(self) -> None:
        resource = create(
            "BEGIN NEW.n := 'NaN'; RETURN NEW; END;", fields=[{"id": "n", "type": "numeric"}]
        )
        with pytest.raises(tk.ValidationError, match="cannot be held"):
            upsert(resource, "insert", {"n": 1})
        assert records(resource) == []

    def test_an_endless_function_is_stopped(self) -> None:
        database = TriggerDatabase(URL, 0.2)
        database.create_function("endless", [], "trigger", "BEGIN LOOP END LOOP; END;", True)
        with pytest.raises(QueryTimeout):
            passed(database, "endless", WriteMode.INSERT, {"k": "a"})


@on_our_backend
class TestSetting:
    @pytest.mark.ckan_config("ckanext.bqdatastore.trigger_url", "")
    @pytest.mark.parametrize(
        ("action", "data"),
        [
            ("datastore_function_create", {"name": "f", "rettype": "trigger", "definition": ""}),
            ("datastore_function_delete", {"name": "f"}),
        ],
    )
    def test_functions_without_it_are_an_error_that_names_it(
        self, action: str, data: dict[str, Any]
    ) -> None:
        with pytest.raises(tk.ValidationError, match=r"set ckanext\.bqdatastore\.trigger_url"):
            helpers.call_action(action, **data)

    @pytest.mark.ckan_config("ckanext.bqdatastore.trigger_url", "")
    def test_triggers_without_it_are_an_error_that_names_it(self) -> None:
        with pytest.raises(tk.ValidationError, match=r"set ckanext\.bqdatastore\.trigger_url"):
            create(**KEYED, triggers=[{"function": "f"}])
        resource = create(**KEYED, triggers=[], records=[{"k": "a"}])
        assert len(records(resource)) == 1

    def test_a_table_without_triggers_does_not_need_the_database(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def refuse(*arguments: Any) -> Any:
            raise AssertionError("connected")

        monkeypatch.setattr(TriggerDatabase, "_transaction", refuse)
        resource = create(**KEYED, records=[{"k": "a"}])
        upsert(resource, "upsert", {"k": "b"})
        assert helpers.call_action("datastore_run_triggers", resource_id=resource) == 2

    def test_a_database_out_of_reach_is_named_without_its_password(self) -> None:
        database = TriggerDatabase("postgresql://me:secret@127.0.0.1:1/none", 1)
        with pytest.raises(EngineUnavailable, match=r"ckanext\.bqdatastore\.trigger_url") as caught:
            database.check(["f"])
        assert "secret" not in str(caught.value)


@on_our_backend
class TestRunTriggers:
    def test_every_row_passes_and_what_changes_is_kept(self) -> None:
        resource = create(**KEYED, records=[{"k": "a", "v": 1}, {"k": "b"}, {"k": "c", "v": 3}])
        name = function("BEGIN NEW.v := OLD.v * 10; RETURN NEW; END;")
        helpers.call_action(
            "datastore_create", resource_id=resource, force=True, triggers=[{"function": name}]
        )
        assert helpers.call_action("datastore_run_triggers", resource_id=resource) == 3
        assert [(each[ID], each["v"]) for each in records(resource)] == [
            (1, 10),
            (2, None),
            (3, 30),
        ]

    def test_rows_come_in_pages(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("ckanext.bqdatastore.triggers.writes._ROWS_AT_A_TIME", 2)
        resource = create(**KEYED, records=[{"k": str(number), "v": number} for number in range(5)])
        name = function(
            "BEGIN IF NEW.v = 3 THEN RETURN NULL; END IF; NEW.v := -1; RETURN NEW; END;"
        )
        helpers.call_action(
            "datastore_create", resource_id=resource, force=True, triggers=[{"function": name}]
        )
        assert helpers.call_action("datastore_run_triggers", resource_id=resource) == 4
        assert [each["v"] for each in records(resource)] == [-1, -1, -1, 3, -1]

    def test_an_exception_leaves_every_row_as_it_was(self) -> None:
        resource = create(**KEYED, records=[{"k": "a", "v": 1}, {"k": "b", "v": 13}])
        name = function(
            "BEGIN NEW.v := NEW.v + 1; IF NEW.v = 14 THEN RAISE 'no'; END IF; RETURN NEW; END;"
        )
        helpers.call_action(
            "datastore_create", resource_id=resource, force=True, triggers=[{"function": name}]
        )
        with pytest.raises(tk.ValidationError) as caught:
            helpers.call_action("datastore_run_triggers", resource_id=resource)
        assert caught.value.error_dict == {"records": ["no"]}
        assert [each["v"] for each in records(resource)] == [1, 13]

    def test_of_no_table_it_is_the_stock_error(self) -> None:
        with pytest.raises(tk.ValidationError) as caught:
            helpers.call_action("datastore_run_triggers", resource_id="nowhere")
        assert caught.value.error_dict == {"records": ['relation "nowhere" does not exist']}

    def test_it_is_for_sysadmins(self) -> None:
        resource = create(REFUSE_13, **KEYED)
        context = {"user": factories.User()["name"], "ignore_auth": False}
        with pytest.raises(tk.NotAuthorized):
            helpers.call_action("datastore_run_triggers", context, resource_id=resource)


@on_our_backend
class TestWrites:
    def test_a_thousand_records_pass_at_once(self) -> None:
        resource = create("BEGIN NEW.v := NEW.v + 1; RETURN NEW; END;", **KEYED)
        sent: list[dict[str, Any]] = [{"k": str(n), "v": n} for n in range(1000)]
        upsert(resource, "upsert", *sent)
        upsert(resource, "upsert", *reversed(sent))
        # Once as what is to be inserted, and again as what is updated.
        assert [each["v"] for each in records(resource)] == [each["v"] + 2 for each in sent]

    def test_what_a_function_writes_elsewhere_is_not_kept(self) -> None:
        body = "BEGIN CREATE TABLE left_behind (n int); RETURN NEW; END;"
        create(body, **KEYED, records=[{"k": "a"}])
        assert count_left("left_behind") == 0

    def test_a_dry_run_passes_the_triggers_and_keeps_nothing(self) -> None:
        resource = create(REFUSE_13, **KEYED)
        upsert(resource, "insert", {"k": "a", "v": 1}, dry_run=True)
        with pytest.raises(tk.ValidationError):
            upsert(resource, "insert", {"k": "a", "v": 13}, dry_run=True)
        assert records(resource) == []

    def test_a_new_row_is_stored_under_the_number_that_the_trigger_saw(self) -> None:
        resource = create("BEGIN NEW.v := NEW._id; RETURN NEW; END;", **KEYED)
        upsert(resource, "insert", {"k": "a"}, {"k": "b"})
        helpers.call_action(
            "datastore_delete", resource_id=resource, filters={"k": "b"}, force=True
        )
        upsert(resource, "upsert", {"k": "c"}, {"k": "d"}, {"k": "a"})
        found = records(resource)
        assert [each["k"] for each in found] == ["a", "c", "d"]
        assert [each["v"] for each in found[1:]] == [each[ID] for each in found[1:]]
        assert found[1][ID] > 2

    def test_names_may_hold_what_sql_gives_a_meaning(self) -> None:
        name = "\"; DROP TABLE x; -- %s %(a)s {0} \\ 'é"
        field = "$$ ' %s %(a)s {0} \\ ; -- é"
        function(f"BEGIN NEW.\"{field}\" := '{{}} %s \\'; RETURN NEW; END;", name)
        resource = create(
            fields=[{"id": field, "type": "text"}, {"id": "n", "type": "int4"}],
            primary_key=[field],
            triggers=[{"function": name}],
            records=[{field: "a", "n": 1}],
        )
        upsert(resource, "upsert", {field: "b", "n": 2})
        assert records(resource) == [{ID: 1, field: "{} %s \\", "n": 2}]


TABLE = Table(
    "some-table",
    (Field("k", "text"), Field("v", "int4")),
    primary_key=("k",),
    triggers=("to_be_replaced",),
)


def passed(
    database: TriggerDatabase,
    name: str,
    mode: WriteMode,
    *sent: dict[str, Any],
    existing: pa.Table | None = None,
) -> Passed:
    table = Table(TABLE.name, TABLE.fields, TABLE.primary_key, triggers=(name,))
    rows, runs = rows_in_order(list(sent), table, mode)
    return database.apply(table, rows, runs, mode, existing, 5)


class TestDatabase:
    @pytest.fixture
    def database(self) -> TriggerDatabase:
        return TriggerDatabase(URL, 10)

    def test_rows_that_no_record_wrote_do_not_come_out(self, database: TriggerDatabase) -> None:
        database.create_function("keep", [], "trigger", "BEGIN RETURN NEW; END;", True)
        existing = pa.table({ID: [1, 2], "k": ["a", "b"], "v": pa.array([1, 2], pa.int32())})
        sent = ({"k": "new"}, {"k": "b", "v": 7}, {"k": "c", "v": 8}, {"k": "b"})
        found = passed(database, "keep", WriteMode.UPSERT, *sent, existing=existing)
        assert found.rows.to_pylist() == [
            {ID: 5, "k": "new", "v": None},
            {ID: 6, "k": "c", "v": 8},
            {ID: 2, "k": "b", "v": 7},
        ]
        assert found.positions == (0, 2, 3)

    def test_nothing_stays(self, database: TriggerDatabase) -> None:
        database.create_function("keep", [], "trigger", "BEGIN RETURN NEW; END;", True)
        passed(database, "keep", WriteMode.INSERT, {"k": "a"})
        assert count_left("some-table") == 0

    def test_check_takes_trigger_functions_only(self, database: TriggerDatabase) -> None:
        database.create_function("keep", [], "trigger", "BEGIN RETURN NEW; END;", True)
        database.create_function("no_trigger", [], "int4", "BEGIN RETURN 1; END;", True)
        database.check(["keep", "keep"])
        with pytest.raises(InvalidRequest, match="must return type trigger"):
            database.check(["keep", "no_trigger"])
