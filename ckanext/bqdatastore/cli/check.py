"""`ckan bqdatastore check`: what is missing for the DataStore to work."""

from __future__ import annotations

import click

from ..upkeep.check import check_site


@click.command(short_help="Say what is missing for the DataStore to work.")
def check() -> None:
    """Look at everything that the engine of the settings needs, one line for each.

    Credentials and permissions of reading and writing apart. Fails if one thing is missing.
    """
    failed = False
    for finding in check_site():
        failed = failed or finding.problem is not None
        mark = "FAIL" if finding.problem else "ok  "
        click.echo(f"{mark} {finding.subject}{f': {finding.problem}' if finding.problem else ''}")
    if failed:
        raise click.exceptions.Exit(1)
