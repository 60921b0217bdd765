"""The words of a stem in languages whose stemmers cannot be turned round: those that a table has.

One query job lists the different words of the searched columns that begin as the stem does; they
are stemmed here. What was found is kept for as long as the table is the same.
"""

from __future__ import annotations

import functools
import unicodedata
from collections.abc import Callable, Mapping, Sequence

import pyarrow as pa
import sqlglot.expressions as sge

from ...model.errors import InvalidRequest
from ...model.query import Parameter, Query, bound
from ...model.recent import Recent
from .forms import call, number, text, unnested
from .stemmer import having
from .stemming import Stem, foreign

MOST_WORDS = 200_000
"""Of words that are fetched to be stemmed: some megabytes."""

_MOST_KEPT = 256

_WORD = "_token"

# Letters at the beginning of a word that its stem has as well, accents aside. The last letter of a
# stem is none of them, wherever it is.
_KEPT_LETTERS = {
    **dict.fromkeys(("arabic", "greek", "indonesian", "irish", "serbian", "tamil"), 0),
    **dict.fromkeys(("finnish", "german"), 1),
}
_MOST_KEPT_LETTERS = 2

_FIRST_LETTER, _LAST_LETTER = 0x61, 0x1FFF

Found = tuple[str, ...]
Read = Callable[[Query], pa.Table]


class Vocabulary:
    """The words that were looked for most recently."""

    def __init__(self) -> None:
        self._kept: Recent[tuple[str, Stem], Found] = Recent(_MOST_KEPT)

    def words(
        self,
        tree: sge.Expr,
        values: Mapping[str, Parameter],
        version: str,
        read: Read,
    ) -> Mapping[Stem, Found]:
        """The words of each stem in the tree that is not English.

        :param tree: a search with the tables and columns of BigQuery
        :param version: of the table that is searched: another one after every change
        :param read: runs a query
        :raises InvalidRequest: there are more words to stem than `MOST_WORDS`
        """
        tests = list(foreign(tree, values))
        if not tests:
            return {}
        stems = list(dict.fromkeys(stem for _, stem in tests))
        source, lists = _documents([test for test, _ in tests])
        place = f"{source.sql()} {sorted(lists)} {version}"
        kept = ((stem, self._kept.get((place, stem))) for stem in stems)
        found = {stem: words for stem, words in kept if words is not None}
        missing = [stem for stem in stems if stem not in found]
        if missing:
            listed = read(_statement(source, list(lists.values()), values, missing))
            if listed.num_rows > MOST_WORDS:
                raise InvalidRequest("q", _TOO_MANY)
            for stem in missing:
                of_stem = having(stem.text, listed.column(0), stem.language, prefix=stem.prefix)
                found[stem] = tuple(sorted(of_stem))
                self._kept.put((place, stem), found[stem])
        return found


_TOO_MANY = (
    f"More than {MOST_WORDS:,} different words of the column begin as the ones asked for may. "
    'BigQuery has no stemmer for them: ask in English or, with the language "simple", for words '
    "as they are written."
)


def _documents(tests: Sequence[sge.Anonymous]) -> tuple[sge.Expr, dict[str, sge.Expr]]:
    """The table of the tests, and the lists of tokens that they look at, by their columns."""
    lists: dict[str, sge.Expr] = {}
    for test in tests:
        tokens = _tokens(test)
        # A column has the same words wherever its tokens are listed.
        columns = sorted({each.sql() for each in _columns(tokens)})
        lists.setdefault(" ".join(columns), tokens)
    return _table(tests[0]), lists


def _tokens(test: sge.Expr) -> sge.Expr:
    """The list of which a test's token is one."""
    select = test.find_ancestor(sge.Select)
    assert select is not None
    tokens = select.args["from_"].this.expressions[0]
    while isinstance(tokens, sge.Column):
        # Computed once: `FullTextDialect.full_text_with`.
        within, select = select, select.find_ancestor(sge.Select)
        assert select is not None
        clause = select.args.get("from_")
        source = clause.this if clause else None
        # Another value may be computed once of this one.
        if isinstance(source, sge.Subquery) and source.this is not within:
            tokens = source.this.expressions[0].unalias()
    return tokens


def _columns(tokens: sge.Expr) -> list[sge.Column]:
    """The table's columns; variables of lists begin with `_`, which no field does."""
    return [each for each in tokens.find_all(sge.Column) if not each.name.startswith("_")]


def _table(test: sge.Expr) -> sge.Expr:
    select = test.find_ancestor(sge.Select)
    while select is not None:
        source = select.args.get("from_")
        if source is not None and isinstance(source.this, sge.Table):
            return source.this
        select = select.find_ancestor(sge.Select)
    raise AssertionError("a search reads a table")


def _statement(
    source: sge.Expr,
    lists: Sequence[sge.Expr],
    values: Mapping[str, Parameter],
    stems: Sequence[Stem],
) -> Query:
    """The different words of the lists that may have one of the stems."""
    tokens = [each.copy() for each in lists]
    every = tokens[0] if len(tokens) == 1 else call("ARRAY_CONCAT", *tokens)
    words = sge.select(sge.column(_WORD)).distinct().from_(source.copy())
    words = words.join(unnested(every, _WORD), join_type="cross")
    patterns = {beginning(stem) for stem in stems}
    if "" not in patterns:
        pattern = text(f"^(?:{'|'.join(sorted(patterns))})")
        words = words.where(call("REGEXP_CONTAINS", sge.column(_WORD), pattern))
    return bound(words.limit(number(MOST_WORDS + 1)), values)


def beginning(stem: Stem) -> str:
    """A pattern of how all words of the stem begin; empty where nothing is known."""
    kept = _KEPT_LETTERS.get(stem.language, _MOST_KEPT_LETTERS)
    return "".join(_alike(letter) for letter in stem.text[: max(min(kept, len(stem.text) - 1), 0)])


@functools.cache
def _alike(letter: str) -> str:
    """A letter with all accents that it may have, as a class of characters."""
    plain = _plain(letter)
    letters = "".join(
        each for each in map(chr, range(_FIRST_LETTER, _LAST_LETTER)) if _plain(each) == plain
    )
    return f"[{letter}{letters}]"


def _plain(letter: str) -> str:
    return unicodedata.normalize("NFKD", letter.casefold())[:1]
