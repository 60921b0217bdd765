"""Drops decisions when CKAN's database changes in what they were made from.

SQLAlchemy tells of every row that any session of this process writes, and of every other statement
that any of its connections sends, whichever action, command or plugin it comes from. A row says
which decisions it touches; any other statement that may write to one of the tables touches all.
What was touched is noted with the connection and held, so that nobody keeps what others still see.
It is dropped when the connection goes back to its pool, before whoever commits is told that it is
done. A connection that stays open is held anew as it commits: what was kept until then is gone.

Not seen is what goes past SQLAlchemy's connections (`psql`, a cursor of psycopg2's, a function or
view of the database that writes): decisions follow that when their time is up.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, MutableMapping
from functools import cache
from typing import Any

import sqlalchemy as sa
from ckan import model
from sqlalchemy import orm

from ..cache import Key
from . import store
from .store import EVERYTHING, package_tag, resource_tag, user_tag

# In the `info` of a connection: tags of what it has changed, the table of each row that a flush
# writes now, and the tags of those that it has written of them.
_TAGS = "bqdatastore_tags"
_ROWS = "bqdatastore_rows"
_TAGS_OF_ROWS = "bqdatastore_tags_of_rows"
# In the `info` of a session: those of its connections.
_CONNECTIONS = "bqdatastore_connections"

Info = MutableMapping[Any, Any]

Values = Callable[[str], list[Any]]
"""What a column of a changed row holds, and what it held before."""


def _of_package(values: Values) -> Iterator[Key]:
    yield from map(package_tag, values("id"))


def _of_resource(values: Values) -> Iterator[Key]:
    yield from map(resource_tag, values("id"))


def _of_user(values: Values) -> Iterator[Key]:
    yield from map(user_tag, values("id"))


def _of_member(values: Values) -> Iterator[Key]:
    kinds = values("table_name")
    if "user" in kinds:
        yield from map(user_tag, values("table_id"))
    if "group" in kinds:  # one organization under another, along which roles may pass down
        yield EVERYTHING


def _of_collaborator(values: Values) -> Iterator[Key]:
    yield from map(user_tag, values("user_id"))
    yield from map(package_tag, values("package_id"))


def _of_group(values: Values) -> Iterator[Key]:
    yield EVERYTHING


# Which columns a decision may have been made from, and which decisions.
_WATCHED: dict[type, tuple[tuple[str, ...], Callable[[Values], Iterator[Key]]]] = {
    model.Package: (("id", "private", "state", "owner_org", "creator_user_id"), _of_package),
    model.Resource: (("id", "package_id", "state"), _of_resource),
    model.User: (("id", "name", "state", "sysadmin"), _of_user),
    model.Member: (("table_name", "table_id", "group_id", "capacity", "state"), _of_member),
    model.PackageMember: (("package_id", "user_id", "capacity"), _of_collaborator),
    model.Group: (("id", "type", "state", "is_organization"), _of_group),
}
_CLASSES = tuple(_WATCHED)
_TABLES: frozenset[str] = frozenset(sa.inspect(each).local_table.name for each in _CLASSES)
_READING = (sa.sql.Select, sa.sql.selectable.CompoundSelect)
_WRITING = frozenset({"insert", "update", "delete", "merge", "truncate", "drop", "alter", "copy"})
# What runs something that was said elsewhere.
_OPAQUE = re.compile(r"\s*(?:execute|call|commit\s+prepared)\b", re.IGNORECASE)


@cache
def watch() -> None:
    """Begin to listen, to every connection of this process."""
    sa.event.listen(sa.engine.Engine, "before_cursor_execute", _before_statement)
    for name in ("rollback", "rollback_savepoint"):
        sa.event.listen(sa.engine.Engine, name, _forget_rows)
    for name in ("commit", "commit_twophase"):
        sa.event.listen(sa.engine.Engine, name, _before_commit)
    sa.event.listen(sa.pool.Pool, "checkin", _after_transactions)
    sa.event.listen(orm.Session, "after_begin", _after_begin)
    sa.event.listen(orm.Session, "after_transaction_end", _after_transaction_end)
    for each in _CLASSES:
        for name, after in (
            ("insert", _after_row),
            ("update", _after_update),
            ("delete", _after_row),
        ):
            sa.event.listen(each, f"before_{name}", _before_row, propagate=True)
            sa.event.listen(each, f"after_{name}", after, propagate=True)


def is_watching() -> bool:
    """Whether this process hears of changes."""
    return bool(watch.cache_info().currsize)


def is_settled(session: orm.Session) -> bool:
    """Whether all that the session has to say of permissions is in the database for all to see."""
    connections = session.info.get(_CONNECTIONS, ())
    return not any(_TAGS in info for info in connections) and not any(_changed(session))


def has_read(session: orm.Session) -> bool:
    """Whether the session remembers objects that a decision is made from.

    It would decide by them, and not by what is in the database now. Users do not count: their state
    and rank are asked before decisions are looked up.
    """
    return any(
        isinstance(each, _CLASSES) and not isinstance(each, model.User)
        for each in session.identity_map.values()
    )


def _changed(session: orm.Session) -> Iterator[bool]:
    """Of each object that the session has not flushed, whether it says something of permissions."""
    for each in (*session.new, *session.deleted):
        yield isinstance(each, _CLASSES)
    for each in session.dirty:
        yield isinstance(each, _CLASSES) and _has_changed(each)


def _has_changed(changed: Any) -> bool:
    attributes = sa.inspect(changed, raiseerr=True).attrs
    return any(attributes[name].history.has_changes() for name in _watched(changed)[0])


def _watched(changed: Any) -> tuple[tuple[str, ...], Callable[[Values], Iterator[Key]]]:
    return next(what for each, what in _WATCHED.items() if isinstance(changed, each))


def _tags(changed: Any) -> Iterator[Key]:
    state = sa.inspect(changed)
    columns, tags = _watched(changed)
    histories = {name: state.attrs[name].history for name in columns}

    def values(name: str) -> list[Any]:
        """What the column holds and what it held before."""
        return [value for value in histories[name].sum() if value is not None]

    yield from tags(values)
    if not state.key:
        # A new row held nothing before, unless it takes the place of one that the session deletes.
        if state.mapper.identity_key_from_instance(changed) in state.session.identity_map:
            yield EVERYTHING
        return
    # What a column holds is not known where it was not read; what it held, where it was set unread.
    unread = any(name not in state.dict for name in columns)
    if unread or any(each.added and not each.deleted for each in histories.values()):
        yield EVERYTHING


# Rows that a flush writes


def _before_row(mapper: Any, connection: sa.engine.Connection, row: Any) -> None:
    connection.info.setdefault(_ROWS, []).append(mapper.local_table.name)


def _after_row(mapper: Any, connection: sa.engine.Connection, row: Any) -> None:
    _end_row(mapper, connection.info, set(_tags(row)))


def _after_update(mapper: Any, connection: sa.engine.Connection, row: Any) -> None:
    """Told of rows that stay as they are, too."""
    _end_row(mapper, connection.info, set(_tags(row)) if _has_changed(row) else set())


def _end_row(mapper: Any, info: Info, tags: set[Key]) -> None:
    """The tags of rows that are written together are held together."""
    rows, name = info.get(_ROWS, []), mapper.local_table.name
    if name in rows:  # unless another listener has rolled back a savepoint of its own meanwhile
        rows.remove(name)
    info.setdefault(_TAGS_OF_ROWS, set()).update(tags)
    if not rows:
        _note(info, info.pop(_TAGS_OF_ROWS))


def _forget_rows(connection: sa.engine.Connection, *name_of_savepoint: Any) -> None:
    """A flush has failed: what it wrote is rolled back."""
    if not connection.invalidated:  # one that broke begins with nothing when it is made again
        connection.info.pop(_ROWS, None)
        connection.info.pop(_TAGS_OF_ROWS, None)


# Every other statement


def _before_statement(
    connection: sa.engine.Connection,
    cursor: Any,
    statement: str,
    parameters: Any,
    context: Any,
    many: bool,
) -> None:
    if _may_write(statement, context) and not _is_of_rows(connection, context):
        _note(connection.info, {EVERYTHING})


def _is_of_rows(connection: sa.engine.Connection, context: Any) -> bool:
    """Whether a flush sends it, for rows that it tells of one by one."""
    rows = connection.info.get(_ROWS)
    if not rows or "compiled_cache" not in getattr(context, "execution_options", ()):
        return False
    table = getattr(context.compiled.statement, "table", None)
    return getattr(table, "name", None) in rows


def _may_write(statement: str, context: Any) -> bool:
    """Whether a statement may write to one of the tables, as far as that can be told."""
    compiled = getattr(context, "compiled", None)
    if compiled is not None and not getattr(compiled, "ctes", None):
        construct = compiled.statement
        if isinstance(construct, _READING):
            return False
        if getattr(construct, "is_dml", False) and isinstance(construct.table, sa.Table):
            return construct.table.name in _TABLES
    if _OPAQUE.match(statement):
        return True
    text = statement.lower()
    if not any(word in text for word in _WRITING):
        return False
    words = set(re.findall(r"\w+", text))
    return not (words.isdisjoint(_WRITING) or words.isdisjoint(_TABLES))


# Holding and dropping


def _note(info: Info, tags: set[Key]) -> None:
    if tags:
        info.setdefault(_TAGS, set()).update(tags)
        store.hold(tags)


def _before_commit(connection: sa.engine.Connection, *of_two_phases: Any) -> None:
    """What the connection has changed may be held no longer: a hold ends by itself in time."""
    tags = connection.info.get(_TAGS)
    if tags:
        store.hold(tags)


def _after_begin(
    session: orm.Session, transaction: orm.SessionTransaction, connection: sa.engine.Connection
) -> None:
    connections = session.info.setdefault(_CONNECTIONS, [])
    if not any(info is connection.info for info in connections):
        connections.append(connection.info)


def _after_transaction_end(session: orm.Session, transaction: orm.SessionTransaction) -> None:
    if transaction.parent is None:
        session.info.pop(_CONNECTIONS, None)


def _after_transactions(dbapi_connection: Any, record: Any) -> None:
    """The connection goes back to its pool: all its transactions are over."""
    tags = record.info.pop(_TAGS, None)
    if tags:
        store.drop(tags)
