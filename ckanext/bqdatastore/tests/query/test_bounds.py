"""What a query becomes is bounded: short texts that would be trees or numbers without end."""

from __future__ import annotations

import pytest
import sqlglot.expressions as sge

from ckanext.bqdatastore.engines.bigquery.translate import translate as to_bigquery
from ckanext.bqdatastore.engines.ducklake.translate import translate as to_duckdb
from ckanext.bqdatastore.model import tree_size
from ckanext.bqdatastore.model.errors import InvalidRequest, NotPermitted, Unsupported
from ckanext.bqdatastore.model.table import Field, Table
from ckanext.bqdatastore.query import guard
from ckanext.bqdatastore.query.postgresql import binding
from ckanext.bqdatastore.translation import regexes

T = Table(
    "t",
    (
        *(Field("s", "text"), Field("a", "int4"), Field("f", "float8"), Field("n", "numeric")),
        *(Field("d", "timestamp"), Field("jb", "jsonb"), Field("l", "_text")),
    ),
)
TOO_LARGE = "too large once translated"
TO = {"duckdb": to_duckdb, "bigquery": to_bigquery}

each_engine = pytest.mark.parametrize("engine", TO)


def translated(sql: str, engine: str = "duckdb", table: Table = T) -> sge.Expr:
    with tree_size.one_statement():
        parsed = guard.parse(sql)
        tree, _ = binding.bound(parsed.tree.copy(), dict.fromkeys(parsed.tables, table))
        return TO[engine](tree)


def nodes(tree: sge.Expr) -> int:
    return sum(1 for _ in tree.walk())


def nested(before: str, value: str, after: str, depth: int) -> str:
    return f"SELECT {before * depth}{value}{after * depth} AS x FROM t"


NESTED = {
    "division of integers": ("1/(", "a", ")"),
    "division of numerics": ("(", "n", "/3)"),
    "division by numerics": ("1.5/(", "n", ")"),
    "remainder": ("(17 % ", "a", ")"),
    "quoting": ("quote_literal(", "s", ")"),
    "bounds in any order": ("(", "a", " BETWEEN SYMMETRIC 0 AND 1)::int"),
    "bounds of two types": ("(", "a", " BETWEEN SYMMETRIC 0 AND 1.5)::int"),
    "bounds of two types as a bound": ("(a NOT BETWEEN ", "a", " AND 1.5)::int"),
    "bounds in any order as a bound": ("(a BETWEEN SYMMETRIC 0 AND ", "a", ")::int"),
    "text of a float": ("", "f", "::text::float8"),
    "part": ("substr(", "s", ", -1, 5)"),
    "overlay": ("overlay(", "s", " PLACING a::text FROM 2 FOR 3)"),
    "padding": ("lpad(", "s", ", a, s)"),
    "repetition": ("repeat(", "s", ", a)"),
}


@pytest.mark.parametrize("form", NESTED)
def test_duckdbs_tree_grows_with_the_depth_and_no_faster(form: str) -> None:
    before, value, after = NESTED[form]
    sizes = [nodes(translated(nested(before, value, after, depth))) for depth in (5, 10, 20)]
    assert sizes[2] - sizes[1] <= 3 * (sizes[1] - sizes[0])


@each_engine
@pytest.mark.parametrize(
    "sql",
    [
        nested("(1 = ANY(string_to_array(", "s", "::text, ',')::int[]))", 12),
        "SELECT to_char(d, '" + "MM " * 60_000 + "') FROM t",
        "SELECT regexp_match(s, '" + "(a)" * 3_000 + "') FROM t",
        f"SELECT {', '.join(['sum(a) OVER w'] * 1_600)} FROM t "
        f"WINDOW w AS (PARTITION BY {', '.join(['a'] * 1_600)})",
    ],
    ids=["ANY", "format", "groups", "windows"],
)
def test_what_grows_faster_is_refused(sql: str, engine: str) -> None:
    with pytest.raises(InvalidRequest, match=TOO_LARGE):
        translated(sql, engine)


def test_rows_documents_of_wide_tables_are_counted() -> None:
    wide = Table("t", tuple(Field(f"field {place}", "int4") for place in range(1_000)))
    with pytest.raises(InvalidRequest, match=TOO_LARGE):
        translated(f"SELECT {', '.join(['_full_text'] * 100)} FROM t", table=wide)


@each_engine
def test_what_is_long_and_plain_is_taken(engine: str) -> None:
    numbers = ", ".join(map(str, range(6_000)))
    found = translated(f"SELECT a FROM t WHERE a IN ({numbers})", engine)
    assert 6_000 < nodes(found) < 7_000
    translated(f"SELECT {', '.join(f'n / {place}' for place in range(3, 33))} FROM t", engine)


def test_statements_count_each_for_itself() -> None:
    sql = f"SELECT {', '.join(f'n / {place}' for place in range(3, 53))} FROM t"
    assert nodes(translated(sql)) > tree_size.LARGEST / 2
    translated(sql)


@pytest.mark.parametrize("depth", [12, 14])
def test_a_select_has_no_more_columns_than_in_postgresql(depth: int) -> None:
    sql = "SELECT *, * FROM (" * depth + "SELECT s FROM t" + ") x" * depth
    with pytest.raises(InvalidRequest, match="target lists can have at most 1664 entries"):
        translated(sql)


def test_a_select_may_have_as_many_as_in_postgresql() -> None:
    assert len(translated(f"SELECT {', '.join(['a'] * 1_664)} FROM t").expressions) == 1_664
    with pytest.raises(InvalidRequest, match="at most 1664"):
        translated(f"SELECT {', '.join(['a'] * 1_665)} FROM t")


_OVERFLOW = "value overflows numeric format"


@each_engine
@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("'1e999999999'::numeric", _OVERFLOW),
        ("'1e-999999999'::numeric", _OVERFLOW),
        ("'1e99999999999999999999'::numeric", _OVERFLOW),
        ("'{1,1e999999999}'::numeric[]", _OVERFLOW),
        ("1e999999999", _OVERFLOW),
        ("1e99999999999999999999", _OVERFLOW),
        ("1e131072", _OVERFLOW),
        ("1e-16384", _OVERFLOW),
        ("1e401", "number out of range"),
        (f"{'9' * 5_000}", "number out of range"),
        (f"-{'9' * 5_000}", "number out of range"),
        (f"0x{'f' * 5_000}", "number out of range"),
        (f"l[{'9' * 5_000}]", "number out of range"),
        (f"'{'9' * 5_000}'::numeric", "number out of range"),
        ("'sNaN'::numeric", "invalid input syntax for type numeric"),
        ("'1e'::numeric", "invalid input syntax for type numeric"),
        (f"'{'9' * 5_000}'::int", "integer"),
        (f"'{'9' * 5_000}'::float8", r"double precision|float8"),
        (f"interval '{'9' * 5_000} days'", "invalid input syntax for type interval"),
        (f"interval '{'9' * 5_000}:00'", "invalid input syntax for type interval"),
        (f"interval '{'9' * 5_000}-1'", "invalid input syntax for type interval"),
        ("interval '99999999999 days'", "interval field value out of range"),
        ("interval '9999999999 years'", "interval field value out of range"),
        ("interval '9999999999 hours'", "interval field value out of range"),
        ("interval '\u00b2' year", r"interval|INTERVAL"),
    ],
)
def test_numbers_are_bounded_before_they_are_written_out(
    value: str, message: str, engine: str
) -> None:
    with pytest.raises(InvalidRequest, match=message):
        translated(f"SELECT {value} AS x FROM t", engine)


@each_engine
def test_constants_that_are_no_places_sort_nothing(engine: str) -> None:
    assert not translated("SELECT a FROM t ORDER BY ''::text", engine).args.get("order")
    for place in ("-1", "-9223372036854775808", "2"):
        with pytest.raises(InvalidRequest, match=f"position {place} is not in select list"):
            translated(f"SELECT a FROM t ORDER BY {place}", engine)


def test_count_of_nothing_is_refused() -> None:
    with pytest.raises(InvalidRequest, match=r"count\(\*\) must be used"):
        translated("SELECT count() FROM t")


@pytest.mark.parametrize("clause", ["LIMIT", "OFFSET", "ORDER BY"])
def test_numbers_of_clauses_are_bounded_too(clause: str) -> None:
    with pytest.raises(InvalidRequest, match="out of range"):
        translated(f"SELECT a FROM t {clause} {'9' * 5_000}")


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("5.", "CAST('5' AS DECIMAL(1, 0))"),
        (".5e2", "CAST('50' AS DECIMAL(2, 0))"),
        ("'1_000'::numeric", "CAST('1000' AS DECIMAL(4, 0))"),
        ("' 1.50 '::numeric", "CAST('1.50' AS DECIMAL(3, 2))"),
        ("0x1F", "31"),
        (f"{'0' * 5_000}99999999999", "99999999999"),
        ("'0e999999'::numeric", "CAST('0' AS DECIMAL(1, 0))"),
        ("interval '178956970 years'", "TO_MONTHS(2147483640)"),
    ],
)
def test_usual_numbers_stay_what_they_are(value: str, shown: str) -> None:
    target = translated(f"SELECT {value} AS x").expressions[0].this
    assert shown in target.sql(dialect="duckdb")


@each_engine
@pytest.mark.parametrize("step", ["--5", "\u00b2", "-", "1" * 5_000])
def test_steps_of_json_paths_that_are_no_places_are_keys(step: str, engine: str) -> None:
    found = translated(f"SELECT jb #> '{{{step}}}' AS x FROM t", engine)
    spelled = {"duckdb": step, "bigquery": f'."{step}"'}
    assert spelled[engine] in found.sql(dialect=engine)


def test_json_paths_of_many_numbers_are_refused_by_bigquery() -> None:
    with pytest.raises(InvalidRequest, match="JSON paths with so many numbers"):
        translated(f"SELECT jb #> '{{{','.join(['1'] * 1_000)}}}' FROM t", "bigquery")


@pytest.mark.parametrize("call", ['"array"(1)', '"array"()', '"array"(s)', '"grouping"(1)'])
def test_syntax_is_no_function_to_call_by_a_quoted_name(call: str) -> None:
    with pytest.raises(NotPermitted, match="Not authorized to call function"):
        guard.parse(f"SELECT {call} FROM t")


@each_engine
def test_what_nests_too_deeply_for_the_translation_is_refused(engine: str) -> None:
    with pytest.raises(InvalidRequest, match=r"nested|too large"):
        translated(nested("(", "n", " / 3 + 1)", 58), engine)


@pytest.mark.parametrize(
    ("listed", "called", "allowed"),
    [
        ("count", "count", True),
        ("count", '"count"', True),
        ('"count"', "count", True),
        ('"count"', '"count"', True),
        ('"Count"', "count", False),
        ("sum", "count", False),
    ],
)
def test_names_on_the_list_may_be_quoted(listed: str, called: str, allowed: bool) -> None:
    parsed = guard.parse(f"SELECT {called}(*) FROM t")
    if allowed:
        guard.bind(parsed, {"t": T}, {listed}, 10)
    else:
        with pytest.raises(NotPermitted, match="Not authorized to call function count"):
            guard.bind(parsed, {"t": T}, {listed}, 10)


@pytest.mark.parametrize("signs", ["+", "-+", "+-"])
def test_a_row_of_signs_is_refused_before_postgresqls_lexer_takes_it_apart(signs: str) -> None:
    with pytest.raises(InvalidRequest, match="operator too long"):
        guard.parse(f"SELECT 1 {signs * 50_000} 1")


def test_a_line_of_a_comment_is_no_row_of_signs() -> None:
    guard.parse(f"SELECT 1 {'-' * 5_000}\n+ 1 /* {'+-' * 40} {'-' * 5_000} */")


@each_engine
@pytest.mark.parametrize("part", ["a", "(?:a?)", "[a]", "a{1,2}", "a|"])
def test_a_regular_expression_has_a_length(engine: str, part: str) -> None:
    pattern = part * (regexes.LONGEST // len(part))
    assert translated(f"SELECT s ~ '{pattern}' FROM t", engine)
    with pytest.raises(Unsupported, match="10,000 characters"):
        translated(f"SELECT s ~ '{pattern * 2}' FROM t", engine)
