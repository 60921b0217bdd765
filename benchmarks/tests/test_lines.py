"""Which lines are asked for, and what they ask."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks.lines import chosen, read_lines, write_lines
from benchmarks.run import names_of_lines
from benchmarks.sites import declared_settings, variants
from benchmarks.tables import KEY, Subject

SUBJECT = Subject(
    name="t",
    path=Path("t.csv"),
    rows=1000,
    texts={"a": "x", "b": "y"},
    range={"n": {"gte": 1}},
    number="n",
    rare="rare",
    common="common",
    few=("a", "b"),
    joined=("a", "n < 2"),
    different="n",
)

NAMES = names_of_lines()


def test_no_words_choose_every_line():
    assert chosen(NAMES, "") == NAMES


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("info insert 1", ["info", "insert 1"]),
        ("insert", ["insert 1", "insert 1,000"]),
        ("insert 1,000", ["insert 1,000"]),
        ("insert 1000 info", ["info", "insert 1,000"]),
        ("SQL group dump", ["SQL group", "dump csv"]),
    ],
)
def test_words_choose_lines_by_their_beginnings(words: str, expected: list[str]):
    assert chosen(NAMES, words) == expected


def test_words_that_begin_no_line_are_refused():
    with pytest.raises(ValueError, match="inform"):
        chosen(NAMES, "inform")


def test_lines_have_different_names():
    assert len(set(NAMES)) == len(NAMES)


def test_every_read_names_its_resource():
    for line in read_lines(SUBJECT):
        request = line.make("the-resource", 0)
        assert "the-resource" in request.path + (request.body or b"").decode()


def test_writes_give_out_new_keys_and_find_known_ones():
    sample = [{KEY: 1, "n": 5}]
    made = {line.name: line.make for line in write_lines(sample, rows=10_000)}

    def keys(name: str, number: int) -> list[int]:
        body = json.loads(made[name]("r", number).body or b"")
        return [record[KEY] for record in body["records"]]

    new = [keys(name, number) for name in ("insert 1", "insert 1,000") for number in range(50)]
    flat = [key for some in new for key in some]
    assert min(flat) > 10_000
    assert len(set(flat)) == len(flat)
    known = [keys(name, number) for name in ("upsert 1", "upsert 1,000") for number in range(50)]
    assert all(1 <= key <= 10_000 for some in known for key in some)


def test_variants_without_their_setting_are_left_out_by_name():
    kept, left_out = variants(frozenset())
    assert [variant.settings for variant in kept] == [{}]
    assert [label for label, _ in left_out] == ["permission cache", "both caches"]
    assert all("ckanext.bqdatastore." in reason for _, reason in left_out)


def test_declared_settings_are_those_of_the_extension():
    assert "ckanext.bqdatastore.statement_timeout" in declared_settings()
