"""`bqemulator`, with one thing mended in the sqlglot that it translates by.

sqlglot takes the digits out of `CAST(x AS NUMERIC(12, 3))` when it writes BigQuery's SQL, as some
of the emulator's steps do: DuckDB would round what BigQuery keeps.
"""

from __future__ import annotations

import sqlglot.expressions as sge
from bqemulator.cli import main
from sqlglot.dialects.bigquery import BigQuery

if __name__ == "__main__":
    del BigQuery.Generator.TRANSFORMS[sge.Cast]
    main()
