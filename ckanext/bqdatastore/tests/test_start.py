"""A wrong setting stops every command with one sentence that names it, and never a traceback.

The real `ckan` command runs, with an ini file of its own for each case: in a process of its own
where it starts or where packages are missing, in one process after another for the other cases.
"""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
import uuid
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

WRITE, READ = "ckan.datastore.write_url", "ckan.datastore.read_url"
OWN = "ckanext.bqdatastore."

# Python looks for this module at its start: the packages in it are as if not installed.
HIDE = """
import sys
from importlib.machinery import PathFinder

class Hidden(PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        if name.split(".")[0] in {hidden!r}:
            return None
        return super().find_spec(name, path, target)

sys.meta_path[sys.meta_path.index(PathFinder)] = Hidden
"""


# Runs the command once for each ini file, and says what came of it.
IN_TURN = """
import json, sys, traceback
from ckan.cli.cli import ckan
from ckan.common import config
from click.testing import CliRunner

for path in sys.argv[2:]:
    config.clear()
    ran = CliRunner().invoke(ckan, ["-c", path, *json.loads(sys.argv[1])])
    errors = ran.output
    if ran.exception is not None and not isinstance(ran.exception, SystemExit):
        errors += "".join(traceback.format_exception(ran.exception))
    print(json.dumps([ran.exit_code, errors]))
"""

COMMAND = ["config", "declaration", "bqdatastore"]


@dataclasses.dataclass(frozen=True)
class Case:
    """Settings in place of good ones, and what is said about them.

    :param settings: `{…}` stands for a part of a good URL
    :param says: what is in the sentence; None if CKAN starts
    :param hidden: packages that are as if not installed
    """

    settings: Mapping[str, str]
    says: tuple[str, ...] | None
    hidden: tuple[str, ...] = ()


GOOD = {
    "ckan.plugins": "datastore bqdatastore",
    WRITE: "{write}?schema={schema}&data_path={folder}/lake",
    READ: "{read}?schema={schema}&data_path={folder}/lake",
}


def both(url: str) -> dict[str, str]:
    return {WRITE: url, READ: url}


CASES = {
    "all is well": Case({}, None),
    "the other order": Case({"ckan.plugins": "bqdatastore datastore"}, None),
    "a SQLite catalog": Case(both("ducklake:sqlite:///{folder}/c.sqlite"), None),
    "stock URLs": Case({WRITE: "{stock_write}", READ: "{stock_read}"}, None),
    "no datastore plugin": Case({"ckan.plugins": "bqdatastore"}, ("ckan.plugins: ", "datastore")),
    "no URL": Case(both(""), (f"{WRITE}: ",)),
    "no such engine": Case(both("ducklak:sqlite:////lake"), (f"{WRITE}: ", "ducklake:")),
    "no such engine, the other order": Case(
        {"ckan.plugins": "bqdatastore datastore", **both("ducklak:sqlite:////lake")},
        (f"{WRITE}: ", "ducklake:"),
    ),
    "two engines": Case({READ: "{stock_read}"}, (READ, "same scheme")),
    "no such catalog": Case(both("ducklake:mysql://host/db"), (f"{WRITE}: ", "sqlite://")),
    "no database": Case(both("ducklake:postgresql://host"), (f"{WRITE}: ", "no database")),
    "an unknown option": Case(
        {WRITE: GOOD[WRITE] + "&colour=red"}, (f"{WRITE}: ", "colour", "data_path")
    ),
    "an unreachable catalog": Case(
        both("ducklake:postgresql://u:hush@127.0.0.1:1/db?data_path={folder}/lake"),
        (f"{WRITE}: ", "Connection refused"),
    ),
    "a wrong password": Case(
        {READ: GOOD[READ].replace("{read}", "{read_with_wrong_password}")},
        (f"{READ}: ", "password authentication failed"),
    ),
    "an unwritable data path": Case(
        both("ducklake:sqlite:///{folder}/c.sqlite?data_path=/dev/null/lake"),
        (f"{WRITE}: ", "/dev/null/lake", "cannot be written"),
    ),
    "a SQLite file that cannot be made": Case(
        both("ducklake:sqlite:////dev/null/c.sqlite?data_path={folder}/lake"), (f"{WRITE}: ",)
    ),
    "no ducklake wheel": Case({}, (WRITE, "pip install"), ("duckdb_extension_ducklake",)),
    "no duckdb": Case({}, (f"{WRITE}: ", "pip install", "duckdb"), ("duckdb", "_duckdb")),
    "a time that is none": Case({OWN + "statement_timeout": "soon"}, (OWN + "statement_timeout",)),
    "a time in the past": Case({OWN + "lock_timeout": "-1"}, (OWN + "lock_timeout",)),
    "half a thread": Case({OWN + "threads": "1.5"}, (OWN + "threads",)),
    "a size that is none": Case({OWN + "memory_limit": "80%"}, (OWN + "memory_limit",)),
    "a size that is too small": Case({OWN + "memory_limit": "1KB"}, (OWN + "memory_limit",)),
    "a file that is not there": Case(
        {OWN + "allowed_functions_file": "/none"}, (OWN + "allowed_functions_file", "/none")
    ),
}


@dataclasses.dataclass(frozen=True)
class Run:
    status: int
    errors: str


def _prepared(case: Case, folder: Path, ini: str) -> Path:
    """The folder's ini file with the case's settings."""
    write, read = (
        os.environ[name].split("?")[0]
        for name in ("CKAN_DATASTORE_WRITE_URL", "CKAN_DATASTORE_READ_URL")
    )
    parts = {
        "write": write,
        "read": read,
        "read_with_wrong_password": read.replace(":pass@", ":hush@"),
        "stock_write": os.environ["DEVSTACK_STOCK_WRITE_URL"],
        "stock_read": os.environ["DEVSTACK_STOCK_READ_URL"],
        "schema": f"test_{uuid.uuid4().hex[:12]}",
        "folder": folder,
    }
    settings = {
        name: value.format(**parts).replace("%", "%%")
        for name, value in {**GOOD, **case.settings}.items()
    }
    path = folder / "ckan.ini"
    lines = [f"use = config:{ini}", f"ckan.storage_path = {folder}/storage"]
    lines += [f"{name} = {value}" for name, value in settings.items()]
    path.write_text("[app:main]\n" + "\n".join(lines) + "\n", encoding="utf-8")
    return path


def _environment(hidden: tuple[str, ...], folder: Path) -> dict[str, str]:
    # These would stand above the file.
    above = ("CKAN_DATASTORE_WRITE_URL", "CKAN_DATASTORE_READ_URL", "CKAN_STORAGE_PATH")
    environment = {name: value for name, value in os.environ.items() if name not in above}
    if hidden:
        (folder / "sitecustomize.py").write_text(HIDE.format(hidden=hidden), encoding="utf-8")
        search = [str(folder), *filter(None, [environment.get("PYTHONPATH")])]
        environment["PYTHONPATH"] = os.pathsep.join(search)
    return environment


def _alone(case: Case, path: Path) -> Run:
    """`ckan` in a process of its own."""
    ran = subprocess.run(
        [str(Path(sys.executable).with_name("ckan")), "-c", str(path), *COMMAND],
        cwd=path.parent,
        env=_environment(case.hidden, path.parent),
        capture_output=True,
        text=True,
        timeout=120,
    )
    return Run(ran.returncode, ran.stderr)


def _in_turn(paths: list[Path], folder: Path) -> list[Run]:
    ran = subprocess.run(
        [sys.executable, "-c", IN_TURN, json.dumps(COMMAND), *map(str, paths)],
        cwd=folder,
        env=_environment((), folder),
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert ran.returncode == 0, ran.stderr
    return [Run(*json.loads(line)) for line in ran.stdout.splitlines() if line.startswith("[")]


@pytest.fixture(scope="module")
def runs(
    tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config
) -> Mapping[str, Run]:
    """What came of each case."""
    folder = tmp_path_factory.mktemp("start")
    ini = _ini(pytestconfig, folder)
    paths = {
        name: _prepared(case, tmp_path_factory.mktemp("case"), ini) for name, case in CASES.items()
    }
    alone = [name for name, case in CASES.items() if case.says is None or case.hidden]
    others = [name for name in CASES if name not in alone]
    with ThreadPoolExecutor(2) as pool:
        in_turn = pool.submit(_in_turn, [paths[name] for name in others], folder)
        found = dict(
            zip(alone, pool.map(lambda name: _alone(CASES[name], paths[name]), alone), strict=True)
        )
        return {**found, **dict(zip(others, in_turn.result(), strict=True))}


def _ini(pytestconfig: pytest.Config, folder: Path) -> str:
    """The ini file of the tests, with the addresses that it takes from the environment for good."""
    text = Path(str(pytestconfig.getoption("ckan_ini"))).read_text(encoding="utf-8")
    for name, value in os.environ.items():
        text = text.replace(f"%({name})s", value.replace("%", "%%"))
    path = folder / "test.ini"
    path.write_text(text, encoding="utf-8")
    return str(path)


@pytest.mark.parametrize("name", CASES)
def test_start(name: str, runs: Mapping[str, Run]) -> None:
    case, run = CASES[name], runs[name]
    assert "Traceback" not in run.errors, run.errors
    assert "hush" not in run.errors
    if case.says is None:
        assert run.status == 0, run.errors
        return
    assert run.status != 0
    said = [line for line in run.errors.splitlines() if all(part in line for part in case.says)]
    assert len(said) == 1, run.errors
