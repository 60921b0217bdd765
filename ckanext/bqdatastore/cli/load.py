"""`ckan bqdatastore load`: a file into a resource's table."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import ckantoolkit as tk
import click

from ..loading.load import NULL_VALUES, load_file
from ..model.errors import DatastoreFault


@click.command(short_help="Load a file into a resource's table.")
@click.argument("resource-id")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--format",
    type=click.Choice(["csv", "tsv", "json", "ndjson", "parquet"]),
    help="The file's format, if its name does not tell.",
)
@click.option(
    "--null",
    "null_values",
    multiple=True,
    default=NULL_VALUES,
    show_default=True,
    help="A text that stands for null; may be given more than once.",
)
def load(resource_id: str, file: Path, format: str | None, null_values: tuple[str, ...]) -> None:
    """Replace the table of RESOURCE_ID by the rows of FILE.

    Types are inferred from all rows. If anything fails, the table stays as it was.
    """
    started = time.monotonic()
    bar = click.progressbar(length=100, label=f"Loading {file.name}", file=sys.stderr)
    try:
        with bar:
            loaded = load_file(
                resource_id,
                file,
                format=format,
                null_values=null_values,
                progress=lambda percent: bar.update(max(0, int(percent) - bar.pos)),
            )
    except DatastoreFault as fault:
        raise click.ClickException(str(fault)) from None
    except tk.ObjectNotFound:
        raise click.ClickException(
            f'There is no resource "{resource_id}"; make it first, or check the id.'
        ) from None
    seconds = time.monotonic() - started
    click.echo(
        f"{loaded.row_count} rows in {len(loaded.table.fields)} fields loaded in {seconds:.1f} s"
    )
