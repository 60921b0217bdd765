"""What the documents claim is so."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from ckanext.bqdatastore import cli
from ckanext.bqdatastore.engines import registry

ROOT = Path(__file__).parents[3]
PACKAGE = ROOT / "ckanext" / "bqdatastore"
README = (ROOT / "README.md").read_text(encoding="utf-8")
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")


def _settings() -> list[dict[str, object]]:
    declared = yaml.safe_load((PACKAGE / "config_declaration.yaml").read_text(encoding="utf-8"))
    return [option for group in declared["groups"] for option in group["options"]]


@pytest.mark.parametrize("setting", _settings(), ids=lambda setting: str(setting["key"]))
def test_the_readme_lists_every_setting_with_its_default(setting: dict[str, object]) -> None:
    default = re.escape(str(setting["default"]))
    row = rf"^\| `{re.escape(str(setting['key']))}` \| {default} *\| .+ \|$"
    assert re.search(row, README, re.MULTILINE)


def test_the_readme_names_no_setting_that_is_not_there() -> None:
    declared = {str(setting["key"]) for setting in _settings()}
    assert set(re.findall(r"ckanext\.bqdatastore\.[a-z0-9_.]+[a-z0-9]", README)) <= declared


def test_every_make_target_that_is_named_is_there() -> None:
    named = set(
        re.findall(r"\bmake ([a-z]+)", "".join(re.findall(r"```sh.*?```|`[^`]+`", README, re.S)))
    )
    assert named
    assert named <= set(re.findall(r"^([a-z]+):", MAKEFILE, re.MULTILINE))


def test_every_command_that_is_named_is_there() -> None:
    named = set(re.findall(r"\bbqdatastore ([a-z]+) [A-Z]", README))
    assert named
    assert named <= set(cli.bqdatastore.commands)


@pytest.mark.parametrize("scheme", registry.schemes())
def test_an_engine_has_the_files_that_the_readme_asks_for(scheme: str) -> None:
    asked = re.findall(r"^- `([a-z_]+\.[a-z]+)`:", README, re.MULTILINE)
    assert len(asked) == 4
    for name in asked:
        assert (PACKAGE / "engines" / scheme / name).is_file()
