"""One server process: started in its own session with its output in a log file, known to be ready
by a line that it writes there, and stopped with the process that started it.
"""

from __future__ import annotations

import ctypes
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

READY_SECONDS = 60.0
STOP_SECONDS = 20.0
PORT_ATTEMPTS = 20

_POLL_SECONDS = 0.01
_PR_SET_PDEATHSIG = 1
# Loaded here because nothing may be imported or opened between fork and exec.
_libc = ctypes.CDLL(None) if sys.platform == "linux" else None


class ServiceError(Exception):
    """A service did not start; the message ends with what it last wrote."""


@dataclass(frozen=True)
class Account:
    """The user that a process runs as."""

    uid: int
    gid: int


@dataclass(frozen=True)
class Service:
    """A running server, the log it writes and the signal that asks it to stop."""

    name: str
    process: subprocess.Popen[bytes]
    log: Path
    stop_signal: signal.Signals

    def output(self) -> str:
        return self.log.read_text(encoding="utf-8", errors="replace")

    def wait_for(self, line: str, seconds: float = READY_SECONDS) -> re.Match[str]:
        """The first match of the pattern `line` in the log.

        :raises ServiceError: the process ended, or `seconds` passed, before it was written.
        """
        deadline = time.monotonic() + seconds
        while True:
            ended = self.process.poll() is not None
            found = re.search(line, self.output())
            if found:
                return found
            if ended:
                raise ServiceError(f"{self.name} stopped while starting:\n{self._tail()}")
            if time.monotonic() > deadline:
                raise ServiceError(f"{self.name} took over {seconds:.0f} s:\n{self._tail()}")
            time.sleep(_POLL_SECONDS)

    def stop(self) -> None:
        """Ask it to stop, insist after `STOP_SECONDS`, return when it has."""
        if self.process.poll() is None:
            self.process.send_signal(self.stop_signal)
            try:
                self.process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self.process.kill()
        self.process.wait()

    def _tail(self, lines: int = 20) -> str:
        return "\n".join(self.output().splitlines()[-lines:])


def end_with_parent(stop_signal: signal.Signals) -> Callable[[], None]:
    """What a child calls before exec so that the kernel signals it when this process dies.

    Linux alone has this, and only for the thread that starts the child: start from the main
    thread. `watchdog.py` does the same by other means.
    """
    parent = os.getpid()

    def set_death_signal() -> None:
        if _libc is not None:
            _libc.prctl(_PR_SET_PDEATHSIG, int(stop_signal), 0, 0, 0)
            if os.getppid() != parent:  # it died before the line above
                os._exit(1)

    return set_death_signal


def start(
    name: str,
    command: Sequence[str],
    *,
    folder: Path,
    stop_signal: signal.Signals = signal.SIGTERM,
    account: Account | None = None,
    environment: Mapping[str, str] | None = None,
    working_folder: Path | None = None,
) -> Service:
    """Start `command`; its output goes to `<name>.log` in `folder`, anew each time."""
    log = folder / f"{name}.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=working_folder or folder,
            env=environment,
            # Its own session: Ctrl-C is for the command in front, which may still need services.
            start_new_session=True,
            preexec_fn=end_with_parent(stop_signal),
            user=account.uid if account else None,
            group=account.gid if account else None,
            extra_groups=[] if account else None,
        )
    return Service(name, process, log, stop_signal)


def start_on_free_port(
    start_on: Callable[[int], Service], *, ready: str, taken: str, first_try: int | None = None
) -> tuple[Service, int]:
    """Start a server that cannot choose a port by itself, with another one while `taken` is what
    its log says: between a look for a free port and the server's bind anyone may take it.
    """
    for attempt in range(1, PORT_ATTEMPTS + 1):
        port = first_try if first_try and attempt == 1 else _free_port()
        service = start_on(port)
        try:
            service.wait_for(ready)
        except ServiceError:
            service.stop()
            if attempt < PORT_ATTEMPTS and re.search(taken, service.output()):
                continue
            raise
        except BaseException:
            service.stop()
            raise
        return service, port
    raise AssertionError("unreachable: the last attempt returns or raises")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
