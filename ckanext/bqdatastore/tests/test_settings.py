"""Every setting is declared in full, printed by CKAN's command, and read by one accessor alone."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import ckantoolkit as tk
import pytest
import yaml
from ckan.cli.cli import ckan
from ckan.common import config_declaration

from ckanext.bqdatastore import config
from ckanext.bqdatastore.model.errors import Misconfigured

PACKAGE = Path(config.__file__).parent
CONFIG_FILE = PACKAGE / "config.py"

DECLARED: dict[str, dict[str, Any]] = {
    option["key"]: option
    for group in yaml.safe_load((PACKAGE / "config_declaration.yaml").read_text(encoding="utf-8"))[
        "groups"
    ]
    for option in group["options"]
}


def strings(path: Path) -> Iterator[str]:
    """Text constants of a module that could name a setting: no docstrings, no messages."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


def read_settings() -> set[str]:
    """Names of our own settings that `config.py` reads, without the prefix."""
    tree = ast.parse(CONFIG_FILE.read_text(encoding="utf-8"))
    found: set[str] = set()
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Name)
            and node.func.id in ("_get", "_positive", "_not_negative")
            and isinstance(node.args[0], ast.Constant)
        ):
            found.add(str(node.args[0].value))
    return found | {name for name in strings(CONFIG_FILE) if name.startswith("ducklake.s3_")}


@pytest.mark.parametrize("key", DECLARED)
def test_a_setting_is_declared_in_full(key: str) -> None:
    option = DECLARED[key]
    assert key.startswith(config.PREFIX)
    assert "default" in option
    assert option["description"].strip().endswith(".")
    assert option.get("type") in ("base", "bool", "int", "float", "list")
    assert option.get("validators"), "what makes a value wrong"


@pytest.mark.usefixtures("with_plugins")
@pytest.mark.parametrize("key", DECLARED)
def test_a_default_is_valid(key: str) -> None:
    option = config_declaration[key]
    assert option.normalize(option.default) == option.default


@pytest.mark.usefixtures("with_plugins")
def test_ckan_prints_them_all(cli: Any) -> None:
    ran = cli.invoke(ckan, ["config", "declaration", "bqdatastore", "--include-docs"])
    assert ran.exit_code == 0
    printed = re.findall(r"^#?\s*(ckanext\.bqdatastore\.[\w.]+) =", ran.output, re.MULTILINE)
    assert sorted(printed) == sorted(DECLARED)
    words = " ".join(line.lstrip("# ") for line in ran.output.splitlines())
    for option in DECLARED.values():
        assert option["description"].split()[0] in words


def test_accessors_read_what_is_declared_and_nothing_else() -> None:
    assert {config.PREFIX + name for name in read_settings()} == set(DECLARED)


def test_no_other_module_reads_a_setting() -> None:
    reading = re.compile(r"\b(tk|toolkit)\.config\b|\bfrom ckan\.common import .*\bconfig\b")
    found = [
        str(path.relative_to(PACKAGE))
        for path in PACKAGE.rglob("*.py")
        if path != CONFIG_FILE
        and "tests" not in path.relative_to(PACKAGE).parts
        and reading.search(path.read_text(encoding="utf-8"))
    ]
    assert found == []


@pytest.mark.usefixtures("with_plugins")
@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("statement_timeout", ["", "soon", "0", "-1", "nan", "inf"]),
        ("lock_timeout", ["", "soon", "0", "-1", "nan", "inf"]),
        ("sql_queries_per_user", ["", "many", "-1", "1.5", "nan", "inf"]),
        ("sql.max_answer_mb", ["", "much", "0", "-1", "nan", "inf"]),
        ("authorization.cache_ttl", ["", "soon", "-1", "nan", "inf"]),
        ("cache.results_ttl", ["", "soon", "-1", "nan", "inf"]),
        ("cache.results_max_mb", ["", "much", "0", "-1", "1.5", "inf"]),
        (
            "redis_url",
            [
                *("localhost", "http://localhost", "redis://", "redis://localhost:port/1"),
                *("redis://localhost:99999/1", "redis://localhost/one"),
                *("redis://localhost/1?db=one", "redis://localhost/1?no_such_option=1"),
            ],
        ),
        ("threads", ["", "many", "0", "-2", "1.5", "inf"]),
        ("memory_limit", ["", "much", "80%", "1", "-1GB", "1GB; SELECT 1"]),
        ("allowed_functions_file", ["/none", "."]),
        ("bigquery.maximum_bytes_billed", ["much", "0", "-1", "1.5", "1GB"]),
    ],
)
def test_a_wrong_value_is_refused_by_name(
    name: str, values: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for value in values:
        monkeypatch.setitem(tk.config, config.PREFIX + name, value)
        with pytest.raises(Misconfigured, match=re.escape(config.PREFIX + name)):
            getattr(config, name.removeprefix("bigquery.").replace(".", "_"))()
