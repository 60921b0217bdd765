"""BigQuery's SQL run by the reference implementation of GoogleSQL, which Google's analyzer brings.

It is what BigQuery's dialect is defined by, and slow: tables of some rows, no service.
"""

from __future__ import annotations

import datetime
import decimal
import functools
import json
from collections.abc import Mapping, Sequence
from typing import Any

import sqlglot.expressions as sge
from google.cloud.bigquery import ArrayQueryParameter
from zetasql.api import TableBuilder
from zetasql.core import ZetaSqlLocalService
from zetasql.types import (
    AnalyzerOptions,
    EvaluateQueryRequest,
    PrepareQueryRequest,
    SimpleCatalog,
    ZetaSQLBuiltinFunctionOptions,
)
from zetasql.wasi._pb2.zetasql.local_service import local_service_pb2

from ckanext.bqdatastore.engines.bigquery.names import name_columns
from ckanext.bqdatastore.engines.bigquery.types import ELEMENT, LIST, element_type, scalar_type
from ckanext.bqdatastore.model.table import Table

from . import googlesql

_NUMERIC_UNIT = decimal.Decimal(10) ** -9
_BIGNUMERIC_UNIT = decimal.Decimal(10) ** -38
_CONTEXT = decimal.Context(prec=100)


class Reference:
    """Tables of the reference implementation, by simple names."""

    def __init__(self) -> None:
        self._tables: list[Any] = []
        self._content: dict[str, Any] = {}

    def add(self, table: Table, rows: Sequence[Sequence[Any]]) -> None:
        """
        :param rows: `_id` and a value for each field, as texts (arrays: lists of such); None: null
        """
        stored = name_columns(table)
        types = [("_id", "int"), *((field.id, field.type) for field in table.fields)]
        columns = [(stored.get(name, name), _declared(type)) for name, type in types]
        literals = ",".join(
            "(" + ",".join(_literal(v, t) for v, (_, t) in zip(row, types, strict=True)) + ")"
            for row in rows
        )
        declared = ", ".join(f"`{name}` {type}" for name, type in columns)
        made = self._run(f"SELECT * FROM UNNEST(ARRAY<STRUCT<{declared}>>[{literals}])")
        builder = TableBuilder(table.name)
        for name, type in columns:
            data_type = sge.DataType.build(type, dialect="bigquery")
            builder.add_column(name, googlesql._type(data_type))
        self._tables.append(builder.build())
        self._content[table.name] = made.content

    def rows(self, text: str, parameters: Sequence[Any] = ()) -> list[list[Any]]:
        """
        :param text: tables by their simple names
        :param parameters: as the client sends them
        :raises zetasql.core.exceptions.ZetaSQLError: the statement is refused, or fails
        """
        found = self._run(text, parameters).content.table_data
        return [[_value(cell) for cell in row.cell] for row in found.row]

    def _run(self, text: str, parameters: Sequence[Any] = ()) -> Any:
        """The answer, as protobuf has it: the models made of it lose their moments."""
        options = AnalyzerOptions(language_options=googlesql._language(), default_timezone="UTC")
        options.query_parameters = [
            AnalyzerOptions.QueryParameter(
                name=each.name, type=googlesql._type(googlesql._parameter_type(each))
            )
            for each in parameters
        ]
        catalog = SimpleCatalog(
            name="root", builtin_function_options=_functions(), table=list(self._tables)
        )
        prepare = PrepareQueryRequest(sql=text, options=options, simple_catalog=catalog).to_proto()
        for name, content in self._content.items():
            prepare.table_content[name].CopyFrom(content)
        service = ZetaSqlLocalService.get_instance()
        ask = service.wasm_client.call_grpc_func
        prepared = ask(
            "ZetaSqlLocalService_PrepareQuery", prepare, local_service_pb2.PrepareQueryResponse
        ).prepared.prepared_query_id
        try:
            evaluate = EvaluateQueryRequest(prepared_query_id=prepared).to_proto()
            for each in parameters:
                evaluate.params.add(name=each.name, value=self._parameter(each))
            return ask(
                "ZetaSqlLocalService_EvaluateQuery",
                evaluate,
                local_service_pb2.EvaluateQueryResponse,
            )
        finally:
            service.unprepare_query(prepared_query_id=prepared)

    def _parameter(self, parameter: Any) -> Any:
        sql = _parameter_sql(parameter)
        return self._run(f"SELECT {sql}").content.table_data.row[0].cell[0]


@functools.cache
def _functions() -> ZetaSQLBuiltinFunctionOptions:
    return ZetaSQLBuiltinFunctionOptions(language_options=googlesql._language())


def _parameter_sql(parameter: Any) -> str:
    if isinstance(parameter, ArrayQueryParameter):
        texts = ",".join(_quoted(each) for each in parameter.values)
        return f"ARRAY<{parameter.array_type}>[{texts}]"
    value = "NULL" if parameter.value is None else _quoted(str(parameter.value))
    return f"CAST({value} AS {parameter.type_})"


def _declared(type: str) -> str:
    if type.startswith("_"):
        element = element_type(type[1:])
        return f"STRUCT<{LIST} ARRAY<STRUCT<{ELEMENT} {element}>>>"
    return "NUMERIC" if type == "numeric" else scalar_type(type)


def _literal(value: Any, type: str) -> str:
    if value is None:
        return "NULL"
    if type.startswith("_"):
        element = f"STRUCT<{ELEMENT} {element_type(type[1:])}>"
        items = ",".join(f"{element}({_literal(each, type[1:])})" for each in value)
        return f"{_declared(type)}([{items}])"
    if type == "bool":
        return "TRUE" if value in ("t", True) else "FALSE"
    return f"CAST({_quoted(str(value))} AS {_declared(type)})"


def _quoted(text: str) -> str:
    return json.dumps(text)


def _value(cell: Any) -> Any:
    """A value in Python's words; arrays as lists."""
    name = cell.WhichOneof("value")
    return None if name is None else _READERS[name](getattr(cell, name))


def _integer(data: bytes) -> int:
    return int.from_bytes(data, "little", signed=True)


def _moment(packed: Any) -> datetime.datetime:
    seconds = packed.bit_field_datetime_seconds
    time = _clock(seconds & (1 << 17) - 1, packed.nanos // 1000)
    day = datetime.date(seconds >> 26, seconds >> 22 & 15, seconds >> 17 & 31)
    return datetime.datetime.combine(day, time)


def _clock(seconds: int, micros: int) -> datetime.time:
    return datetime.time(seconds >> 12, seconds >> 6 & 63, seconds & 63, micros)


def _timestamp(given: Any) -> datetime.datetime:
    epoch = datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)
    return epoch + datetime.timedelta(seconds=given.seconds, microseconds=given.nanos // 1000)


def _struct(given: Any) -> Any:
    """A list of ours: a struct of a list of structs of one element each."""
    (field,) = given.field
    return [_value(each.struct_value.field[0]) for each in field.array_value.element]


_READERS: Mapping[str, Any] = {
    "int64_value": int,
    "bool_value": bool,
    "double_value": float,
    "string_value": str,
    "date_value": lambda days: datetime.date(1970, 1, 1) + datetime.timedelta(days=days),
    "datetime_value": _moment,
    "time_value": lambda packed: _clock(packed >> 30, (packed & (1 << 30) - 1) // 1000),
    "timestamp_value": _timestamp,
    "numeric_value": lambda data: _CONTEXT.multiply(decimal.Decimal(_integer(data)), _NUMERIC_UNIT),
    "bignumeric_value": lambda data: _CONTEXT.multiply(
        decimal.Decimal(_integer(data)), _BIGNUMERIC_UNIT
    ),
    "struct_value": _struct,
    "array_value": lambda given: [_value(each) for each in given.element],
}
