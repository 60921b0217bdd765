"""Constants of types whose texts the records' readers read as PostgreSQL does."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from typing import TypeVar

from ..model.errors import InvalidRequest
from ..records import literals, moments
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


_EPOCH = datetime.datetime(1970, 1, 1)


def date(text: str) -> str:
    """A date in ISO's form.

    :raises InvalidRequest: it is none, or not from 0001-01-01 to 9999-12-31
    """
    return (_EPOCH + datetime.timedelta(days=_read(moments.read_date, text))).date().isoformat()


def time(text: str) -> str:
    """:raises InvalidRequest: it is no time of day, or 24:00"""
    return _after_epoch(moments.read_time, text).time().isoformat()


def timestamp(text: str) -> str:
    """:raises InvalidRequest: as `date`"""
    return _after_epoch(moments.read_timestamp, text).isoformat(" ")


def timestamptz(text: str) -> str:
    """:raises InvalidRequest: as `date`"""
    return _after_epoch(moments.read_timestamptz, text).isoformat(" ") + "+00"


def _after_epoch(reader: Callable[[str], int], text: str) -> datetime.datetime:
    return _EPOCH + datetime.timedelta(microseconds=_read(reader, text))


_T = TypeVar("_T")


def _read(reader: Callable[[str], _T], text: str) -> _T:
    try:
        return reader(text)
    except Refused as fault:
        raise InvalidRequest("query", str(fault)) from None
