"""What can go wrong, in the words of the API; `ckanext.bqdatastore.errors` turns it into CKAN's.

Each error says whose fault it is. `InvalidRequest` and its kin are the caller's: `key` is the key
under which the stock backend reports the fault, `messages` what it says there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


class DatastoreFault(Exception):
    """The root of every error that this extension raises on purpose."""


class InvalidRequest(DatastoreFault):
    """The request cannot be done as it stands.

    :param key: the error key of the stock backend (`records`, `filters`, `fields`, ...)
    :param messages: one or more sentences for that key
    :param details: further keys, as the stock backend adds them (`records_row`, `info`)
    """

    def __init__(
        self,
        key: str,
        messages: str | Sequence[str],
        details: Mapping[str, Any] | None = None,
    ) -> None:
        self.key = key
        self.messages = [messages] if isinstance(messages, str) else list(messages)
        self.details = dict(details or {})
        super().__init__(f"{key}: {'; '.join(self.messages)}")


class InvalidRecord(InvalidRequest):
    """A value of a record does not fit its field.

    :param row: position of the record in the request, from 0
    :param field: the field's id
    :param reason: PostgreSQL's wording of the fault
    """

    def __init__(self, row: int, field: str, reason: str) -> None:
        self.row = row
        self.field = field
        super().__init__(
            "records", reason, {"records_row": row, "info": {"row": row, "field": field}}
        )


class UniqueViolation(InvalidRequest):
    """Rows that are there already do not keep the primary key that was asked for.

    :param columns: the key's fields
    :param values: the first key that occurs twice, as text
    """

    def __init__(self, columns: Sequence[str], values: Sequence[str]) -> None:
        super().__init__(
            "constraints",
            "Cannot insert records or create index because of uniqueness constraint",
            {"info": {"orig": _taken(columns, values), "pgcode": "23505"}},
        )

    def __str__(self) -> str:
        return f"{super().__str__()}: {self.details['info']['orig']}"


class DuplicateKey(InvalidRequest):
    """A record has a primary key that another row has.

    :param row: position of the record in the request, from 0
    """

    def __init__(self, columns: Sequence[str], values: Sequence[str], row: int) -> None:
        super().__init__(
            "records",
            f"duplicate key value violates unique constraint: {_taken(columns, values)}",
            {"records_row": row, "info": {"row": row, "pgcode": "23505"}},
        )


def _taken(columns: Sequence[str], values: Sequence[str]) -> str:
    return f"Key ({', '.join(columns)})=({', '.join(values)}) already exists."


class KeyNotFound(InvalidRequest):
    """An update names a key that no row has."""

    def __init__(self, columns: Sequence[str], values: Sequence[Any], row: int) -> None:
        pairs = dict(zip(columns, values, strict=True))
        super().__init__("key", f'key "{pairs}" not found', {"info": {"row": row}})


class QueryTimeout(DatastoreFault):
    """A statement ran longer than its limit and was stopped."""


class QueryCancelled(DatastoreFault):
    """A statement was stopped because nobody waits for its answer."""


class AnswerTooLarge(DatastoreFault):
    """An answer has more bytes than were asked for at most."""

    def __init__(self, most_bytes: float) -> None:
        self.most_bytes = most_bytes
        super().__init__(f"The answer is larger than {most_bytes:,.0f} bytes.")


class TooManyQueries(DatastoreFault):
    """Somebody has as many queries running as they may; the text is for them."""


class QueryFailed(InvalidRequest):
    """The engine refused a statement while it ran (a division by zero, a cast of a bad value)."""

    def __init__(self, message: str) -> None:
        super().__init__("query", message)


class NotPermitted(DatastoreFault):
    """The statement reaches for something that nobody may use through the API."""


class TableNotFound(DatastoreFault):
    """There is no such table or alias."""

    def __init__(self, name: str) -> None:
        self.name = name
        super().__init__(f'DataStore table "{name}" was not found.')


class Unsupported(InvalidRequest):
    """The engine has no such feature; says which."""

    def __init__(self, engine: str, feature: str) -> None:
        super().__init__("engine", f"The {engine} engine does not support {feature}.")


class Misconfigured(DatastoreFault):
    """A setting is wrong: one sentence that names the setting and the mend."""


class EngineUnavailable(DatastoreFault):
    """The engine cannot be reached or has failed; nothing was written."""


class TableBusy(EngineUnavailable):
    """Others kept their turn to write too long; nothing was written. The text is for callers."""
