"""The words of stems that are not English: one more job, which fetches no more than it has to."""

from __future__ import annotations

import functools
import random
import re
from collections.abc import Callable, Iterator
from contextlib import closing

import pyarrow as pa
import pytest
import sqlglot.expressions as sge

from ckanext.bqdatastore.engines.base import Engine, EngineSettings
from ckanext.bqdatastore.engines.bigquery import vocabulary
from ckanext.bqdatastore.engines.bigquery.dialect import BigQueryDialect
from ckanext.bqdatastore.engines.bigquery.stemmer import LANGUAGES, stems
from ckanext.bqdatastore.engines.bigquery.stemming import Stem
from ckanext.bqdatastore.engines.bigquery.vocabulary import beginning
from ckanext.bqdatastore.model.errors import InvalidRequest
from ckanext.bqdatastore.model.query import ParameterNames, Query, bound, column, table
from ckanext.bqdatastore.model.table import Field, Table
from ckanext.bqdatastore.model.write import Rows, TableChange, Write, WriteMode
from ckanext.bqdatastore.query import fulltext

from .fault_proxy import FaultProxy
from .test_bigquery_jobs import ENDPOINT, through
from .test_languages import FORMS, WORDS
from .test_languages import LANGUAGES as SCRIPTS

ENGINE_KINDS = ("bigquery",)

LETTERS: dict[str, str] = SCRIPTS["letters"]
NOTES = Table("notes", (Field("a", "text"), Field("b", "text")))


def _made_up(language: str) -> list[str]:
    """Words of all lengths; with real endings where some are known."""
    chosen = random.Random(9)
    letters = LETTERS.get(language, LETTERS["latin"])
    endings = ["", *FORMS[language]["endings"].split()] if language in FORMS else [""]
    made = [
        "".join(chosen.choices(letters, k=chosen.randint(1, 7))) + chosen.choice(endings)
        for _ in range(2_000)
    ]
    return [*made, *WORDS.get(language, ())]


@pytest.mark.parametrize("language", sorted(LANGUAGES - {"english"}))
def test_words_begin_as_is_asked_of_their_stems(language: str) -> None:
    words = _made_up(language)
    pattern = functools.cache(lambda *of: re.compile(beginning(Stem(*of))))
    for word, stem in zip(words, stems(words, language), strict=True):
        for length in {1, 2, 3, len(stem)}:
            asked = (stem[:length], language, length < len(stem))
            assert pattern(*asked).match(word), (word, stem)


def test_few_words_are_fetched() -> None:
    assert re.match(beginning(Stem("mang", "french", False)), "Mângé".lower())
    assert not re.match(beginning(Stem("mang", "french", False)), "menge")
    assert not re.match(beginning(Stem("mog", "german", False)), "nog")


@pytest.fixture
def notes(engine: Engine) -> Table:
    engine.apply(TableChange(None, NOTES))
    _add(engine, ["chevaux", "cheval blanc", "chien"], ["x", "rivaux", "y"])
    return NOTES


def _add(engine: Engine, *columns: list[str]) -> None:
    data = pa.table(dict(zip("ab", columns, strict=True)))
    rows = Rows(data, (), tuple(range(data.num_rows)))
    engine.apply(TableChange(NOTES, NOTES, Write(WriteMode.INSERT, (rows,))))


Search = Callable[..., list[int]]


@pytest.fixture
def search(
    engine: Engine, settings: EngineSettings, notes: Table
) -> Iterator[tuple[Search, list[str]]]:
    """Searches as the backend makes them, and the statements that they lead to."""
    with (
        FaultProxy(ENDPOINT, lambda: None) as proxy,
        closing(through(settings, proxy.url)) as asked,
    ):

        def found(language: str, total: bool = False, **texts: str) -> list[int]:
            names = ParameterNames()
            conditions, ranks = [], []
            for field, text in texts.items():
                terms = fulltext.parse(text, language=language, plain=":" not in text)
                of = (terms, [(field, "text")], BigQueryDialect(), names)
                trees = fulltext.trees(*of, whole_row=False)
                conditions.append(trees.condition)
                ranks.append(trees.rank())
            shown = [column("_id"), *(each.as_(f"rank{n}") for n, each in enumerate(ranks))]
            tree = sge.select(*([sge.Count(this=sge.Star())] if total else shown))
            query: Query = bound(tree.from_(table("notes")).where(*conditions), names.values)
            return sorted(asked.query(query).read_all().column(0).to_pylist())

        yield found, proxy.statements


def test_a_search_takes_one_more_job_than_in_english(
    search: tuple[Search, list[str]], engine: Engine
) -> None:
    found, statements = search
    assert found("english", a="chevaux") == [1]
    assert len(statements) == 1
    assert found("french", a="chevaux") == [1, 2]
    assert len(statements) == 3
    # Another page, and the total.
    assert found("french", a="chevaux") == [1, 2]
    assert found("french", total=True, a="chevaux") == [2]
    assert len(statements) == 5


def test_words_of_several_columns_are_one_job(search: tuple[Search, list[str]]) -> None:
    found, statements = search
    assert found("french", a="chevaux", b="rival") == [2]
    assert len(statements) == 2


def test_new_rows_are_looked_at(search: tuple[Search, list[str]], engine: Engine) -> None:
    found, statements = search
    assert found("german", a="Häuser") == []
    _add(engine, ["haus", "Hauses"], ["", ""])
    assert found("german", a="Häuser") == [4, 5]
    assert len(statements) == 4


def test_more_words_than_can_be_stemmed_are_refused(
    search: tuple[Search, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    found, _ = search
    monkeypatch.setattr(vocabulary, "MOST_WORDS", 3)
    assert found("french", a="chevaux") == [1, 2]
    monkeypatch.setattr(vocabulary, "MOST_WORDS", 2)
    with pytest.raises(InvalidRequest, match="different words"):
        found("french", a="cheval:*")
