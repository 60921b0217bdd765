"""A copy in PostgreSQL of what our backend answers, for tests that look behind the API.

Some of CKAN's tests check a request by SQL on the table that a resource has in PostgreSQL. Here
they read a mirror: before each of their statements, every table that our backend tells of (its
fields, rows, keys and aliases, as its own methods give them) is put into the stock database, by the
stock backend's own `create_table`, `insert_data`, `create_indexes` and `create_alias`. So what such
a test finds is what our API says. What PostgreSQL adds by itself (its statistics, the indexes of
its text search) is not ours: a test about that shows nothing of us, whether it passes or not.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from ckan import plugins
from ckanext.datastore.backend import DatastoreBackend, postgres

from ckanext.bqdatastore.backend import AnalyticsBackend
from ckanext.bqdatastore.model.table import ID, Table

_ALL_ROWS = 1_000_000

_NESTED_TYPE = "CREATE TYPE nested AS (json json, extra text)"
"""As the stock backend makes it when it first needs it."""


@dataclasses.dataclass(frozen=True)
class _Shown:
    """What the backend says of one table."""

    table: Table
    records: Sequence[Mapping[str, Any]]
    plugin_data: Mapping[str, Any]


class Mirror:
    """The stock database, made to show our tables whenever `engine` runs a statement.

    :param engine: what the tests get for the stock backend's engines
    """

    def __init__(self) -> None:
        url = os.environ["DEVSTACK_STOCK_WRITE_URL"]
        # The tests leave sessions open: a transaction would lock what the next refresh replaces.
        self.engine = sa.create_engine(
            url,
            isolation_level="AUTOCOMMIT",
            json_deserializer=lambda text: text,  # as the stock backend's engines
        )
        self._stock = sa.create_engine(url)
        self._shown: list[_Shown] = []
        sa.event.listen(self.engine, "before_cursor_execute", lambda *_: self.refresh())

    def refresh(self) -> None:
        """Bring the mirror up to date; tables that a test made there itself stay."""
        shown = _told_by_backend()
        if shown == self._shown:
            return
        self._know_types()
        with self._stock.begin() as connection:
            for each in self._shown:
                name = postgres.identifier(each.table.name)
                connection.execute(sa.text(f"DROP TABLE IF EXISTS {name} CASCADE"))
            for each in shown:
                _write(connection, each)
        self._shown = shown

    def forget(self) -> None:
        """The stock database has been emptied."""
        self._shown = []

    def _know_types(self) -> None:
        nested = "SELECT 1 FROM pg_type WHERE typname = 'nested'"
        with self._stock.begin() as connection:
            if connection.execute(sa.text(nested)).first() is None:
                connection.execute(sa.text(_NESTED_TYPE))
        postgres._cache_types(self._stock)


def _told_by_backend() -> list[_Shown]:
    if not plugins.plugin_loaded("bqdatastore"):
        return []
    backend = DatastoreBackend.get_active_backend()
    if not isinstance(backend, AnalyticsBackend):
        return []
    found = []
    for name in sorted(backend.get_all_ids()):
        table = backend.engine.describe(name)
        if table is None:
            continue
        request = {"resource_id": name, "limit": _ALL_ROWS, "include_total": False}
        records = backend.search({}, {**request, "include_next_page": False})["records"]
        found.append(_Shown(table, records, backend.resource_plugin_data(name)))
    return found


def _write(connection: sa.Connection, shown: _Shown) -> None:
    table = shown.table
    context: Any = {"connection": connection}
    request = {"resource_id": table.name, "include_records": False}
    fields = [{"id": field.id, "type": field.type} for field in table.fields]
    plugin_data = {
        position: dict(shown.plugin_data[field.id])
        for position, field in enumerate(table.fields)
        if field.id in shown.plugin_data
    }
    postgres.create_table(context, {**request, "fields": fields}, plugin_data)
    postgres._create_fulltext_trigger(connection, table.name)
    next_id = sa.text("SELECT setval(pg_get_serial_sequence(:table, :column), :id, false)")
    for record in shown.records:
        values = {name: value for name, value in record.items() if name != ID}
        place = {"table": postgres.identifier(table.name), "column": ID, "id": record[ID]}
        connection.execute(next_id, place)
        postgres.insert_data(context, {**request, "records": [values]})
    indexes = [list(index) for index in table.indexes]
    keys = {"indexes": indexes, "primary_key": list(table.primary_key)}
    postgres.create_indexes(context, {**request, **keys})
    postgres.create_alias(context, {**request, "aliases": list(table.aliases)})
