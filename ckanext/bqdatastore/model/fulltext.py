"""What an engine is told of the words of a full-text query."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import sqlglot.expressions as sge

Body = Callable[[sge.Expr], sge.Expr]
"""Makes an expression from a value."""


class Lexeme(Protocol):
    """A word of the query: see `query.fulltext.Lexeme`."""

    @property
    def value(self) -> sge.Expr: ...
    @property
    def stemmer(self) -> str | None: ...
    @property
    def prefix(self) -> bool: ...
    @property
    def run(self) -> bool: ...
    @property
    def caseless(self) -> bool: ...
    @property
    def spellings(self) -> tuple[sge.Expr, ...]: ...
    @property
    def stop_words(self) -> tuple[sge.Expr, ...]: ...


class Grammar(Protocol):
    """The patterns of tokens: see `query.fulltext.words.Grammar`."""

    @property
    def no_token(self) -> str: ...
    @property
    def address(self) -> str: ...
    @property
    def undivided(self) -> str: ...
    @property
    def signed_version(self) -> str: ...
    @property
    def run(self) -> str: ...
    @property
    def compound(self) -> str: ...
    @property
    def word_compound(self) -> str: ...
