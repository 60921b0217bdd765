"""Validators of CKAN's Table Designer, which ask PostgreSQL whether a rule makes sense.

Its own ask the database of `ckan.datastore.read_url`, which on our backend is none. These stand in
their place, say the same and ask the database of `ckanext.bqdatastore.trigger_url`, where the rules
will run. The plugin that comes first in `ckan.plugins` has its way with validators: the start
checks that `bqdatastore` stands before `tabledesigner`.
"""

from __future__ import annotations

from typing import Any

import ckantoolkit as tk
from ckanext.datastore.backend import DatastoreBackend
from ckanext.tabledesigner import validators as stock

from ..backend import AnalyticsBackend
from ..model.errors import InvalidRequest
from ..site import trigger_database
from ..triggers.database import TriggerDatabase


def tabledesigner_check_pattern(value: str) -> str:
    """The value, if it is a regular expression to PostgreSQL."""
    if not _is_ours():
        return str(stock.tabledesigner_check_pattern(value))
    try:
        _database().check_pattern(value)
    except InvalidRequest:
        raise tk.Invalid(tk._("Invalid regular expression")) from None
    return value


def tabledesigner_check_type(key: Any, data: Any, errors: Any, context: Any) -> None:
    """Refuse a limit that is no value of the field's type."""
    if not _is_ours():
        stock.tabledesigner_check_type(key, data, errors, context)
        return
    type_name = data[(*key[:-1], "type")]
    try:
        _database().check_value(data[key], type_name)
    except InvalidRequest:
        errors[key].append(tk._("Invalid constraint for type: %s") % type_name)
        raise tk.StopOnError from None


def tabledesigner_compare_minimum(key: Any, data: Any, errors: Any, context: Any) -> None:
    """Refuse a maximum that is less than the minimum, as the field's type compares them."""
    if not _is_ours():
        stock.tabledesigner_compare_minimum(key, data, errors, context)
        return
    minimum = data[(*key[:-1], "tdminimum")]
    if minimum is None or minimum is tk.missing:
        return
    try:
        wrong = _database().is_greater(minimum, data[key], data[(*key[:-1], "type")])
    except InvalidRequest:
        return  # said of the minimum already
    if wrong:
        errors[key].append(tk._("Less than minumum"))  # CKAN's spelling
        raise tk.StopOnError


def _is_ours() -> bool:
    return isinstance(DatastoreBackend.get_active_backend(), AnalyticsBackend)


def _database() -> TriggerDatabase:
    try:
        return trigger_database()
    except InvalidRequest as fault:
        raise tk.Invalid(fault.messages[0]) from None
