"""Values of filters, made comparable with a field as PostgreSQL would compare them."""

from __future__ import annotations

import decimal
import math
from typing import Any

from ..model.errors import InvalidRecord, QueryFailed
from ..model.query import Parameter
from ..model.table import Field
from ..model.types import JSONS, TEXTS
from .ingest import ingest
from .literals import Refused, check_text, read, read_array

_NUMBERS = frozenset(["int", "int2", "int4", "int8", "float4", "float8", "numeric"])
_INT8 = range(-(2**63), 2**63)
_BEYOND_INT8 = 10**19


def parameter(value: Any, type: str, *, listed: bool = False) -> Parameter:
    """A value of a request as a parameter to compare with a field of an API type.

    Numbers keep their own type (1.5 is not 2 to an integer field), texts are read as the field's.

    :param listed: it is one of several that the field may be equal to
    :raises QueryFailed: PostgreSQL has no such comparison, or no such text
    """
    if value is None and type != "text":
        return Parameter(None, type)
    if type in TEXTS:
        # The stock backend makes texts of values for fields of `text` alone.
        if type != "text" and not isinstance(value, str):
            raise QueryFailed(f"operator does not exist: {type} = {_name_of(value)}")
        try:
            return Parameter(check_text(str(value)), "text")
        except Refused as fault:
            raise QueryFailed(str(fault)) from None
    if type in JSONS and type != "jsonb":
        raise QueryFailed(f"operator does not exist: {type} = unknown")
    if type in _NUMBERS and isinstance(value, (int, float)) and not isinstance(value, bool):
        if type.startswith("int") and isinstance(value, float):
            return _between_integers(value)
        if not type.startswith("float"):
            return _number(value)
        # PostgreSQL compares a float4 with one number as float8, with those of a list as float4.
        if type == "float8" or not listed:
            return Parameter(_float8(value), "float8")
        value = repr(value)
    if isinstance(value, (dict, list)) and not type.startswith("_"):
        raise QueryFailed(f"can't compare {type} with {value!r}")
    if isinstance(value, (int, float)) and (type == "bool") != isinstance(value, bool):
        raise QueryFailed(f"operator does not exist: {type} = {_name_of(value)}")
    declared = "int8" if type == "int" else type
    try:
        if value == "":  # null in a record, but no number and no date
            reader = read_array if declared.startswith("_") else read(declared)
            return Parameter(reader(value), type)
        column = ingest([{"value": value}], [Field("value", declared)]).column(0)
    except Refused as fault:
        raise QueryFailed(str(fault)) from None
    except InvalidRecord as fault:
        raise QueryFailed(fault.messages[0]) from None
    return Parameter(column[0].as_py(), type)


def _number(value: float) -> Parameter:
    if isinstance(value, int):
        if value in _INT8:
            return Parameter(value, "int8")
        return Parameter(decimal.Decimal(value), "numeric")
    # psycopg2 writes a Python float with its digits: to PostgreSQL it is a numeric.
    number = decimal.Decimal(repr(value))
    return Parameter(number if number.is_finite() else value, "numeric")


def _between_integers(value: float) -> Parameter:
    """A number that every whole number is above, below or equal to as it is to `value`."""
    if not math.isfinite(value):
        return _number(value)
    whole = decimal.Decimal(min(max(math.floor(value), -_BEYOND_INT8), _BEYOND_INT8))
    return Parameter(whole if value == whole else whole + decimal.Decimal("0.5"), "numeric")


def _float8(value: float) -> float:
    try:
        return float(value)
    except OverflowError:
        raise QueryFailed(f'"{value}" is out of range for type double precision') from None


def _name_of(value: Any) -> str:
    if isinstance(value, (dict, list)):
        return "json" if isinstance(value, dict) else "array"
    if isinstance(value, bool):
        return "boolean"
    return "integer" if isinstance(value, int) else "numeric"
