"""The guard of `datastore_search_sql`: a caller's PostgreSQL text in, a checked tree out.

Nothing that a caller wrote reaches an engine. `parse` has PostgreSQL's own parser read the text
and builds a new tree from what an allow-list knows; the backend authorizes the tables that it
names; `bind` settles names and types as PostgreSQL would and gives the query to run.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import Any

import sqlglot.expressions as sge
from pglast import ast
from pglast.parser import ParseError, parse_sql, scan

from ckanext.bqdatastore.model.errors import InvalidRequest, NotPermitted
from ckanext.bqdatastore.model.query import RESOURCES, Query
from ckanext.bqdatastore.model.table import Table
from ckanext.bqdatastore.model.tree_size import one_statement

from .postgresql import binding, documents, gathered, sizes, statements, types
from .postgresql.expressions import IN_SQL
from .postgresql.row_order import in_row_order
from .postgresql.scopes import Relation

MESSAGE = "message"
"""The key under which the stock backend reports a text that it does not take for one query."""

_OPENING = frozenset({"ASCII_40", "ASCII_91", "CASE"})
_CLOSING = frozenset({"ASCII_41", "ASCII_93", "END_P"})
_SEPARATING = frozenset({"ASCII_44", "AND", "OR"})
_LASTING = frozenset({"NOT", "BETWEEN", "JOIN", "UNION", "INTERSECT", "EXCEPT"})
"""Words that open, close or begin anew a part of a query, and words whose nesting a new part does
not end."""

_LONG_OPERATOR = re.compile(r"(?:\+|-(?!-)){100}")
"""Signs in a row that PostgreSQL's lexer takes apart in a time that is the third power of their
number."""

KEPT_JSONB = "jsonb kept"
"""The form of `jsonb` that needs no more than to be shown."""


@dataclasses.dataclass(frozen=True)
class Limits:
    """How much of a query there may be.

    :param length: characters of text
    :param nesting: words that can be within each other, counted before the text is parsed: what
        PostgreSQL's parser hands over is walked in C, recursively, and must not use up the stack
    :param nodes: nodes of the syntax tree
    :param depth: levels of the syntax tree
    """

    length: int = 200_000
    nesting: int = 600
    nodes: int = 20_000
    depth: int = 60


@dataclasses.dataclass(frozen=True)
class ParsedSQL:
    """One query, read and found harmless in form.

    :param tables: names of the tables it reads, as PostgreSQL folds them, without CTEs; sorted
    :param functions: PostgreSQL's names of the functions it calls; sorted
    """

    tree: sge.Query
    tables: tuple[str, ...]
    functions: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class OutputField:
    """A column of the answer.

    :param id: the name that PostgreSQL gives it; names may repeat
    :param type: the API's name of its type
    :param form: what `records.formats` calls its values: of JSON there are several kinds
    """

    id: str
    type: str
    form: str


@dataclasses.dataclass(frozen=True)
class BoundSQL:
    """A query to run and the columns it gives, in order."""

    query: Query
    fields: tuple[OutputField, ...]


def parse(sql: str, limits: Limits = Limits()) -> ParsedSQL:
    """Read a caller's text.

    :raises InvalidRequest: it is not one query of a form that is allowed
    :raises NotPermitted: it names a table or function that nobody may use
    """
    try:
        with one_statement():
            tree = statements.query(statement(sql, limits))
        return ParsedSQL(tree, tuple(sorted(_tables(tree))), tuple(sorted(_functions(tree))))
    except RecursionError:
        raise InvalidRequest(MESSAGE, "Query is too deeply nested") from None


def bind(
    parsed: ParsedSQL,
    tables: Mapping[str, Table],
    allowed_functions: Collection[str],
    row_limit: int,
    rows: Callable[[str], float] | None = None,
) -> BoundSQL:
    """The query to run, over the tables that its caller may read.

    :param tables: every name of `parsed.tables` with the table it means (an alias: its target)
    :param allowed_functions: as PostgreSQL names them
    :param row_limit: how many rows are fetched at most
    :param rows: how many rows a table has at most, to order the rows of a join of small ones
    :raises NotPermitted: a function that is not allowed
    :raises InvalidRequest: what PostgreSQL would refuse too: unknown columns, types that do not fit
    """
    for name in parsed.functions:
        # A name in quotes on the list stands for itself, one without for its small letters.
        if name.lower() not in allowed_functions and f'"{name}"' not in allowed_functions:
            raise NotPermitted(f"Not authorized to call function {name}")
    try:
        with one_statement():
            tree, relation = binding.bound(parsed.tree.copy(), tables)
        fields = _outputs(tree, relation, tables.values())
        made = sizes.made_for_one_row(tree)
        if made > sizes.LONGEST:
            raise InvalidRequest(MESSAGE, "Query makes texts or lists that are too long")
        tree = gathered.checked(tree, sizes.longest_gathered(made))
        if rows is not None:
            tree = in_row_order(tree, rows)
        tree = documents.last(_limited(tree, row_limit))
        assert isinstance(tree, sge.Expression)
    except RecursionError:
        raise InvalidRequest(MESSAGE, "Query is too deeply nested") from None
    return BoundSQL(Query(tree), fields)


def _outputs(
    tree: sge.Query, relation: Relation, tables: Iterable[Table]
) -> tuple[OutputField, ...]:
    """What a bound query gives, before anything is put around it."""
    values: list[sge.Expr | None] = [None] * len(relation.names)
    sources: list[sge.Expr] = []
    if isinstance(tree, sge.Select):
        values = [output.this for output in tree.expressions]
        clause = tree.args.get("from_")
        joins = tree.args.get("joins") or ()
        sources = [clause.this, *(join.this for join in joins)] if clause else []
    described = {table.name: table for table in tables}
    stored = {
        source.alias: described[source.name].types
        for source in sources
        if isinstance(source, sge.Table) and source.db == RESOURCES
    }
    return tuple(
        _output(name, kind, value, stored)
        for name, kind, value in zip(relation.names, relation.types, values, strict=True)
    )


def _output(
    name: str, kind: str, value: sge.Expr | None, stored: Mapping[str, Mapping[str, str]]
) -> OutputField:
    declared = None
    if isinstance(value, sge.Column) and value.table in stored:
        declared = stored[value.table][value.name]
    elif isinstance(value, sge.Cast) and value.to.meta.get(types.VARCHAR):
        declared = types.VARCHAR
    if kind == "jsonb":
        return OutputField(name, kind, KEPT_JSONB if declared else kind)
    if declared in (types.VARCHAR, "name", "oid"):
        return OutputField(name, declared, kind)
    return OutputField(name, "json" if kind == types.NESTED else kind, kind)


def statement(sql: str, limits: Limits = Limits()) -> Any:
    """PostgreSQL's syntax tree of the one query in `sql`.

    :raises InvalidRequest: it is none, or is larger than the limits
    """
    found = _statement(sql, limits)
    measure(found, limits)
    return found


def _statement(sql: str, limits: Limits) -> Any:
    if len(sql) > limits.length:
        raise InvalidRequest(MESSAGE, f"Query is longer than {limits.length} characters")
    if "\0" in sql:
        # PostgreSQL's parser would take it for the end of the text.
        raise InvalidRequest(MESSAGE, "Invalid SQL: null character not permitted")
    if _LONG_OPERATOR.search(sql):
        raise InvalidRequest(MESSAGE, "Invalid SQL: operator too long")
    try:
        if _nesting(token.name for token in scan(sql)) > limits.nesting:
            raise InvalidRequest(MESSAGE, "Query is too deeply nested")
        statements = parse_sql(sql)
    except UnicodeEncodeError:
        raise InvalidRequest(MESSAGE, "Invalid SQL: invalid Unicode text") from None
    except ParseError as error:
        raise InvalidRequest(MESSAGE, f"Invalid SQL: {error}") from None
    if len(statements) != 1:
        raise InvalidRequest(MESSAGE, "Query is not a single statement")
    statement = statements[0].stmt
    if not isinstance(statement, ast.SelectStmt):
        raise InvalidRequest(MESSAGE, f"Invalid query AST element: {type(statement).__name__}")
    return statement


def _nesting(tokens: Iterable[str]) -> int:
    """No less than the depth of the tree that the tokens will make.

    In each bracket every word may be within the one before, until a comma, an AND or an OR.
    """
    deepest = outside = current = lasting = 0
    stack: list[tuple[int, int, int]] = []
    for token in tokens:
        current += 1
        if token in _OPENING:
            stack.append((outside, current, lasting))
            outside, current, lasting = outside + current + lasting, 0, 0
        elif token in _CLOSING and stack:
            outside, current, lasting = stack.pop()
        elif token in _SEPARATING:
            current = 0
        elif token in _LASTING:
            lasting += 1
        deepest = max(deepest, outside + current + lasting)
    return deepest


def measure(statement: Any, limits: Limits = Limits()) -> None:
    """Look at the whole of PostgreSQL's tree, without recursion.

    :raises InvalidRequest: it is too deep or too large
    """
    count, level = 0, [statement]
    for _ in range(limits.depth):
        count += len(level)
        if count > limits.nodes:
            raise InvalidRequest(MESSAGE, "Query is too large")
        level = [child for node in level for child in _children(node)]
        if not level:
            return
    raise InvalidRequest(MESSAGE, "Query is too deeply nested")


def _children(node: Any) -> Iterator[Any]:
    if isinstance(node, tuple):
        candidates: Any = node
    elif isinstance(node, ast.Node):
        candidates = (getattr(node, field) for field in node)
    else:
        return
    for child in candidates:
        if isinstance(child, tuple):
            yield from (item for item in child if item is not None)
        elif isinstance(child, ast.Node):
            yield child


def _functions(tree: sge.Query) -> set[str]:
    return {call.name for call in tree.find_all(sge.Anonymous)} - IN_SQL


def _tables(tree: sge.Expr, ctes: frozenset[str] = frozenset()) -> set[str]:
    """The tables that a tree reads: names that no CTE in whose scope they stand has taken."""
    found: set[str] = set()
    clause = tree.args.get("with_")
    if clause:
        for cte in clause.expressions:
            # A CTE sees those before it, not itself: there its name is still a table's.
            found |= _tables(cte.this, ctes)
            ctes = ctes | {cte.alias}
    if isinstance(tree, sge.Table) and (tree.args.get("db") or tree.name not in ctes):
        found.add(tree.name)
    for child in tree.iter_expressions():
        if child is not clause:
            found |= _tables(child, ctes)
    return found


def _limited(tree: sge.Query, row_limit: int) -> sge.Query:
    """`tree` with at most `row_limit` rows; its own smaller limit stays."""
    limit = tree.args.get("limit")
    bound = sge.Limit(expression=sge.Literal.number(row_limit))
    if limit is None:
        tree.set("limit", bound)
        return tree
    value = limit.expression
    if isinstance(value, sge.Literal) and value.is_int and int(value.name) <= row_limit:
        return tree
    if isinstance(value, sge.Literal) and value.is_int:
        tree.set("limit", bound)
        return tree
    return sge.Select(
        expressions=[sge.Star()],
        from_=sge.From(this=sge.Subquery(this=tree, alias=sge.TableAlias(this="blah"))),
        limit=bound,
    )
