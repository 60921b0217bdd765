"""A request to search or to delete by filters: what it asks for, and what plugins add to it.

CKAN's dicts and `IDatastore` plugins in, the trees of `query` out.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import msgspec
import pyarrow as pa
from ckan import plugins
from ckan.lib.lazyjson import LazyJSONObject
from ckanext.datastore import helpers, interfaces
from ckanext.datastore.backend import _parse_sort_clause

from . import config, plugin_parts, results
from .callers import whether_gone
from .ckan_versions import SHOWS_FILTERS, add_links, parse_filters
from .engines.base import Capability, Engine
from .model.errors import InvalidRequest, TableNotFound
from .model.query import ParameterNames, Query, column, table
from .model.table import ID, Table
from .plugin_parts import Translation
from .query import filters, fulltext, search, table_metadata
from .records import formats
from .records.parameters import parameter


def answer(engine: Engine, context: Any, data_dict: dict[str, Any]) -> None:
    """Search, and put `records`, `fields`, `total` and `next_page` into the request's dict."""
    name = data_dict["resource_id"]
    info: Mapping[str, Any] = {}
    known: Table | None = None
    if name == table_metadata.NAME:
        types = dict(table_metadata.TYPES)
        source = table_metadata.relation(engine.tables(), engine.aliases())
    else:
        # An alias is left as it is where the site lets all read it, as `public_table_search` says.
        known = engine.describe(name) or engine.describe(engine.resolve(name) or name)
        if known is None:
            raise TableNotFound(name)
        types, source = known.types, table(known.name)
        info = {field.id: field.info for field in known.fields if field.info is not None}

    fields = helpers.get_list(data_dict.get("fields"))
    request = _search(engine, context, data_dict, types, fields, source)
    keyset = request.keyset if data_dict.get("include_next_page") else None
    timeout, abandoned = seconds_allowed(context), whether_gone()
    with_total = (
        bool(data_dict.get("include_total"))
        and request.is_ranked
        and Capability.TOTAL_WITH_PAGE in engine.capabilities
    )
    make = search.page_and_total if with_total else search.page
    query = make(request, engine.dialect, bool(keyset))
    whole_table = known is not None and not request.conditions and not request.distinct

    def make_page() -> _Page:
        rows = engine.query(query, timeout, abandoned).read_all()
        return _page(rows, request, bool(keyset), with_total)

    def count() -> int:
        counted = search.total(request, engine.dialect)

        def make_total() -> int:
            if known is not None and whole_table:
                return engine.row_count(known)
            found = engine.query(counted, timeout, abandoned).read_all()
            return int(found.column(0)[0].as_py())

        return results.body(engine, counted, [name], _TOTAL, make_total)

    page = results.body(engine, query, [name], _page_form(request), make_page)
    data_dict["records"] = _records(page, request, "api_version" in context)
    data_dict["fields"] = [
        {"id": each, "type": types[each], **({"info": info[each]} if each in info else {})}
        for each in (fields if fields is not None else types)
    ]
    if data_dict.get("include_total"):
        data_dict["total"] = count() if page.total is None else page.total
    if page.last_id is not None:
        data_dict["next_page"] = {ID: {keyset: page.last_id}}
    add_links(data_dict, request.limit, request.offset, whole_table)


def deletion_predicate(
    context: Any, data_dict: dict[str, Any], known: Table, translate: Translation
) -> Query | None:
    """Which rows a deletion by filters takes; None for all of them."""
    operations = _validate(context, data_dict, known.types)
    names = ParameterNames()
    conditions = _conditions(operations, known.types, names)
    parts = plugin_parts.Parts(conditions=tuple(conditions))
    piped = plugin_parts.for_deletion(context, data_dict, known.types, translate, parts)
    conditions = list(piped.conditions)
    return Query(search.all_of(conditions), names.values) if conditions else None


def seconds_allowed(context: Any) -> float | None:
    """The caller's own limit (`query_timeout` is in milliseconds), if it set one."""
    milliseconds = context.get("query_timeout")
    return milliseconds / 1000 if milliseconds else None


def _search(
    engine: Engine,
    context: Any,
    data_dict: dict[str, Any],
    types: dict[str, str],
    fields: Sequence[str] | None,
    source: Any,
) -> search.Search:
    """
    :param types: API types of the fields; ranks that the search computes are added
    :param fields: the fields that the request names, if it names any
    """
    operations = _validate(context, data_dict, types)
    names = ParameterNames()
    conditions = _conditions(operations, types, names)
    rankings, screened = _text_search(data_dict, types, conditions, names, engine.dialect)
    fields_types = dict(types)
    shown = _shown_fields(fields, types, rankings, bool(data_dict.get("full_text")))
    types.update(dict.fromkeys(rankings, "float"))
    sort = data_dict.get("sort")
    # A rank is long, so it is made only where it is shown or sorted by.
    ranks = {name: make() for name, make in rankings.items() if name in shown or not sort}
    parts = plugin_parts.Parts(
        columns=tuple(
            (each, ranks[each], "float4") if each in ranks else (each, column(each), types[each])
            for each in shown
        ),
        conditions=tuple(conditions),
        order=tuple(_order(sort, types, ranks)),
        limit=int(data_dict.get("limit", 100)),
        offset=int(data_dict.get("offset") or 0),
        distinct=bool(data_dict.get("distinct")),
    )
    translate = engine.dialect.translate
    parts = plugin_parts.for_search(context, data_dict, fields_types, translate, parts)
    screen = None
    if screened is not None and "rank" in ranks:
        condition, test = screened
        screen = search.Screen(condition, ranks["rank"], test)
    return search.Search(
        source=source,
        **vars(parts),
        records_format=data_dict.get("records_format", "objects"),
        names=names,
        screen=screen,
    )


def _text_search(
    data_dict: Mapping[str, Any],
    types: Mapping[str, str],
    conditions: list[Any],
    names: ParameterNames,
    dialect: Any,
) -> tuple[dict[str, Callable[[], Any]], tuple[Any, Any] | None]:
    """Add the conditions of `q` and `full_text`.

    Returns what makes the rank columns, by name, and a condition with its screen, if it has one.
    """
    q, full_text = data_dict.get("q"), data_dict.get("full_text")
    plain = bool(data_dict.get("plain", True))
    language = data_dict.get("language") or config.text_search_language()
    row = [(name, type) for name, type in types.items() if name != ID]
    searches: list[tuple[str | None, fulltext.Search, list[tuple[str, str]]]] = []
    if whole_row := full_text or (q if isinstance(q, str) else None):
        terms = fulltext.parse(whole_row, language=language, plain=plain)
        searches.append(("rank", terms, row))
    for name, text in q.items() if isinstance(q, dict) else ():
        if name not in types:
            continue
        terms = fulltext.parse(text, language=language, plain=plain)
        if types[name] not in config.indexed_text_types():
            searches.append((None, terms, row))
        searches.append((f"rank {name}", terms, [(name, types[name])]))
    fulltext.check_length([(terms, fields) for _, terms, fields in searches])
    ranks: dict[str, Callable[[], Any]] = {}
    screened = None
    for rank, terms, fields in searches:
        found = fulltext.trees(terms, fields, dialect, names, whole_row=fields is row)
        conditions.append(found.condition)
        if rank:
            ranks[rank] = found.rank
        if rank == "rank" and found.screen is not None:
            screened = found.condition, found.screen
    return ranks, screened


def _conditions(operations: Any, types: Mapping[str, str], names: ParameterNames) -> list[Any]:
    if not operations:
        return []
    found = filters.condition(operations, types, names, parameter)
    return [] if found is None else [found]


# What the stock backend takes out of a request before it looks for what nobody understands.
_UNDERSTOOD = (
    "connection_url",
    "resource_id",
    "id",
    "include_total",
    "total_estimation_threshold",
    "records_format",
    "include_records",
    "include_deleted_records",
    "calculate_record_count",
    "include_next_page",
)


def _validate(context: Any, data_dict: dict[str, Any], types: Mapping[str, str]) -> Any:
    """Parse the filters, and let plugins say what they understand; the parsed filters.

    :raises InvalidRequest: something is left that nobody understands
    """
    left = copy.deepcopy(data_dict)
    operations = None
    if "filters" in data_dict:
        operations = parse_filters(data_dict["filters"], types)
    if "fields" in left:
        left["fields"] = helpers.get_list(left["fields"])
    if "sort" in left:
        left["sort"] = helpers.get_list(left["sort"], False)
    if operations:
        left["filters"] = dict(_flattened(operations))
        if SHOWS_FILTERS:
            data_dict["filterops"] = operations
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


def _flattened(operation: Any) -> Iterable[tuple[str, Any]]:
    if operation.op in ("$and", "$or"):
        for each in operation.value:
            yield from _flattened(each)
    else:
        yield operation.field, operation.value


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


class _Page(msgspec.Struct, array_like=True):
    """A page as the response has it.

    :param records: the text of all records, in the form that was asked for
    :param last_id: of the last record, where the next page goes on from it
    :param total: how many records there are on all pages, where that is known
    """

    records: str
    last_id: int | None
    total: int | None


_TOTAL = results.Form("total", msgspec.msgpack.encode, msgspec.msgpack.Decoder(int).decode)
_unpack_page = msgspec.msgpack.Decoder(_Page).decode


def _page_form(request: search.Search) -> results.Form[_Page]:
    return results.Form(request.records_format, msgspec.msgpack.encode, _unpack_page)


def _page(rows: pa.Table, request: search.Search, with_id: bool, with_total: bool) -> _Page:
    """
    :param with_id: whether the column after the records is each record's `_id`
    :param with_total: whether the last column is the total
    """
    last_id = total = None
    if with_id and rows.num_rows:
        last_id = rows.column(1)[rows.num_rows - 1].as_py()
    if with_total and rows.num_rows:
        total = int(rows.column(rows.num_columns - 1)[0].as_py())
    elif rows.num_rows < request.limit and (rows.num_rows or not request.offset):
        # There is no page behind this one, and this one is not behind the last.
        total = request.offset + rows.num_rows
    in_lines = request.records_format in ("csv", "tsv")
    texts = rows.column(0)
    return _Page(formats.lines(texts) if in_lines else formats.json_list(texts), last_id, total)


def _records(page: _Page, request: search.Search, lazy: bool) -> Any:
    if request.records_format in ("csv", "tsv"):
        return page.records
    if page.records == "[]":
        return []
    # The API's view writes the text as it is; everybody else wants values.
    return LazyJSONObject(page.records) if lazy else formats.parse_json(page.records)
