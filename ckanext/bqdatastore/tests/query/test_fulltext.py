"""Queries and tokens as PostgreSQL's text search reads them; nothing here needs an engine.

What PostgreSQL says was stored; where it runs (`DEVSTACK_POSTGRES_SUPERUSER_URL`, which
`python -m devstack run` sets) it is asked again.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ckanext.bqdatastore.model.errors import InvalidRequest
from ckanext.bqdatastore.query import fulltext
from ckanext.bqdatastore.query.fulltext.parser import And, Node, Not, Or, Phrase, Word
from ckanext.bqdatastore.query.fulltext.words import STOP_WORDS, tokens

SUPERUSER_URL = os.environ.get("DEVSTACK_POSTGRES_SUPERUSER_URL")

TOKENS = {
    "The quick, brown fox.": ["the", "quick", "brown", "fox"],
    "foo-bar-5": ["foo-bar", "foo", "bar", "5"],
    "foo-5 foo-5a-6": ["foo", "-5", "foo-5a", "foo", "5a", "6"],
    "1.5kg 5kg 1e5 2e-3": ["1.5", "kg", "5kg", "1e5", "2e-3"],
    "v1.2.3 -1.2.3 +3": ["v1.2.3", "1.2.3", "+3"],
    "1/2 12/31/2013": ["1/2", "12/31/2013"],
    "2013-01-01T05:00:00": ["2013", "-01", "-01", "t05", "00", "00"],
    "table.col_name": ["table.col", "name"],
    "foo.bar2 a.foo.bar2": ["foo.bar2", "a.foo", "bar2"],
    "U.S.A. e.g.": ["u.s.a", "e.g"],
    "http://foo.com/a?b=c d": ["foo.com/a?b=c", "foo.com", "/a?b=c", "d"],
    "a@b.com:80/x": ["a@b.com:80", "/x"],
    "/usr/bin ../x": ["/usr/bin", "/x"],
    "<b>bold</b> &amp; move": ["bold", "move"],
    "don't naïve—café “quoted”": ["don", "t", "naïve", "café", "quoted"],
    "é-bar.com": ["é-bar", "é", "bar", "com"],
    "a0eebc99-9c0b-4ef8": ["a0eebc99-9c0b-4ef8", "a0eebc99", "9c0b", "4ef8"],
    "x²y 東京都": ["x", "y", "東京都"],
}


@pytest.mark.parametrize(("text", "expected"), TOKENS.items())
def test_tokens(text: str, expected: list[str]) -> None:
    assert tokens(text) == expected


def shown(node: Node | None) -> str:
    """A tree in the syntax of `tsquery`, words not stemmed."""
    if node is None:
        return ""
    if isinstance(node, Word):
        return f"'{node.text}'" + (":*" if node.prefix else "")
    if isinstance(node, Not):
        return f"!({shown(node.operand)})"
    operator = f"<{node.distance}>" if isinstance(node, Phrase) else _OPERATORS[type(node)]
    return f"({shown(node.left)} {operator} {shown(node.right)})"


_OPERATORS: dict[type[Node], str] = {And: "&", Or: "|"}

QUERIES = {
    "fat & (rat | cat)": "('fat' & ('rat' | 'cat'))",
    "a|b&c<->d": "('b' & ('c' <1> 'd'))",
    "!!fat": "!(!('fat'))",
    "foo <-> the <-> bar": "('foo' <2> 'bar')",
    "'foo the bar' <3> x": "(('foo' <2> 'bar') <3> 'x')",
    "the <-> foo <2> the": "'foo'",
    "(the <-> the) <-> foo": "'foo'",
    "foo-bar:*": "(('foo-bar':* <1> 'foo':*) <1> 'bar':*)",
    "'it''s' | sup\\&er": "('sup' <1> 'er')",
    "the | !and": "",
    "": "",
}


@pytest.mark.parametrize(("text", "expected"), QUERIES.items())
def test_query_with_operators(text: str, expected: str) -> None:
    assert shown(fulltext.parse(text, plain=False).tree) == expected


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("foo bar", 'syntax error in tsquery: "foo bar"'),
        ("foo &", 'no operand in tsquery: "foo &"'),
        ("(foo", 'syntax error in tsquery: "(foo"'),
        ("foo)", 'syntax error in tsquery: "foo)"'),
        ("foo<bar", 'syntax error in tsquery: "foo<bar"'),
        ("foo:x", 'syntax error in tsquery: "foo:x"'),
        ("''", "syntax error in tsquery: \"''\""),
        ("foo\\", 'there is no escaped character: "foo\\"'),
    ],
)
def test_syntax_error(text: str, reason: str) -> None:
    with pytest.raises(InvalidRequest) as raised:
        fulltext.parse(text, plain=False)
    assert raised.value.key == "query"
    assert raised.value.messages == ["Invalid query"]
    assert raised.value.details == {"info": {"orig": [reason]}}


def test_unknown_language() -> None:
    with pytest.raises(InvalidRequest) as raised:
        fulltext.parse("foo", language="klingon")
    reason = 'text search configuration "klingon" does not exist'
    assert raised.value.details == {"info": {"orig": [reason]}}


def test_plain_query_has_no_operators() -> None:
    tree = fulltext.parse("The fat | rat-cat", plain=True).tree
    assert shown(tree) == "((('fat' & 'rat-cat') & 'rat') & 'cat')"


def test_only_operands_of_weight_d_match() -> None:
    assert fulltext.parse("fat:AB", plain=False).tree == Word("fat", "english", unweighted=False)
    assert fulltext.parse("fat:Ad*", plain=False).tree == Word("fat", "english", prefix=True)


@pytest.mark.parametrize(
    ("word", "language", "stemmer"),
    [
        ("fat", "simple", None),
        ("fat5", "english", None),
        ("fat", "French", "french"),
        ("fat", "pg_catalog.german", "german"),
        ("fat", "russian", "english"),
        ("мир", "russian", "russian"),
    ],
)
def test_stemmer_of_a_word(word: str, language: str, stemmer: str | None) -> None:
    assert fulltext.parse(word, language=language).tree == Word(word, stemmer)


@pytest.fixture(scope="module")
def postgresql() -> Iterator[object]:
    psycopg2 = pytest.importorskip("psycopg2")
    if SUPERUSER_URL is None:
        pytest.skip("needs DEVSTACK_POSTGRES_SUPERUSER_URL")
    connection = psycopg2.connect(SUPERUSER_URL)
    connection.autocommit = True
    with connection.cursor() as cursor:
        yield cursor
    connection.close()


_TS_PARSE = """
    SELECT coalesce(array_agg(lower(found.token) ORDER BY place), '{}')
    FROM ts_parse('default', %s) WITH ORDINALITY AS found (tokid, token, place)
    JOIN ts_token_type('default') AS kind USING (tokid)
    WHERE alias NOT IN ('blank', 'tag', 'entity', 'protocol')
"""


@pytest.mark.parametrize("text", TOKENS)
def test_stored_tokens_are_those_of_postgresql(text: str, postgresql) -> None:  # type: ignore[no-untyped-def]
    postgresql.execute(_TS_PARSE, (text,))
    assert postgresql.fetchone()[0] == TOKENS[text]


@pytest.mark.parametrize("text", QUERIES)
def test_stored_queries_are_those_of_postgresql(text: str, postgresql) -> None:  # type: ignore[no-untyped-def]
    postgresql.execute("SELECT to_tsquery('english', %s) = %s::tsquery", (text, QUERIES[text]))
    assert postgresql.fetchone()[0]


@settings(
    max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(text=st.text("abe15 -_.,:;@/'\"()<>&!?+=é—", min_size=1, max_size=14))
def test_any_text_has_the_tokens_that_postgresql_finds(text: str, postgresql) -> None:  # type: ignore[no-untyped-def]
    if ".." in text or "./" in text:
        return  # relative paths straight after a word: a known difference
    postgresql.execute(_TS_PARSE, (text,))
    assert tokens(text) == postgresql.fetchone()[0]


def test_stop_words_are_those_of_postgresql(postgresql) -> None:  # type: ignore[no-untyped-def]
    words = sorted(STOP_WORDS | {"fat", "don", "would"})
    postgresql.execute(
        "SELECT word FROM unnest(%s) AS word WHERE ts_lexize('english_stem', word) = '{}'", (words,)
    )
    assert {row[0] for row in postgresql} == STOP_WORDS
    assert len(STOP_WORDS) == 127


def test_what_is_nested_too_deeply_is_refused() -> None:
    nested = "(" * 29 + "!run" + ")" * 29
    assert shown(fulltext.parse(nested, plain=False).tree) == "!('run')"
    for deeper in (f"({nested})", f"!{nested}", "!" * 100_000 + "run", "(" * 100_000):
        with pytest.raises(InvalidRequest) as refused:
            fulltext.parse(deeper, plain=False)
        assert "more than 30" in str(refused.value.details)


@pytest.mark.parametrize(
    ("words", "fields", "most"),
    [(100, 1, None), (101, 1, 100), (100, 10, None), (11, 100, 10), (3, 1600, None), (4, 1600, 3)],
)
def test_searches_of_too_many_words_are_refused(words: int, fields: int, most: int | None) -> None:
    searches = [(fulltext.parse("run " * words), [(str(n), "text") for n in range(fields)])]
    if most is None:
        fulltext.check_length(searches)
        return
    with pytest.raises(InvalidRequest) as refused:
        fulltext.check_length(searches)
    assert f"has {words} words; at most {most} " in str(refused.value.details)


def test_searches_of_one_request_count_together() -> None:
    search = fulltext.parse("run " * 50), [(str(n), "text") for n in range(10)]
    fulltext.check_length([search, search])
    with pytest.raises(InvalidRequest):
        fulltext.check_length([search, search, search])


def test_a_query_of_any_length_can_be_refused() -> None:
    with pytest.raises(InvalidRequest):
        fulltext.check_length([(fulltext.parse("run " * 50_000), [("a", "text")])])
