"""What `IDatastore` plugins make of a query.

As on the stock backend, its parts go through the plugins one after the other: each may add
fragments of PostgreSQL, and take out what is there. Ours are in them as texts that carry their
trees, so what a plugin leaves in its place stays as it was.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import sqlglot.expressions as sge
from ckan import plugins
from ckanext.datastore import interfaces

from .model.errors import InvalidRequest
from .query import search
from .query.fragments import Fragments

Translation = Callable[[sge.Expr], sge.Expr]
"""Says a tree in PostgreSQL's meaning in an engine's words."""


@dataclasses.dataclass(frozen=True)
class Parts:
    """What a query shows and looks for, in the terms of `search.Search`."""

    columns: tuple[search.Column, ...] = ()
    conditions: tuple[sge.Expr, ...] = ()
    order: tuple[search.Order, ...] = ()
    limit: int = 0
    offset: int = 0
    distinct: bool = False


class _Ours(str):
    """A part of ours as PostgreSQL would say it.

    :ivar part: what it stands for
    """

    part: Any

    def __new__(cls, text: str, part: Any) -> _Ours:
        made = super().__new__(cls, text)
        made.part = part
        return made

    def __deepcopy__(self, memo: dict[int, Any]) -> _Ours:
        return self  # a text: nobody changes it


def for_search(
    context: Any,
    data_dict: dict[str, Any],
    types: Mapping[str, str],
    translate: Translation,
    parts: Parts,
) -> Parts:
    """The parts of a search as the plugins leave them.

    :param types: field ids to API types, `_id` among them
    :raises InvalidRequest: a fragment that no tree can be made of; names it and the plugin
    """
    others = _others()
    if not others:
        return parts
    pipe = _Pipe(
        {
            "select": [_Ours(_column_text(each), each) for each in parts.columns],
            "sort": [_Ours(_sort_text(each), each) for each in parts.order],
            "where": _where(parts.conditions),
            "ts_query": "",
            "limit": parts.limit,
            "offset": parts.offset,
            "distinct": parts.distinct,
        }
    )
    for plugin in others:
        pipe.through(plugin.name, plugin.datastore_search, context, data_dict, types)
    read = Fragments(types, translate)
    return Parts(
        columns=pipe.parts("select", read.columns),
        conditions=pipe.conditions(read),
        order=pipe.parts("sort", read.order),
        limit=int(pipe.query.get("limit", parts.limit)),
        offset=int(pipe.query.get("offset", parts.offset) or 0),
        distinct=bool(pipe.query.get("distinct", parts.distinct)),
    )


def for_deletion(
    context: Any,
    data_dict: dict[str, Any],
    types: Mapping[str, str],
    translate: Translation,
    parts: Parts,
) -> Parts:
    """The conditions of a deletion as the plugins leave them; see `for_search`."""
    others = _others()
    if not others:
        return parts
    pipe = _Pipe({"where": _where(parts.conditions)})
    for plugin in others:
        pipe.through(plugin.name, plugin.datastore_delete, context, data_dict, types)
    return Parts(conditions=pipe.conditions(Fragments(types, translate)))


def _others() -> list[Any]:
    """All plugins but CKAN's own, which leaves a query to the backend."""
    found = plugins.PluginImplementations(interfaces.IDatastore)
    return [plugin for plugin in found if plugin.name != "datastore"]


class _Pipe:
    """A query on its way through the plugins, and who put what into it."""

    def __init__(self, query: dict[str, Any]) -> None:
        self.query = query
        self._seen: dict[int, str] = {}
        self._kept: list[Any] = []

    def through(
        self, plugin: str, change: Any, context: Any, data_dict: Any, types: Mapping[str, str]
    ) -> None:
        self.query = change(context, data_dict, dict(types), self.query)
        for key in ("select", "sort", "where"):
            if not self.query.get(key):
                continue
            self.query[key] = list(self.query[key])  # it is read more than once
            for each in self.query[key]:
                self._seen.setdefault(id(each), plugin)
                self._kept.append(each)  # so that no other comes to have its `id`

    def parts(self, key: str, read: Callable[..., Sequence[Any]]) -> tuple[Any, ...]:
        found: list[Any] = []
        for each in self.query.get(key) or ():
            if isinstance(each, _Ours):
                found.append(each.part)
            else:
                found += read(each, self._values(), self._seen[id(each)])
        return tuple(found)

    def conditions(self, read: Fragments) -> tuple[sge.Expr, ...]:
        found = []
        for each in self.query.get("where") or ():
            plugin = self._seen[id(each)]
            if not _is_condition(each):
                raise InvalidRequest(
                    "query",
                    f"Plugin {plugin} added {each!r} to the query: a condition is a text, with a "
                    "mapping of values behind it if it has placeholders.",
                )
            if isinstance(each[0], _Ours):
                found.append(each[0].part)
            else:
                values = {**self._values(), **(each[1] if len(each) > 1 else {})}
                found.append(read.condition(each[0], values, plugin))
        return tuple(found)

    def _values(self) -> dict[str, Any]:
        """The values of all placeholders: the stock backend has them in one place."""
        values: dict[str, Any] = {}
        for each in self.query.get("where") or ():
            if _is_condition(each) and len(each) > 1:
                values.update(each[1])
        return values


def _is_condition(added: Any) -> bool:
    if not isinstance(added, (tuple, list)) or not added or not isinstance(added[0], str):
        return False
    return len(added) == 1 or isinstance(added[1], Mapping)


def _where(conditions: Sequence[sge.Expr]) -> list[Any]:
    return [(_Ours(each.sql("postgres"), each), {}) for each in conditions]


def _column_text(shown: search.Column) -> str:
    return f"{_quoted(shown[0])} as {_quoted(shown[0])}"


def _sort_text(order: search.Order) -> str:
    name = order.field if order.field is not None else "rank"
    return f"{_quoted(name)} {'desc' if order.descending else 'asc'}"


def _quoted(name: str) -> str:
    escaped = name.replace('"', '""')
    return f'"{escaped}"'
