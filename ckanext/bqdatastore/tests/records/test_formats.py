"""Arrow texts as the API's CSV and JSON, by Python's own readers."""

from __future__ import annotations

import json

import pyarrow as pa

from ckanext.bqdatastore.records.formats import json_list, lines, python_records


def test_lines_have_their_ends_over_all_chunks() -> None:
    assert lines(pa.chunked_array([["1,a", "2,"], [], ["3,å"]], pa.string())) == "1,a\n2,\n3,å\n"
    assert lines(pa.chunked_array([], pa.string())) == ""


def test_json_texts_become_one_list_over_all_chunks() -> None:
    chunks = pa.chunked_array([['{"a": 1}', '{"a": "å"}'], [], ['{"a": null}']], pa.string())
    assert json.loads(json_list(chunks)) == [{"a": 1}, {"a": "å"}, {"a": None}]
    assert json_list(pa.chunked_array([], pa.string())) == "[]"


def test_floats_that_json_has_no_number_for_are_texts() -> None:
    inf, nan = float("inf"), float("nan")
    rows = pa.table({"f": [1.5, inf, None, nan], "fs": [[-inf, None], [1.0], None, []]})
    assert python_records(rows, [("f", "float8"), ("fs", "_float8")]) == [
        {"f": 1.5, "fs": ["-Infinity", None]},
        {"f": "Infinity", "fs": [1.0]},
        {"f": None, "fs": None},
        {"f": "NaN", "fs": []},
    ]
