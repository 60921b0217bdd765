"""Where an installed package keeps its files, found without importing it."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from devstack.process import ServiceError


def package_folder(package: str) -> Path:
    """The folder of an installed package.

    :raises ServiceError: it is not installed in this environment.
    """
    try:
        found = importlib.util.find_spec(package)
    except ModuleNotFoundError:
        found = None
    if found is None or not found.submodule_search_locations:
        raise ServiceError(f"{package} is not installed in this environment: run `make venv`.")
    return Path(next(iter(found.submodule_search_locations)))
