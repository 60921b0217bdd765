"""A bound PostgreSQL query, said in DuckDB's words so that values and types stay PostgreSQL's."""

from __future__ import annotations

import sqlglot.expressions as sge


def translate(tree: sge.Query) -> sge.Query:
    """The same query for DuckDB (a placeholder until the tables are in)."""
    return tree.copy()
