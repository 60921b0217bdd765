"""Files that rows are read from."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Protocol


@dataclasses.dataclass(frozen=True)
class FileSource:
    """A file to read rows from.

    :param path: a path on this machine
    :param format: `csv`, `tsv`, `json`, `ndjson` or `parquet`
    :param null_values: texts that stand for null
    :param columns: the file's own column names, where they are known
    :param types: API types of columns whose type shall not be inferred, by their names in the file
    """

    path: Path
    format: str
    null_values: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()
    types: tuple[tuple[str, str], ...] = ()

    @property
    def is_delimited(self) -> bool:
        return self.format in ("csv", "tsv")


class Progress(Protocol):
    """Told, from time to time, how far long work has come (0 to 100)."""

    def __call__(self, percent: float) -> None: ...
