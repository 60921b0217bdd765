"""The DataStore backend: a CKAN dict in, an engine call, a CKAN dict out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ckan.exceptions import CkanConfigurationException
from ckanext.datastore import helpers
from ckanext.datastore.backend import DatastoreBackend

from . import config, definition, search_request, sql_request
from .engines.base import Engine
from .errors import as_ckan
from .model.errors import (
    EngineUnavailable,
    InvalidRequest,
    Misconfigured,
    QueryFailed,
    TableNotFound,
)
from .model.table import ID, Table
from .model.types import native_type
from .model.write import Deletion, Rows, TableChange, Write, WriteMode, WriteResult
from .records import formats
from .records.batches import rows_to_write
from .site import close_engine, engine_of_site, is_being_checked, trigger_database, turn
from .triggers.writes import rows_through_triggers, run_triggers


class AnalyticsBackend(DatastoreBackend):
    """CKAN's DataStore on one of our engines."""

    @property
    def engine(self) -> Engine:
        return engine_of_site()

    @property
    def enable_sql_search(self) -> bool:
        return config.sql_search_enabled()

    def configure(self, config: Any) -> Any:
        if is_being_checked():
            return config
        try:
            engine_of_site()
        except Misconfigured as fault:
            raise CkanConfigurationException(str(fault)) from None
        except EngineUnavailable as fault:
            raise CkanConfigurationException(f"ckan.datastore.write_url: {fault}") from None
        return config

    def before_fork(self) -> None:
        close_engine()

    # Writing

    def create(
        self, context: Any, data_dict: dict[str, Any], plugin_data: dict[int, dict[str, Any]]
    ) -> dict[str, Any]:
        name = data_dict["resource_id"]
        records = data_dict.get("records") or []
        request = definition.Request(
            fields=data_dict.get("fields") or [],
            plugin_data=plugin_data,
            delete_fields=bool(data_dict.get("delete_fields")),
            records=records,
            primary_key=helpers.get_list(data_dict.get("primary_key")),
            indexes=helpers.get_list(data_dict.get("indexes")),
            aliases=helpers.get_list(data_dict.get("aliases")),
            triggers=_trigger_names(data_dict),
        )
        with as_ckan(), turn(name):
            before = self.engine.describe(name)
            if before is None:
                after = definition.new_table(name, request)
            else:
                after = definition.altered_table(before, request)
            if request.triggers:
                trigger_database().check(request.triggers)
            write = None
            if records:
                write = Write(
                    WriteMode.INSERT,
                    self._rows(records, after, WriteMode.INSERT),
                    returning=bool(data_dict.get("include_records")),
                )
            result = self.engine.apply(TableChange(before, after, write))
        data_dict["method"] = "insert"
        self._put_returned(data_dict, result, after)
        for field in data_dict.get("fields") or []:
            field.setdefault("type", after.field(field["id"]).type)
        return _shown_as_json(data_dict)

    def upsert(self, context: Any, data_dict: dict[str, Any]) -> dict[str, Any]:
        name = data_dict["resource_id"]
        mode = WriteMode(data_dict.get("method", "upsert"))
        records = data_dict.get("records")
        if not records:
            return data_dict
        with as_ckan(), turn(name):
            known = self._table(name)
            write = Write(
                mode,
                self._rows(records, known, mode) if known.fields else (),
                returning=bool(data_dict.get("include_records")),
                dry_run=bool(data_dict.get("dry_run")),
            )
            result = self.engine.apply(TableChange(known, known, write))
        self._put_returned(data_dict, result, known)
        return _shown_as_json(data_dict)

    def delete(self, context: Any, data_dict: dict[str, Any]) -> dict[str, Any]:
        name = data_dict["resource_id"]
        with as_ckan(), turn(name):
            if "filters" not in data_dict:
                self.engine.drop(name)
                return data_dict
            known = self._table(name)
            wanted = config.rows_max() if data_dict.get("include_deleted_records") else 0
            try:
                predicate = search_request.deletion_predicate(
                    context, data_dict, known, self.engine.dialect.translate
                )
                result = self.engine.delete(Deletion(known, predicate, wanted))
            except QueryFailed as fault:
                raise InvalidRequest("filters", fault.messages) from None
        if result.returned is not None:
            data_dict["deleted_records"] = _python_rows(result.returned, known)
        return data_dict

    def _rows(self, records: Sequence[Any], known: Table, mode: WriteMode) -> tuple[Rows, ...]:
        if not known.triggers:
            return rows_to_write(records, known, mode)
        return rows_through_triggers(self.engine, trigger_database(), known, records, mode)

    def _put_returned(self, data_dict: dict[str, Any], result: WriteResult, written: Table) -> None:
        if result.returned is not None:
            data_dict["records"] = _python_rows(result.returned, written)

    # Triggers

    def create_function(
        self,
        name: str,
        arguments: Sequence[Mapping[str, str]],
        rettype: str,
        definition: str,
        or_replace: bool,
    ) -> None:
        with as_ckan():
            database = trigger_database()
            database.create_function(name, arguments, rettype, definition, or_replace)

    def drop_function(self, name: str, if_exists: bool) -> None:
        with as_ckan():
            database = trigger_database()
            users = (self.engine.describe(each) for each in self.engine.tables())
            if any(user is not None and name in user.triggers for user in users):
                # The stock backend, whose tables PostgreSQL knows, breaks down with these words.
                raise InvalidRequest(
                    "name", f"cannot drop function {name}() because other objects depend on it"
                )
            database.drop_function(name, if_exists)

    def run_triggers(self, name: str) -> int:
        """Pass all rows of a table or alias through its triggers again; how many there are."""
        with as_ckan():
            real = self.engine.resolve(name)
            if real is None:
                raise InvalidRequest("records", f'relation "{name}" does not exist')
            with turn(real):
                known = self._table(real)
                if not known.triggers:
                    return self.engine.statistics(known).row_count
                return run_triggers(self.engine, trigger_database(), known)

    # Reading

    def search(self, context: Any, data_dict: dict[str, Any]) -> dict[str, Any]:
        slow = "Search took too long"
        with as_ckan(slow, query_failed="Invalid query"), self.engine.one_moment():
            search_request.answer(self.engine, context, data_dict)
        return _shown_as_json(data_dict)

    def search_sql(self, context: Any, data_dict: dict[str, Any]) -> dict[str, Any]:
        with as_ckan(), self.engine.one_moment():
            sql_request.answer(self.engine, context, data_dict)
        return _shown_as_json(data_dict)

    # Describing

    def resource_exists(self, id: str) -> bool:
        return self.engine.describe(id) is not None

    def resource_id_from_alias(self, alias: str) -> tuple[bool, str | None]:
        real = self.engine.resolve(alias)
        if real is None:
            return False, None
        return True, real if real != alias else None

    def resource_fields(
        self, id: str, include_meta: bool = True, include_fields_schema: bool = True
    ) -> dict[str, Any]:
        with as_ckan(), self.engine.one_moment():
            known = self._table(id)
            info: dict[str, Any] = {}
            if include_meta:
                statistics = self.engine.statistics(known)
                info["meta"] = {
                    "id": id,
                    "count": statistics.row_count,
                    "table_type": "BASE TABLE",
                    "size": statistics.table_bytes,
                    "db_size": statistics.database_bytes,
                    "idx_size": statistics.index_bytes,
                    # The stock backend lists the newest first.
                    "aliases": list(reversed(known.aliases)),
                }
        info["fields"] = [
            {
                "id": field.id,
                "type": field.type,
                **({"info": field.info} if field.info is not None else {}),
                **({"schema": _field_schema(known, field.id)} if include_fields_schema else {}),
            }
            for field in known.fields
        ]
        return info

    def resource_info(self, id: str) -> dict[str, Any]:
        return self.resource_fields(id)

    def resource_plugin_data(self, resource_id: str) -> dict[str, Any]:
        known = self.engine.describe(resource_id)
        if known is None:
            return {}
        return {
            field.id: {
                **({"_info": field.info} if field.info is not None else {}),
                **field.plugin_data,
            }
            for field in known.fields
            if field.info is not None or field.plugin_data
        }

    def get_all_ids(self) -> list[str]:
        return self.engine.tables()

    def calculate_record_count(self, resource_id: str) -> None:
        """Nothing to do: engines count from metadata, so no count is kept beside the table."""

    def clear_table_stats(self, resource_id: str) -> None:
        """Nothing to do: see `calculate_record_count`."""

    def _table(self, name: str) -> Table:
        known = self.engine.describe(name)
        if known is None:
            raise TableNotFound(name)
        return known


def _python_rows(rows: Any, written: Table) -> list[dict[str, Any]]:
    types = {**written.types, ID: "int8"}
    return formats.python_records(rows, [(name, types[name]) for name in rows.column_names])


def _shown_as_json(data_dict: dict[str, Any]) -> dict[str, Any]:
    """The API calls a nested field `json`."""
    for field in data_dict.get("fields") or []:
        if field.get("type") == "nested":
            field["type"] = "json"
    return data_dict


def _field_schema(known: Table, field_id: str) -> dict[str, Any]:
    """The stock backend's description of a column; no engine has indexes, so none is named."""
    indexes = (known.primary_key, *known.indexes)
    return {
        "native_type": native_type(known.field(field_id).type),
        "notnull": False,
        "index_name": None,
        "is_index": any(field_id in index for index in indexes),
        "uniquekey": False,
    }


def _trigger_names(data_dict: Mapping[str, Any]) -> list[str] | None:
    triggers = data_dict.get("triggers")
    if triggers is None:
        return None
    return [trigger["function"] for trigger in triggers]
