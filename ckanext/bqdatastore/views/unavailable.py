"""What HTTP says while the engine, or a turn to write, cannot be had: 503, and to come again."""

from __future__ import annotations

import logging
from typing import Any

import ckantoolkit as tk
from ckan.lib import base
from flask import Blueprint, Response, jsonify

from ..model.errors import DatastoreFault, EngineUnavailable, Misconfigured

log = logging.getLogger(__name__)

_RETRY_SECONDS = 10

blueprint = Blueprint("bqdatastore_unavailable", __name__)


@blueprint.app_errorhandler(EngineUnavailable)
@blueprint.app_errorhandler(Misconfigured)
def unavailable(fault: DatastoreFault) -> Any:
    """In the API's form for the API, as a page for people; the log has the whole story."""
    log.error("The DataStore is unavailable: %s", fault)
    if tk.request.path.startswith("/api/"):
        error = {"__type": "Service Unavailable", "message": str(fault)}
        response: Response = jsonify(success=False, error=error)
    else:
        shown = {"code": 503, "name": "Service Unavailable", "content": str(fault)}
        response = Response(base.render("error_document_template.html", shown))
    response.status_code = 503
    response.headers["Retry-After"] = str(_RETRY_SECONDS)
    return response
