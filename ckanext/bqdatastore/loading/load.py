"""Loads a file into a resource's table, in one transaction."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import ckantoolkit as tk

from ..engines.base import Capability
from ..model.errors import InvalidRequest, Unsupported
from ..model.files import FileSource, Progress
from ..model.table import Table
from ..site import engine_of_site, turn
from .columns import fields_of_file, settled_types

NULL_VALUES = ("", "NA")

_FORMATS = {
    ".csv": "csv",
    ".tsv": "tsv",
    ".tab": "tsv",
    ".json": "json",
    ".ndjson": "ndjson",
    ".jsonl": "ndjson",
    ".parquet": "parquet",
}


@dataclasses.dataclass(frozen=True)
class Loaded:
    """What a load did."""

    table: Table
    row_count: int


def format_of(path: Path) -> str:
    """The format that a file's name tells of, also behind `.gz`.

    :raises InvalidRequest: it tells of none
    """
    suffixes = [suffix.lower() for suffix in path.suffixes]
    if suffixes and suffixes[-1] == ".gz":
        suffixes.pop()
    found = _FORMATS.get(suffixes[-1]) if suffixes else None
    if found is None:
        raise InvalidRequest(
            "file",
            f"{path.name}: the name tells of no known format; say which with --format.",
        )
    return found


def load_file(
    resource_id: str,
    path: Path,
    *,
    format: str | None = None,
    null_values: tuple[str, ...] = NULL_VALUES,
    progress: Progress | None = None,
) -> Loaded:
    """Replace a resource's table by a file's rows; what was there stays if anything fails.

    The data dictionary, primary key and aliases are kept where the fields are still there.

    :raises InvalidRequest: the file cannot be read as its format
    :raises ObjectNotFound: there is no such resource
    """
    resource = tk.get_action("resource_show")(_site_context(), {"id": resource_id})
    engine = engine_of_site()
    if Capability.LOAD_FILE not in engine.capabilities:
        raise Unsupported(engine.scheme, "loading files")
    source = FileSource(path, format or format_of(path), null_values)
    columns = engine.inspect(source)
    with turn(resource["id"]):
        before = engine.describe(resource["id"])
        fields = fields_of_file(columns, before)
        names = {field.id for field in fields}
        table = Table(
            name=resource["id"],
            fields=fields,
            primary_key=_kept(before.primary_key, names) if before else (),
            indexes=tuple(index for index in before.indexes if set(index) <= names)
            if before
            else (),
            triggers=before.triggers if before else (),
            aliases=before.aliases if before else (),
        )
        source = dataclasses.replace(
            source,
            columns=tuple(name for name, _ in columns),
            types=settled_types(columns, fields),
        )
        count = engine.load(table, source, progress)
    if not resource.get("datastore_active"):
        tk.get_action("resource_patch")(
            _site_context(), {"id": resource["id"], "datastore_active": True}
        )
    return Loaded(table, count)


def _kept(key: tuple[str, ...], names: set[str]) -> tuple[str, ...]:
    return key if set(key) <= names else ()


def _site_context() -> dict[str, Any]:
    user = tk.get_action("get_site_user")({"ignore_auth": True}, {})
    return {"user": user["name"], "ignore_auth": True}
