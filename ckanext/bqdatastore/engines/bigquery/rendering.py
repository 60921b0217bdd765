"""Trees as BigQuery's text: sqlglot's dialect, and what it gets wrong."""

from __future__ import annotations

from typing import ClassVar

import sqlglot.expressions as sge
from sqlglot.dialects.bigquery import BigQuery

_QUERIES = (sge.Select, sge.SetOperation)


class GoogleSQL(BigQuery):
    """BigQuery's dialect as we need it."""

    class Generator(BigQuery.Generator):  # type: ignore[misc, valid-type]
        # sqlglot takes the digits out of `CAST(x AS NUMERIC(12, 3))`, which BigQuery knows.
        TRANSFORMS: ClassVar = {
            kind: transform
            for kind, transform in BigQuery.Generator.TRANSFORMS.items()
            if kind not in (sge.Cast, sge.Array)
        }

        def array_sql(self, tree: sge.Array) -> str:
            """sqlglot takes a list whose one expression has a query within for `ARRAY (query)`."""
            if len(tree.expressions) == 1 and isinstance(tree.expressions[0], _QUERIES):
                return str(self.func("ARRAY", *tree.expressions))
            return f"[{self.expressions(tree, flat=True)}]"


def render(tree: sge.Expr) -> str:
    """A tree of BigQuery's dialect as text."""
    return tree.sql(dialect=GoogleSQL)
