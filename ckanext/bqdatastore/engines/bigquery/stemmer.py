"""The stemmer of this engine: DuckDB's, which runs here and not in BigQuery.

It is the one that documents on DuckLake are stemmed by, so a word has the same stem on both.
"""

from __future__ import annotations

import functools
import importlib.util
import os
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import pyarrow as pa

from ...model.errors import Misconfigured

if TYPE_CHECKING:
    import duckdb

_LANGUAGES = """
    arabic basque catalan danish dutch english finnish french german greek hindi hungarian
    indonesian irish italian lithuanian nepali norwegian portuguese romanian russian serbian
    spanish swedish tamil turkish
    """
Words: TypeAlias = "Collection[str] | pa.ChunkedArray"

LANGUAGES = frozenset(_LANGUAGES.split())
"""Languages whose words are stemmed; those of others are their own stems."""


def stems(words: Sequence[str], language: str) -> list[str]:
    """The stem of each word; the word itself where the language has no stemmer."""
    if language not in LANGUAGES or not words:
        return list(words)
    return [
        str(found) for (found,) in _answer("SELECT stem(word, ?) FROM words", words, [language])
    ]


@functools.lru_cache(maxsize=4096)
def stem(word: str, language: str) -> str:
    """A word's stem; the word itself where the language has no stemmer."""
    return stems([word], language)[0]


def having(wanted: str, words: Words, language: str, *, prefix: bool = False) -> set[str]:
    """Those of the words whose stem is `wanted`.

    :param language: one of `LANGUAGES`
    :param prefix: those whose stem begins so
    """
    has = "starts_with(stem(word, ?), ?)" if prefix else "stem(word, ?) = ?"
    query = f"SELECT word FROM words WHERE {has}"
    return {str(found) for (found,) in _answer(query, words, [language, wanted])}


def _answer(query: str, words: Words, values: Sequence[str]) -> list[tuple[object, ...]]:
    if not isinstance(words, pa.ChunkedArray):
        words = pa.chunked_array([list(words)], pa.string())
    cursor = _session(os.getpid()).cursor()
    try:
        cursor.register("words", pa.table({"word": words}))
        return cursor.execute(query, list(values)).fetchall()
    finally:
        cursor.close()


@functools.cache
def _session(process: int) -> duckdb.DuckDBPyConnection:
    """An empty DuckDB with the stemmer.

    :param process: whose it is: none is used across a fork
    :raises Misconfigured: the stemmer's wheel is not installed, or is for another DuckDB
    """
    import duckdb  # only full-text search needs it

    spec = importlib.util.find_spec("duckdb_extension_fts")
    folder = f"extensions/v{duckdb.__version__}"
    file = (
        Path(spec.origin).parent / folder / "fts.duckdb_extension" if spec and spec.origin else None
    )
    if file is None or not file.exists():
        raise Misconfigured(
            "Full-text search on BigQuery needs a package: pip install "
            f'"duckdb-extension-fts=={duckdb.__version__}".'
        )
    session = duckdb.connect(":memory:", config={"threads": 1})
    session.load_extension(str(file))
    session.execute("SET autoinstall_known_extensions = false")
    session.execute("SET autoload_known_extensions = false")
    session.execute("SET enable_external_access = false")
    return session
