"""What PostgreSQL makes of a value, asked by the stock backend's own route."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import sqlalchemy as sa


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What came of a value: the text that is stored (None: null), or the error's message."""

    text: str | None = None
    error: str | None = None


# `bpchar` loses its trailing blanks on the way to text.
_AS_TEXT = {"nested": "(x).json::text", "bpchar": "format('%s', x)"}


class Stock:
    """Columns of every type in PostgreSQL, and the stock backend's way into them.

    Mirrors `upsert_data` and `_programming_error_summary` of CKAN's
    `ckanext/datastore/backend/postgres.py`.
    """

    def __init__(self, connection: sa.Connection) -> None:
        self._connection = connection
        connection.execute(sa.text("SET timezone TO 'UTC'"))
        connection.execute(sa.text("SET datestyle TO 'ISO, MDY'"))
        connection.execute(sa.text("CREATE TYPE pg_temp.nested AS (json json, extra text)"))
        connection.commit()

    def insert(self, value: Any, type_name: str) -> Outcome:
        table = f"pg_temp.column_{type_name}"
        execute = self._connection.execute
        execute(sa.text(f"CREATE TEMP TABLE IF NOT EXISTS column_{type_name} (x {type_name})"))
        self._connection.commit()
        if value is not None and type_name == "nested":
            value = (json.dumps(value), "")
        elif value == "" and type_name != "text":
            value = None
        try:
            execute(sa.text(f"INSERT INTO {table} (x) VALUES (:value)"), [{"value": value}])
            stored = _AS_TEXT.get(type_name, "x::text")
            where = sa.text(f"SELECT CASE WHEN x IS NULL THEN NULL ELSE {stored} END FROM {table}")
            return Outcome(text=execute(where).scalar_one())
        except sa.exc.DatabaseError as error:
            return Outcome(error=str(error.args[0].split("\n")[0]).split(") ", 1)[-1])
        except ValueError as error:  # from psycopg2, before anything is sent
            return Outcome(error=str(error))
        finally:
            self._connection.rollback()

    def scalar(self, query: str, **parameters: Any) -> Any:
        """One value; None where PostgreSQL raises."""
        try:
            return self._connection.execute(sa.text(query), parameters).scalar()
        except sa.exc.DatabaseError:
            return None
        finally:
            self._connection.rollback()


@contextmanager
def stock(url: str) -> Iterator[Stock]:
    """A connection; all that it makes is temporary."""
    engine = sa.create_engine(url)
    try:
        with engine.connect() as connection:
            yield Stock(connection)
    finally:
        engine.dispose()
