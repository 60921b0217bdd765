"""The stock DataStore's auth functions, with decisions that are remembered.

They answer as the stock functions do. Where another plugin stands between, or has put its own in
their place, it is asked each time, and so is the stock function while our backend is not in use.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import ckantoolkit as tk
from ckanext.datastore.backend import DatastoreBackend
from ckanext.datastore.logic import auth as stock

from ..authorization import is_permitted
from ..backend import AnalyticsBackend

AuthFunction = Callable[[Any, dict[str, Any]], dict[str, Any]]


@tk.chained_auth_function
@tk.auth_allow_anonymous_access
def datastore_search(next_auth: AuthFunction, context: Any, data_dict: Any) -> dict[str, Any]:
    """Who may see the resource may search it."""
    return _answer(stock.datastore_search, next_auth, context, data_dict, "resource_show")


@tk.chained_auth_function
@tk.auth_allow_anonymous_access
def datastore_info(next_auth: AuthFunction, context: Any, data_dict: Any) -> dict[str, Any]:
    """Who may see the resource may see its fields."""
    return _answer(stock.datastore_info, next_auth, context, data_dict, "resource_show")


@tk.chained_auth_function
@tk.auth_allow_anonymous_access
def datastore_search_sql(next_auth: AuthFunction, context: Any, data_dict: Any) -> dict[str, Any]:
    """Who may see all the tables of a query may run it."""
    if not _stands_before(stock.datastore_search_sql, next_auth):
        return next_auth(context, data_dict)
    for name in context["table_names"]:
        # A copy for each, since check_access writes into what it gets.
        if not is_permitted(context.copy(), "resource_show", {"id": name}):
            return {"success": False, "msg": "Not authorized to read resource."}
    return {"success": True}


@tk.chained_auth_function
def datastore_create(next_auth: AuthFunction, context: Any, data_dict: Any) -> dict[str, Any]:
    """Who may change the resource, or the dataset that gets a new one, may make a table."""
    permission = "resource_update"
    if "resource" in data_dict and data_dict["resource"].get("package_id"):
        data_dict["id"] = data_dict["resource"]["package_id"]
        permission = "package_update"
    return _answer(stock.datastore_create, next_auth, context, data_dict, permission)


@tk.chained_auth_function
def datastore_upsert(next_auth: AuthFunction, context: Any, data_dict: Any) -> dict[str, Any]:
    """Who may change the resource may write its rows."""
    return _answer(stock.datastore_upsert, next_auth, context, data_dict, "resource_update")


@tk.chained_auth_function
def datastore_delete(next_auth: AuthFunction, context: Any, data_dict: Any) -> dict[str, Any]:
    """Who may change the resource may delete its table."""
    return _answer(stock.datastore_delete, next_auth, context, data_dict, "resource_update")


@tk.chained_auth_function
def datastore_records_delete(
    next_auth: AuthFunction, context: Any, data_dict: Any
) -> dict[str, Any]:
    """Who may change the resource may delete its rows."""
    return _answer(stock.datastore_records_delete, next_auth, context, data_dict, "resource_update")


def _answer(
    stock_auth: Any, next_auth: AuthFunction, context: Any, data_dict: Any, permission: str
) -> dict[str, Any]:
    """The stock function's answer, which is that to one permission."""
    if not _stands_before(stock_auth, next_auth):
        return next_auth(context, data_dict)
    if "id" not in data_dict:
        data_dict["id"] = data_dict.get("resource_id")  # the stock actions take it out again
    if is_permitted(context, permission, data_dict):
        return {"success": True}
    return {
        "success": False,
        "msg": tk._("User {0} not authorized to perform {1} on resource {2}").format(
            context.get("user"), permission, data_dict["id"]
        ),
    }


def _stands_before(stock_auth: Any, next_auth: AuthFunction) -> bool:
    backend = DatastoreBackend.get_active_backend()
    return next_auth is stock_auth and isinstance(backend, AnalyticsBackend)
