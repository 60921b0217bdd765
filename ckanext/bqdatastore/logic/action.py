"""Actions that are ours, or that stand before the stock DataStore's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import ckantoolkit as tk
from ckan import model
from ckanext.datastore.backend import DatastoreBackend

from ..backend import AnalyticsBackend


@tk.chained_action
def datastore_run_triggers(
    original_action: Callable[..., int], context: Any, data_dict: dict[str, Any]
) -> int:
    """Pass all rows of a resource through its triggers again; how many rows there are.

    The stock action reaches into PostgreSQL itself. This one answers as it does, and keeps what the
    triggers change.
    """
    backend = DatastoreBackend.get_active_backend()
    if not isinstance(backend, AnalyticsBackend):
        return original_action(context, data_dict)
    tk.check_access("datastore_run_triggers", context, data_dict)
    return backend.run_triggers(data_dict["resource_id"])


@tk.chained_action
def datastore_delete(
    original_action: Callable[..., dict[str, Any]], context: Any, data_dict: dict[str, Any]
) -> dict[str, Any]:
    """Delete as the stock action does, and also tables whose resource is gone from CKAN.

    `ckan datastore purge` finds those and hands them to this action, where the stock one looks for
    the resource and fails.
    """
    request = dict(data_dict)
    try:
        return original_action(context, data_dict)
    except tk.ObjectNotFound:
        name = str(request.get("resource_id") or request.get("id"))
        backend = DatastoreBackend.get_active_backend()
        if (
            not isinstance(backend, AnalyticsBackend)
            or "filters" in request
            or model.Resource.get(name) is not None
            or not backend.resource_exists(name)
        ):
            raise
        tk.check_access("sysadmin", context, {})
        return backend.delete(context, {"resource_id": name})
