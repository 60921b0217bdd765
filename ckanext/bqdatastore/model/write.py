"""Writes: rows as Arrow, how they are put in, and what came of it."""

from __future__ import annotations

import dataclasses
import enum
from decimal import Decimal

import pyarrow as pa

from .errors import InvalidRecord
from .query import Query
from .table import ID, Table
from .types import EXACT


class WriteMode(str, enum.Enum):
    """The API's three methods."""

    INSERT = "insert"
    UPDATE = "update"
    UPSERT = "upsert"


@dataclasses.dataclass(frozen=True)
class Rows:
    """Typed rows for one statement.

    Every row sets the same columns, those of `data`, whose names are field ids (and `_id` where it
    is the key, or where new rows have one already). No two rows share a key.

    :param data: the values, in the Arrow type that `model.types` gives each field
    :param key: columns that find the existing row; `(ID,)`, the primary key, or empty for inserts
    :param positions: for each row, its place in the request, from 0 (for error messages)
    """

    data: pa.Table
    key: tuple[str, ...] = ()
    positions: tuple[int, ...] = ()

    @property
    def by_id(self) -> bool:
        return self.key == (ID,)

    def too_wide(self, name: str, whole: int, scale: int, most: int) -> InvalidRecord:
        """The error for the first value of a decimal column that leaves no room for all of it.

        :param whole: digits before the point that the column has, and `scale` those after it
        :param most: how many it can have in all
        """
        values = self.data.column(name).to_pylist()
        place, exact = -1, Decimal(0)
        while whole + scale <= most and place + 1 < len(values):
            place += 1
            if values[place]:
                exact = values[place].normalize(EXACT)
                whole = max(whole, exact.adjusted() + 1)
                scale = max(scale, -exact.as_tuple().exponent)
        return InvalidRecord(
            self.positions[place] if self.positions else place,
            name,
            f'value "{exact:f}" cannot be held: with it the column needs {whole} digits before '
            f"the point and {scale} after it, and a numeric column has at most {most} for all its "
            "values together. Declare the field as float8 or text.",
        )


@dataclasses.dataclass(frozen=True)
class Write:
    """Rows for one table: all go in, in order and in one transaction, or none does.

    :param returning: whether the rows as stored are wanted back
    :param dry_run: do everything, then roll back
    """

    mode: WriteMode
    rows: tuple[Rows, ...]
    returning: bool = False
    dry_run: bool = False


@dataclasses.dataclass(frozen=True)
class TableChange:
    """A table as it was and as it shall be, and rows to write into it, as one transaction.

    :param before: None where the table is new
    """

    before: Table | None
    after: Table
    write: Write | None = None


@dataclasses.dataclass(frozen=True)
class Deletion:
    """Rows to delete from one table.

    :param predicate: a query whose tree is the condition (None: every row)
    :param returning_limit: how many of the deleted rows are wanted back; 0 for none
    """

    table: Table
    predicate: Query | None
    returning_limit: int = 0


@dataclasses.dataclass(frozen=True)
class WriteResult:
    """What a write did.

    :param row_count: rows inserted, updated or deleted
    :param returned: the rows as stored, `_id` first, where they were asked for
    """

    row_count: int
    returned: pa.Table | None = None
