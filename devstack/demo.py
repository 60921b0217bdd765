"""The demo: a fresh site, one CSV file loaded into it, and what can be asked of it then.

Every number that it prints was measured or counted in this run.
"""

from __future__ import annotations

import csv
import json
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click

from devstack.flights import extract_flights
from devstack.site import ADMIN, Site
from devstack.stack import Stack

_LABEL_WIDTH = 14
_SHOWN_ROWS = 5
_SHOWN_FIELDS = ["_id", "month", "day", "carrier", "flight", "origin", "dest", "distance"]

_Result = TypeVar("_Result")


class DemoError(Exception):
    """Something came out other than it should have."""


def demo(folder: Path, *, serve: bool) -> None:
    """Run the demo in `folder`, emptied first; with `serve` stay up until Ctrl-C.

    :raises ServiceError, SiteError, DownloadError, DemoError: a step failed.
    """
    _heading("Starting")
    started = time.perf_counter()
    with Stack(folder, fresh=True, durable=True) as stack:
        seconds = time.perf_counter() - started
        _line("services", f"PostgreSQL, Valkey and a search index in {seconds:.1f} s")
        site = Site(stack)
        _, seconds = _timed(site.set_up)
        with site.served() as service:
            _line("site", f"CKAN at {site.url}, set up in {seconds:.1f} s")
            flights = extract_flights(stack.folder)
            _tour(site, flights, stack.lake)
            if serve:
                click.echo("\nCtrl-C stops the site.")
                _wait_for_interrupt(service.process.wait)


def _tour(site: Site, flights: Path, lake: Path) -> None:
    expected = _count_records(flights)
    _line("file", f"{flights.name}, {expected} rows, {flights.stat().st_size} bytes")
    dataset, resource = _make_resource(site, flights.name)

    _heading("ckan bqdatastore load")
    _, seconds = _timed(lambda: site.run_in_front("bqdatastore", "load", resource, str(flights)))
    loaded = site.action("datastore_search", resource_id=resource, limit=0)["total"]
    _line("rows loaded", f"{loaded} in {seconds:.1f} s, with the command's own start")
    if loaded != expected:
        raise DemoError(f"{flights.name} has {expected} rows, but {loaded} were loaded.")
    site.action(
        "resource_view_create", resource_id=resource, view_type="datatables_view", title="Table"
    )

    search = {
        "resource_id": resource,
        "filters": {"origin": "JFK", "dest": "HNL"},
        "fields": _SHOWN_FIELDS,
        "sort": "month desc, day desc, _id",
        "limit": _SHOWN_ROWS,
    }
    shown = {name: value for name, value in search.items() if name not in ("resource_id", "fields")}
    _heading("datastore_search", json.dumps(shown))
    found, seconds = _timed(lambda: site.action("datastore_search", **search))
    _table(_SHOWN_FIELDS, found["records"])
    _line("rows found", f"{found['total']} in {seconds * 1000:.0f} ms")

    sql = (
        "SELECT origin, count(*) AS flights, sum(distance) AS miles "
        'FROM "{}" GROUP BY origin ORDER BY flights DESC'
    )
    _heading("datastore_search_sql", sql.format("…"))
    grouped, seconds = _timed(lambda: site.action("datastore_search_sql", sql=sql.format(resource)))
    _table(["origin", "flights", "miles"], grouped["records"])
    _line("groups", f"{len(grouped['records'])} in {seconds * 1000:.0f} ms")

    _heading("Dump")
    dumped, seconds = _timed(lambda: _count_dumped(site, resource))
    _line("rows", f"{dumped} in {seconds:.1f} s")
    if dumped != expected:
        raise DemoError(f"{expected} rows were loaded, but the dump has {dumped}.")
    _line("bytes on disk", str(_bytes_below(lake)))

    _heading("The site")
    _line("address", site.url)
    _line("resource", f"{site.url}/dataset/{dataset}/resource/{resource}")
    _line("user", ADMIN)
    _line("password", site.password)
    _line("API token", site.token)
    _line("ini file", str(site.ini))


def _make_resource(site: Site, name: str) -> tuple[str, str]:
    """The dataset's name and the resource's id."""
    organization = site.action("organization_create", name="demo", title="Demo")
    dataset = site.action(
        "package_create",
        name="nycflights13",
        title="Flights from New York City, 2013",
        owner_org=organization["id"],
    )
    resource = site.action(
        "resource_create",
        package_id=dataset["id"],
        name=name,
        format="CSV",
        url_type="datastore",
        # What `datastore_create` gives to a resource that has no file: the dump is its download.
        url="_datastore_only_resource",
    )
    return dataset["name"], resource["id"]


def _count_records(path: Path) -> int:
    with path.open(newline="", encoding="utf-8") as file:
        return sum(1 for _ in csv.reader(file)) - 1


def _count_dumped(site: Site, resource: str) -> int:
    lines = (line.decode() for line in site.lines(f"/datastore/dump/{resource}"))
    return sum(1 for _ in csv.reader(lines)) - 1


def _bytes_below(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _timed(step: Callable[[], _Result]) -> tuple[_Result, float]:
    start = time.perf_counter()
    return step(), time.perf_counter() - start


def _wait_for_interrupt(wait: Callable[[], object]) -> None:
    try:
        wait()
    except KeyboardInterrupt:
        click.echo()
    else:
        raise DemoError("The site's server ended; site.log in the demo's folder may say why.")


def _heading(title: str, detail: str = "") -> None:
    click.secho(f"\n{title}", bold=True)
    if detail:
        click.echo(f"  {detail}")


def _line(label: str, value: str) -> None:
    click.echo(f"  {label:<{_LABEL_WIDTH}}{value}")


def _table(fields: Sequence[str], records: Sequence[Mapping[str, Any]]) -> None:
    rows = [list(fields), *([str(record[field]) for field in fields] for record in records)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(fields))]
    for row in rows:
        click.echo(
            "  " + "  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True))
        )
