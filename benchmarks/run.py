"""One run: the sites are asked line by line, in turn."""

from __future__ import annotations

import dataclasses
import itertools
import json
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import click

from . import lines, tables
from .clients import CLIENTS, ask_at_once
from .inside import Inside, inside
from .lines import ORDINARY, SYSADMIN, Line, Request
from .measure import Spread, Taken, in_turn, ratio
from .results import Counted, Measured, Result
from .sites import CACHED, OURS, STOCK, USER, BenchmarkError, Refused, Served, Sites
from .tables import KEY, Subject

LOAD_FILE = "load csv file"
LOAD_API = "load by API, 10,000 a request"
PERMISSION = "permission of a search, ordinary"
CLIENTS_LINE = f"{CLIENTS} clients, requests/s"
SLOW_LINE = f"{CLIENTS} clients, p99"
FAILED_LINE = f"{CLIENTS} clients, failed requests"
BYTES = "bytes on disk"
MEMORY = "resident memory"
START = "first search of a new process"

_API_BATCH = 10_000


@dataclasses.dataclass(frozen=True)
class Effort:
    """How long a run may take.

    :param seconds: for one line
    :param patience: seconds after which a line's first round, or a file's first load, is enough
    :param loads: how often a file is loaded
    :param batches: requests of the load by API
    :param slices: turns of the eight clients
    """

    at_least: int = 7
    at_most: int = 60
    seconds: float = 8.0
    patience: float = 90.0
    loads: int = 3
    batches: int = 8
    slices: int = 3
    slice_seconds: float = 6.0


QUICK = Effort(3, 15, 2.0, 30.0, 1, 3, 1, 3.0)


def names_of_lines() -> list[str]:
    """All lines, in order."""
    nothing = Subject("", Path(), 1, {}, {}, "", "", "", ("", ""), ("", ""), "")
    return [
        LOAD_FILE,
        LOAD_API,
        *(line.name for line in lines.read_lines(nothing)),
        *(line.name for line in lines.write_lines([{}], 1)),
        PERMISSION,
        CLIENTS_LINE,
        SLOW_LINE,
        FAILED_LINE,
        BYTES,
        MEMORY,
        START,
    ]


def lines_that_grow() -> list[str]:
    """Those of a table's size: loading a file, reads, bytes."""
    nothing = Subject("", Path(), 1, {}, {}, "", "", "", ("", ""), ("", ""), "")
    return [LOAD_FILE, *(line.name for line in lines.read_lines(nothing)), BYTES]


class Run:
    """A run over sites that are up; yields results as they come.

    :param stock_up_to: rows of a table above which the stock site is left out
    :param limits: whether raw DuckDB is asked the same
    """

    def __init__(
        self,
        sites: Sites,
        wanted: Sequence[str],
        effort: Effort,
        stock_up_to: float = math.inf,
        limits: bool = True,
    ) -> None:
        self._sites = sites
        self._wanted = frozenset(wanted)
        self._effort = effort
        self._stock_up_to = stock_up_to
        self._limits = limits
        self._served = list(sites.served.values())
        self._dataset = self._make_dataset()
        self._inside: dict[str, Inside] = {}

    def all(self, subjects: Sequence[Subject]) -> Iterator[Result]:
        with ExitStack() as open_:
            for side in (STOCK, OURS):
                ini = self._sites.served[side].site.ini
                self._inside[side] = open_.enter_context(inside(ini))
            for subject in subjects:
                yield from self._subject(subject, writes=subject is subjects[0])

    def _subject(self, subject: Subject, writes: bool) -> Iterator[Result]:
        without = {STOCK} if subject.rows > self._stock_up_to else set()
        self._served = [each for name, each in self._sites.served.items() if name not in without]
        resources, loaded = self._load(subject)
        if LOAD_FILE in self._wanted:
            yield Measured(subject.name, LOAD_FILE, loaded)
        if writes and LOAD_API in self._wanted:
            yield self._load_by_api(subject, resources[OURS])
        reads = list(lines.read_lines(subject))
        chosen = [line for line in reads if line.name in self._wanted]
        measured = [self._ask(subject.name, line, resources) for line in chosen]
        if self._limits:
            yield from self._with_limits(measured, chosen, resources[OURS])
        else:
            yield from measured
        if writes:
            yield from self._writes(subject)
        if writes and PERMISSION in self._wanted:
            yield self._permission(subject, resources)
        if {CLIENTS_LINE, SLOW_LINE, FAILED_LINE} & self._wanted:
            mixed = [line for line in reads if line.name in lines.MIXED]
            yield from self._eight_clients(subject, mixed, resources)
        if BYTES in self._wanted:
            sizes = {OURS: self._inside[OURS].ask("our_size", resource=resources[OURS])}
            if STOCK in resources:
                sizes[STOCK] = self._inside[STOCK].ask("stock_size", resource=resources[STOCK])
            yield Counted(subject.name, BYTES, "bytes", sizes)
        if MEMORY in self._wanted:
            memory = {each.name: float(each.resident_bytes()) for each in self._served}
            yield Counted(subject.name, MEMORY, "web workers, bytes", memory)
        if writes and START in self._wanted:
            yield self._starts(subject, resources)

    # Setting up

    def _make_dataset(self) -> str:
        stock = self._sites.served[STOCK].site
        organization = stock.action("organization_create", name="bench", title="Bench")
        stock.action(
            "organization_member_create", id=organization["id"], username=USER, role="editor"
        )
        dataset = stock.action("package_create", name="bench", owner_org=organization["id"])
        return str(dataset["id"])

    def _new_resource(self, name: str) -> str:
        made = self._sites.served[STOCK].site.action(
            "resource_create",
            package_id=self._dataset,
            name=name,
            url_type="datastore",
            url="_datastore_only_resource",
        )
        return str(made["id"])

    def _load(self, subject: Subject) -> tuple[dict[str, str], dict[str, Taken]]:
        """A table of the file on each side, and how long it took; the last one counts."""
        sides = [side for side in (OURS, STOCK) if side in {each.name for each in self._served}]
        times: dict[str, list[float]] = {side: [] for side in sides}
        resources: dict[str, str] = {}
        loads = self._effort.loads if LOAD_FILE in self._wanted else 1
        began = time.monotonic()
        for number in range(loads):
            if number and time.monotonic() - began > self._effort.patience:
                break
            for side in sides:
                resources[side] = self._new_resource(f"{side} {subject.path.name}")
                times[side].append(self._load_file(side, resources[side], subject.path, resources))
        taken = {side: Taken(each[0], tuple(each[1:] or each)) for side, each in times.items()}
        ours = {each.name: resources[OURS] for each in self._served}
        return {**ours, **resources}, taken

    def _load_file(self, side: str, resource: str, path: Path, resources: dict[str, str]) -> float:
        process = self._inside[side]
        if side == OURS:
            return float(process.ask("our_load", resource=resource, file=str(path)))
        # With the types that ours has found in the file.
        fields = self._fields(resources[OURS])
        return float(process.ask("stock_load", resource=resource, file=str(path), fields=fields))

    def _fields(self, resource: str) -> list[dict[str, str]]:
        info = self._sites.served[OURS].site.action("datastore_info", id=resource)
        return [{"id": field["id"], "type": field["type"]} for field in info["fields"]]

    # Requests

    def _ask(self, table: str, line: Line, resources: dict[str, str]) -> Measured:
        answers: dict[str, Any] = {}

        def asker(site: Served) -> Callable[[], float]:
            numbers = itertools.count()

            def ask() -> float:
                resource, number = resources[site.name], next(numbers)
                if line.before is not None:
                    site.ask(line.before(resource, number), line.caller)
                seconds, content = site.ask(line.make(resource, number), line.caller)
                if number == 0:
                    answers[site.name] = _gist(content)
                return seconds

            return ask

        askers = {site.name: asker(site) for site in self._served}
        try:
            taken = self._in_turn(askers)
        except Refused as refused:
            if refused.site != STOCK or not refused.too_long:
                raise
            click.echo(f"  {line.name:<32} without stock: {refused}")
            answers.pop(STOCK, None)
            taken = self._in_turn({name: ask for name, ask in askers.items() if name != STOCK})
        expected = answers.get(STOCK, answers[OURS])
        for name, gist in answers.items():
            if gist != expected:
                raise BenchmarkError(f"{line.name}: {name} {gist}, others {expected}")
        measured = Measured(table, line.name, taken)
        tell(measured)
        return measured

    def _in_turn(self, askers: Mapping[str, Callable[[], float]]) -> dict[str, Taken]:
        effort = self._effort
        return in_turn(
            askers,
            at_least=effort.at_least,
            at_most=effort.at_most,
            seconds=effort.seconds,
            patience=effort.patience,
        )

    def _with_limits(
        self, measured: Sequence[Measured], chosen: Sequence[Line], resource: str
    ) -> Iterator[Measured]:
        requests = []
        for line in chosen:
            request = line.make(resource, 0)
            if request.body is not None:
                action = request.path.rsplit("/", 1)[1]
                requests.append((line.name, action, json.loads(request.body)))
        seconds = self._effort.seconds / 2
        found = self._inside[OURS].ask(
            "limit", resource=resource, requests=requests, seconds=seconds
        )
        for each in measured:
            times = found.get(each.line)
            if times:
                spread = ratio(times["ours"], times["limit"])
                click.echo(f"  {each.line:<32} engine/limit {spread.median:8.2f}")
                each = dataclasses.replace(
                    each, engine=tuple(times["ours"]), limit=tuple(times["limit"])
                )
            yield each

    # Writes

    def _writes(self, subject: Subject) -> Iterator[Measured]:
        path = tables.with_key(subject, self._sites.stack.folder)
        sample = tables.records(path, 0, 1_000)
        chosen = [
            line for line in lines.write_lines(sample, subject.rows) if line.name in self._wanted
        ]
        if not chosen:
            return
        resources: dict[str, str] = {}
        for site in self._sites.ours:
            resources[site.name] = self._new_resource(f"{site.name} writes")
            self._load_file(OURS, resources[site.name], path, resources)
        resources[STOCK] = self._new_resource("stock writes")
        self._load_file(STOCK, resources[STOCK], path, resources)
        for site in self._served:
            site.site.action(
                "datastore_create",
                resource_id=resources[site.name],
                primary_key=[KEY],
                force=True,
            )
        for line in chosen:
            yield self._ask(subject.name, line, resources)

    def _load_by_api(self, subject: Subject, loaded: str) -> Measured:
        resources = {}
        fields = self._fields(loaded)
        for site in self._served:
            resources[site.name] = self._new_resource(f"{site.name} API")
            site.site.action(
                "datastore_create", resource_id=resources[site.name], fields=fields, force=True
            )
        batches = [
            tables.records(subject.path, start, _API_BATCH)
            for start in range(0, self._effort.batches * _API_BATCH, _API_BATCH)
        ]

        def make(resource: str, number: int) -> Request:
            return Request.action(
                "datastore_upsert",
                resource_id=resource,
                method="insert",
                records=batches[number % len(batches)],
                force=True,
            )

        line = Line(LOAD_API, make, ORDINARY)
        return self._ask(subject.name, line, resources)

    # Beyond single requests

    def _permission(self, subject: Subject, resources: dict[str, str]) -> Measured:
        """What a search spends on the permission of one caller, who asks again and again."""

        def asker(process: Inside, resource: str) -> Callable[[], float]:
            return lambda: float(process.ask("permission", resource=resource, user=USER))

        with inside(self._sites.served[CACHED].site.ini) as cached:
            processes = {**self._inside, CACHED: cached}
            taken = in_turn(
                {name: asker(each, resources[name]) for name, each in processes.items()},
                at_least=50,
                at_most=500,
                seconds=self._effort.seconds,
                patience=self._effort.patience,
            )
        measured = Measured(subject.name, PERMISSION, taken)
        tell(measured)
        return measured

    def _eight_clients(
        self, subject: Subject, mixed: Sequence[Line], resources: dict[str, str]
    ) -> Iterator[Counted]:
        seen: dict[str, list[Any]] = {site.name: [] for site in self._served}
        for _ in range(self._effort.slices + 1):
            for site in self._served:
                requests = [line.make(resources[site.name], 0) for line in mixed]
                seen[site.name].append(ask_at_once(site, requests, self._effort.slice_seconds))
        # The first slice warmed every worker.
        rates = {
            name: Spread.of([each.per_second for each in slices[1:]]).median
            for name, slices in seen.items()
        }
        slow = {
            name: Spread.of([each.p99 * 1000 for each in slices[1:]]).median
            for name, slices in seen.items()
        }
        failed = {name: float(sum(each.failed for each in slices)) for name, slices in seen.items()}
        for counted in (
            Counted(subject.name, CLIENTS_LINE, "more is better", rates),
            Counted(subject.name, SLOW_LINE, "milliseconds", slow),
            Counted(subject.name, FAILED_LINE, "requests", failed),
        ):
            tell(counted)
            yield counted

    def _starts(self, subject: Subject, resources: dict[str, str]) -> Measured:
        """The first search of a process that has answered nothing but `status_show`."""
        times: dict[str, list[float]] = {STOCK: [], OURS: []}
        for _ in range(2):
            for side in (STOCK, OURS):
                with self._sites.one_more(side) as site:
                    site.ask(Request.action("status_show"), SYSADMIN)
                    search = Request.action("datastore_search", resource_id=resources[side])
                    times[side].append(site.ask(search)[0])
        measured = Measured(
            subject.name,
            START,
            {side: Taken(each[0], tuple(each)) for side, each in times.items()},
        )
        tell(measured)
        return measured


def tell(result: Result) -> None:
    """One line on the terminal."""
    if isinstance(result, Counted):
        shown = "  ".join(f"{name} {value:,.1f}" for name, value in result.values.items())
        click.echo(f"  {result.line:<32} {shown}")
        return
    shown = ""
    for site in result.taken:
        spread = result.to_stock(site)
        if site != STOCK and spread is not None:
            shown += f"  {site} {spread.median:.3f} ({spread.low:.2f} to {spread.high:.2f})"
    side = STOCK if STOCK in result.taken else OURS
    times = result.taken[side].times
    middle = Spread.of(times).median * 1000
    click.echo(f"  {result.line:<32}{shown}  {len(times)} rounds, {side} {middle:.1f} ms")


def _gist(content: bytes) -> Any:
    """What must be the same on every side: how much was found."""
    if not content.startswith(b"{"):
        return content.count(b"\n")
    result = json.loads(content)["result"]
    records = result.get("records")
    return result.get("total"), len(records) if isinstance(records, list) else None
