"""A CKAN site on a stack: its configuration, its commands, its server and its API."""

from __future__ import annotations

import copy
import json
import os
import secrets
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from configparser import RawConfigParser
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from devstack.postgres import SITE_DATABASE
from devstack.process import Service, start, start_on_free_port
from devstack.stack import Stack

SITE_ID = "devstack"
ADMIN = "admin"

# The one that CKAN's development server has by default.
_PORT = 5000
_PLUGINS = "datastore bqdatastore datatables_view"
# Beside every wheel's scripts in its environment.
_CKAN = str(Path(sys.executable).with_name("ckan"))


class SiteError(Exception):
    """A command or an action did not do what it was asked; the message says which and why."""


class Site:
    """A site with one sysadmin, whose password and API token are made anew."""

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        self._name = "site"
        self._settings: Mapping[str, str] = {}
        self.ini = stack.folder / "ckan.ini"
        self.url = "http://127.0.0.1"  # until it is served
        self.password = secrets.token_urlsafe(9)
        self.token = ""
        self._secret = secrets.token_urlsafe(32)

    def set_up(self) -> None:
        """Write the ini file, make the database's tables and the sysadmin.

        :raises SiteError: one of CKAN's commands failed.
        """
        self._write_ini()
        self.run("db", "init")
        self.run(
            *("sysadmin", "add", "--create", ADMIN),
            *(f"email={ADMIN}@example.org", f"password={self.password}"),
        )
        self.token = self.run("user", "token", "add", "-q", ADMIN, "devstack").strip()

    def with_settings(self, name: str, settings: Mapping[str, str]) -> Site:
        """The same site, its users and tokens, served by a process with other settings.

        :param name: of its ini and log file
        """
        other = copy.copy(self)
        other._name = name
        other._settings = settings
        other.ini = self._stack.folder / f"{name}.ini"
        other._write_ini()
        return other

    def run(self, *arguments: str) -> str:
        """What a ``ckan`` command prints.

        :raises SiteError: it ended with another status than 0.
        """
        ran = subprocess.run(
            self.command(*arguments), env=_environment(), capture_output=True, text=True
        )
        if ran.returncode:
            log = self._stack.folder / "command.log"
            log.write_text(ran.stdout + ran.stderr, encoding="utf-8")
            last = (ran.stdout + ran.stderr).strip().splitlines()[-1:]
            raise SiteError(f"ckan {' '.join(arguments[:2])} failed: {''.join(last)} (see {log})")
        return ran.stdout

    def run_in_front(self, *arguments: str) -> None:
        """Run a ``ckan`` command that talks to the terminal itself.

        :raises SiteError: it ended with another status than 0.
        """
        status = subprocess.run(self.command(*arguments), env=_environment()).returncode
        if status:
            raise SiteError(f"ckan {' '.join(arguments[:2])} failed with status {status}.")

    def command(self, *arguments: str) -> list[str]:
        return [_CKAN, "-c", str(self.ini), *arguments]

    @contextmanager
    def served(
        self,
        command: Callable[[int], list[str]] | None = None,
        ready: str = "Running on http",
        taken: str = "Address already in use",
    ) -> Iterator[Service]:
        """Serve the site at `url`.

        :param command: starts a server on a port, by default CKAN's development server with one
            thread per request
        :param ready: what it writes when it can be asked
        :param taken: what it writes when something else has the port
        """

        def start_on(port: int) -> Service:
            self.url = f"http://127.0.0.1:{port}"
            self._write_ini()
            service = start(
                self._name,
                command(port) if command else self._development_server(port),
                folder=self._stack.folder,
                stop_signal=signal.SIGTERM,
                environment=_environment(),
            )
            self._stack.watchdog.watch_process(service.process.pid, service.stop_signal)
            return service

        service, _ = start_on_free_port(start_on, ready=ready, taken=taken, first_try=_PORT)
        try:
            yield service
        finally:
            service.stop()

    def _development_server(self, port: int) -> list[str]:
        return self.command(
            *("run", "--host", "127.0.0.1", "--port", str(port)),
            *("--threaded", "--disable-reloader", "--disable-debugger"),
        )

    def action(self, name: str, /, **data: Any) -> Any:
        """The result of an action of the API, called as the sysadmin.

        :raises SiteError: it was refused.
        """
        request = urllib.request.Request(
            f"{self.url}/api/3/action/{name}",
            json.dumps(data).encode(),
            {"Authorization": self.token, "Content-Type": "application/json"},
        )
        try:
            with urllib.request.urlopen(request) as response:
                return json.load(response)["result"]
        except urllib.error.HTTPError as error:
            raise SiteError(f"{name}: {_reason(error)}") from None

    def lines(self, path: str) -> Iterator[bytes]:
        """The lines of a page, as they come.

        :raises SiteError: it was refused.
        """
        request = urllib.request.Request(self.url + path, headers={"Authorization": self.token})
        try:
            with urllib.request.urlopen(request) as response:
                yield from response
        except urllib.error.HTTPError as error:
            raise SiteError(f"{path}: {_reason(error)}") from None

    def _write_ini(self) -> None:
        stack = self._stack
        parser = RawConfigParser()
        parser.optionxform = str  # type: ignore[assignment,method-assign]  # CKAN's keys have case
        parser["app:main"] = {
            "use": "egg:ckan",
            "SECRET_KEY": self._secret,
            "api_token.jwt.encode.secret": f"string:{self._secret}",
            "api_token.jwt.decode.secret": f"string:{self._secret}",
            "ckan.site_id": SITE_ID,
            "ckan.site_title": "CKAN on DuckLake",
            "ckan.site_url": self.url,
            "ckan.plugins": _PLUGINS,
            "ckan.views.default_views": "",
            "ckan.storage_path": str(stack.folder / "storage"),
            "sqlalchemy.url": stack.postgres.url(SITE_DATABASE),
            "solr_url": stack.search_index.url,
            "ckan.redis.url": stack.valkey.url,
            "ckan.datastore.write_url": stack.ducklake_write_url,
            "ckan.datastore.read_url": stack.ducklake_read_url,
            "ckan.datastore.sqlsearch.enabled": "true",
            "ckanext.bqdatastore.trigger_url": stack.trigger_url,
            **self._settings,
        }
        parser["loggers"] = {"keys": "root, ckan, ckanext"}
        parser["handlers"] = {"keys": "console"}
        parser["formatters"] = {"keys": "generic"}
        parser["logger_root"] = {"level": "WARNING", "handlers": "console"}
        for name in ("ckan", "ckanext"):
            parser[f"logger_{name}"] = {
                "level": "WARNING",
                "handlers": "console",
                "qualname": name,
                "propagate": "0",
            }
        parser["handler_console"] = {
            "class": "StreamHandler",
            "args": "(sys.stderr,)",
            "level": "NOTSET",
            "formatter": "generic",
        }
        parser["formatter_generic"] = {
            "format": "%(asctime)s %(levelname)-5.5s [%(name)s] %(message)s"
        }
        with self.ini.open("w", encoding="utf-8") as file:
            self.ini.chmod(0o600)
            parser.write(file)


def _environment() -> dict[str, str]:
    """The caller's, less what CKAN would prefer to the ini file."""
    return {name: value for name, value in os.environ.items() if not name.startswith("CKAN_")}


def _reason(error: urllib.error.HTTPError) -> str:
    body = error.read().decode(errors="replace")
    try:
        return json.dumps(json.loads(body)["error"])
    except (ValueError, KeyError, TypeError):
        return f"{error.code} {error.reason}"
