"""What Google's client raises, as the model's errors, and which of it may be tried again."""

from __future__ import annotations

import concurrent.futures
import re

import requests
from google.api_core import exceptions as api
from google.auth import exceptions as auth
from google.cloud.bigquery.exceptions import BigQueryError

from ...model.errors import (
    DatastoreFault,
    EngineUnavailable,
    QueryFailed,
    QueryTimeout,
    TableNotFound,
)
from .names import table_name

__all__ = ["BigQueryError", "fault_of", "is_passing", "is_unanswered", "reason_of"]

# The request may have been carried out: the answer was lost or cannot be read.
_UNANSWERED = (
    requests.exceptions.RequestException,
    ConnectionError,
    TimeoutError,
    concurrent.futures.TimeoutError,
    auth.TransportError,
    # An answer that is no JSON, or not the JSON that was due.
    ValueError,
    KeyError,
    TypeError,
    AttributeError,
)

_SERVER_ERRORS = (
    api.TooManyRequests,
    api.InternalServerError,
    api.BadGateway,
    api.ServiceUnavailable,
    api.GatewayTimeout,
)

_PASSING_REASONS = frozenset(
    [
        "backendError",
        "internalError",
        "jobBackendError",
        "jobInternalError",
        "rateLimitExceeded",
        "jobRateLimitExceeded",
        "tableUnavailable",
    ]
)

_NOT_FOUND_TABLE = re.compile(r"Table [^\s]*[.:]([^\s.:]+)")
_PERMISSION = re.compile(r"bigquery\.[a-z]+\.[a-zA-Z]+")
_MOST_LETTERS = 500
_FIRST_ERROR_CODE = 400


def reason_of(error: BaseException) -> str:
    """BigQuery's one-word reason, or an empty text."""
    for each in getattr(error, "errors", None) or ():
        if isinstance(each, dict) and each.get("reason"):
            return str(each["reason"])
    return ""


def is_unanswered(error: BaseException) -> bool:
    """Whether the request may have been carried out all the same."""
    if type(error) is api.GoogleAPICallError and (error.code or 0) < _FIRST_ERROR_CODE:
        return True  # an upload's answer that is no answer
    return isinstance(error, (*_UNANSWERED, *_SERVER_ERRORS))


def is_passing(error: BaseException) -> bool:
    """Whether the same request may be answered if it is made again a little later."""
    return is_unanswered(error) or reason_of(error) in _PASSING_REASONS


def fault_of(error: BaseException, place: str) -> DatastoreFault:
    """The model's error for one of the client's.

    :param place: the dataset, as `PROJECT.DATASET`
    """
    if isinstance(error, DatastoreFault):
        return error
    reason, text = reason_of(error), _first_line(error)
    if isinstance(error, auth.GoogleAuthError):
        return EngineUnavailable(
            f"BigQuery: the credentials for {place} were refused or could not be renewed."
        )
    if isinstance(error, api.NotFound):
        table = _NOT_FOUND_TABLE.search(text)
        if table:
            return TableNotFound(table_name(table[1]))
        return EngineUnavailable(
            f"BigQuery: the dataset {place} does not exist any more, or not in this location."
        )
    if reason == "quotaExceeded":
        return EngineUnavailable(
            f"BigQuery: a quota is used up, try again later or raise it: {text}"
        )
    if reason in ("rateLimitExceeded", "jobRateLimitExceeded"):
        return EngineUnavailable(
            f"BigQuery: too many requests for one table or project, try again later: {text}"
        )
    if reason == "bytesBilledLimitExceeded":
        return QueryFailed(
            "The query would read more than one query may "
            "(ckanext.bqdatastore.bigquery.maximum_bytes_billed): ask for fewer rows or columns."
        )
    if reason in ("billingNotEnabled", "accessNotConfigured"):
        return EngineUnavailable(f"BigQuery is not enabled for the project of {place}: {text}")
    if isinstance(error, (api.Forbidden, api.Unauthorized)):
        permission = _PERMISSION.search(str(error))
        missing = f": {permission[0]} is missing" if permission else ""
        return EngineUnavailable(f"BigQuery refused access to {place}{missing}.")
    if reason == "stopped":
        return QueryTimeout("stopped by its time limit")
    if reason in ("resourcesExceeded", "responseTooLarge"):
        return QueryFailed(
            "The query needs more memory than BigQuery gives it; ask for fewer rows or columns."
        )
    if is_unanswered(error):
        return EngineUnavailable(f"BigQuery cannot be reached or gives no usable answer ({place}).")
    if isinstance(error, api.ClientError):
        return QueryFailed(text)
    return EngineUnavailable(f"BigQuery failed: {text}")


def _first_line(error: BaseException) -> str:
    message = getattr(error, "message", None) or str(error)
    for each in getattr(error, "errors", None) or ():
        if isinstance(each, dict) and each.get("message"):
            message = each["message"]
            break
    return str(message).strip().split("\n")[0][:_MOST_LETTERS]
