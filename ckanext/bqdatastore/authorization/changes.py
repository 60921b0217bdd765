"""Drops decisions when CKAN's database changes in what they were made from.

SQLAlchemy tells of every object that any session of this process writes, whichever action, command
or plugin it comes from. Between the write and its commit the tags are held, so that nobody keeps
what others still see; after the commit they are dropped. SQL that goes past SQLAlchemy's sessions
(`psql`, a plugin's own connection) is not seen: decisions follow it when their time is up.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

import sqlalchemy as sa
from ckan import model
from sqlalchemy import orm
from sqlalchemy.sql.expression import TextClause

from ..cache import Key
from . import store
from .store import EVERYTHING, package_tag, resource_tag, user_tag

_PENDING = "bqdatastore_tags"


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
_WRITING = re.compile(r"\b(insert|update|delete|merge|truncate|drop|alter)\b", re.IGNORECASE)


def watch() -> None:
    """Begin to listen, to every session of this process."""
    for name, listener in (
        ("after_flush", _after_flush),
        ("do_orm_execute", _before_statement),
        ("after_commit", _after_commit),
        ("after_transaction_end", _after_transaction_end),
    ):
        if not sa.event.contains(orm.Session, name, listener):
            sa.event.listen(orm.Session, name, listener)


def is_settled(session: orm.Session) -> bool:
    """Whether all that the session has to say of permissions is in the database for all to see."""
    return not session.info.get(_PENDING) and next(_changed(session), None) is None


def has_read(session: orm.Session) -> bool:
    """Whether the session remembers objects that a decision is made from.

    It would decide by them, and not by what is in the database now. Users do not count: their state
    and rank are asked before decisions are looked up.
    """
    return any(
        isinstance(each, _CLASSES) and not isinstance(each, model.User)
        for each in session.identity_map.values()
    )


def _changed(session: orm.Session) -> Iterator[Any]:
    """Objects that the session has changed in what decisions are made from, and not flushed."""
    for each in (*session.new, *session.deleted):
        if isinstance(each, _CLASSES):
            yield each
    for each in session.dirty:
        if isinstance(each, _CLASSES):
            attributes = sa.inspect(each, raiseerr=True).attrs
            if any(attributes[name].history.has_changes() for name in _watched(each)[0]):
                yield each


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
    # What it held before is not known where it was set without having been read.
    if state.persistent and any(each.added and not each.deleted for each in histories.values()):
        yield EVERYTHING


def _after_flush(session: orm.Session, context: Any) -> None:
    _hold(session, {tag for each in _changed(session) for tag in _tags(each)})


def _before_statement(state: orm.ORMExecuteState) -> None:
    """Statements that write many rows at once, and do not tell which."""
    statement: Any = state.statement
    if state.is_select:
        return
    if isinstance(statement, TextClause):
        words = set(re.findall(r"\w+", statement.text.lower()))
        writes = bool(_WRITING.search(statement.text)) and bool(words & _TABLES)
    else:
        writes = getattr(getattr(statement, "table", None), "name", None) in _TABLES
    if writes:
        _hold(state.session, {EVERYTHING})


def _hold(session: orm.Session, tags: set[Key]) -> None:
    if tags:
        session.info.setdefault(_PENDING, set()).update(tags)
        store.hold(tags)


def _after_commit(session: orm.Session) -> None:
    if not session.in_nested_transaction():  # a savepoint that ends shows nothing to others
        _drop(session)


def _after_transaction_end(session: orm.Session, transaction: orm.SessionTransaction) -> None:
    if transaction.parent is None:
        _drop(session)


def _drop(session: orm.Session) -> None:
    tags = session.info.pop(_PENDING, None)
    if tags:
        store.drop(tags)
