"""What each role may do in each of the stack's databases."""

from __future__ import annotations

import os
from urllib.parse import urlsplit

import psycopg2
import pytest

OWNER, READER = "ckan_default", "datastore_default"


def url(database: str, user: str, password: str = "pass") -> str:
    server = urlsplit(os.environ["DEVSTACK_POSTGRES_SUPERUSER_URL"])
    return f"postgresql://{user}:{password}@{server.hostname}:{server.port}/{database}"


def execute(database: str, user: str, statement: str) -> None:
    connection = psycopg2.connect(url(database, user))
    try:
        with connection, connection.cursor() as cursor:
            cursor.execute(statement)
    finally:
        connection.close()


@pytest.mark.parametrize(
    "database", ["ckan_default", "datastore_default", "datastore_stock", "datastore_triggers"]
)
def test_owner_may_create_and_drop(database: str) -> None:
    execute(database, OWNER, "CREATE TABLE mine (n int)")
    execute(database, OWNER, "DROP TABLE mine")


def test_owner_may_create_a_schema_for_the_catalog() -> None:
    execute("datastore_default", OWNER, "CREATE SCHEMA devstack_test")
    execute("datastore_default", OWNER, "DROP SCHEMA devstack_test")


def test_reader_cannot_connect_to_the_sites_database() -> None:
    with pytest.raises(psycopg2.OperationalError, match="permission denied for database"):
        psycopg2.connect(url("ckan_default", READER))


@pytest.mark.parametrize("database", ["datastore_default", "datastore_stock"])
@pytest.mark.parametrize("statement", ["CREATE TABLE mine (n int)", "CREATE SCHEMA mine"])
def test_reader_creates_nothing(database: str, statement: str) -> None:
    with pytest.raises(psycopg2.errors.InsufficientPrivilege):
        execute(database, READER, statement)


def test_reader_reads_the_stock_backends_tables() -> None:
    execute("datastore_stock", OWNER, "CREATE TABLE readable (n int)")
    try:
        execute("datastore_stock", READER, "SELECT * FROM readable")
        with pytest.raises(psycopg2.errors.InsufficientPrivilege):
            execute("datastore_stock", READER, "INSERT INTO readable VALUES (1)")
    finally:
        execute("datastore_stock", OWNER, "DROP TABLE readable")


def test_wrong_password_is_refused() -> None:
    with pytest.raises(psycopg2.OperationalError, match="password authentication failed"):
        psycopg2.connect(url("datastore_default", OWNER, "wrong"))


def test_text_has_the_same_order_everywhere_and_case_beyond_ascii() -> None:
    with psycopg2.connect(url("datastore_stock", OWNER)) as connection:
        cursor = connection.cursor()
        cursor.execute("SELECT array_agg(x ORDER BY x) FROM unnest(array['b', 'B', 'a', 'ä']) x")
        assert cursor.fetchone() == (["B", "a", "b", "ä"],)
        cursor.execute("SELECT upper('straße ä')")
        assert cursor.fetchone() == ("STRAßE Ä",)
    connection.close()
