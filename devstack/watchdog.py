"""A process that outlives the one that started it, if only to clean up after it.

It reads from a pipe that only its parent holds. When the pipe closes without the word that all is
done, the parent died (SIGKILL runs no handler), and what it had started is stopped and removed.
Run by its path, not as a module: it must not depend on the folder it is started in.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil

STOP_SECONDS = 10.0


class Watchdog:
    """The parent's side: tell it what there is to stop and to remove."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, __file__], stdin=subprocess.PIPE, start_new_session=True
        )

    def watch_process(self, pid: int, stop_signal: int) -> None:
        self._tell({"process": pid, "signal": int(stop_signal)})

    def watch_folder(self, folder: Path) -> None:
        self._tell({"folder": str(folder)})

    def dismiss(self) -> None:
        """Everything was stopped and removed in good order."""
        self._tell({"done": True})
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()

    def _tell(self, message: dict[str, Any]) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(message).encode() + b"\n")
        self._process.stdin.flush()


def main() -> None:
    # psutil tells a process from a later one with the same id by its time of birth.
    processes: list[tuple[psutil.Process, int]] = []
    folders: list[Path] = []
    for line in sys.stdin:
        message = json.loads(line)
        if "done" in message:
            return
        if "folder" in message:
            folders.append(Path(message["folder"]))
        else:
            try:
                processes.append((psutil.Process(message["process"]), message["signal"]))
            except psutil.NoSuchProcess:
                continue
    # The last started is the first to go: the command before the services it uses.
    for process, stop_signal in reversed(processes):
        _stop(process, stop_signal)
    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)


def _stop(process: psutil.Process, stop_signal: int) -> None:
    try:
        if process.status() == psutil.STATUS_ZOMBIE:
            return
        process.send_signal(stop_signal)
        process.wait(STOP_SECONDS)
    except psutil.NoSuchProcess:
        return
    except psutil.TimeoutExpired:
        if process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
            process.kill()


if __name__ == "__main__":
    main()
