"""Actions that are ours, or that stand before the stock DataStore's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import ckantoolkit as tk
from ckan import model
from ckanext.datastore.backend import DatastoreBackend

from ..authorization import is_permitted
from ..backend import AnalyticsBackend
from . import schema


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
    except tk.ObjectNotFound as missing:
        name = str(request.get("resource_id") or request.get("id"))
        backend = DatastoreBackend.get_active_backend()
        if (
            not isinstance(backend, AnalyticsBackend)
            or "filters" in request
            or model.Resource.get(name) is not None
            or not backend.resource_exists(name)
        ):
            raise
        try:
            tk.check_access("sysadmin", context, {})
        except tk.NotAuthorized:
            raise missing from None
        return backend.delete(context, {"resource_id": name})


@tk.side_effect_free
def datastore_authorize(context: Any, data_dict: dict[str, Any]) -> dict[str, Any]:
    """Say whether the caller may do something with a resource or dataset, and show it.

    For services beside CKAN that keep the data themselves: `403` is no, `404` is not there.

    :param resource_id: id of the resource
    :type resource_id: string
    :param package_id: id of the dataset, where no resource is meant (a new one, say)
    :type package_id: string
    :param permission: ``read``, ``create``, ``update``, ``delete`` or ``patch``
        (optional, default: ``read``)
    :type permission: string

    :returns: ``package``, without its resources, and ``resource``, empty where none is meant
    :rtype: dictionary
    """
    request, errors = tk.navl_validate(data_dict, schema.datastore_authorize(), context)
    if not errors and not (request.get("resource_id") or request.get("package_id")):
        errors = {"resource_id": [tk._("resource_id or package_id is required")]}
    if errors:
        raise tk.ValidationError(errors)
    verb = "show" if request["permission"] == "read" else request["permission"]
    package_id, resource = request.get("package_id"), {}
    if request.get("resource_id"):
        _require(context, f"resource_{verb}", {"id": request["resource_id"]})
        resource = tk.get_action("resource_show")(
            tk.fresh_context(context), {"id": request["resource_id"]}
        )
        package_id = resource["package_id"]
    elif verb == "create":
        _require(context, "resource_create", {"package_id": package_id})
    else:
        _require(context, f"package_{verb}", {"id": package_id})
    package = tk.get_action("package_show")(tk.fresh_context(context), {"id": package_id})
    return {
        "package": {name: value for name, value in package.items() if name != "resources"},
        "resource": resource,
    }


def _require(context: Any, permission: str, target: dict[str, Any]) -> None:
    """
    :raises NotAuthorized, ObjectNotFound:
    """
    if not is_permitted(context, permission, target):
        raise tk.NotAuthorized(
            tk._("User {0} not authorized: {1}").format(context.get("user"), permission)
        )
