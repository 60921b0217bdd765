"""What `docs/sql.md` shows is so."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import ckantoolkit as tk
import pytest
from ckan.tests import factories

TEXT = (Path(__file__).parents[3] / "docs" / "sql.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"```sql\n(.*?)```", TEXT, re.DOTALL)
REFUSED = re.findall(r"```refused\n(.*?)```", TEXT, re.DOTALL)[0].splitlines()

TREES = [
    {"species": "oak", "height": "21.5", "planted": "1950-04-01", "more": {"park": "west"}},
    {"species": "oak", "height": "8", "planted": "1991-03-20", "tags": ["young", "north"]},
    {"species": "oak", "height": "12.25", "planted": "1995-10-02", "more": {}},
    {"species": "elm", "height": None, "planted": None, "more": {"park": "east"}, "tags": []},
]


@pytest.mark.usefixtures("with_plugins", "clean_tables")
def test_examples_are_answered_and_what_is_refused_is_refused(app: Any) -> None:
    types = {"species": "text", "height": "numeric", "planted": "date", "more": "json"}
    tk.get_action("datastore_create")(
        {"ignore_auth": True},
        {
            "resource_id": factories.Resource()["id"],
            "aliases": "trees",
            "force": True,
            "fields": [
                {"id": name, "type": type} for name, type in {**types, "tags": "_text"}.items()
            ],
            "records": TREES,
        },
    )

    def ask(sql: str) -> Any:
        return app.post(
            "/api/action/datastore_search_sql",
            data=json.dumps({"sql": sql}),
            headers={"Content-Type": "application/json"},
        )

    assert len(EXAMPLES) >= 6
    for sql in EXAMPLES:
        answer = ask(sql)
        assert answer.status_code == 200, (sql, answer.body)
        assert answer.json["result"]["records"], sql
    assert len(REFUSED) >= 10
    for sql in REFUSED:
        assert ask(sql).status_code in (403, 409), sql
