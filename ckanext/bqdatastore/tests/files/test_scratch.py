"""Folders for DuckDB's temporary files, and what killed processes leave of them."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from ckanext.bqdatastore.files.scratch import ScratchFolder, sweep

_HOLDER = """
import sys
from ckanext.bqdatastore.files.scratch import ScratchFolder
folder = ScratchFolder()
print(folder.path, flush=True)
sys.stdin.read()
"""


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The place of temporary files, of this test alone."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)
    return tmp_path


@pytest.fixture
def holder(temporary: Path) -> Iterator[subprocess.Popen[str]]:
    """A process with a folder, whose path it writes first."""
    with subprocess.Popen(
        [sys.executable, "-c", _HOLDER],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        yield process
        process.kill()


def test_it_is_for_this_user_alone_and_goes_when_told(temporary: Path) -> None:
    folder = ScratchFolder()
    assert folder.path.parent == temporary
    assert folder.path.stat().st_mode & 0o077 == 0
    (folder.path / "spilled").write_text("rows")
    folder.remove()
    assert list(temporary.iterdir()) == []


def test_only_those_of_dead_processes_are_swept(
    temporary: Path, holder: subprocess.Popen[str]
) -> None:
    assert holder.stdout is not None
    theirs = Path(holder.stdout.readline().strip())
    mine = ScratchFolder()
    sweep()
    assert theirs.exists()
    assert mine.path.exists()
    holder.kill()
    holder.wait()
    sweep()
    assert not theirs.exists()
    assert mine.path.exists()
    mine.remove()


def test_what_is_not_ours_stays(temporary: Path) -> None:
    other = temporary / "bqdatastore-notes"
    other.mkdir()
    (other / "page.txt").write_text("kept")
    sweep()
    assert (other / "page.txt").read_text() == "kept"
