"""In other languages than English too, a word finds all other forms of it, and nothing else."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import sqlglot.expressions as sge
import yaml

from ckanext.bqdatastore.engines.base import Engine
from ckanext.bqdatastore.engines.bigquery.stemmer import stem, stems
from ckanext.bqdatastore.model.query import ParameterNames, Query, bound, column, table
from ckanext.bqdatastore.model.table import Field, Table
from ckanext.bqdatastore.model.write import Rows, TableChange, Write, WriteMode
from ckanext.bqdatastore.query import fulltext

ENGINE_KINDS = ("sqlite", "bigquery")

LANGUAGES = yaml.safe_load(Path(__file__).with_name("languages.yaml").read_text(encoding="utf-8"))
FORMS: dict[str, dict[str, str]] = LANGUAGES["forms"]
QUERIES_OF_EACH = 4


def _words(language: str) -> list[str]:
    forms = {name: text.split() for name, text in FORMS[language].items()}
    endings = ["", *forms["endings"]]
    made = [base + ending for base in forms["bases"] for ending in endings]
    few = made[:: len(endings) // 4]
    return [*made, *(start + word for start in forms.get("beginnings", ()) for word in few)]


WORDS = {language: _words(language) for language in FORMS}
TEXTS = Table("texts", tuple(Field(language, "text") for language in FORMS))


@pytest.fixture(scope="module")
def texts(opened_engine: Engine) -> Engine:
    """A row for each word of a language; now and then it stands among others."""
    for name in opened_engine.tables():
        opened_engine.drop(name)
    count = max(map(len, WORDS.values()))
    columns = {
        language: [
            _text(words[number], number) if number < len(words) else None for number in range(count)
        ]
        for language, words in WORDS.items()
    }
    data = pa.table({name: pa.array(values, pa.string()) for name, values in columns.items()})
    rows = Rows(data, (), tuple(range(count)))
    opened_engine.apply(TableChange(None, TEXTS, Write(WriteMode.INSERT, (rows,))))
    return opened_engine


def _text(word: str, number: int) -> str:
    forms = (word, word.capitalize(), f"0 {word}, x@{number}.org", f"{number}/7 «{word}»")
    return forms[number % 4]


def _search(asked: dict[str, str], dialect: Any, language: str) -> Query:
    names = ParameterNames()
    conditions = []
    for field, text in asked.items():
        terms = fulltext.parse(text, language=language, plain=not set(":|") & set(text))
        fields = [(field, "text")]
        trees = fulltext.trees(terms, fields, dialect, names, whole_row=False)
        conditions.append(trees.condition)
    tree = sge.select(column("_id")).from_(table("texts")).where(*conditions)
    return bound(tree, names.values)


def _found(asked: dict[str, str], engine: Engine, language: str) -> list[int]:
    found = engine.query(_search(asked, engine.dialect, language)).read_all()
    return sorted(found.column(0).to_pylist())


@pytest.mark.parametrize("language", FORMS)
def test_a_word_finds_all_forms_of_it(language: str, texts: Engine) -> None:
    words = WORDS[language]
    of_words = stems([word.lower() for word in words], language)
    for asked in random.Random(4).sample(words, QUERIES_OF_EACH):
        wanted = stem(asked.lower(), language)
        expected = [number + 1 for number, each in enumerate(of_words) if each == wanted]
        assert _found({language: asked}, texts, language) == expected, asked


@pytest.mark.parametrize(
    ("language", "beginning"),
    [("german", "mögl"), ("french", "mang"), ("spanish", "árb"), ("greek", "άνθ"), ("dutch", "l")],
)
def test_a_beginning_finds_all_stems_that_begin_so(
    language: str, beginning: str, texts: Engine
) -> None:
    wanted = stem(beginning, language)
    of_words = stems([word.lower() for word in WORDS[language]], language)
    expected = [number + 1 for number, each in enumerate(of_words) if each.startswith(wanted)]
    assert expected
    assert _found({language: f"{beginning}:*"}, texts, language) == expected


def test_columns_are_searched_at_once(texts: Engine) -> None:
    asked = {language: WORDS[language][40] for language in ("german", "dutch")}
    wanted = [stem(word, "german") for word in asked.values()]
    rows = zip(*(stems(WORDS[language], "german") for language in asked), strict=False)
    expected = [number + 1 for number, row in enumerate(rows) if list(row) == wanted]
    assert _found(asked, texts, "german") == expected
    assert 41 in expected


def test_a_word_that_no_text_has_is_not_found(texts: Engine) -> None:
    assert _found({"french": "introuvable"}, texts, "french") == []
    assert _found({"french": "introuvable | parler"}, texts, "french") != []
