"""Constants of types whose texts the records' readers read as PostgreSQL does."""

from __future__ import annotations

from collections.abc import Callable

from ..model.errors import InvalidRequest
from ..records import literals
from ..records.refusal import Refused


def json(text: str) -> str:
    """The text itself.

    :raises InvalidRequest: it is no JSON
    """
    return _read(literals.read_json, text)


def jsonb(text: str) -> str:
    """The text as `jsonb` keeps it: the last of equal keys, shorter keys first.

    :raises InvalidRequest: it is no JSON
    """
    return _read(literals.read_jsonb, text)


def _read(reader: Callable[[str], str], text: str) -> str:
    try:
        return reader(text)
    except Refused as fault:
        raise InvalidRequest("query", str(fault)) from None
