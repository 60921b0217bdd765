"""Faults of the model as CKAN's exceptions, under the keys that the stock backend uses."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import ckantoolkit as tk

from .ckan_versions import BARE_REFUSALS
from .model.errors import (
    InvalidRequest,
    NotPermitted,
    QueryCancelled,
    QueryFailed,
    QueryTimeout,
    TableBusy,
    TableNotFound,
    TooManyQueries,
)


@contextmanager
def as_ckan(
    timeout_message: str = "Query took too long", query_failed: str | None = None
) -> Iterator[None]:
    """Let faults out as CKAN's exceptions.

    :param timeout_message: what the stock action says when a statement was stopped
    :param query_failed: what it says when the engine refused one; None for the engine's own words
    """
    try:
        yield
    except QueryTimeout:
        raise tk.ValidationError({"query": [timeout_message]}) from None
    except QueryCancelled:
        raise tk.ValidationError({"query": ["Query was cancelled"]}) from None
    except TooManyQueries as fault:
        raise tk.ValidationError({"query": [str(fault)]}) from None
    except QueryFailed as fault:
        errors = {"query": [query_failed or fault.messages[0]], "info": {"orig": fault.messages}}
        raise tk.ValidationError(errors) from None
    except InvalidRequest as fault:
        key = fault.key
        if key == "message":  # a fault of the request as a whole
            if BARE_REFUSALS:
                raise tk.ValidationError(fault.messages[0]) from None
            key = "query"
        raise tk.ValidationError({key: fault.messages, **fault.details}) from None
    except TableBusy as fault:
        raise tk.ValidationError({"resource_id": [str(fault)]}) from None
    except NotPermitted as fault:
        raise tk.NotAuthorized(str(fault)) from None
    except TableNotFound as fault:
        raise tk.ObjectNotFound(str(fault)) from None
