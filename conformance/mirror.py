"""Our tables as PostgreSQL tables, for tests that look at a table with SQL of their own.

Some of CKAN's tests connect to the DataStore's database and select from a resource's table. They
get a connection to the stock database, which just before is made to hold what our backend holds:
same fields, rows, keys and aliases, made by the stock backend's own code.
"""

from __future__ import annotations

import os
from typing import Any

import sqlalchemy as sa
import sqlglot.expressions as sge
from ckanext.datastore.backend import postgres

from ckanext.bqdatastore.backend import opened_engines
from ckanext.bqdatastore.engines.base import Engine
from ckanext.bqdatastore.model.query import Query, column, table
from ckanext.bqdatastore.model.table import ID, Table
from ckanext.bqdatastore.records.formats import python_records

_DROP_TABLES = """
    SELECT format('DROP TABLE %I CASCADE', tablename) FROM pg_tables
    WHERE schemaname = 'public' AND tablename != '_table_stats'
"""


class Mirror:
    """The stock database, holding what our backend holds."""

    def __init__(self) -> None:
        self._database = sa.create_engine(os.environ["DEVSTACK_STOCK_WRITE_URL"])

    def refreshed(self) -> sa.Engine:
        """The database, made anew from our tables."""
        with self._database.begin() as connection:
            for (statement,) in connection.execute(sa.text(_DROP_TABLES)).fetchall():
                connection.execute(sa.text(statement))
            postgres._cache_types(self._database)
            for engine in opened_engines():
                for name in engine.tables():
                    known = engine.describe(name)
                    if known is not None:
                        _copy(connection, engine, known)
        return self._database


def _copy(connection: sa.Connection, engine: Engine, known: Table) -> None:
    """One table, with its rows under their own numbers."""
    context: Any = {"connection": connection}
    request = {
        "resource_id": known.name,
        "fields": [{"id": field.id, "type": field.type} for field in known.fields],
        "primary_key": list(known.primary_key),
        "aliases": list(known.aliases),
        "indexes": [list(index) for index in known.indexes],
    }
    postgres.create_table(context, dict(request), {})
    postgres._create_fulltext_trigger(connection, known.name)
    types = {**known.types, ID: "int8"}
    tree = sge.select(*(column(name) for name in types)).from_(table(known.name))
    rows = engine.query(Query(tree.order_by(column(ID)))).read_all()
    records = python_records(rows, list(types.items()))
    if records:
        postgres.upsert_data(
            context, {**request, "method": "upsert", "records": records, "include_records": False}
        )
    postgres.create_indexes(context, dict(request))
    postgres.create_alias(context, dict(request))
