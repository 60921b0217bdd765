"""Arrow texts as the API's CSV and JSON, by Python's own readers and PostgreSQL's rules."""

from __future__ import annotations

import csv
import io
import json

import pyarrow as pa
import pytest

from ckanext.bqdatastore.records.formats import delimited, json_list, python_records

ODD = ["plain", "a,b", 'say "x"', "two\nlines", "tab\there", "\\.", "å", " "]


@pytest.mark.parametrize("delimiter", [",", "\t"])
def test_every_text_comes_back_from_a_line(delimiter: str) -> None:
    texts = pa.array(ODD)
    numbers = pa.array([str(number) for number in range(len(ODD))])
    lines = delimited([texts, numbers], ["text", "int4"], delimiter)
    read = list(csv.reader(io.StringIO(lines, newline=""), delimiter=delimiter))
    assert read == [[text, str(number)] for number, text in enumerate(ODD)]


def test_nulls_are_empty_and_empty_texts_are_quoted() -> None:
    lines = delimited([pa.array(["", None]), pa.array([None, "1"])], ["text", "int4"], ",")
    assert lines == '"",\n,1\n'


def test_the_end_mark_alone_on_a_line_is_quoted() -> None:
    assert delimited([pa.array(["\\.", "x"])], ["text"], ",") == '"\\."\nx\n'


def test_arrays_and_json_are_quoted_where_they_need_it() -> None:
    values = pa.array(['["a", "b"]', None])
    assert delimited([values], ["_text"], ",") == '"[""a"", ""b""]"\n\n'


def test_no_rows_are_no_lines() -> None:
    assert delimited([pa.array([], pa.string())], ["text"], ",") == ""


def test_json_texts_become_one_list_over_all_chunks() -> None:
    chunks = pa.chunked_array([['{"a": 1}', '{"a": "å"}'], [], ['{"a": null}']], pa.string())
    assert json.loads(json_list([chunks])) == [{"a": 1}, {"a": "å"}, {"a": None}]
    assert json_list([pa.chunked_array([], pa.string())]) == "[]"


def test_floats_that_json_has_no_number_for_are_texts() -> None:
    inf, nan = float("inf"), float("nan")
    rows = pa.table({"f": [1.5, inf, None, nan], "fs": [[-inf, None], [1.0], None, []]})
    assert python_records(rows, [("f", "float8"), ("fs", "_float8")]) == [
        {"f": 1.5, "fs": ["-Infinity", None]},
        {"f": "Infinity", "fs": [1.0]},
        {"f": None, "fs": None},
        {"f": "NaN", "fs": []},
    ]
