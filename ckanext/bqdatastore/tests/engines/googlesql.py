"""Whether BigQuery would accept a statement: Google's own analyzer, with the tables' real schema.

The emulator takes more than BigQuery does, and other types for each other.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import pytest
import sqlglot
import sqlglot.expressions as sge
import wasmtime
import zetasql.core.wasm_client
from google.api_core.exceptions import NotFound
from google.cloud.bigquery import ArrayQueryParameter, SchemaField
from google.protobuf.message import DecodeError
from zetasql.api import Analyzer, TableBuilder, TypeFactory
from zetasql.types import (
    AnalyzerOptions,
    LanguageOptions,
    ProductMode,
    SimpleCatalog,
    TypeKind,
    ZetaSQLBuiltinFunctionOptions,
)

from ckanext.bqdatastore.engines.bigquery.jobs import Jobs

Columns = Mapping[str, sge.DataType]

_KINDS = {
    sge.DType.BIGINT: TypeKind.TYPE_INT64,
    sge.DType.DOUBLE: TypeKind.TYPE_DOUBLE,
    sge.DType.BOOLEAN: TypeKind.TYPE_BOOL,
    sge.DType.TEXT: TypeKind.TYPE_STRING,
    sge.DType.DATE: TypeKind.TYPE_DATE,
    sge.DType.TIME: TypeKind.TYPE_TIME,
    sge.DType.TIMESTAMP: TypeKind.TYPE_DATETIME,
    sge.DType.TIMESTAMPTZ: TypeKind.TYPE_TIMESTAMP,
    sge.DType.DECIMAL: TypeKind.TYPE_NUMERIC,
    sge.DType.BIGDECIMAL: TypeKind.TYPE_BIGNUMERIC,
}


class _CachingConfig(wasmtime.Config):
    """The analyzer is WebAssembly: what it is compiled to is kept for the next process."""

    def __init__(self) -> None:
        super().__init__()
        self.cache = True


zetasql.core.wasm_client.Config = _CachingConfig


@functools.cache
def _language() -> LanguageOptions:
    options = LanguageOptions.maximum_features()
    options.product_mode = ProductMode.PRODUCT_EXTERNAL
    return options


@contextmanager
def every_statement_accepted() -> Iterator[None]:
    """Collect what the BigQuery engine asks within; at the end, all of it must be accepted."""
    seen: dict[str, Callable[[], None]] = {}
    made = _MadeTables()
    ask = Jobs._query

    @functools.wraps(ask)
    def asked(jobs: Jobs, text: str, parameters: Any, *rest: Any, **named: Any) -> Any:
        # Tables of one write have names that are used once.
        shape = re.sub(r"[0-9a-f]{12,32}", "...", text)
        if shape not in seen:
            client = jobs._connection.client()
            known = {str(each): made.columns(each, client) for each in _tables(text)}
            seen[shape] = functools.partial(analyze, text, parameters, known)
        answer = ask(jobs, text, parameters, *rest, **named)
        made.note(text)
        return answer

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Jobs, "_query", asked)
        yield
    refused = []
    for shape, check in seen.items():
        if _NOT_ANALYZED.search(shape):
            continue
        try:
            check()
        except Exception as error:
            refused.append(f"{error}\n    {shape}")
    print(f"{len(seen)} different statements, {len(refused)} refused")
    assert not refused, "\n".join(refused)


# The analyzer does not know the one statement that widens a column.
_NOT_ANALYZED = re.compile(r"^ALTER TABLE \S+ ALTER COLUMN \S+ SET DATA TYPE (BIG)?NUMERIC")


class _MadeTables:
    """Columns of the tables that were made by statements; the emulator forgets what they said."""

    def __init__(self) -> None:
        self._made: dict[str, dict[str, sge.DataType]] = {}

    def note(self, text: str) -> None:
        for statement in _statements(text):
            tree = sqlglot.parse_one(statement, read="bigquery")
            if isinstance(tree, sge.Create) and isinstance(tree.this, sge.Schema):
                columns = {each.name: each.kind for each in tree.this.expressions}
                self._made[str(tree.this.this)] = columns
            if isinstance(tree, sge.Alter):
                for action in tree.args["actions"]:
                    self._alter(self._made[str(tree.this)], action)

    def _alter(self, columns: dict[str, sge.DataType], action: sge.Expr) -> None:
        if isinstance(action, sge.ColumnDef):
            assert action.kind is not None
            columns[action.name] = action.kind
        elif isinstance(action, sge.Drop):
            columns.pop(action.this.name, None)
        else:
            columns[action.this.name] = action.args["dtype"]

    def columns(self, table: sge.Table, client: Any) -> Columns:
        made = self._made.get(str(_bare(table)))
        if made is not None:
            return dict(made)
        try:
            found = client.get_table(f"{table.catalog}.{table.db}.{table.name}", retry=None)
        except NotFound:
            return {}
        return {field.name: _data_type(field) for field in found.schema}


def _bare(table: sge.Table) -> sge.Table:
    bare = table.copy()
    bare.set("alias", None)
    return bare


def _data_type(field: SchemaField) -> sge.DataType:
    return sge.DataType.build(_spelled(field), dialect="bigquery")


def _spelled(field: SchemaField) -> str:
    name = {"INTEGER": "INT64", "FLOAT": "FLOAT64", "BOOLEAN": "BOOL"}.get(
        field.field_type, field.field_type
    )
    if name in ("RECORD", "STRUCT"):
        name = f"STRUCT<{', '.join(f'{each.name} {_spelled(each)}' for each in field.fields)}>"
    return f"ARRAY<{name}>" if field.mode == "REPEATED" else name


def _tables(text: str) -> list[sge.Table]:
    trees = [sqlglot.parse_one(part, read="bigquery") for part in _statements(text)]
    return [each for tree in trees for each in tree.find_all(sge.Table) if each.catalog]


def _statements(text: str) -> list[str]:
    parts = [part.rstrip(";") for part in text.split(";\n")]
    return [part for part in parts if part not in ("BEGIN TRANSACTION", "COMMIT TRANSACTION")]


def analyze(text: str, parameters: Sequence[Any], tables: Mapping[str, Columns]) -> None:
    """
    :param parameters: query parameters as the client sends them
    :param tables: the columns of each table that the text names in full
    :raises zetasql.core.exceptions.ZetaSQLError: BigQuery would refuse it
    """
    for statement in _statements(text):
        options = AnalyzerOptions(language_options=_language())
        options.query_parameters = [
            AnalyzerOptions.QueryParameter(
                name=each.name,
                type=_type(_parameter_type(each)),
            )
            for each in parameters
        ]
        # The analyzer has taken a statement whose tree is too deep for protobuf to read.
        with suppress(DecodeError):
            Analyzer(options, _catalog(statement, tables)).analyze_statement(statement)


def _parameter_type(parameter: Any) -> sge.DataType:
    if isinstance(parameter, ArrayQueryParameter):
        return sge.DataType.build(f"ARRAY<{parameter.array_type}>", dialect="bigquery")
    return sge.DataType.build(parameter.type_, dialect="bigquery")


def _catalog(statement: str, tables: Mapping[str, Columns]) -> SimpleCatalog:
    found: dict[str, dict[str, dict[str, Any]]] = {}
    for table in _tables(statement):
        dataset = found.setdefault(table.catalog, {}).setdefault(table.db, {})
        dataset[table.name] = _table(table.name, tables[str(table)])
    root = SimpleCatalog(
        name="root",
        builtin_function_options=ZetaSQLBuiltinFunctionOptions(language_options=_language()),
    )
    root.catalog = [
        SimpleCatalog(
            name=project,
            catalog=[
                SimpleCatalog(name=name, table=list(made.values()))
                for name, made in datasets.items()
            ],
        )
        for project, datasets in found.items()
    ]
    return root


def _table(name: str, columns: Columns) -> Any:
    builder = TableBuilder(name)
    for each, type in columns.items():
        builder.add_column(each, _type(type))
    return builder.build()


def _type(type: sge.DataType) -> Any:
    if type.this == sge.DType.STRUCT:
        return TypeFactory.create_struct_type(
            [(each.name, _type(each.kind)) for each in type.expressions]
        )
    if type.this == sge.DType.ARRAY:
        return TypeFactory.create_array_type(_type(type.expressions[0]))
    return TypeFactory.create_simple_type(_KINDS[type.this])
