"""Whether this machine can build the environment: one sentence for each thing that is missing.

Run by any Python that may be about, as `python3 devstack/preflight.py`: nothing here is newer than
Python 3.6.
"""

import importlib.util
import shutil
import sys
import sysconfig
from pathlib import Path


def missing():
    # type: () -> list[str]
    found = []
    version = "{}.{}".format(*sys.version_info[:2])
    if not (3, 10) <= sys.version_info[:2] <= (3, 12):
        found.append(
            f"Python {version} was found, but 3.10, 3.11 or 3.12 is needed: install one of them "
            "and name it, as in `make PYTHON=python3.12`."
        )
    if importlib.util.find_spec("ensurepip") is None:
        found.append(
            "Python's venv module is incomplete: install it (Debian, Ubuntu: apt-get install "
            "python3-venv)."
        )
    if not Path(sysconfig.get_paths()["include"], "Python.h").exists():
        found.append(
            "Python's C headers are missing: install them (Debian, Ubuntu: apt-get install "
            "python3-dev)."
        )
    if not shutil.which("gcc"):
        found.append(
            "gcc is missing, with which psycopg2 is built: install it (Debian, Ubuntu: apt-get "
            "install gcc)."
        )
    if not shutil.which("pg_config"):
        found.append(
            "pg_config is missing, with which psycopg2 is built: install PostgreSQL's client "
            "headers (Debian, Ubuntu: apt-get install libpq-dev)."
        )
    return found


if __name__ == "__main__":
    sentences = missing()
    for sentence in sentences:
        print(sentence, file=sys.stderr)
    sys.exit(1 if sentences else 0)
