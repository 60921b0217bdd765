"""The command line: ``python -m devstack run|demo|up``."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from types import FrameType
from typing import NoReturn

import click

from devstack.bigquery import OLDEST_PYTHON
from devstack.demo import DemoError, demo
from devstack.flights import DownloadError
from devstack.process import ServiceError, end_with_parent
from devstack.site import SiteError
from devstack.stack import Stack

_FOLDER = click.option(
    "--folder",
    type=click.Path(file_okay=False, path_type=Path),
    help="Where data and logs go, and stay. A temporary folder by default.",
)
_BIGQUERY = click.option("--bigquery", is_flag=True, help="Start the BigQuery emulator as well.")


@click.group()
def main() -> None:
    """PostgreSQL, Valkey, a search index and the BigQuery emulator for one command's life."""
    # As exceptions, so that every `with` on the way out stops what it started.
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _leave)


@main.command(context_settings={"ignore_unknown_options": True})
@_FOLDER
@_BIGQUERY
@click.option("--durable", is_flag=True, help="Run PostgreSQL as a site would, not as tests do.")
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
def run(command: tuple[str, ...], folder: Path | None, bigquery: bool, durable: bool) -> None:
    """Run COMMAND with the services up and their addresses in its environment."""
    with _stack(folder, bigquery=bigquery, durable=durable) as stack:
        status = _run_in_front(command, stack)
    sys.exit(status)


@main.command()
@_FOLDER
@_BIGQUERY
def up(folder: Path | None, bigquery: bool) -> None:
    """Keep the services up until Ctrl-C, and print their addresses for a shell to `export`."""
    with _stack(folder, bigquery=bigquery, durable=folder is not None) as stack:
        for name, value in stack.environment().items():
            click.echo(f"export {name}='{value}'")
        click.echo("# Ctrl-C stops the services.")
        sys.stdout.flush()
        try:
            signal.pause()
        except KeyboardInterrupt:
            click.echo()


@main.command(name="demo")
@click.option("--folder", type=click.Path(file_okay=False, path_type=Path), default=".demo")
@click.option("--serve/--no-serve", default=True, help="Stay up until Ctrl-C, or end.")
def run_demo(folder: Path, serve: bool) -> None:
    """Make a site, load a file into it and show what it answers."""
    demo(folder, serve=serve)


def _stack(folder: Path | None, *, bigquery: bool, durable: bool) -> Stack:
    if bigquery and sys.version_info < OLDEST_PYTHON:
        click.echo("Without the BigQuery emulator: it needs Python 3.11.", err=True)
        bigquery = False
    return Stack(folder, durable=durable, bigquery=bigquery)


def _run_in_front(command: tuple[str, ...], stack: Stack) -> int:
    """The command's exit status, as a shell gives it."""
    try:
        process = subprocess.Popen(
            command,
            env={**os.environ, **stack.environment(), **_pytest_environment()},
            preexec_fn=end_with_parent(signal.SIGTERM),
        )
    except OSError as error:
        raise click.ClickException(f"{command[0]}: {error.strerror}") from error
    stack.watchdog.watch_process(process.pid, signal.SIGTERM)
    while True:
        try:
            status = process.wait()
            break
        except KeyboardInterrupt:
            continue  # it had the same Ctrl-C, and what to make of it is for it to say
        except SystemExit:
            process.terminate()
            process.wait()
            raise
    return status if status >= 0 else 128 - status


def _pytest_environment() -> dict[str, str]:
    """What every pytest that the command starts needs, in front of the caller's own."""
    repository = str(Path(__file__).resolve().parent.parent)
    # The emulator's own plugin cannot be imported without Docker's client for Python.
    options = "-p devstack.pytest_plugin -p no:bqemulator"
    return {
        "PYTHONPATH": os.pathsep.join(filter(None, [repository, os.environ.get("PYTHONPATH")])),
        "PYTEST_ADDOPTS": " ".join(filter(None, [options, os.environ.get("PYTEST_ADDOPTS")])),
    }


def _leave(number: int, frame: FrameType | None) -> NoReturn:
    sys.exit(128 + number)


if __name__ == "__main__":
    try:
        main()
    except (ServiceError, SiteError, DownloadError, DemoError) as error:
        raise SystemExit(f"devstack: {error}") from None
