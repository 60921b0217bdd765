"""The rules of who may import whom, read from the source."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = "ckanext.bqdatastore"

MODULES = sorted(path for path in ROOT.rglob("*.py") if "tests" not in path.relative_to(ROOT).parts)

# Parts that may import CKAN. Everything else works without it.
CKAN_ALLOWED = (
    "plugin",
    "backend",
    "callers",
    "ckan_versions",
    "plugin_parts",
    "search_request",
    "sql_request",
    "site",
    "config",
    "errors",
    "logic",
    "authorization",
    "loading",
    "upkeep",
    "cli",
    "views",
)

# Which of our own parts a part may import, itself aside; what is not named here may import all.
MAY_IMPORT = {
    "model": (),
    "definition": ("model",),
    "query": ("model",),
    "records": ("model",),
    "translation": ("model", "records"),
    "files": ("model",),
    "engines": ("model", "translation", "files"),
    "locking": ("model",),
    "cache": ("model",),
    "triggers": ("model", "records", "engines"),
}


def _module_of(path: Path) -> list[str]:
    parts = list(path.relative_to(ROOT).with_suffix("").parts)
    return parts[:-1] if parts[-1] == "__init__" else parts


def _imports(path: Path) -> Iterator[str]:
    """Full names of the modules that a file imports, wherever in it."""
    package = [*PACKAGE.split("."), *path.relative_to(ROOT).parent.parts]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            start = ".".join([*base, *([node.module] if node.module else [])])
            yield from (f"{start}.{alias.name}" for alias in node.names)


def _is_ckan(name: str) -> bool:
    top = name.split(".")[0]
    if top in ("ckan", "ckantoolkit"):
        return True
    return top == "ckanext" and not name.startswith(f"{PACKAGE}.") and name != PACKAGE


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_only_the_parts_beside_ckan_import_it(path: Path) -> None:
    part = (_module_of(path) or ["plugin"])[0]
    if part not in CKAN_ALLOWED:
        assert [name for name in _imports(path) if _is_ckan(name)] == []


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_parts_import_only_what_is_below_them(path: Path) -> None:
    part = (_module_of(path) or [""])[0]
    if part not in MAY_IMPORT:
        return
    allowed = {part, *MAY_IMPORT[part]}
    ours = [name for name in _imports(path) if name.startswith(f"{PACKAGE}.")]
    assert [name for name in ours if name.split(".")[2] not in allowed] == []


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_engines_do_not_know_each_other(path: Path) -> None:
    module = _module_of(path)
    if module[:1] != ["engines"] or len(module) < 2 or module[1] in ("base", "registry"):
        return
    engines = f"{PACKAGE}.engines."
    others = [
        name
        for name in _imports(path)
        if name.startswith(engines) and name.split(".")[3] not in (module[1], "base")
    ]
    assert others == []
