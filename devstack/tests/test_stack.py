"""Stacks side by side, and what is left of one when it ends, however it ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import psutil
import psycopg2
import pytest
import redis

from devstack.process import ServiceError
from devstack.stack import Stack, remove_folder

REPOSITORY = Path(__file__).resolve().parents[2]
# Says where the stack is, and stays.
STAY = "import os, time; print(os.environ['DEVSTACK_FOLDER'], flush=True); time.sleep(600)"


def run(*command: str, options: tuple[str, ...] = ()) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "devstack", "run", *options, "--", *command],
        cwd=REPOSITORY,
        stdout=subprocess.PIPE,
        text=True,
    )


def started(process: subprocess.Popen[str]) -> Path:
    """The stack's folder, once its command runs."""
    assert process.stdout is not None
    return Path(process.stdout.readline().strip())


def descendants(process: subprocess.Popen[str]) -> list[psutil.Process]:
    return list(psutil.Process(process.pid).children(recursive=True))


def gone(processes: list[psutil.Process]) -> bool:
    _, alive = psutil.wait_procs(processes, timeout=30)
    return all(process.status() == psutil.STATUS_ZOMBIE for process in alive)


def within(seconds: float, path: Path) -> bool:
    """Whether `path` goes away in time."""
    deadline = time.monotonic() + seconds
    while path.exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    return not path.exists()


@pytest.fixture
def two() -> Iterator[list[subprocess.Popen[str]]]:
    processes = [run(sys.executable, "-c", STAY) for _ in range(2)]
    yield processes
    for process in processes:
        process.terminate()
        process.wait()


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """One that does not exist yet, in one that only its owner may enter."""
    named = tmp_path / "named"
    yield named
    if named.exists():
        remove_folder(named)


def test_two_stacks_started_at_once_do_not_meet(two: list[subprocess.Popen[str]]) -> None:
    folders = [started(process) for process in two]
    assert folders[0] != folders[1]
    assert all((folder / "postgres.log").exists() for folder in folders)


def test_killed_stack_leaves_nothing(two: list[subprocess.Popen[str]]) -> None:
    killed, kept = two
    folder, other = started(killed), started(kept)
    children, others = descendants(killed), descendants(kept)
    assert {"postgres", "valkey-server"} <= {child.name() for child in children}

    killed.send_signal(signal.SIGKILL)

    assert gone(children)
    assert within(10, folder)
    assert other.exists()
    assert all(process.is_running() for process in others)


def test_terminated_stack_leaves_nothing() -> None:
    process = run(sys.executable, "-c", STAY)
    folder = started(process)
    children = descendants(process)
    process.terminate()
    assert process.wait(30) == 128 + signal.SIGTERM
    assert gone(children)
    assert not folder.exists()


@pytest.mark.parametrize(
    ("script", "status"),
    [("raise SystemExit(7)", 7), ("import os; os.kill(os.getpid(), 9)", 128 + 9)],
)
def test_exit_status_is_the_commands(script: str, status: int) -> None:
    assert run(sys.executable, "-c", script).wait(60) == status


def test_named_folder_keeps_what_is_in_it(folder: Path) -> None:
    with Stack(folder) as stack, psycopg2.connect(stack.stock_write_url) as connection:
        connection.cursor().execute("CREATE TABLE kept (n int)")
    with Stack(folder) as stack, psycopg2.connect(stack.stock_write_url) as connection:
        connection.cursor().execute("INSERT INTO kept VALUES (1)")
    with (
        Stack(folder, fresh=True) as stack,
        psycopg2.connect(stack.stock_write_url) as connection,
        pytest.raises(psycopg2.errors.UndefinedTable),
    ):
        connection.cursor().execute("INSERT INTO kept VALUES (1)")


@pytest.mark.skipif(os.geteuid() != 0, reason="only for root does PostgreSQL run as another user")
def test_folder_that_others_cannot_enter_still_serves_root(folder: Path) -> None:
    folder.mkdir(mode=0o700)
    with Stack(folder) as stack:
        elsewhere = (folder / "postgres").resolve()
        assert not elsewhere.is_relative_to(folder)
        psycopg2.connect(stack.stock_write_url).close()
    with Stack(folder, fresh=True):
        assert not elsewhere.exists()


def test_folder_in_use_is_refused(folder: Path) -> None:
    with Stack(folder), pytest.raises(ServiceError, match="Another stack"):
        ExitStack().enter_context(Stack(folder))


def test_folder_with_other_things_is_refused_and_kept(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(ServiceError, match="other things"):
        ExitStack().enter_context(Stack(tmp_path, fresh=True))
    assert (tmp_path / "thesis.txt").read_text() == "mine"


def test_folder_that_would_break_a_url_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ServiceError, match="goes into URLs"):
        ExitStack().enter_context(Stack(tmp_path / "50%"))


def test_redis_answers() -> None:
    assert redis.Redis.from_url(os.environ["DEVSTACK_REDIS_URL"]).ping()
