"""What the names in a query mean: its sources, their columns, and who sees whom.

Names are the caller's, as PostgreSQL folded them; trees carry the names that an engine is given,
which are unique in the whole query whatever an engine thinks of upper and lower case.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence

import sqlglot.expressions as sge

from ckanext.bqdatastore.model.errors import InvalidRequest
from ckanext.bqdatastore.model.tree_size import copied, spend

from . import types
from .nodes import identifier


@dataclasses.dataclass(frozen=True)
class Column:
    """One column in reach: the caller's name for it, its type, and how to say it."""

    name: str
    type: str
    tree: sge.Expr

    def reference(self) -> sge.Expr:
        tree = copied(self.tree)
        tree.type = types.node(self.type)
        return tree


@dataclasses.dataclass(frozen=True)
class Relation:
    """What a table, sub-query or CTE gives: the engine's name of each column beside ours."""

    names: tuple[str, ...]
    types: tuple[str, ...]
    engine_names: tuple[str, ...]

    def under(self, alias: str, renamed: Sequence[str] = ()) -> tuple[Column, ...]:
        """Its columns, as reached through the alias `alias`."""
        if len(renamed) > len(self.names):
            raise InvalidRequest(
                "query",
                f'table "{alias}" has {len(self.names)} columns available'
                f" but {len(renamed)} columns specified",
            )
        names = (*renamed, *self.names[len(renamed) :])
        spend(len(names))
        return tuple(
            Column(name, kind, sge.Column(this=identifier(engine), table=identifier(alias)))
            for name, kind, engine in zip(names, self.types, self.engine_names, strict=True)
        )


class Names:
    """Hands out names that no other name of the query equals, in any case."""

    def __init__(self) -> None:
        self._taken: set[str] = set()
        self._numbers: dict[str, int] = {}

    def unique(self, wanted: str) -> str:
        """`wanted`, or the first of `wanted_1`, `wanted_2`, ... that is free."""
        found = wanted
        while found.casefold() in self._taken:
            number = self._numbers[wanted] = self._numbers.get(wanted, 0) + 1
            found = f"{wanted}_{number}"
        self._taken.add(found.casefold())
        return found


@dataclasses.dataclass
class Scope:
    """The sources of one `SELECT`: `columns` by bare name and for `*`, `sources` by alias."""

    parent: Scope | None = None
    columns: list[Column] = dataclasses.field(default_factory=list)
    sources: dict[str, tuple[Column, ...]] = dataclasses.field(default_factory=dict)
    _named: dict[str, list[Column]] | None = dataclasses.field(default=None, init=False)

    def joined(self, other: Scope) -> Scope:
        """Both side by side."""
        for alias in other.sources:
            if alias in self.sources:
                raise InvalidRequest("query", f'table name "{alias}" specified more than once')
        return Scope(self.parent, self.columns + other.columns, {**self.sources, **other.sources})

    def own(self, name: str) -> Column | None:
        """The column of this `SELECT` with that bare name, if there is one."""
        if self._named is None:
            self._named = {}
            for column in self.columns:
                self._named.setdefault(column.name, []).append(column)
        found = self._named.get(name, ())
        if len(found) > 1:
            raise InvalidRequest("query", f'column reference "{name}" is ambiguous')
        return found[0] if found else None

    def _upwards(self) -> Iterator[Scope]:
        scope: Scope | None = self
        while scope is not None:
            yield scope
            scope = scope.parent

    def column(self, name: str, table: str | None) -> Column:
        """The column that a reference means: the nearest scope that has it.

        :raises InvalidRequest: nothing has it, or more than one thing
        """
        for scope in self._upwards():
            if table is None:
                found = scope.own(name)
                if found:
                    return found
            elif table in scope.sources:
                return _only(scope.sources[table], name, f"{table}.{name}")
        if table is None:
            raise InvalidRequest("query", f'column "{name}" does not exist')
        raise InvalidRequest("query", f'missing FROM-clause entry for table "{table}"')

    def star(self, table: str | None) -> Sequence[Column]:
        """The columns of `*` or `table.*`."""
        if table is None:
            if not self.sources:
                raise InvalidRequest("query", "SELECT * with no tables specified is not valid")
            return self.columns
        for scope in self._upwards():
            if table in scope.sources:
                return scope.sources[table]
        raise InvalidRequest("query", f'missing FROM-clause entry for table "{table}"')


def _only(columns: Sequence[Column], name: str, written: str) -> Column:
    found = [column for column in columns if column.name == name]
    if not found:
        raise InvalidRequest("query", f"column {written} does not exist")
    if len(found) > 1:
        raise InvalidRequest("query", f'column reference "{name}" is ambiguous')
    return found[0]


def merged(
    left: Scope, right: Scope, names: Sequence[str], side: str
) -> tuple[Scope, list[tuple[Column, Column]]]:
    """The scope of `left JOIN right USING (names)`, and the pairs that must be equal.

    :param side: `LEFT`, `RIGHT`, `FULL` or nothing, as the join says
    """
    pairs = [(_shared(left, name, "left"), _shared(right, name, "right")) for name in names]
    first = []
    for one, other in pairs:
        kind = types.common((one.type, other.type), "JOIN/USING")
        tree = one.tree
        if side == "RIGHT":
            tree = other.tree
        elif side == "FULL":
            tree = sge.Coalesce(this=one.reference(), expressions=[other.reference()])
        first.append(Column(one.name, kind, tree))
    both = left.joined(right)
    gone = {id(column) for pair in pairs for column in pair}
    rest = [column for column in both.columns if id(column) not in gone]
    return dataclasses.replace(both, columns=[*first, *rest]), pairs


def _shared(scope: Scope, name: str, where: str) -> Column:
    found = scope.own(name)
    if found is None:
        raise InvalidRequest(
            "query", f'column "{name}" specified in USING clause does not exist in {where} table'
        )
    return found


Relations = Mapping[str, tuple[str, Relation]]
"""CTEs in reach: the caller's name to the engine's name and what it gives."""
