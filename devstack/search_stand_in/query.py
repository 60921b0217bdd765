"""Query strings to trees: the Lucene syntax as Solr's `lucene` and `edismax` parsers read it, and
the plainer one of `dismax`.
"""

from __future__ import annotations

import enum
import re
from dataclasses import dataclass, replace

from devstack.search_stand_in.errors import BadRequest

# A field of None stands for the default: `df` for lucene, all of `qf` for the dismax parsers.


@dataclass(frozen=True)
class Everything:
    """``*:*``"""

    boost: float = 1.0


@dataclass(frozen=True)
class Term:
    field: str | None
    text: str
    boost: float = 1.0


@dataclass(frozen=True)
class Phrase:
    field: str | None
    text: str
    boost: float = 1.0


@dataclass(frozen=True)
class Wildcard:
    """`pattern` is a regular expression for a whole term, None for any value at all."""

    field: str | None
    pattern: str | None
    boost: float = 1.0


@dataclass(frozen=True)
class Range:
    """A bound of None is open."""

    field: str | None
    low: str | None
    high: str | None
    includes_low: bool
    includes_high: bool
    boost: float = 1.0


class Occur(enum.Enum):
    MUST = "+"
    SHOULD = ""
    MUST_NOT = "-"


@dataclass(frozen=True)
class Boolean:
    """All of MUST, none of MUST_NOT, and of SHOULD `minimum`, or one if nothing else is asked."""

    clauses: tuple[tuple[Occur, Query], ...]
    minimum: int | None = None
    boost: float = 1.0


Query = Everything | Term | Phrase | Wildcard | Range | Boolean


_TOKEN = re.compile(
    r"""
      (?P<space>\s+)
    | (?P<range>[\[{]\s*(?P<low>"(?:\\.|[^"\\])*"|(?:\\.|[^\s\]}\\])+)\s+TO\s+
                (?P<high>"(?:\\.|[^"\\])*"|(?:\\.|[^\s\]}\\])+)\s*[\]}])
    | (?P<phrase>"(?:\\.|[^"\\])*")
    | (?P<boost>\^\d+(?:\.\d+)?)
    | (?P<operator>&&|\|\||[()!+:-])
    | (?P<word>(?:\\.|[^\s+\-!(){}\[\]^"~:\\/])(?:\\.|[^\s!(){}\[\]^"~:\\])*)
    | (?P<unsupported>~\d*(?:\.\d+)?|/)
    """,
    re.VERBOSE | re.DOTALL,
)
# What dismax drops: `SolrPluginUtils.stripIllegalOperators`.
_CONSECUTIVE = re.compile(r"\s+[+-](?:\s*[+-]+)+")
_DANGLING = re.compile(r"\s+[-+\s]+$")
_NO_DISMAX_SYNTAX = re.compile(r"&&|\|\||[\\!():^\[\]{}~*?/]")
_ANY_SYNTAX = re.compile(r"&&|\|\||[\\!():^\[\]{}~*?/\"+-]")
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)


@dataclass(frozen=True)
class _Token:
    kind: str
    text: str
    match: re.Match[str]


def parse(text: str, *, default_operator: str) -> Query:
    """Read Lucene syntax.

    :param default_operator: AND or OR, between what has neither.
    :raises BadRequest: it cannot be parsed, or asks for what the stand-in has not.
    """
    if text.lstrip().startswith("{!"):
        raise BadRequest(f"The search stand-in has no local parameters: {text}")
    return _Parser(text, _tokens(text), default_operator).parse()


def parse_dismax(text: str, *, minimum_match: str) -> Query:
    """Read what the dismax parser takes for syntax: quotes, plus, minus, AND, OR and NOT.

    :raises BadRequest: these stand where they cannot, as in ``--word``; Solr is no kinder.
    """
    if text.count('"') % 2:
        text = text.replace('"', "")
    text = _DANGLING.sub("", _CONSECUTIVE.sub(" ", text))
    escaped = _NO_DISMAX_SYNTAX.sub(_escape_match, text)
    return _with_minimum(parse(escaped, default_operator="OR"), minimum_match)


def parse_edismax(text: str, *, minimum_match: str) -> Query:
    """Read Lucene syntax, and whatever is none as plain words."""
    try:
        query = parse(text, default_operator="OR")
    except BadRequest as error:
        if "stand-in" in str(error):
            raise
        query = parse(_ANY_SYNTAX.sub(_escape_match, text), default_operator="OR")
    return _with_minimum(query, minimum_match)


def minimum_should_match(optional: int, rule: str) -> int:
    """How many of `optional` clauses must match, by Solr's `mm`: ``2``, ``-1``, ``75%``,
    ``2<-1 5<80%``.
    """
    if "<" in rule:
        result = optional
        for condition in rule.split():
            above, _, then = condition.partition("<")
            if optional <= int(above):
                return result
            result = minimum_should_match(optional, then)
        return result
    count = int(optional * int(rule[:-1]) / 100) if rule.endswith("%") else int(rule)
    return min(optional, max(0, count if count >= 0 else optional + count))


def _with_minimum(query: Query, rule: str) -> Query:
    if not isinstance(query, Boolean):
        return query
    optional = sum(occur is Occur.SHOULD for occur, _ in query.clauses)
    return replace(query, minimum=minimum_should_match(optional, rule))


def _escape_match(found: re.Match[str]) -> str:
    return "".join("\\" + character for character in found[0])


def _tokens(text: str) -> list[_Token]:
    tokens: list[_Token] = []
    position = 0
    while position < len(text):
        found = _TOKEN.match(text, position)
        if not found:
            raise _syntax_error(text)
        position = found.end()
        kind = found.lastgroup or ""
        kind = "range" if found["range"] else kind
        if kind == "unsupported":
            raise BadRequest(
                f"The search stand-in has no fuzzy, proximity or regex queries: {text}"
            )
        if kind != "space":
            tokens.append(_Token(kind, found[0], found))
    return tokens


def _syntax_error(text: str) -> BadRequest:
    return BadRequest(f"org.apache.solr.search.SyntaxError: Cannot parse '{text}'")


class _Parser:
    def __init__(self, text: str, tokens: list[_Token], default_operator: str) -> None:
        self._text = text
        self._tokens = tokens
        self._place = 0
        self._and_by_default = default_operator.upper() == "AND"

    def parse(self) -> Query:
        query = self._clauses(None)
        if self._place < len(self._tokens):
            raise _syntax_error(self._text)
        return query

    def _next(self) -> _Token | None:
        return self._tokens[self._place] if self._place < len(self._tokens) else None

    def _accept(self, *texts: str) -> str | None:
        token = self._next()
        if token and token.kind in ("operator", "word") and token.text in texts:
            self._place += 1
            return token.text
        return None

    def _clauses(self, field: str | None) -> Query:
        """A sequence of clauses. How operators make their neighbours required or optional is
        Lucene's classic parser's way (`QueryParserBase.addClause`), without precedence.
        """
        clauses: list[tuple[Occur, Query]] = []
        while (token := self._next()) and token.text != ")":
            conjunction = self._accept("AND", "&&", "OR", "||")
            is_and, is_or = conjunction in ("AND", "&&"), conjunction in ("OR", "||")
            if conjunction and not clauses:
                raise _syntax_error(self._text)
            modifier = self._accept("+", "-", "!", "NOT")
            query = self._clause(field)
            if clauses and clauses[-1][0] is not Occur.MUST_NOT:
                if is_and:
                    clauses[-1] = (Occur.MUST, clauses[-1][1])
                elif is_or and self._and_by_default:
                    clauses[-1] = (Occur.SHOULD, clauses[-1][1])
            if modifier in ("-", "!", "NOT"):
                occur = Occur.MUST_NOT
            elif modifier == "+" or is_and or (self._and_by_default and not is_or):
                occur = Occur.MUST
            else:
                occur = Occur.SHOULD
            if occur is Occur.MUST and is_or and self._and_by_default:
                occur = Occur.SHOULD
            clauses.append((occur, query))
        if len(clauses) == 1 and clauses[0][0] is not Occur.MUST_NOT:
            return clauses[0][1]
        return Boolean(tuple(clauses))

    def _clause(self, field: str | None) -> Query:
        token = self._next()
        after = self._tokens[self._place + 1] if self._place + 1 < len(self._tokens) else None
        if token and token.kind == "word" and after and after.text == ":":
            self._place += 2
            name = _ESCAPED.sub(r"\1", token.text)
            value = self._next()
            if name == "*" and value and value.text == "*":
                self._place += 1
                return self._boosted(Everything())
            return self._value(name)
        return self._value(field)

    def _value(self, field: str | None) -> Query:
        token = self._next()
        if token is None:
            raise _syntax_error(self._text)
        self._place += 1
        if token.text == "(" and token.kind == "operator":
            inner = self._clauses(field)
            if not self._accept(")"):
                raise _syntax_error(self._text)
            return self._boosted(inner)
        if token.kind == "range":
            return self._boosted(_range(field, token))
        if token.kind == "phrase":
            return self._boosted(Phrase(field, _ESCAPED.sub(r"\1", token.text[1:-1])))
        if token.kind == "word" and token.text not in ("AND", "OR", "NOT", "&&", "||"):
            return self._boosted(_word(field, token.text))
        if token.text == "-" and field is not None:  # a negative number: field:-1
            number = self._next()
            if number and number.kind == "word":
                self._place += 1
                return self._boosted(_word(field, "-" + number.text))
        raise _syntax_error(self._text)

    def _boosted(self, query: Query) -> Query:
        token = self._next()
        if token and token.kind == "boost":
            self._place += 1
            return replace(query, boost=float(token.text[1:]))
        return query


def _word(field: str | None, text: str) -> Query:
    if text == "*":
        return Wildcard(field, None)
    pieces = re.split(r"(\\.|[*?])", text, flags=re.DOTALL)
    if "*" not in pieces and "?" not in pieces:
        return Term(field, _ESCAPED.sub(r"\1", text))
    symbols = {"*": ".*", "?": "."}
    pattern = "".join(
        symbols.get(piece) or re.escape(_ESCAPED.sub(r"\1", piece)) for piece in pieces
    )
    return Wildcard(field, pattern)


def _range(field: str | None, token: _Token) -> Range:
    def bound(name: str) -> str | None:
        text = token.match[name]
        if text == "*":
            return None
        text = text[1:-1] if text.startswith('"') else text
        return _ESCAPED.sub(r"\1", text)

    return Range(
        field,
        bound("low"),
        bound("high"),
        includes_low=token.text.startswith("["),
        includes_high=token.text.endswith("]"),
    )
