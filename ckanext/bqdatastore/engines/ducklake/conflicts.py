"""Conflicts of processes that change one catalog at once: what tells of one, and trying again.

DuckLake retries a commit that came second, but not when two processes make the catalog at the same
moment, when SQLite cannot wait (https://github.com/duckdb/ducklake/issues/1309), or when changes
exclude each other (two tables with one new alias). Then the whole work is done again on what the
other has left.
"""

from __future__ import annotations

import functools
import random
import time
from collections.abc import Callable
from typing import ParamSpec, TypeVar

import duckdb

from ...model.errors import EngineUnavailable

ATTEMPTS = 8
FIRST_WAIT_SECONDS = 0.05

# PostgreSQL's messages may be in another language, names of constraints never are.
_SIGNS = (
    "Transaction conflict",
    "database is locked",
    "could not serialize access",
    "deadlock detected",
    "tuple concurrently updated",
    "ducklake_snapshot_pkey",
    'relation "ducklake_metadata" already exists',
    "pg_namespace_nspname_index",
    "pg_class_relname_nsp_index",
    "pg_type_typname_nsp_index",
    "pg_default_acl_role_nsp_obj_index",
)

P = ParamSpec("P")
T = TypeVar("T")


class TransactionConflict(EngineUnavailable):
    """Another process changed the catalog at the same moment; nothing was written."""


def is_conflict(error: BaseException) -> bool:
    """Whether an error of DuckDB says that somebody else was first."""
    text = str(error)
    return any(sign in text for sign in _SIGNS)


def again_on_conflict(work: Callable[P, T]) -> Callable[P, T]:
    """The function, called again after a conflict, a few times and after a random wait.

    :param work: does all or nothing, and reads whatever it decides by itself
    """

    @functools.wraps(work)
    def call(*args: P.args, **kwargs: P.kwargs) -> T:
        for attempt in range(ATTEMPTS):
            try:
                return work(*args, **kwargs)
            except (TransactionConflict, duckdb.Error) as error:
                last = attempt == ATTEMPTS - 1
                if last or not (isinstance(error, TransactionConflict) or is_conflict(error)):
                    raise
            time.sleep(random.uniform(0.5, 1.0) * FIRST_WAIT_SECONDS * 2**attempt)
        raise AssertionError("unreachable")

    return call
