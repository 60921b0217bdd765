"""The DataStore backend: a CKAN dict in, an engine call, a CKAN dict out.

CKAN makes a backend object at every plugin update and now and then between; engines and their
connections belong to the process, not to the object.
"""

from __future__ import annotations

import copy
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import ckantoolkit as tk
from ckan import model, plugins
from ckan.exceptions import CkanConfigurationException
from ckan.lib.lazyjson import LazyJSONObject
from ckanext.datastore import helpers, interfaces
from ckanext.datastore.backend import DatastoreBackend, _parse_sort_clause

from . import config, definition
from .engines import registry
from .engines.base import Capability, Engine, EngineSettings
from .errors import as_ckan
from .locking import TableLocks
from .model.errors import (
    EngineUnavailable,
    InvalidRequest,
    Misconfigured,
    NotPermitted,
    TableNotFound,
)
from .model.query import ParameterNames, Query, column, table
from .model.table import ID, Table
from .model.types import native_type
from .model.write import Deletion, Rows, TableChange, Write, WriteMode, WriteResult
from .query import filters, fragments, fulltext, guard, search, table_metadata
from .records import formats
from .records.batches import rows_to_write
from .records.parameters import parameter
from .triggers.database import TriggerDatabase
from .triggers.writes import rows_through_triggers, run_triggers

_SEARCH_TOO_LONG = "Search took too long"
_CATALOG_LOCK = "catalog"

_engines: dict[tuple[str, EngineSettings], Engine] = {}
_engines_lock = threading.Lock()


def engine_of_site() -> Engine:
    """The engine that the settings name, made once per process.

    :raises Misconfigured: it cannot be made or reached; one sentence names the setting and the mend
    """
    scheme, settings = config.scheme(), config.engine_settings()
    with _engines_lock:
        engine = _engines.get((scheme, settings))
        if engine is None:
            try:
                engine = registry.load(scheme)(settings)
            except ModuleNotFoundError as error:
                raise Misconfigured(
                    f"{config.WRITE_URL}: the {scheme} engine needs the Python package "
                    f"{error.name}: pip install 'ckanext-bqdatastore[{scheme}]'."
                ) from None
            engine.open()
            _engines[scheme, settings] = engine
        return engine


def opened_engines() -> list[Engine]:
    """The engines that this process has made so far."""
    return list(_engines.values())


def close_engines() -> None:
    """Let go of every connection of this process; what is needed again is opened again."""
    for engine in opened_engines():
        engine.close()


class AnalyticsBackend(DatastoreBackend):
    """CKAN's DataStore on one of our engines."""

    @property
    def engine(self) -> Engine:
        return engine_of_site()

    @property
    def enable_sql_search(self) -> bool:
        return config.sql_search_enabled()

    def configure(self, config: Any) -> Any:
        try:
            engine_of_site()
        except Misconfigured as fault:
            raise CkanConfigurationException(str(fault)) from None
        except EngineUnavailable as fault:
            raise CkanConfigurationException(f"ckan.datastore.write_url: {fault}") from None
        return config

    def before_fork(self) -> None:
        close_engines()

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
        with as_ckan(), self.turn(name):
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
        with as_ckan(), self.turn(name):
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
        with as_ckan(query_failed="Invalid query"), self.turn(name):
            if "filters" not in data_dict:
                self.engine.drop(name)
                return data_dict
            known = self._table(name)
            operations = self._validate(context, data_dict, known.types)
            names = ParameterNames()
            conditions = self._conditions(operations, known.types, names)
            for plugin in plugins.PluginImplementations(interfaces.IDatastore):
                added = plugin.datastore_delete(context, data_dict, known.types, {"where": []})
                conditions += _fragments(plugin, added.get("where", []), names)
            predicate = None
            if conditions:
                predicate = Query(search.all_of(conditions), names.values)
            wanted = config.rows_max() if data_dict.get("include_deleted_records") else 0
            result = self.engine.delete(Deletion(known, predicate, wanted))
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

    @contextmanager
    def turn(self, name: str) -> Iterator[None]:
        """The table's turn, or the whole catalog's where it takes one writer at a time."""
        if Capability.SINGLE_WRITER in self.engine.capabilities:
            name = _CATALOG_LOCK
        locks = TableLocks(model.meta.engine, config.site_id(), config.lock_timeout())
        with locks.hold(name):
            yield

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
            with self.turn(real):
                known = self._table(real)
                if not known.triggers:
                    return self.engine.statistics(known).row_count
                return run_triggers(self.engine, trigger_database(), known)

    # Reading

    def search(self, context: Any, data_dict: dict[str, Any]) -> dict[str, Any]:
        with as_ckan(_SEARCH_TOO_LONG, query_failed="Invalid query"):
            return self._search(context, data_dict)

    def _search(self, context: Any, data_dict: dict[str, Any]) -> dict[str, Any]:
        name = data_dict["resource_id"]
        engine = self.engine
        info: Mapping[str, Any] = {}
        if name == table_metadata.NAME:
            types = dict(table_metadata.TYPES)
            source = table_metadata.relation(engine.tables(), engine.aliases())
        else:
            known = self._table(name)
            types, source = known.types, table(known.name)
            info = {field.id: field.info for field in known.fields if field.info is not None}

        operations = self._validate(context, data_dict, types)
        names = ParameterNames()
        conditions = self._conditions(operations, types, names)
        ranks = self._text_search(data_dict, types, conditions, names)
        added = self._plugin_fragments(context, data_dict, types)
        for plugin, where in added:
            conditions += _fragments(plugin, where, names)

        fields = helpers.get_list(data_dict.get("fields"))
        shown = _shown_fields(fields, types, ranks, bool(data_dict.get("full_text")))
        types.update(dict.fromkeys(ranks, "float"))
        request = search.Search(
            source=source,
            columns=tuple(
                (each, ranks[each] if each in ranks else column(each), types[each])
                for each in shown
            ),
            conditions=tuple(conditions),
            order=tuple(_order(data_dict.get("sort"), types, ranks)),
            limit=int(data_dict.get("limit", 100)),
            offset=int(data_dict.get("offset") or 0),
            distinct=bool(data_dict.get("distinct")),
            records_format=data_dict.get("records_format", "objects"),
            names=names,
        )
        keyset = request.keyset if data_dict.get("include_next_page") else None
        timeout = _timeout(context)
        rows = engine.query(search.page(request, engine.dialect, bool(keyset)), timeout).read_all()
        last_id = None
        if keyset and rows.num_rows:
            ids = rows.column(rows.num_columns - 1)
            last_id = ids[rows.num_rows - 1].as_py()
        data_dict["records"] = _formatted(rows, request, bool(keyset), "api_version" in context)
        data_dict["fields"] = [
            {"id": each, "type": types[each], **({"info": info[each]} if each in info else {})}
            for each in (fields if fields is not None else types)
        ]
        _shown_as_json(data_dict)
        if data_dict.get("include_total"):
            found = engine.query(search.total(request), timeout).read_all()
            data_dict["total"] = found.column(0)[0].as_py()
        if last_id is not None:
            data_dict["next_page"] = {ID: {keyset: last_id}}
        return data_dict

    def search_sql(self, context: Any, data_dict: dict[str, Any]) -> dict[str, Any]:
        with as_ckan():
            engine = self.engine
            parsed = guard.parse(data_dict["sql"])
            tables: dict[str, Table] = {}
            real_names = []
            for name in parsed.tables:
                real = engine.resolve(name)
                real_names.append(real or name)
                known = engine.describe(real) if real else None
                if known is not None:
                    tables[name] = known
            # Whether a table is hidden or absent must not show: both are refused here alike.
            try:
                context["check_access"](real_names)
            except tk.ObjectNotFound:
                raise NotPermitted("Not authorized to read resource.") from None
            limit = config.rows_max()
            bound = guard.bind(parsed, tables, engine.allowed_functions, limit + 1)
            query = Query(engine.dialect.translate(bound.query.tree), bound.query.parameters)
            rows = engine.query(query, _timeout(context)).read_all()
        if rows.num_rows > limit:
            data_dict["records_truncated"] = True
            rows = rows.slice(0, limit)
        fields = [(field.id, field.type) for field in bound.fields]
        data_dict["records"] = formats.python_records(rows, fields)
        data_dict["fields"] = [{"id": name, "type": type} for name, type in fields]
        return _shown_as_json(data_dict)

    def _text_search(
        self,
        data_dict: Mapping[str, Any],
        types: Mapping[str, str],
        conditions: list[Any],
        names: ParameterNames,
    ) -> dict[str, Any]:
        """Add the conditions of `q` and `full_text`; the rank columns, by name."""
        q, full_text = data_dict.get("q"), data_dict.get("full_text")
        plain = bool(data_dict.get("plain", True))
        language = data_dict.get("language") or config.text_search_language()
        row = [(name, type) for name, type in types.items() if name != ID]
        ranks: dict[str, Any] = {}
        dialect: Any = self.engine.dialect

        def whole_row(text: str) -> None:
            terms = fulltext.parse(text, language=language, plain=plain)
            conditions.append(fulltext.condition(terms, row, dialect, names))
            ranks["rank"] = fulltext.rank(terms, row, dialect, names)

        if full_text:
            whole_row(full_text)
        elif isinstance(q, str) and q:
            whole_row(q)
        if isinstance(q, dict):
            for name, text in q.items():
                if name not in types:
                    continue
                terms = fulltext.parse(text, language=language, plain=plain)
                field = [(name, types[name])]
                if types[name] not in config.indexed_text_types():
                    conditions.append(fulltext.condition(terms, row, dialect, names))
                conditions.append(fulltext.condition(terms, field, dialect, names, whole_row=False))
                ranks[f"rank {name}"] = fulltext.rank(terms, field, dialect, names, whole_row=False)
        return ranks

    def _conditions(
        self, operations: Any, types: Mapping[str, str], names: ParameterNames
    ) -> list[Any]:
        if not operations:
            return []
        found = filters.condition(operations, types, names, parameter)
        return [] if found is None else [found]

    def _validate(self, context: Any, data_dict: dict[str, Any], types: Mapping[str, str]) -> Any:
        """Parse the filters, and let plugins say what they understand; the parsed filters.

        :raises ValidationError: something is left that nobody understands
        """
        left = copy.deepcopy(data_dict)
        operations = None
        if "filters" in data_dict:
            operations = _parse_filters(data_dict["filters"], types)
        if "fields" in left:
            left["fields"] = helpers.get_list(left["fields"])
        if "sort" in left:
            left["sort"] = helpers.get_list(left["sort"], False)
        if operations:
            left["filters"] = dict(_flattened(operations))
            data_dict["filterops"] = operations  # stock shows it in its answer
        for plugin in plugins.PluginImplementations(interfaces.IDatastore):
            left = plugin.datastore_validate(context, left, dict(types))
        for key in _UNDERSTOOD:
            left.pop(key, None)
        for key, values in left.items():
            if not values:
                continue
            value = values
            if isinstance(values, (list, tuple)):
                value = values[0]
            elif isinstance(values, dict):
                value = next(iter(values))
            raise InvalidRequest(key, f'invalid value "{value}"')
        return operations

    def _plugin_fragments(
        self, context: Any, data_dict: dict[str, Any], types: Mapping[str, str]
    ) -> list[tuple[Any, Any]]:
        added = []
        for plugin in plugins.PluginImplementations(interfaces.IDatastore):
            query_dict = {
                "select": [],
                "sort": [],
                "where": [],
                "ts_query": "",
                "limit": data_dict.get("limit", 100),
                "offset": data_dict.get("offset", 0),
                "distinct": data_dict.get("distinct", False),
            }
            query_dict = plugin.datastore_search(context, data_dict, dict(types), query_dict)
            for part in ("select", "sort"):
                if query_dict.get(part):
                    raise InvalidRequest(
                        "query",
                        f"Plugin {plugin.name} adds to {part}; this backend takes only where.",
                    )
            added.append((plugin, query_dict.get("where", [])))
        return added

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
        with as_ckan():
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


# What the stock backend takes out of a request before it looks for what nobody understands.
_UNDERSTOOD = (
    "connection_url",
    "resource_id",
    "id",
    "include_total",
    "records_format",
    "include_records",
    "include_deleted_records",
    "calculate_record_count",
    "include_next_page",
)


def _parse_filters(sent: Any, types: Mapping[str, str]) -> Any:
    from ckanext.datastore.filters import parse_query_filters

    return parse_query_filters(sent, {"fields": types})


def _flattened(operation: Any) -> Iterable[tuple[str, Any]]:
    if operation.op in ("$and", "$or"):
        for each in operation.value:
            yield from _flattened(each)
    else:
        yield operation.field, operation.value


def _fragments(plugin: Any, where: Sequence[Any], names: ParameterNames) -> list[Any]:
    return [
        fragments.condition(each[0], each[1] if len(each) > 1 else {}, names, plugin.name)
        for each in where
    ]


def _shown_fields(
    fields: Sequence[str] | None,
    types: Mapping[str, str],
    ranks: Mapping[str, Any],
    full_text: bool,
) -> list[str]:
    """Which columns the records have, in order: the stock backend's rule, odd as it is."""
    everything = [*types, *ranks]
    if not fields:
        return everything
    if not full_text:
        return list(fields)
    if "rank" not in fields:
        everything.remove("rank")
    return everything + [field for field in fields if field not in everything]


def _order(sort: Any, types: Mapping[str, str], ranks: Mapping[str, Any]) -> list[search.Order]:
    if not sort:
        return [search.Order(rank, descending=True) for rank in ranks.values()]
    order = []
    for clause in helpers.get_list(sort, False) or []:
        parsed = _parse_sort_clause(clause, types)
        if not parsed:
            continue
        field, how = parsed
        nulls_first = None
        if "nulls" in how:
            nulls_first = "first" in how
        order.append(search.Order(column(field), how.startswith("desc"), nulls_first, field))
    return order


def _formatted(rows: Any, request: search.Search, with_id: bool, lazy: bool) -> Any:
    if request.records_format in ("csv", "tsv"):
        columns = rows.columns[:-1] if with_id else rows.columns
        delimiter = "," if request.records_format == "csv" else "\t"
        return formats.delimited([each.combine_chunks() for each in columns], delimiter)
    if not rows.num_rows:
        return []
    text = formats.json_list([rows.column(0)])
    # The API's view writes the text as it is; everybody else wants values.
    return LazyJSONObject(text) if lazy else formats.parse_json(text)


def _python_rows(rows: Any, written: Table) -> list[dict[str, Any]]:
    types = {**written.types, ID: "int8"}
    return formats.python_records(rows, [(name, types[name]) for name in rows.column_names])


def _timeout(context: Any) -> float | None:
    """The caller's own limit in seconds (`query_timeout` is in milliseconds), if it set one."""
    milliseconds = context.get("query_timeout")
    return milliseconds / 1000 if milliseconds else None


def _shown_as_json(data_dict: dict[str, Any]) -> dict[str, Any]:
    """The API calls a nested field `json`."""
    for field in data_dict.get("fields") or []:
        if field.get("type") == "nested":
            field["type"] = "json"
    return data_dict


def _field_schema(known: Table, field_id: str) -> dict[str, Any]:
    """The stock backend's description of a column; no engine has indexes, so none is named."""
    unique = known.primary_key == (field_id,)
    return {
        "native_type": native_type(known.field(field_id).type),
        "notnull": False,
        "index_name": None,
        "is_index": unique or any(field_id in index for index in known.indexes),
        "uniquekey": False,
    }


def _trigger_names(data_dict: Mapping[str, Any]) -> list[str] | None:
    triggers = data_dict.get("triggers")
    if triggers is None:
        return None
    return [trigger["function"] for trigger in triggers]


def trigger_database() -> TriggerDatabase:
    """Where the site's trigger functions run.

    :raises InvalidRequest: nowhere; names the setting
    """
    url = config.trigger_url()
    if not url:
        raise InvalidRequest(
            "triggers",
            f"Trigger functions run in PostgreSQL: set {config.TRIGGER_URL} to a database for "
            "them.",
        )
    return TriggerDatabase(url, config.statement_timeout())
