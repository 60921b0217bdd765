"""The PostgreSQL database that keeps trigger functions and runs them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import psycopg2
import pyarrow as pa
from psycopg2 import sql

from ..model.errors import EngineUnavailable, InvalidRequest
from ..model.table import Table
from ..model.write import WriteMode
from ..records.batches import Run
from .passage import Passage, Passed
from .writer import fault_of, listed

_MODES: Mapping[str, sql.SQL] = {
    "": sql.SQL(""),
    "in": sql.SQL("IN "),
    "out": sql.SQL("OUT "),
    "inout": sql.SQL("INOUT "),
}

# The stock backend's type of fields that hold any JSON value; functions may speak of it.
_CREATE_NESTED = """
DO $$ BEGIN
    IF to_regtype('nested') IS NULL THEN
        CREATE TYPE nested AS (json json, extra text);
    END IF;
EXCEPTION WHEN duplicate_object OR unique_violation THEN
    NULL;
END $$
"""


class TriggerDatabase:
    """Functions in one database. Connects anew each time: it is used by few tables, now and then.

    :param url: a `postgresql://` URL
    :param timeout: seconds that one statement may run
    """

    def __init__(self, url: str, timeout: float) -> None:
        self._url = url
        self._timeout = timeout

    def create_function(
        self,
        name: str,
        arguments: Sequence[Mapping[str, str]],
        rettype: str,
        definition: str,
        or_replace: bool,
    ) -> None:
        """Make a PL/pgSQL function.

        :raises InvalidRequest: PostgreSQL does not take it; under the stock backend's keys
        """
        statement = sql.SQL(
            "CREATE {or_replace} FUNCTION {name}({arguments}) RETURNS {rettype} AS {definition}"
            " LANGUAGE plpgsql"
        ).format(
            or_replace=sql.SQL("OR REPLACE" if or_replace else ""),
            name=_identifier(name),
            arguments=listed(
                _MODES[each.get("argmode") or ""]
                + _identifier(each["argname"])
                + sql.SQL(" ")
                + _identifier(each["argtype"])
                for each in arguments
            ),
            rettype=_identifier(rettype),
            definition=_literal(definition),
        )
        with self._transaction(keep=True) as cursor:
            try:
                cursor.execute(statement)
            except psycopg2.Error as error:
                fault = fault_of(error, "definition")
                taken = f'function "{name}" already exists with same argument types'
                if isinstance(fault, InvalidRequest) and taken in fault.messages[0]:
                    fault = fault_of(error, "name")
                raise fault from None

    def drop_function(self, name: str, if_exists: bool) -> None:
        """Remove a function without arguments.

        :raises InvalidRequest: there is none, and `if_exists` is false
        """
        statement = sql.SQL("DROP FUNCTION {if_exists} {name}()").format(
            if_exists=sql.SQL("IF EXISTS" if if_exists else ""), name=_identifier(name)
        )
        with self._transaction(keep=True) as cursor:
            try:
                cursor.execute(statement)
            except psycopg2.Error as error:
                raise fault_of(error, "name") from None

    def check(self, functions: Sequence[str]) -> None:
        """:raises InvalidRequest: one of them is missing, or is no trigger function"""
        with self._transaction() as cursor:
            Passage(cursor, Table("checked triggers", (), triggers=tuple(functions)))

    def apply(
        self,
        table: Table,
        records: pa.Table,
        runs: Sequence[Run],
        mode: WriteMode,
        existing: pa.Table | None,
        first_id: int,
    ) -> Passed:
        """What a table's triggers make of records; see `Passage.write`."""
        with self._transaction() as cursor:
            return Passage(cursor, table, existing).write(records, runs, mode, first_id)

    def fire(self, table: Table, existing: pa.Table) -> tuple[int, pa.Table]:
        """What a table's triggers make of rows that are there; see `Passage.fire`."""
        with self._transaction() as cursor:
            return Passage(cursor, table, existing).fire()

    def check_pattern(self, pattern: str) -> None:
        """:raises InvalidRequest: it is no regular expression"""
        self._value(sql.SQL("SELECT regexp_match('', {})").format(_literal(pattern)))

    def check_value(self, text: str, type_name: str) -> None:
        """:raises InvalidRequest: the text is no value of the type"""
        self._value(sql.SQL("SELECT {}").format(_cast(text, type_name)))

    def is_greater(self, one: str, other: str, type_name: str) -> bool:
        """Whether the one value is greater than the other.

        :raises InvalidRequest: one of them is no value of the type
        """
        values = _cast(one, type_name), _cast(other, type_name)
        return bool(self._value(sql.SQL("SELECT {} > {}").format(*values)))

    def _value(self, query: sql.Composed) -> Any:
        with self._transaction() as cursor:
            try:
                cursor.execute(query)
            except psycopg2.Error as error:
                raise fault_of(error, "value") from None
            return cursor.fetchone()[0]

    @contextmanager
    def _transaction(self, keep: bool = False) -> Iterator[Any]:
        """A cursor in a transaction that is rolled back at the end, or committed to `keep`."""
        try:
            connection = psycopg2.connect(self._url)
        except psycopg2.OperationalError as error:
            reason = str(error).strip().split("\n")[0]
            raise EngineUnavailable(
                f"ckanext.bqdatastore.trigger_url: the database cannot be reached: {reason}"
            ) from None
        try:
            connection.set_client_encoding("UTF8")
            with connection.cursor() as cursor:
                cursor.execute(_CREATE_NESTED)
                connection.commit()
                cursor.execute(
                    "SELECT set_config('timezone', 'UTC', true),"
                    " set_config('datestyle', 'ISO, MDY', true),"
                    " set_config('statement_timeout', %s, true)",
                    [f"{int(self._timeout * 1000)}ms"],
                )
                yield cursor
            if keep:
                connection.commit()
        finally:
            connection.close()  # rolls back


def _sendable(text: str) -> str:
    """As the stock backend sends it: PostgreSQL knows no NUL character."""
    return text.replace("\x00", "")


def _identifier(name: str) -> sql.Identifier:
    return sql.Identifier(_sendable(name))


def _literal(text: str) -> sql.Literal:
    return sql.Literal(_sendable(text))


def _cast(text: str, type_name: str) -> sql.Composed:
    return sql.SQL("{}::{}").format(_literal(text), _identifier(type_name))
