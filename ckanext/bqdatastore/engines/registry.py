"""Finds engines: every folder beside this file is one, and its name is its URL scheme."""

from __future__ import annotations

import importlib
import pkgutil

from .base import Engine


def schemes() -> list[str]:
    """The URL schemes there are engines for; imports none of them."""
    return sorted(module.name for module in pkgutil.iter_modules(_folders()) if module.ispkg)


def load(scheme: str) -> type[Engine]:
    """The engine of a URL scheme.

    :raises ModuleNotFoundError: a library that the engine needs is not installed
    """
    engine: type[Engine] = importlib.import_module(f"{__package__}.{scheme}.engine").ENGINE
    return engine


def _folders() -> list[str]:
    return list(importlib.import_module(str(__package__)).__path__)
