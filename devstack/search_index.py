"""Starts the stand-in for Solr that `search_stand_in` has."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

from devstack.process import Service, start
from devstack.watchdog import Watchdog

_REPOSITORY = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class SearchIndex:
    """A running stand-in."""

    service: Service
    port: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/solr/ckan"


def start_search_index(folder: Path, watchdog: Watchdog) -> SearchIndex:
    """Start the stand-in, with its documents in `folder`."""
    service = start(
        "search_index",
        [
            *(sys.executable, "-m", "devstack.search_stand_in"),
            *("--documents", str(folder / "search_index.sqlite")),
        ],
        folder=folder,
        working_folder=_REPOSITORY,
    )
    watchdog.watch_process(service.process.pid, service.stop_signal)
    try:
        port = int(service.wait_for(r"Listening on port (\d+)\n")[1])
    except BaseException:
        service.stop()
        raise
    return SearchIndex(service, port)
