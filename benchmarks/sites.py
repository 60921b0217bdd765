"""The sites: one CKAN, its users and its datasets, served by processes that differ in the backend.

They share the database, so that a request means the same to each of them and its permissions cost
the same. Each has its own DataStore, and its own resources in it.
"""

from __future__ import annotations

import copy
import dataclasses
import http.client
import importlib.util
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import psutil
import yaml

from devstack.process import Service
from devstack.site import Site
from devstack.stack import Stack

from . import READY
from .lines import ANONYMOUS, ORDINARY, SYSADMIN, Request

WORKERS = 2
THREADS = 8
"""For each site, as a small site is served."""

STOCK, OURS, CACHED = "stock", "ours", "permissions"

_REPOSITORY = Path(__file__).resolve().parent.parent
USER = "ordinary"


class BenchmarkError(Exception):
    """A site did not answer as it should have."""


class Refused(BenchmarkError):
    """A site answered with an error.

    :ivar site: its name
    :ivar too_long: whether it says that the answer takes longer than it may
    """

    def __init__(self, site: str, message: str) -> None:
        super().__init__(f"{site}: {message}")
        self.site = site
        self.too_long = "took too long" in message


@dataclasses.dataclass(frozen=True)
class Variant:
    """A way to serve the site.

    :param label: the heading of its column
    :param settings: what its ini file says otherwise; they must be known to the extension
    """

    name: str
    label: str
    settings: Mapping[str, str] = dataclasses.field(default_factory=dict)


_PERMISSIONS = "ckanext.bqdatastore.authorization.cache_ttl"
_RESULTS = "ckanext.bqdatastore.cache.results_ttl"

_OURS = (
    Variant(OURS, "caches off", {_PERMISSIONS: "0", _RESULTS: "0"}),
    Variant(CACHED, "permission cache", {_PERMISSIONS: "3600", _RESULTS: "0"}),
    Variant("results", "both caches", {_PERMISSIONS: "3600", _RESULTS: "3600"}),
)


def variants(declared: frozenset[str]) -> tuple[list[Variant], list[tuple[str, str]]]:
    """Our site's variants that can be told apart, and why the others are left out.

    :param declared: the settings that the extension knows
    """
    kept, left_out = [], []
    for variant in _OURS:
        needed = [name for name, value in variant.settings.items() if value != "0"]
        missing = [name for name in needed if name not in declared]
        if missing:
            left_out.append((variant.label, f"there is no setting {', '.join(missing)} yet"))
            continue
        known = {name: value for name, value in variant.settings.items() if name in declared}
        kept.append(dataclasses.replace(variant, settings=known))
    return kept, left_out


def declared_settings() -> frozenset[str]:
    """The names in the extension's declaration."""
    spec = importlib.util.find_spec("ckanext.bqdatastore")
    assert spec is not None
    assert spec.origin is not None
    text = Path(spec.origin).with_name("config_declaration.yaml").read_text(encoding="utf-8")
    groups = yaml.safe_load(text)["groups"]
    return frozenset(option["key"] for group in groups for option in group["options"])


class Served:
    """A site that is up, and how to ask it."""

    def __init__(self, name: str, site: Site, service: Service, tokens: Mapping[str, str]) -> None:
        self.name = name
        self.site = site
        self.service = service
        self._tokens = tokens
        self._connection = self.connection()

    def connection(self) -> http.client.HTTPConnection:
        """A connection of its own, which stays open."""
        address = urlsplit(self.site.url)
        return http.client.HTTPConnection(address.hostname or "", address.port, timeout=900)

    def ask(
        self,
        request: Request,
        caller: str = ORDINARY,
        connection: http.client.HTTPConnection | None = None,
    ) -> tuple[float, bytes]:
        """The seconds until the whole answer was there, and the answer.

        :raises Refused:
        """
        used = connection or self._connection
        headers = {"Content-Type": "application/json"} if request.body is not None else {}
        if caller in self._tokens:
            headers["Authorization"] = self._tokens[caller]
        start = time.perf_counter()
        method = "GET" if request.body is None else "POST"
        used.request(method, request.path, request.body, headers)
        response = used.getresponse()
        content = response.read()
        seconds = time.perf_counter() - start
        if response.status != 200:
            asked = (request.body or b"").decode()[:300]
            raise Refused(
                self.name,
                f"{request.path} {asked}: {response.status} "
                f"{content.decode(errors='replace')[:500]}",
            )
        return seconds, content

    def resident_bytes(self) -> int:
        """Memory of the web workers; what they share is divided among them."""
        workers = psutil.Process(self.service.process.pid).children(recursive=True)
        return sum(worker.memory_full_info().pss for worker in workers)


@dataclasses.dataclass
class Sites:
    """All that is up: the stack, the site that the others are variants of, and each of them."""

    stack: Stack
    base: Site
    tokens: Mapping[str, str]
    served: dict[str, Served]

    @property
    def ours(self) -> list[Served]:
        return [each for name, each in self.served.items() if name != STOCK]

    @contextmanager
    def one_more(self, name: str) -> Iterator[Served]:
        """Another process of the site `name`, just started."""
        site = copy.copy(self.served[name].site)
        site.ini = self.stack.folder / f"{name}-fresh.ini"
        with _served(site) as service:
            yield Served(f"{name}, just started", site, service, self.tokens)


def stock_settings(stack: Stack) -> dict[str, str]:
    return {
        "ckan.plugins": "datastore datatables_view",
        "ckan.datastore.write_url": stack.stock_write_url,
        "ckan.datastore.read_url": stack.stock_read_url,
    }


@contextmanager
def started(stack: Stack, chosen: Sequence[Variant]) -> Iterator[Sites]:
    """Make the site and serve it once by the stock backend and once by each variant of ours."""
    base = Site(stack)
    base.set_up()
    password = base.password
    base.run("user", "add", USER, f"email={USER}@example.org", f"password={password}")
    token = base.run("user", "token", "add", "-q", USER, "benchmark").strip()
    tokens = {ORDINARY: token, SYSADMIN: base.token}
    assert ANONYMOUS not in tokens
    with ExitStack() as up:
        served = {}
        for name, settings in [
            (STOCK, stock_settings(stack)),
            *((variant.name, dict(variant.settings)) for variant in chosen),
        ]:
            site = base.with_settings(f"{name}-site", settings)
            service = up.enter_context(_served(site))
            served[name] = Served(name, site, service, tokens)
        yield Sites(stack, base, tokens, served)


@contextmanager
def _served(site: Site) -> Iterator[Service]:
    def command(port: int) -> list[str]:
        return [
            *(sys.executable, "-m", "gunicorn", "benchmarks.wsgi:application"),
            *("--chdir", str(_REPOSITORY), "--env", f"BENCHMARK_INI={site.ini}"),
            *("--bind", f"127.0.0.1:{port}", "--worker-class", "gthread"),
            *("--workers", str(WORKERS), "--threads", str(THREADS)),
            *("--timeout", "900", "--keep-alive", "3600", "--no-control-socket"),
        ]

    ready = f"(?s)(?:{READY}.*){{{WORKERS}}}"
    with site.served(command, ready, "in use") as service:
        yield service
