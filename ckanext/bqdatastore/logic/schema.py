"""What requests to our own actions must look like."""

from __future__ import annotations

from typing import Any

import ckantoolkit as tk

PERMISSIONS = ("read", "create", "update", "delete", "patch")


def datastore_authorize() -> dict[str, Any]:
    """A resource or a dataset, and what the caller would do with it."""
    ignore_missing, text = tk.get_validator("ignore_missing"), tk.get_validator("unicode_only")
    default, one_of = tk.get_validator("default"), tk.get_validator("one_of")
    ignore_empty = tk.get_validator("ignore_empty")
    return {
        "resource_id": [ignore_missing, ignore_empty, text],
        "package_id": [ignore_missing, ignore_empty, text],
        "permission": [default("read"), one_of(list(PERMISSIONS))],
        "__junk": [tk.get_validator("empty")],
        "__extras": [tk.get_validator("ignore")],
    }
