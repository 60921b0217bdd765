"""Neutral trees with the lake's tables and columns in place of the API's."""

from __future__ import annotations

import dataclasses
from collections.abc import Hashable, Iterable, Iterator, Mapping

import sqlglot.expressions as sge

from ...model.query import RESOURCES, Query, Reach, bound
from .catalog import Catalog, Entry, Newest
from .connection import LAKE, SCHEMA
from .plain_files import MOST_READ, PlainFiles


@dataclasses.dataclass(frozen=True)
class Whereabouts:
    """Where some tables are at a snapshot.

    :param entries: those that there are, by name
    :param files: of all tables if they are plain ones, or nothing
    """

    entries: Mapping[str, Entry]
    files: Mapping[str, PlainFiles]
    schema_version: int

    @property
    def version(self) -> Hashable:
        """The same tables of an equal version are at the same place."""
        return self.schema_version, tuple(self.files.values())

    @property
    def contiguous(self) -> bool:
        """Whether `Query.if_contiguous` holds."""
        return bool(self.files) and all(each.contiguous for each in self.files.values())

    def within(self, reach: Reach) -> Whereabouts:
        """Without files that a query of such a reach does not need, or any if it needs many."""
        span = reach.if_contiguous if self.contiguous else reach.ids
        files = {name: each.within(span) for name, each in self.files.items()}
        if any(len(each.paths) > MOST_READ for each in files.values()):
            files = {}
        return dataclasses.replace(self, files=files)


def whereabouts(names: Iterable[str], catalog: Catalog) -> Whereabouts:
    """Where tables are at the newest snapshot."""
    newest = catalog.newest()
    entries: dict[str, Entry] = {}
    for name in names:
        entry = catalog.entry(name, newest)
        if entry is not None:
            entries[name] = entry
    files = _plain_files(catalog, entries, newest)
    return Whereabouts(entries, files, newest.schema_version)


def located(query: Query, catalog: Catalog) -> Query:
    """A query of its own by which DuckDB finds what is asked for at the newest snapshot."""
    names = {table.name for table in _resources(query.tree)}
    return placed(query, whereabouts(sorted(names), catalog).within(query.reach))


def placed(query: Query, where: Whereabouts) -> Query:
    """A query of its own by which DuckDB finds what is asked for there."""
    entries, files = where.entries, where.files
    if query.if_contiguous and where.contiguous:
        query = bound(query.if_contiguous, query.parameters)
    tree = query.tree.copy()
    stored: dict[str, Mapping[str, str]] = {}
    for table in list(_resources(tree)):
        if table.name in entries:
            stored[table.alias_or_name] = entries[table.name].columns
        if table.name in files:
            alias = table.args.get("alias") or sge.TableAlias(this=table.this)
            table.set("this", files[table.name].reader())
            table.set("alias", alias)
            table.set("db", None)
        else:
            table.set("db", sge.to_identifier(SCHEMA))
            table.set("catalog", sge.to_identifier(LAKE))
    _rename_columns(tree, stored)
    return Query(tree, query.parameters)


def located_condition(tree: sge.Expr, columns: Mapping[str, str]) -> sge.Expr:
    """A condition on one table, which is not in the tree.

    :param columns: the table's field ids to stored names
    """
    tree = tree.copy()
    for table in list(_resources(tree)):
        table.set("db", sge.to_identifier(SCHEMA))
        table.set("catalog", sge.to_identifier(LAKE))
    _rename_columns(tree, {}, columns)
    return tree


def _resources(tree: sge.Expr) -> Iterator[sge.Table]:
    """The DataStore's tables in a neutral tree."""
    return (each for each in tree.find_all(sge.Table) if each.db == RESOURCES)


def _plain_files(
    catalog: Catalog, entries: Mapping[str, Entry], newest: Newest
) -> dict[str, PlainFiles]:
    """Each table's files if all of the tables are plain, or nothing: one statement must see one
    snapshot.
    """
    found: dict[str, PlainFiles] = {}
    for name, entry in entries.items():
        files = catalog.plain_files(entry, newest)
        if files is None:
            return {}
        found[name] = files
    return found


def _rename_columns(
    tree: sge.Expr,
    stored: Mapping[str, Mapping[str, str]],
    own: Mapping[str, str] | None = None,
) -> None:
    """Put columns' stored names in place of field ids.

    :param stored: for each relation in the tree, its field ids to stored names
    :param own: the same of a relation that is not in the tree
    """
    known = [*stored.values(), own or {}]
    if all(name == each for columns in known for name, each in columns.items()):
        return
    for each in tree.find_all(sge.Column):
        columns = stored.get(each.table or _only_source(each), own or {})
        name = columns.get(each.name, each.name)
        each.this.replace(sge.to_identifier(name, quoted=True))


def _only_source(column: sge.Column) -> str:
    """The name of the one table of the select that a column without a table's name is in."""
    select = column.find_ancestor(sge.Select)
    source = select.args.get("from_") if select else None
    return source.this.alias_or_name if source and isinstance(source.this, sge.Table) else ""
