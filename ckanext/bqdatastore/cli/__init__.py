"""The `ckan bqdatastore` commands, thin over functions that can be called without them."""

from __future__ import annotations

import click

from .check import check
from .load import load

__all__ = ["bqdatastore"]  # what CKAN takes for commands


@click.group("bqdatastore", short_help="Load and look after the DataStore's tables.")
def bqdatastore() -> None:
    """Load and look after the DataStore's tables."""


bqdatastore.add_command(check)
bqdatastore.add_command(load)
