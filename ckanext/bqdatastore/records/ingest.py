"""JSON records into an Arrow table, typed by the declared fields.

A column whose values are all of one ordinary kind is converted whole, by Arrow. Any other column,
and any column that Arrow refuses or might read otherwise than PostgreSQL, goes value by value
through `assignment`, which also finds the value to blame.
"""

from __future__ import annotations

import bisect
import itertools
import operator
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from ..model import types
from ..model.errors import InvalidRecord
from ..model.table import ID, Field
from . import literals
from .assignment import array_output, assign, source_type
from .numerics import TooManyDigits, from_decimals
from .ordinary import Unordinary, ordinary
from .refusal import Mismatched, Refused, invalid_syntax

ID_FIELD = Field(ID, "int8")

HIGHEST_ID = 2**53 - 1
"""The highest `_id` that a caller may choose: those after it must fit too, and be exact in JSON."""


def ingest(
    records: Sequence[Mapping[str, Any]],
    fields: Sequence[Field],
    *,
    positions: Sequence[int] | None = None,
    include_id: bool = False,
) -> pa.Table:
    """The records as a table of `fields`, in their order; a key that a record lacks is null.

    :param positions: for each record, its place in the request, from 0; default: its index
    :param include_id: put `_id` (an int64) first
    :raises InvalidRecord: for the first record with a value that does not fit its field
    """
    if include_id:
        fields = [ID_FIELD, *fields]
    columns = _columns(records, [field.id for field in fields])
    arrays = []
    fault: tuple[Field, BadValue] | None = None
    for field, values in zip(fields, columns, strict=True):
        convert = _id_column if field.id == ID else column
        try:
            # After a bad record only the ones before it can still be the first.
            arrays.append(convert(values[: fault[1].index] if fault else values, field.type))
        except BadValue as bad:
            fault = field, bad
    if fault is not None:
        raise _invalid_record(*fault, positions)
    return pa.Table.from_arrays(arrays, names=[field.id for field in fields])


_AT_A_TIME = 256
"""Records to turn into columns at a time: few enough to stay in the processor's cache."""


def _columns(records: Iterable[Mapping[str, Any]], names: Sequence[str]) -> list[list[Any]]:
    """The records' values by column. Several times faster than one pass for each column."""
    columns: list[list[Any]] = [[] for _ in names]
    # `itemgetter` makes tuples of two and more; with the last twice there are always two.
    values_of = operator.itemgetter(*names, names[-1]) if names else None
    remaining = iter(records)
    while values_of and (some := list(itertools.islice(remaining, _AT_A_TIME))):
        try:
            rows = list(map(values_of, some))
        except KeyError:
            rows = [tuple(map(record.get, names)) for record in some]
        for column_values, more in zip(columns, zip(*rows, strict=True), strict=False):
            column_values.extend(more)
    return columns


class BadValue(ValueError):
    """One value of a column does not fit.

    :param index: where it stands among the values
    """

    def __init__(self, index: int, refusal: Refused) -> None:
        self.index = index
        self.refusal = refusal
        super().__init__(f"{index}: {refusal}")


# The stock backend makes null of `''` for every other type, `varchar` too.
_KEEP_BLANK = frozenset({"text", types.NESTED})


def column(values: list[Any], type_name: str) -> pa.Array:
    """Values of one field as an Arrow array.

    :param type_name: a canonical type
    :raises BadValue: for the first value that does not fit
    """
    if type_name not in _KEEP_BLANK and "" in values:
        values = [None if value == "" else value for value in values]
    if types.is_array(type_name):
        return _array_column(values, types.element_type(type_name))
    return _scalar_column(values, type_name)


def _id_column(values: list[Any], type_name: str) -> pa.Array:
    """A column of ids: 12.5 is no id, whereas another integer column would take it for 13."""
    for index, value in enumerate(values):
        if isinstance(value, float) and not value.is_integer():
            raise BadValue(index, invalid_syntax(types.native_type(type_name), repr(value)))
    ids = column(values, type_name)
    if ids.null_count:
        index = pc.index(ids.is_null(), True).as_py()
        raise BadValue(index, Refused(f'null value in column "{ID}" violates not-null constraint'))
    too_high = pc.index(pc.greater(ids, HIGHEST_ID), True).as_py()
    if too_high >= 0:
        raise BadValue(too_high, Refused("integer out of range"))
    return ids


def _scalar_column(values: list[Any], type_name: str) -> pa.Array:
    classes = set(map(type, values))
    classes.discard(type(None))
    try:
        return ordinary(values, classes, type_name)
    except (Unordinary, pa.ArrowException, UnicodeEncodeError, OverflowError):
        return _one_by_one(values, type_name)


def _one_by_one(values: Iterable[Any], type_name: str) -> pa.Array:
    stored: list[Any] = []
    known: dict[str, Any] = {}
    for index, value in enumerate(values):
        try:
            if value is None:
                stored.append(None)
            elif value.__class__ is str:
                # Columns repeat their texts, above all dates.
                if value not in known:
                    known[value] = assign(value, type_name)
                stored.append(known[value])
            else:
                stored.append(assign(value, type_name))
        except Refused as refusal:
            raise BadValue(index, refusal) from None
    if type_name == "numeric":
        return _numeric_column(stored)
    return _from_stored(stored, type_name)


def _from_stored(stored: list[Any], type_name: str) -> pa.Array:
    arrow_type = types.arrow_type(type_name)
    if pa.types.is_temporal(arrow_type):
        storage = pa.int32() if pa.types.is_date32(arrow_type) else pa.int64()
        return pa.array(stored, storage).view(arrow_type)
    return pa.array(stored, arrow_type)


def _numeric_column(stored: list[Any]) -> pa.Array:
    try:
        return from_decimals(stored)
    except TooManyDigits as error:
        raise BadValue(error.index, error.refusal) from None


def _array_column(values: list[Any], element: str) -> pa.Array:
    rows: list[Sequence[Any] | None] = []
    fault: BadValue | None = None
    for index, value in enumerate(values):
        try:
            rows.append(_elements(value))
        except Refused as refusal:
            fault = BadValue(index, refusal)
            break
    offsets = [0, *itertools.accumulate(0 if row is None else len(row) for row in rows)]
    flat = list(itertools.chain.from_iterable(row for row in rows if row is not None))
    try:
        elements = _scalar_column(flat, element)
    except BadValue as bad:
        # The row that an element is in: the last that starts at or before it and is not empty.
        raise BadValue(
            bisect.bisect_right(offsets, bad.index) - 1, _in_array(bad.refusal)
        ) from None
    if fault is not None:
        raise fault
    missing = pa.array([row is None for row in rows], pa.bool_())
    return pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), elements, mask=missing)


def _elements(value: Any) -> Sequence[Any] | None:
    if value is None:
        return None
    if isinstance(value, str):
        return literals.read_array(literals.check_text(value))
    if not isinstance(value, list | tuple):
        raise Mismatched(source_type(value))
    if any(isinstance(element, list | tuple) for element in value):
        raise literals.many_dimensions(array_output(value))
    return value


def _in_array(refusal: Refused) -> Refused:
    return Mismatched(f"{refusal.source}[]") if isinstance(refusal, Mismatched) else refusal


def _invalid_record(field: Field, bad: BadValue, positions: Sequence[int] | None) -> InvalidRecord:
    reason = str(bad.refusal)
    if isinstance(bad.refusal, Mismatched):
        reason = f'column "{field.id}" is of type {types.native_type(field.type)} but {reason}'
    row = positions[bad.index] if positions is not None else bad.index
    # The stock backend passes on the first line only.
    return InvalidRecord(row, field.id, reason.split("\n", 1)[0])
