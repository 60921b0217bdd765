"""Whatever the text, the guard refuses it or gives a tree of authorized tables; nothing else."""

from __future__ import annotations

import random
from pathlib import Path

import yaml
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from ckanext.bqdatastore.engines.ducklake.translate import translate
from ckanext.bqdatastore.model.errors import InvalidRequest, NotPermitted
from ckanext.bqdatastore.query import guard

from .guarding import ALLOWED, READABLE, resources

_HERE = Path(__file__).parents[1]
_ATTACKS = yaml.safe_load((_HERE / "query/attacks.yaml").read_text(encoding="utf-8"))
_CASES = yaml.safe_load((_HERE / "engines/sql_cases.yaml").read_text(encoding="utf-8"))
QUERIES = [
    *(sql for listed in _ATTACKS.values() for sql in listed),
    *(case for cases in _CASES["same"].values() for case in cases),
    *_CASES["refused"],
]
_WORDS = sorted({word for sql in QUERIES for word in sql.split()})
_PIECES = sorted({piece for sql in QUERIES for piece in sql.replace("(", " ( ").split(" ")})

_UNHURRIED = settings(max_examples=4000, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def check(sql: str) -> None:
    """The guard's promise, and the translation's: one of two errors, or a harmless tree."""
    try:
        parsed = guard.parse(sql)
        bound = guard.bind(parsed, READABLE, ALLOWED, 10)
        rendered = translate(bound.query.tree)
    except (InvalidRequest, NotPermitted):
        return
    authorized = {READABLE[name].name for name in parsed.tables}
    assert resources(bound.query.tree) == authorized
    assert resources(rendered) == authorized
    assert rendered.sql(dialect="duckdb")


@_UNHURRIED
@given(st.text())
@example("select '\ud800'")
@example("\0")
def test_any_text(text: str) -> None:
    check(text)


@_UNHURRIED
@given(st.lists(st.sampled_from(_WORDS), max_size=30))
def test_any_words_of_sql(words: list[str]) -> None:
    check("select " + " ".join(words))


@_UNHURRIED
@given(st.sampled_from(QUERIES), st.integers(0, 2**32))
def test_any_query_with_changes(sql: str, seed: int) -> None:
    chance = random.Random(seed)
    pieces = sql.split(" ")
    for _ in range(chance.randint(1, 3)):
        place = chance.randrange(len(pieces) + 1)
        change = chance.randrange(4)
        if change == 0:
            pieces.insert(place, chance.choice(_PIECES))
        elif change == 1 and pieces:
            del pieces[min(place, len(pieces) - 1)]
        elif change == 2 and pieces:
            pieces[min(place, len(pieces) - 1)] = chance.choice(_PIECES)
        else:
            chance.shuffle(pieces)
    check(" ".join(pieces))


@_UNHURRIED
@given(st.sampled_from(QUERIES), st.sampled_from(QUERIES))
def test_any_query_within_another(outer: str, inner: str) -> None:
    for joined in (
        f"select * from ({outer}) a, ({inner}) b",
        f"({outer}) union ({inner})",
        f"with t as ({inner}) {outer}",
        f"select ({inner}) from t where exists ({outer})",
        outer.replace("1", f"({inner})"),
        outer.replace(" t", f" ({inner}) x"),
    ):
        check(joined)


@_UNHURRIED
@given(st.text(), st.sampled_from(["select '{}'", 'select "{}" from t', "select $q${}$q$"]))
def test_any_text_inside_quotes(text: str, around: str) -> None:
    check(around.format(text.replace("'", "''").replace('"', '""')))
