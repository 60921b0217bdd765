"""Where the DataStore of CKAN 2.11 answers otherwise than that of 2.12.

Told by what the CKAN at hand has, not by its number: a 2.11 with a newer DataStore is read right.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

from ckanext.datastore.backend import postgres

from .model.errors import InvalidRequest, QueryFailed
from .model.types import is_array
from .query.filters import FilterOperation

try:
    from ckanext.datastore.filters import parse_query_filters
except ImportError:  # CKAN 2.11, whose filters only compare with what they are given
    parse_query_filters = None

SHOWS_FILTERS = parse_query_filters is not None
"""Whether the answer to a search has its parsed filters in it."""

BARE_REFUSALS = SHOWS_FILTERS
"""Whether a text that is not one query is refused in bare words, and not under `query`."""


def unwrapped(action: Any) -> Any:
    """The function that `get_action` gave in a wrapping; None if that cannot be told."""
    if hasattr(action, "__wrapped__"):
        return action.__wrapped__
    # CKAN 2.11 does not say what it has wrapped.
    names = getattr(getattr(action, "__code__", None), "co_freevars", ())
    if "_action" not in names:
        return None
    return action.__closure__[names.index("_action")].cell_contents


@dataclasses.dataclass(frozen=True)
class _Comparison:
    """A filter as CKAN 2.11 understands it, in the form of 2.12's."""

    op: str
    field: str | None
    value: Any


def parse_filters(filters: Any, types: Mapping[str, str]) -> FilterOperation | None:
    """The filters of a request as nested operations; None where there are none.

    :param types: field ids to API types
    :raises ValidationError, InvalidRequest: they have not the form of filters
    """
    if parse_query_filters is not None:
        return parse_query_filters(filters, {"fields": types})
    if not filters:
        return None
    if not isinstance(filters, dict):
        raise InvalidRequest("filters", "Filters must be defined as a dict")
    return _Comparison("$and", None, [_comparison(*each, types) for each in filters.items()])


def _comparison(field: str, value: Any, types: Mapping[str, str]) -> _Comparison:
    if not isinstance(value, list) or is_array(types.get(field, "")):
        return _Comparison("eq", field, value)
    if not value and field in types:
        raise QueryFailed("there is no empty list to compare with")  # PostgreSQL has none
    return _Comparison("in", field, value)


def add_links(data_dict: dict[str, Any], limit: int, offset: int, whole_table: bool) -> None:
    """Put into the answer to a search what CKAN 2.11 alone says there.

    :param whole_table: whether its total is the table's number of rows, which nobody counted
    """
    if _insert_links is None:
        return
    _insert_links(data_dict, limit, offset)
    if data_dict.get("include_total"):
        threshold = data_dict.get("total_estimation_threshold")
        estimated = whole_table and threshold is not None and data_dict["total"] >= threshold
        data_dict["total_was_estimated"] = estimated


_insert_links: Callable[..., None] | None = getattr(postgres, "_insert_links", None)
