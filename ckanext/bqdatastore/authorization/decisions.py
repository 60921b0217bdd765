"""Asks CKAN whether a user may do something with a resource or dataset, and keeps the answer.

An answer is kept only where it can depend on nothing but the user, the resource and what
`changes` watches: where the auth functions on its way are CKAN's own (another plugin's may look at
anything), the context holds nothing unusual, and the session that it was decided in had neither
unfinished changes nor older objects, nor a transaction that goes on seeing what was before.
Everything else is CKAN's answer, fresh each time.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import ModuleType
from typing import Any

import ckantoolkit as tk
import sqlalchemy as sa
from ckan import authz, logic, model
from ckan.lib import plugins as lib_plugins
from ckan.logic.action import get as get_actions
from ckan.logic.auth import create, delete, get, patch, update

from .. import config
from ..cache import Cache, Key, Stamp
from ..ckan_versions import unwrapped
from . import changes
from .store import EVERYTHING, decisions, package_tag, resource_tag, user_tag

_YES, _NO = b"1", b"0"

# Permissions by the name of the auth function, and the functions that decide on them.
_CHAINS: Mapping[str, tuple[str, ...]] = {
    "package_show": ("package_show",),
    "package_update": ("package_update",),
    "package_patch": ("package_patch", "package_update"),
    "package_delete": ("package_delete", "package_update"),
    "resource_show": ("resource_show", "package_show"),
    "resource_create": ("resource_create", "package_update"),
    "resource_update": ("resource_update", "package_update"),
    "resource_patch": ("resource_patch", "resource_update", "package_update"),
    "resource_delete": ("resource_delete", "package_delete", "package_update"),
}
_MODULES: Mapping[str, ModuleType] = {
    "show": get,
    "user": get,
    "create": create,
    "update": update,
    "patch": patch,
    "delete": delete,
}
_ABOUT_LABELS = ("organization_list_for_user", "package_collaborator_list_for_user")

# What CKAN's own functions and ours put into a context, and that says nothing of permissions.
_USUAL = frozenset(
    {
        "model",
        "session",
        "user",
        "auth_user_obj",
        "api_version",
        "ignore_auth",
        "schema",
        "query_timeout",
        "table_names",
        "check_access",
        "__auth_audit",
        "__auth_user_obj_checked",
    }
)


# Isolation levels at which each statement sees what was committed before it.
_SEEING_COMMITS = ("read committed", "read uncommitted")


def is_permitted(context: Any, permission: str, data_dict: dict[str, Any]) -> bool:
    """Whether the context's user has a permission: what `check_access` says, remembered.

    :param permission: the name of the auth function, of those in `_CHAINS`
    :param data_dict: `id` of the resource, or of the dataset where the permission is one on
        datasets; for `resource_create` also `package_id`
    :raises ObjectNotFound: CKAN has no such resource or dataset
    """
    ttl = config.authorization_cache_ttl()
    target, user_id = _target(permission, data_dict), _user_id(context)
    session = model.Session()
    if (
        not ttl
        or target is None
        or user_id is None
        or not changes.is_watching()
        or not context.keys() <= _USUAL
        or not _is_stock(permission)
        or not changes.is_settled(session)
    ):
        return _decide(context, permission, data_dict)
    cache = decisions()
    name = str(context.get("user") or "")
    key = (permission, *target, user_id, name, str(ttl), *config.auth_settings())
    kept = cache.get(key)
    if kept in (_YES, _NO):
        return kept == _YES
    # The marks must be older than anything that the decision is made from.
    stamp = None
    if not changes.has_read(session):
        stamp = _stamp(cache, target, user_id, context.get("auth_user_obj"))
    answer = _decide(context, permission, data_dict)
    if stamp is not None and changes.is_settled(session):
        cache.set(key, _YES if answer else _NO, stamp, ttl)
    return answer


def _decide(context: Any, permission: str, data_dict: dict[str, Any]) -> bool:
    try:
        tk.check_access(permission, context, data_dict)
    except tk.NotAuthorized:
        return False
    return True


def _target(permission: str, data_dict: Mapping[str, Any]) -> Key | None:
    """The tag of what a decision is about; None where it is about more."""
    if "groups" in data_dict:
        return None
    package_id, id = data_dict.get("package_id"), data_dict.get("id")
    if permission == "resource_create" and package_id:
        return package_tag(package_id) if isinstance(package_id, str) else None
    if not isinstance(id, str):
        return None
    return package_tag(id) if permission.startswith("package_") else resource_tag(id)


def _user_id(context: Any) -> str | None:
    """The id of the context's user, empty for nobody; None if that cannot be told for sure."""
    name, user = context.get("user"), context.get("auth_user_obj")
    if context.get("ignore_auth"):
        return None
    if not name:
        return "" if user is None or getattr(user, "is_anonymous", False) else None
    if isinstance(user, model.User) and user.name == name:
        return str(user.id)
    return None


def _is_stock(permission: str) -> bool:
    """Whether CKAN's own functions, and no plugin's, decide."""
    chain = _CHAINS[permission]
    if not all(_is_own_auth(name) for name in chain):
        return False
    if "package_show" not in chain:
        return True
    return (
        type(lib_plugins.get_permission_labels()) is lib_plugins.DefaultPermissionLabels
        and _is_own_auth("organization_list_for_user")
        and all(_is_own_action(name) for name in _ABOUT_LABELS)
    )


def _is_own_auth(name: str) -> bool:
    module = _MODULES[name.rpartition("_")[2]]
    # CKAN has no public way to the function that a name stands for.
    return authz._AuthFunctions.get(name) is getattr(module, name)


def _is_own_action(name: str) -> bool:
    return unwrapped(logic.get_action(name)) is getattr(get_actions, name)


def _is_as_known(user: Any) -> bool:
    """Whether the user is the database's to all who know it: what was loaded before the marks were
    read may have lost since what it still has there.

    :param user: the context's
    """
    columns = (model.User.name, model.User.state, model.User.sysadmin)
    now = model.Session.query(*columns).filter_by(id=user.id).first()
    # CKAN decides by the session's object, or by the one that the request began with.
    known = (user, model.Session.get(model.User, user.id), authz._get_user(user.name))
    return now is not None and all(
        each is not None and (each.name, each.state, each.sysadmin) == tuple(now) for each in known
    )


def _stamp(cache: Cache, target: Key, user_id: str, user: Any) -> Stamp | None:
    """The marks of all tags of a decision, or None where it is not to be kept.

    :param user: whose id it is, if it is anybody's
    """
    # Before there are marks: of what is not there, anybody may ask any number.
    package = _package_and_isolation(target)
    if package is None:
        return None
    tags = {EVERYTHING, user_tag(user_id), target, package_tag(package[0])}
    stamp = cache.stamp(tags)
    if stamp is None or (user_id and not _is_as_known(user)):
        return None
    # It may have moved to another dataset before its mark was read.
    if _package_and_isolation(target) != package or package[1] not in _SEEING_COMMITS:
        return None
    return stamp


def _package_and_isolation(target: Key) -> Any:
    """The id of the dataset that the target is or belongs to, and how the transaction sees it."""
    kind, id = target
    column = model.Package.id if kind == "package" else model.Resource.package_id
    isolation = sa.func.current_setting("transaction_isolation")
    # By its id alone: names are given to others.
    return model.Session.query(column, isolation).filter_by(id=id).first()
