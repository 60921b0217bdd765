"""Arrow batches in the API's output formats.

JSON and CSV arrive as text that the engine made, one record a row. Rows of SQL queries become
Python values.
"""

from __future__ import annotations

import datetime
import math
import re
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from ..model.errors import InvalidRequest
from ..model.types import EXACT
from .literals import read_jsonb


def json_list(texts: pa.ChunkedArray) -> str:
    """Records' JSON texts as one JSON list."""
    return "[" + ",".join(_joined(chunk, ",") for chunk in texts.chunks if len(chunk)) + "]"


def parse_json(text: str) -> Any:
    """JSON text as Python values."""
    return msgspec.json.decode(text)


def lines(texts: pa.ChunkedArray) -> str:
    """Records' lines as one text, each with its end."""
    return "".join(_joined(chunk, "\n") + "\n" for chunk in texts.chunks if len(chunk))


def _joined(texts: pa.Array, separator: str) -> str:
    """Texts as one, without a Python string for each."""
    together = pa.ListArray.from_arrays(pa.array([0, len(texts)], pa.int32()), texts)
    return str(pc.binary_join(together, separator)[0].as_py())


def python_records(rows: pa.Table, fields: Sequence[tuple[str, str]]) -> list[dict[str, Any]]:
    """Rows as dictionaries of the Python values that the stock backend gives for SQL queries.

    :param fields: name and form of each column, in order; of equal names the last one wins. A
        form is an API type; of JSON, `nested` is a field's, and the others are texts
    """
    columns = [
        _python_values(values, type) for values, (_, type) in zip(rows.columns, fields, strict=True)
    ]
    names = [name for name, _ in fields]
    if not columns:
        return [{} for _ in range(rows.num_rows)]
    return [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]


def _python_values(values: pa.ChunkedArray, type: str) -> list[Any]:
    if type in ("float4", "_float4"):
        values = _by_own_digits(values)
    try:
        listed = values.to_pylist()
    except (OverflowError, ValueError):
        raise InvalidRequest(
            "query", f"a {type} of the answer is outside of the years 1 to 9999: cast it to text"
        ) from None
    convert = _converter(type)
    if convert is None and _has_special_floats(values):
        convert = _named_specials
    if convert is None:
        return listed
    return [None if value is None else convert(value) for value in listed]


def _converter(type: str) -> Any:
    if type.startswith("_"):
        inner = _converter(type[1:])
        if inner is None:
            return None
        return lambda items: [None if item is None else inner(item) for item in items]
    return _CONVERTERS.get(type)


def _by_own_digits(values: pa.ChunkedArray) -> pa.ChunkedArray:
    """`float4` as the `float8` of its fewest digits: 0.1, not 0.10000000149011612."""
    if pa.types.is_list(values.type):
        texts, doubles = pa.list_(pa.string()), pa.list_(pa.float64())
    else:
        texts, doubles = pa.string(), pa.float64()
    return values.cast(texts).cast(doubles)


def _has_special_floats(values: pa.ChunkedArray) -> bool:
    """Whether there are floats, or lists of floats, for which JSON has no number."""
    if pa.types.is_list(values.type):
        values = pc.list_flatten(values)
    return pa.types.is_floating(values.type) and pc.all(pc.is_finite(values)).as_py() is False


def _named_specials(value: Any) -> Any:
    """As a search has them: `NaN` and the infinities are texts."""
    if isinstance(value, list):
        return [_named_specials(each) for each in value]
    if value is None or math.isfinite(value):
        return value
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


def _isoformat(value: Any) -> str:
    return value.isoformat() if isinstance(value, datetime.datetime) else str(value)


_DAYS = {"year": 365, "mon": 30, "day": 1}
_INTERVAL_PARTS = re.compile(
    r"(?P<amount>-?\d+) (?P<unit>year|mon|day)s?"
    r"|(?P<sign>-?)(?P<hours>\d+):(?P<minutes>\d\d):(?P<seconds>[\d.]+)"
)


def _duration(value: Any) -> str:
    """An interval as the stock backend's driver has it: in Python's words, with no month in them.

    :param value: months, days and nanoseconds, or PostgreSQL's text
    :raises InvalidRequest: more days than Python counts, which the stock backend fails at as well
    """
    try:
        if isinstance(value, str):
            parts = _INTERVAL_PARTS.finditer(value)
            return str(sum(map(_part_of_interval, parts), datetime.timedelta()))
        years, months = divmod(abs(value.months), 12)
        days = years * _DAYS["year"] + months * _DAYS["mon"]
        days = value.days + (days if value.months > 0 else -days)
        return str(datetime.timedelta(days, microseconds=value.nanoseconds // 1000))
    except OverflowError:
        raise InvalidRequest("query", "interval out of range") from None


def _part_of_interval(part: re.Match[str]) -> datetime.timedelta:
    if part["unit"]:
        return datetime.timedelta(int(part["amount"]) * _DAYS[part["unit"]])
    found = datetime.timedelta(
        hours=int(part["hours"]),
        minutes=int(part["minutes"]),
        microseconds=int(Decimal(part["seconds"]) * 1_000_000),
    )
    return -found if part["sign"] else found


def _shortest(value: Decimal) -> Decimal:
    """Without zeros at its end: how many there are is the column's affair, as in a search."""
    short = value.normalize(EXACT)
    return short.quantize(Decimal(1), context=EXACT) if short == short.to_integral() else short


_CONVERTERS: Mapping[str, Any] = {
    # The stock backend leaves json and jsonb the texts that they are, and takes its own `nested`
    # apart. What a query makes as jsonb has its order and blanks from here.
    "nested": parse_json,
    "jsonb": read_jsonb,
    "numeric": _shortest,
    "timestamp": _isoformat,
    "timestamptz": _isoformat,
    "date": str,
    "time": str,
    "uuid": str,
    "interval": _duration,
}
