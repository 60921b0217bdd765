"""The guard: what it reads from a query, what it makes of it and what it says no to."""

from __future__ import annotations

import threading

import pytest
import sqlglot
import sqlglot.expressions as sge

from ckanext.bqdatastore.model.errors import InvalidRequest, NotPermitted
from ckanext.bqdatastore.query import guard

from .guarding import ALLOWED, READABLE, guarded, resources

SCOPES = {
    "select * from t": {"t"},
    "select * from T": {"t"},
    'select * from "T"': {"T"},
    "select * from public.t": {"t"},
    "select * from t a, u b": {"t", "u"},
    "select * from t join u on true left join v on true": {"t", "u", "v"},
    "select * from t where i4 in (select i4 from u)": {"t", "u"},
    "select (select max(i4) from u) from t": {"t", "u"},
    "select * from t order by (select 1 from u)": {"t", "u"},
    "select * from t limit (select 1 from u)": {"t", "u"},
    "select count(*) filter (where exists (select 1 from u)) from t": {"t", "u"},
    "select sum(i4) over (order by (select 1 from u)) from t": {"t", "u"},
    "select * from t union select * from u": {"t", "u"},
    "select * from t, lateral (select * from u) x": {"t", "u"},
    "select array(select i4 from u)": {"u"},
    "values ((select 1 from u))": {"u"},
    "with t as (select * from u) select * from t": {"u"},
    "with t as (select * from t) select * from t": {"t"},
    "with a as (select 1), b as (select * from a) select * from b": set(),
    "with a as (select * from b), b as (select 1) select * from a": {"b"},
    "with t as (select 1) select * from public.t": {"t"},
    "select * from (with u as (select 1) select * from u) x, u": {"u"},
    "with x as (with u as (select 1) select * from u) select * from x, u": {"u"},
    "with u as (select 1) select * from (select * from u) x where 1 in (select 1 from u)": set(),
    "(with u as (select 1) select * from u) union all select i4 from u": {"u"},
    "with u as (select 1) (select * from u) union all (select 1 from u)": set(),
    "with u as (select 1 a) select * from t where exists (select 1 from u where a = i4)": {"t"},
    "with u as (with u as (select * from u) select * from u) select * from u": {"u"},
}


@pytest.mark.parametrize(("sql", "tables"), SCOPES.items())
def test_tables_are_those_that_no_cte_in_scope_hides(sql: str, tables: set[str]) -> None:
    assert set(guard.parse(sql).tables) == tables


@pytest.mark.parametrize("sql", SCOPES)
def test_bound_tree_reads_no_other_table(sql: str) -> None:
    parsed = guard.parse(sql)
    try:
        bound = guarded(sql)
    except InvalidRequest:
        # A sub-query in LIMIT is fine, but not every query of the list fits its tables.
        return
    assert resources(bound.query.tree) == {READABLE[name].name for name in parsed.tables}


@pytest.mark.parametrize(
    ("sql", "functions"),
    [
        ("select lower(name), COUNT(*) from t", {"lower", "count"}),
        ("select extract(year from d) from t", {"extract"}),
        ("select substring(name from 1 for 2), trim(name) from t", {"substring", "btrim"}),
        ("select d at time zone 'UTC' from t", {"timezone"}),
        ("select coalesce(name, 'x'), greatest(1, 2), case when true then 1 end from t", set()),
        ("select current_date", set()),
        ("select current_timestamp", {"now"}),
        ("select * from t where i4 in (select abs(i4) from u order by sqrt(i4))", {"abs", "sqrt"}),
        ('select "GetEnv"(1)', {"GetEnv"}),
    ],
)
def test_functions_go_by_postgresqls_names(sql: str, functions: set[str]) -> None:
    assert set(guard.parse(sql).functions) == functions


@pytest.mark.parametrize(
    ("sql", "message"),
    [
        ("selec 1", 'Invalid SQL: syntax error at or near "selec", at index 0'),
        ("select 1; select 2", "Query is not a single statement"),
        ("", "Query is not a single statement"),
        ("drop table t", "Invalid query AST element: DropStmt"),
        ("select * from a.b.c", "Catalog cannot be provided: a"),
        ("select * from t for update", "Invalid query AST element: SelectStmt.lockingClause"),
        ("select * into x from t", "Invalid query AST element: SelectStmt.intoClause"),
        ("select $1", "Invalid query AST element: ParamRef"),
        ("select 1\0", "Invalid SQL: null character not permitted"),
        ("select '\ud800'", "Invalid SQL: invalid Unicode text"),
        ("select 1" + "+1" * 500, "Query is too deeply nested"),
        ("select " + "(" * 5000, "Query is too deeply nested"),
        ("select 1 in (" + "1," * 30_000 + "1)", "Query is too large"),
        ("select '" + "x" * 200_000 + "'", "Query is longer than 200000 characters"),
    ],
    ids=lambda value: value[:40],
)
def test_what_is_no_query_is_refused_as_the_stock_backend_does(sql: str, message: str) -> None:
    with pytest.raises(InvalidRequest) as refusal:
        guard.parse(sql)
    assert (refusal.value.key, refusal.value.messages) == (guard.MESSAGE, [message])


@pytest.mark.parametrize(
    ("sql", "message"),
    [
        ("select * from pg_class", "Not authorized to access system tables"),
        ("select * from other.t", "Not authorized to access tables in other schemas"),
        ("select getenv('x')", "Not authorized to call function getenv"),
        ("select pg_catalog.lower('x')", "Not authorized to call function pg_catalog.lower"),
        (
            "select * from generate_series(1, 2)",
            "Not authorized to call function generate_series in FROM",
        ),
    ],
)
def test_what_nobody_may_is_not_permitted(sql: str, message: str) -> None:
    with pytest.raises(NotPermitted, match=f"^{message}$"):
        guarded(sql)


def test_function_that_the_site_forbids_is_not_permitted() -> None:
    parsed = guard.parse("select lower('X')")
    with pytest.raises(NotPermitted, match="lower"):
        guard.bind(parsed, {}, {"upper"}, 10)


@pytest.mark.parametrize(
    ("sql", "message"),
    [
        ("select nothing from t", 'column "nothing" does not exist'),
        ("select u.name from t", 'missing FROM-clause entry for table "u"'),
        ("select name from t, u", 'column reference "name" is ambiguous'),
        ("select * from unknown", 'relation "unknown" does not exist'),
        ("select name = 5 from t", "operator does not exist: text = integer"),
        ("select lower(5)", "function lower(integer) does not exist"),
        ("select 1 union select name from t", "UNION types integer and text cannot be matched"),
    ],
)
def test_errors_of_meaning_have_postgresqls_words(sql: str, message: str) -> None:
    with pytest.raises(InvalidRequest) as refusal:
        guarded(sql)
    assert (refusal.value.key, refusal.value.messages) == ("query", [message])


@pytest.mark.parametrize(
    ("sql", "limit"),
    [
        ("select * from t", "10"),
        ("select * from t limit 3", "3"),
        ("select * from t limit 1000", "10"),
        ("select * from t limit all", "10"),
        ("select * from t offset 5", "10"),
        ("select * from t union all select * from t", "10"),
        ("values (1), (2)", "10"),
        ("with x as (select 1) select * from x", "10"),
        ("select * from t limit 500 + 500", "10"),
        ("select * from t limit (select 1000)", "10"),
    ],
)
def test_no_query_gives_more_rows_than_the_limit(sql: str, limit: str) -> None:
    tree = guarded(sql, row_limit=10).query.tree
    assert tree.args["limit"].expression.name == limit


def test_output_fields_have_postgresqls_names_and_types() -> None:
    bound = guarded("select count(*), count(*), 1 / 2, name || 'x', sum(n), j -> 'a' from t")
    assert [(field.id, field.type) for field in bound.fields] == [
        ("count", "int8"),
        ("count", "int8"),
        ("?column?", "int4"),
        ("?column?", "text"),
        ("sum", "numeric"),
        ("?column?", "json"),
    ]
    names = [target.alias for target in bound.query.tree.expressions]
    assert len({name.lower() for name in names}) == len(names)


def test_star_is_spelt_out() -> None:
    bound = guarded("select u.*, t.* from t, u")
    assert [field.id for field in bound.fields][:5] == ["_id", "_full_text", "name", "i4", "_id"]
    assert not list(bound.query.tree.find_all(sge.Star))


ORDERED = {
    "select t.name from t, u": True,
    "select a.* from t a left join t b on a.i4 = b.i4 limit 2": True,
    "select t.name from t": False,
    "select t.name from t, u order by 1": False,
    "select count(*) from t, u": False,
    "select distinct t.name from t, u": False,
    "select t.name from t, (select 1) x": False,
}


@pytest.mark.parametrize("sql", ORDERED)
@pytest.mark.parametrize("rows", [10, 2000])
def test_a_join_of_small_tables_without_an_order_has_that_of_the_rows(sql: str, rows: int) -> None:
    parsed = guard.parse(sql)
    tree = guard.bind(parsed, READABLE, ALLOWED, 10, lambda name: rows).query.tree
    by_row = [ordered.this.name for ordered in tree.find_all(sge.Ordered)] == ["_id", "_id"]
    assert by_row == (ORDERED[sql] and rows == 10)


def test_names_that_differ_in_case_only_stay_apart() -> None:
    bound = guarded('select "A".x, a.x from (select 1 as x) "A", (select 2 as x) a')
    aliases = [subquery.alias for subquery in bound.query.tree.find_all(sge.Subquery)]
    assert len({alias.lower() for alias in aliases}) == 2


def test_one_parse_serves_many_binds() -> None:
    parsed = guard.parse("select i4 from t where name = 'x'")
    before = parsed.tree.sql()
    first = guard.bind(parsed, READABLE, set(), 10)
    second = guard.bind(parsed, READABLE, set(), 10)
    assert first.query.tree.sql() == second.query.tree.sql()
    assert parsed.tree.sql() == before


LITERALS = {
    r"'back\'": "back\\",
    r"'a\'' or true --'": r"a\' or true --",
    r"E'a\'b'": "a'b",
    r"E'a\\'": "a\\",
    r"E'\x27\u0027\047'": "'''",
    "'it''s'": "it's",
    "$$it's$$": "it's",
    "$x$ $$ ' $x$": " $$ ' ",
    r"U&'\0027; drop table t; --'": "'; drop table t; --",
    r"'\'''": r"\'",
    "'/* '": "/* ",
    "'-- '": "-- ",
    "'\u2019\uff07\u02bc'": "\u2019\uff07\u02bc",
    "'a\nb\tc\r'": "a\nb\tc\r",
    "N'x'": None,
}


@pytest.mark.parametrize(("written", "value"), LITERALS.items())
@pytest.mark.parametrize("dialect", ["duckdb", "bigquery"])
def test_rendered_literal_is_one_literal_with_its_value(
    written: str, value: str | None, dialect: str
) -> None:
    try:
        tree = guarded(f"select {written} as x").query.tree
    except InvalidRequest:
        assert value is None
        return
    again = sqlglot.parse(tree.sql(dialect=dialect), read=dialect)
    assert len(again) == 1
    assert again[0] is not None
    literals = [found.this for found in again[0].find_all(sge.Literal) if found.is_string]
    assert literals == [value]


@pytest.mark.parametrize("name", ['"a""b"', '"a`b"', '"a\\"', '"x; drop table t"', '"--"', '"\n"'])
def test_rendered_name_is_one_name(name: str) -> None:
    tree = guarded(f"select 1 as {name}").query.tree
    again = sqlglot.parse(tree.sql(dialect="duckdb"), read="duckdb")
    assert len(again) == 1
    assert again[0] is not None
    assert again[0].expressions[0].alias == name[1:-1].replace('""', '"')


@pytest.mark.parametrize(
    "repeated",
    [
        ("select ", "- ", "1"),
        ("select ", "not ", "true"),
        ("select ", "(", "1"),
        ("select 1", "+1", ""),
        ("select 1", "::int", ""),
        ("select 1", " union select 1", ""),
        ("select ", "(select ", "1"),
        ("select ", "case when true then ", "1"),
        ("select true where true", " and true or not true", ""),
        ("select 1 between 1 and ", "not 1 between 1 and ", "true"),
        ("select * from t", " join t using (_id)", ""),
        ("select ", "abs(", "1"),
        ("select array", "[", "1"),
        ("select ", "1 in (", "1"),
    ],
)
@pytest.mark.parametrize("times", [40, 400, 5_000, 30_000])
def test_nesting_never_overflows_a_small_stack(repeated: tuple[str, str, str], times: int) -> None:
    start, middle, end = repeated
    sql = start + middle * times + end
    closing = {"(": ")", "[": "]", "case when true then ": " end"}
    for opening, closed in closing.items():
        sql += closed * (times if opening in middle and middle.endswith(opening) else 0)
    outcomes: list[type] = []

    def run() -> None:
        try:
            guarded(sql)
            outcomes.append(guard.BoundSQL)
        except Exception as error:
            outcomes.append(type(error))

    before = threading.stack_size(1024 * 1024)
    try:
        thread = threading.Thread(target=run)
        thread.start()
        thread.join()
    finally:
        threading.stack_size(before)
    assert outcomes[0] in (guard.BoundSQL, InvalidRequest, NotPermitted)
