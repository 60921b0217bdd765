"""Files become tables, or an error that names the line, and then nothing has changed."""

from __future__ import annotations

import gzip
import os
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from ckan.cli.cli import ckan
from ckan.tests import factories, helpers

from ckanext.bqdatastore.loading.columns import field_names
from ckanext.bqdatastore.loading.load import load_file
from ckanext.bqdatastore.model.errors import InvalidRequest

LATE = "".join(f"{number},x\n" for number in range(30_000))

GOOD: dict[str, tuple[bytes, list[tuple[str, str]], list[list[Any]]]] = {
    "plain": (b"a,b\n1,x\n2,\n", [("a", "int8"), ("b", "text")], [[1, "x"], [2, None]]),
    "byte order mark": (b"\xef\xbb\xbfa,b\r\n1,2\r\n", [("a", "int8"), ("b", "int8")], [[1, 2]]),
    "NA is null": (b"a\n1\nNA\n", [("a", "int8")], [[1], [None]]),
    "semicolons": (b"a;b\n1;1,5\n", [("a", "int8"), ("b", "text")], [[1, "1,5"]]),
    "only a heading": (b"a,b\n", [("a", "text"), ("b", "text")], []),
    "quoted": (b'a,b\n"x, ""y""\nz",2\n', [("a", "text"), ("b", "int8")], [['x, "y"\nz', 2]]),
    "mixed": (b"a\n1\nx\n", [("a", "text")], [["1"], ["x"]]),
    "long numbers stay exact": (
        b"a,b\n12345678901234567890,0.12345678901234567\n1,2.5\n",
        [("a", "numeric"), ("b", "numeric")],
        [[12345678901234567890, 0.12345678901234567], [1, 2.5]],
    ),
    "numbers too long even for numeric": (
        b"a\n1.5\n" + b"1" * 50 + b"\n",
        [("a", "text")],
        [["1.5"], ["1" * 50]],
    ),
    "times": (
        b"a,b\n2020-02-29,2020-02-29T10:00:00\n",
        [("a", "date"), ("b", "timestamp")],
        [["2020-02-29", "2020-02-29T10:00:00.000"]],
    ),
}

BAD = {
    "too few values": (b"a,b,c\n1,2,3\n4,5\n", "line 3: 2 values where the heading has 3"),
    "too many values": (b"a,b,c\n1,2,3\n4,5,6,7\n", "line 3: 4 values where the heading has 3"),
    "a bad row far down": (b"a,b\n" + LATE.encode() + b"1,2,3\n", "line 30002"),
    "no bytes": (b"", "is empty"),
    "only blank lines": (b"\n\n \n", "is empty"),
    "an image": (b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR", "holds binary data"),
    "not UTF-8": (b"a,b\n\xe9,2\n", "not UTF-8"),
    "a quote that does not end": (b'a,b\n1,"x\n', "line 2: Value with unterminated quote"),
}


@pytest.fixture(params=["ducklake", "bigquery"])
def chosen_engine(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, ckan_config: Any
) -> str:
    """The engine that the site's settings name."""
    if request.param == "bigquery":
        for side in ("write", "read"):
            url = os.environ.get(f"DEVSTACK_BIGQUERY_{side.upper()}_URL")
            if not url:
                pytest.skip("needs the emulator: run `python -m devstack run --bigquery`")
            monkeypatch.setitem(ckan_config, f"ckan.datastore.{side}_url", url)
    return str(request.param)


@pytest.fixture
def resource(chosen_engine: str, with_plugins: None, clean_tables: None) -> Any:
    return factories.Resource()


def _rows(resource: Any) -> list[list[Any]]:
    found = helpers.call_action(
        "datastore_search", resource_id=resource["id"], records_format="lists"
    )
    return [record[1:] for record in found["records"]]


@pytest.mark.parametrize("name", GOOD)
def test_a_good_file_is_loaded(name: str, resource: Any, tmp_path: Path) -> None:
    content, fields, rows = GOOD[name]
    file = tmp_path / "file.csv"
    file.write_bytes(content)
    loaded = load_file(resource["id"], file)
    assert [(field.id, field.type) for field in loaded.table.fields] == fields
    assert loaded.row_count == len(rows)
    assert _rows(resource) == rows


@pytest.mark.parametrize("name", BAD)
def test_a_bad_file_says_why_and_changes_nothing(name: str, resource: Any, tmp_path: Path) -> None:
    content, reason = BAD[name]
    good, bad = tmp_path / "good.csv", tmp_path / "bad.csv"
    good.write_bytes(b"a\n1\n")
    bad.write_bytes(content)
    load_file(resource["id"], good)
    with pytest.raises(InvalidRequest, match=reason):
        load_file(resource["id"], bad)
    assert _rows(resource) == [[1]]


def test_other_formats(resource: Any, tmp_path: Path) -> None:
    packed = tmp_path / "file.tsv.gz"
    packed.write_bytes(gzip.compress(b"a\tb\n1\tx\n"))
    load_file(resource["id"], packed)
    assert _rows(resource) == [[1, "x"]]
    lines = tmp_path / "file.ndjson"
    lines.write_text('{"a": 1, "b": {"c": 2}}\n{"a": 2}\n')
    load_file(resource["id"], lines)
    assert _rows(resource)[1][0] == 2
    listed = tmp_path / "file.parquet"
    prices = pa.array([[Decimal("1.25"), None]], pa.list_(pa.decimal128(9, 2)))
    pq.write_table(pa.table({"prices": prices}), listed)
    load_file(resource["id"], listed)
    assert _rows(resource) == [[[1.25, None]]]


CUT_OFF = {
    "file.json": b'[{"a": 1},',
    "file.json.gz": gzip.compress(b'[{"a": 1},'),
    "file.csv.gz": gzip.compress(b"a\n" + b"".join(b"%d\n" % n for n in range(50_000)))[:-50_000],
    "checksum.csv.gz": gzip.compress(b"a\n2\n3\n")[:-8] + b"\0" * 8,
}


@pytest.mark.parametrize("name", CUT_OFF)
def test_a_file_that_is_cut_off_changes_nothing(name: str, resource: Any, tmp_path: Path) -> None:
    good, half = tmp_path / "good.csv", tmp_path / name
    good.write_bytes(b"a\n1\n")
    load_file(resource["id"], good)
    half.write_bytes(CUT_OFF[name])
    with pytest.raises(InvalidRequest, match=r"not a whole JSON array|cannot be unpacked"):
        load_file(resource["id"], half)
    assert _rows(resource) == [[1]]


def test_the_data_dictionary_outlives_a_load(resource: Any, tmp_path: Path) -> None:
    file = tmp_path / "file.csv"
    file.write_bytes(b"code,v\n7,1\n")
    load_file(resource["id"], file)
    assert _rows(resource) == [[7, 1]]
    helpers.call_action(
        "datastore_create",
        resource_id=resource["id"],
        force=True,
        primary_key=["code"],
        aliases=["codes"],
        fields=[
            {"id": "code", "type": "int8", "info": {"label": "Code", "type_override": "text"}},
            {"id": "v", "type": "int8"},
        ],
    )
    load_file(resource["id"], file)
    assert _rows(resource) == [["7", 1]]
    info = helpers.call_action("datastore_info", id="codes")
    assert info["fields"][0]["info"]["label"] == "Code"
    file.write_bytes(b"code,v\n7,1\n7,2\n")
    with pytest.raises(InvalidRequest, match=r"uniqueness.*\(code\)=\(7\)"):
        load_file(resource["id"], file)
    assert _rows(resource) == [["7", 1]]


def test_headings_become_valid_names() -> None:
    assert field_names(["a", "a", "", " _x ", 'q"', "ü" * 70, "b\x00c"]) == [
        "a",
        "a_2",
        "column_3",
        "x",
        "q'",
        "ü" * 63,
        "bc",
    ]


def test_the_command_loads_and_marks_the_resource(resource: Any, tmp_path: Path, cli: Any) -> None:
    file = tmp_path / "file.csv"
    file.write_bytes(b"a\n1\n2\n")
    result = cli.invoke(ckan, ["bqdatastore", "load", resource["id"], str(file)])
    assert result.exit_code == 0, result.output
    assert "2 rows in 1 fields loaded" in result.output
    shown = helpers.call_action("resource_show", id=resource["id"])
    assert shown["datastore_active"] is True


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("no-such-resource", "good.csv"), 'There is no resource "no-such-resource"'),
        (("{id}", "bad.csv"), "is empty"),
        (("{id}", "file.doc"), "tells of no known format"),
    ],
)
def test_the_command_ends_with_a_sentence(
    arguments: tuple[str, str], said: str, resource: Any, tmp_path: Path, cli: Any
) -> None:
    for name, content in (("good.csv", b"a\n1\n"), ("bad.csv", b""), ("file.doc", b"a\n1\n")):
        (tmp_path / name).write_bytes(content)
    id, file = arguments
    result = cli.invoke(
        ckan, ["bqdatastore", "load", id.format(id=resource["id"]), str(tmp_path / file)]
    )
    assert result.exit_code == 1
    assert said in result.output
    assert "Traceback" not in result.output
