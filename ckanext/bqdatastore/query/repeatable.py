"""Whether a statement gives the same answer for as long as its tables stay the same.

Looked for are words, wherever they stand: a column of such a name costs only that its answers are
not kept.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from ..model.query import Parameter

# Names by which PostgreSQL and the engines tell the time, draw lots and count.
_CHANGING = re.compile(
    r"""
    \b (?: now | today | tomorrow | yesterday | sysdate | getdate | timeofday ) \b
    | (?: current | local | clock | statement | transaction ) _? (?: date | time )
    | \b (?: rand | randn | random | random_normal | setseed | tablesample ) \b
    | uuid \w* \s* \(
    | \b (?: nextval | currval | lastval | txid_current | pg_current_xact_id ) \b
    """,
    re.IGNORECASE | re.VERBOSE,
)
_PLAIN = (str, bytes, bool, int, float, Decimal, datetime.date, datetime.time, datetime.timedelta)


def is_repeatable(statement: str, parameters: Mapping[str, Parameter]) -> bool:
    """
    :param statement: as it is sent to an engine
    """
    values = [each.value for each in parameters.values()]
    texts = [statement, *(value for value in values if isinstance(value, str))]
    return all(map(_is_plain, values)) and not any(map(_CHANGING.search, texts))


def _is_plain(value: Any) -> bool:
    """Whether the value's `repr` says all of it."""
    return value is None or isinstance(value, _PLAIN)
