"""Values into typed columns: what is stored, what is refused, and with which words."""

from __future__ import annotations

import dataclasses
import datetime
import decimal
import json
import math
import os
import struct
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import hypothesis
import pyarrow as pa
import pytest
from hypothesis import strategies as st

from ckanext.bqdatastore.model import types
from ckanext.bqdatastore.model.errors import InvalidRecord
from ckanext.bqdatastore.model.table import Field
from ckanext.bqdatastore.records import literals
from ckanext.bqdatastore.records.ingest import ingest

from .postgres import Outcome, Stock, stock

SUPERUSER_URL = os.environ.get("DEVSTACK_POSTGRES_SUPERUSER_URL")


@pytest.fixture(scope="module")
def postgres() -> Iterator[Stock]:
    if SUPERUSER_URL is None:
        pytest.skip("needs PostgreSQL: run the tests through `python -m devstack run`")
    with stock(SUPERUSER_URL) as connection:
        yield connection


@dataclasses.dataclass(frozen=True)
class Case:
    """One line of `ingest_cases.tsv`."""

    type: str
    value: str
    outcome: Outcome
    in_stock: Outcome

    def __str__(self) -> str:
        return f"{self.type}-{self.value}"


def _cases() -> list[Case]:
    lines = (Path(__file__).parent / "ingest_cases.tsv").read_text("utf-8").split("\n")
    rows = [line.split("\t") for line in lines if line and not line.startswith("#")]
    return [Case(row[0], row[1], _outcome(row[2]), _outcome(row[-1])) for row in rows]


def _outcome(column: str) -> Outcome:
    if column.startswith("!"):
        return Outcome(error=column[1:])
    return Outcome() if column == "NULL" else Outcome(text=json.loads(column))


def _ingest_one(value: Any, type_name: str) -> Any:
    return ingest([{"x": value}], [Field("x", type_name)]).column(0)[0].as_py()


CASES = _cases()


@pytest.mark.parametrize("case", CASES, ids=str)
def test_value_is_stored_or_refused_as_the_case_says(case: Case) -> None:
    value = json.loads(case.value)
    if case.outcome.error is not None:
        with pytest.raises(InvalidRecord) as caught:
            _ingest_one(value, case.type)
        assert caught.value.messages == [case.outcome.error]
    else:
        stored = _ingest_one(value, case.type)
        assert _key(stored, case.type) == _key_of_text(case.outcome.text, case.type)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_postgresql_does_as_the_case_says(case: Case, postgres: Stock) -> None:
    found = postgres.insert(json.loads(case.value), case.type)
    assert found.error == case.in_stock.error
    assert _key_of_text(found.text, case.type) == _key_of_text(case.in_stock.text, case.type)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_value_among_others_of_its_class_has_the_same_outcome(case: Case) -> None:
    """Alone or in a column that Arrow converts whole, or that is mixed: no path decides."""
    value = json.loads(case.value)
    companions = _COMPANIONS.get(case.type, [])
    records = [*({"x": companion} for companion in companions), {"x": value}]
    if case.outcome.error is not None:
        with pytest.raises(InvalidRecord) as caught:
            ingest(records, [Field("x", case.type)])
        assert (caught.value.row, caught.value.messages) == (
            len(companions),
            [case.outcome.error],
        )
    else:
        stored = ingest(records, [Field("x", case.type)]).column(0)[-1].as_py()
        assert _key(stored, case.type) == _key_of_text(case.outcome.text, case.type)


_COMPANIONS: dict[str, list[Any]] = {
    "text": ["a", 1, 1.5, True],
    "int4": ["1", None, 7, 1.5],
    "int8": [1, 2.0],
    "float8": ["1.5", 2, 0.5],
    "numeric": ["0", 0, None],
    "bool": [True, "no"],
    "date": ["2020-01-01", "March 5, 2020"],
    "timestamp": ["2020-01-01", "2020-01-01T00:00:00Z"],
    "timestamptz": ["2020-01-01T00:00:00+01"],
    "nested": [{"a": 1}],
    "_text": [["a"], None, "{b,c}"],
    "_int4": [[1, 2], [], "{3}"],
}


# Equality of stored values and of PostgreSQL's texts, type by type


def _key(stored: Any, type_name: str) -> Any:
    if stored is None:
        return None
    if types.is_array(type_name):
        return [_key(element, types.element_type(type_name)) for element in stored]
    if isinstance(stored, float):
        # `nan` is not equal to itself, and zeros may have a sign.
        return "nan" if math.isnan(stored) else struct.pack("<d", stored)
    if type_name in types.JSONS:
        return json.loads(stored)
    return stored


def _key_of_text(text: str | None, type_name: str) -> Any:
    if text is None:
        return None
    if types.is_array(type_name):
        if text.startswith(("{{", "[")):
            return text
        element = types.element_type(type_name)
        return [_key_of_text(item, element) for item in literals.read_array(text)]
    parse = _PARSE.get(type_name)
    return _key(parse(text) if parse else text, type_name)


def _float4(text: str) -> float:
    value: float = pa.array([text]).cast(pa.float32())[0].as_py()
    return value


_PARSE: dict[str, Callable[[str], Any]] = {
    **dict.fromkeys(types.INTEGERS, int),
    "float4": _float4,
    "float8": float,
    # A NaN is not equal to itself.
    "numeric": lambda text: text if text == "NaN" else Decimal(text),
    "bool": {"true": True, "false": False, "t": True, "f": False}.__getitem__,
    "date": lambda text: text if _beyond_python(text) else datetime.date.fromisoformat(text),
    "time": lambda text: text if text == "24:00:00" else _time(text),
    "timestamp": lambda text: text if _beyond_python(text) else _timestamp(text),
    "timestamptz": lambda text: (
        text if _beyond_python(text) else _timestamp(text).astimezone(datetime.timezone.utc)
    ),
}


def _beyond_python(text: str) -> bool:
    return "BC" in text or "infinity" in text or len(text.split("-")[0]) > 4


def _timestamp(text: str) -> datetime.datetime:
    zone = "+00:00" if text.endswith("+00") else ""
    moment, _, fraction = text.removesuffix("+00").partition(".")
    return datetime.datetime.fromisoformat(f"{moment}.{fraction:0<6}{zone}")


def _time(text: str) -> datetime.time:
    time, _, fraction = text.partition(".")
    return datetime.time.fromisoformat(f"{time}.{fraction:0<6}")


# Any values, against PostgreSQL

_SMALL_INTEGERS = st.integers(-(2**16), 2**16)
_NUMBERS = (
    _SMALL_INTEGERS | st.integers() | st.floats() | st.floats(-1e6, 1e6) | st.integers().map(float)
)
_NUMBER_TEXTS = st.one_of(
    _NUMBERS.map(str),
    st.decimals(allow_nan=False, allow_infinity=False, places=3).map(str),
    st.from_regex(r"\A[ \t]?[-+]?[0-9_]{0,12}(\.[0-9_]{0,4})?([eE][-+]?[0-9]{1,3})?[ \n]?\Z"),
    st.from_regex(r"\A[-+]?0[xXoObB][0-9a-fA-F_]{1,9}\Z"),
)
_ANY_TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"))
_DATES = st.one_of(
    st.dates().map(str),
    st.dates().map(lambda date: f"{date.month}/{date.day}/{date.year:04}"),
    st.dates().map(lambda date: f"{date:%B} {date.day}, {date.year:04}"),
    st.dates().map(lambda date: f"{date.day}-{date:%b}-{date.year:04}"),
    st.dates().map(lambda date: f"{date.year:04}{date:%m%d}"),
    st.from_regex(r"\A(19|20)[0-9]{2}-[01][0-9]-[0-3][0-9]\Z"),
)
_TIMES = st.one_of(
    st.times().map(str),
    st.times().map(lambda time: f"{time:%H:%M}"),
    # PostgreSQL reads `PM+01` as the name of a zone, and forgets that it is afternoon.
    st.times().map(lambda time: f"{time:%I:%M:%S %p} "),
    st.from_regex(r"\A[0-2][0-9]:[0-6][0-9]:[0-6][0-9](\.[0-9]{1,9})?\Z"),
)
_ZONES = st.sampled_from(["", "Z", "+01", "-05:30", "+0545", " UTC", " EST", " Europe/Paris"])
_TIMESTAMPS = st.builds(
    "{}{}{}{}".format, _DATES, st.sampled_from(" T"), _TIMES, _ZONES
) | st.builds("{} {}".format, _DATES, _ZONES).map(str.strip)
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | _ANY_TEXTS,
    lambda values: st.lists(values) | st.dictionaries(_ANY_TEXTS, values),
    max_leaves=5,
)
_JSON_TEXTS = _JSON.map(json.dumps) | _JSON.map(lambda value: json.dumps(value, indent=1))
_UUIDS = st.uuids().map(str) | st.from_regex(r"\A\{?[0-9A-Fa-f]{8}(-?[0-9a-f]{4}){6}\}?\Z")
_SCALARS = st.none() | st.booleans() | _NUMBERS | _ANY_TEXTS
_OWN_TEXTS = {
    **dict.fromkeys((*types.INTEGERS, *types.FLOATS, "numeric"), _NUMBER_TEXTS),
    **dict.fromkeys(types.TEXTS, _ANY_TEXTS),
    "bool": st.from_regex(r"\A ?([tT](r(u(e)?)?)?|[fF](alse)?|yes|no?|on|off?|[01])\Z"),
    "date": _DATES | _TIMESTAMPS,
    "time": _TIMES,
    "timestamp": _TIMESTAMPS | _DATES,
    "timestamptz": _TIMESTAMPS | _DATES,
    "json": _JSON_TEXTS,
    "jsonb": _JSON_TEXTS,
    "nested": _ANY_TEXTS,
    "uuid": _UUIDS,
}
# Lists of one kind of value: elements of several kinds are read one by one here, not so in SQL.
_LISTS = {
    "_text": st.lists(st.none() | _ANY_TEXTS) | st.lists(st.booleans()) | st.lists(st.integers()),
    "_int4": st.lists(st.none() | _SMALL_INTEGERS) | st.lists(st.floats(-1e6, 1e6)),
    "_float8": st.lists(st.integers(-(2**40), 2**40)) | st.lists(st.none() | st.floats()),
    "_bool": st.lists(st.none() | st.booleans()),
}


def _columns(type_name: str) -> st.SearchStrategy[list[Any]]:
    """Columns of one class of value, and mixed ones."""
    if type_name in _LISTS:
        return st.lists(st.none() | _LISTS[type_name], max_size=5)
    own = _OWN_TEXTS[type_name]
    return st.one_of(
        st.lists(own, max_size=5),
        st.lists(st.none() | st.floats(), max_size=5),
        st.lists(st.none() | st.integers(-(2**40), 2**70), max_size=5),
        st.lists(_SMALL_INTEGERS | st.floats(-1e9, 1e9), max_size=5),
        st.lists(own | _SCALARS, max_size=5),
    )


@pytest.mark.parametrize("type_name", [*types.SCALARS, *_LISTS])
@hypothesis.given(data=st.data())
@hypothesis.settings(max_examples=50, deadline=None)
def test_any_column_is_stored_or_refused_as_by_postgresql(
    data: st.DataObject, type_name: str, postgres: Stock
) -> None:
    values = data.draw(_columns(type_name))
    expected = [postgres.insert(value, type_name) for value in values]
    refused = _refused(values, type_name)
    if refused is not None and "cannot be held" in refused[1]:
        return
    bad = [(row, found.error) for row, found in enumerate(expected) if found.error]
    assert refused == (bad[0] if bad else None)
    if not bad:
        table = ingest([{"x": value} for value in values], [Field("x", type_name)])
        stored = [_key(value, type_name) for value in table.column(0).to_pylist()]
        assert stored == [_key_of_text(found.text, type_name) for found in expected]


def _refused(values: list[Any], type_name: str) -> tuple[int, str] | None:
    """The row and the message of the error, if there is one."""
    try:
        ingest([{"x": value} for value in values], [Field("x", type_name)])
    except InvalidRecord as error:
        return error.row, error.messages[0]
    return None


# Tables


def test_columns_are_the_fields_in_their_order() -> None:
    fields = [Field("b", "int4"), Field("a", "text")]
    table = ingest([{"a": "x", "b": 1}], fields)
    assert table.schema == pa.schema([("b", pa.int32()), ("a", pa.string())])


def test_a_key_that_a_record_lacks_is_null() -> None:
    fields = [Field("a", "text"), Field("b", "int4")]
    records = [{"a": "x", "b": 1}] * 300 + [{"a": "y"}, {}]
    table = ingest(records, fields)
    assert table.slice(299).to_pylist() == [
        {"a": "x", "b": 1},
        {"a": "y", "b": None},
        {"a": None, "b": None},
    ]


def test_id_comes_first_when_it_is_wanted() -> None:
    table = ingest([{"a": "x", "_id": 7}], [Field("a", "text")], include_id=True)
    assert table.schema.names == ["_id", "a"]
    assert table.schema.field("_id").type == pa.int64()
    assert table.to_pylist() == [{"_id": 7, "a": "x"}]


@pytest.mark.parametrize("value", [12.5, 2**70, "x", True, [1]])
def test_what_is_no_id_is_refused_as_one(value: Any) -> None:
    with pytest.raises(InvalidRecord) as caught:
        ingest([{"_id": value}], [], include_id=True)
    assert caught.value.field == "_id"


def test_no_records_make_an_empty_table_of_the_right_types() -> None:
    fields = [Field(name, name) for name in (*types.SCALARS, *types.ARRAYS)]
    schema = ingest([], fields).schema
    assert schema == pa.schema([(name, types.arrow_type(name)) for name in schema.names])


@pytest.mark.parametrize("type_name", [*types.SCALARS, *types.ARRAYS])
def test_nulls_alone_have_the_type_of_the_field(type_name: str) -> None:
    column = ingest([{"x": None}, {}], [Field("x", type_name)]).column(0)
    assert column.type == types.arrow_type(type_name)
    assert column.null_count == 2


def test_no_fields_make_a_table_without_columns() -> None:
    assert ingest([{}], []).num_columns == 0


def test_records_are_not_changed() -> None:
    records = [{"a": "", "b": [1, ""]}]
    ingest(records, [Field("a", "int4"), Field("b", "_text")])
    assert records == [{"a": "", "b": [1, ""]}]


# Errors


def test_error_names_the_first_bad_record_whatever_its_column() -> None:
    fields = [Field("a", "int4"), Field("b", "numeric"), Field("c", "_int4")]
    records = [
        {"a": 1, "b": 1, "c": [1]},
        {"a": 1, "b": 1, "c": [1, "z"]},
        {"a": 1, "b": "SPAM", "c": None},
        {"a": "x", "b": 1, "c": None},
    ]
    with pytest.raises(InvalidRecord) as caught:
        ingest(records, fields)
    assert (caught.value.row, caught.value.field) == (1, "c")
    with pytest.raises(InvalidRecord) as caught:
        ingest(records[2:], fields, positions=[20, 30])
    assert (caught.value.row, caught.value.field) == (20, "b")
    assert caught.value.messages == ['invalid input syntax for type numeric: "SPAM"']


def test_in_one_record_the_first_field_is_blamed() -> None:
    with pytest.raises(InvalidRecord) as caught:
        ingest([{"a": "x", "b": "y"}], [Field("b", "int4"), Field("a", "int4")])
    assert caught.value.field == "b"


@pytest.mark.parametrize(
    ("rows", "bad"),
    [
        ([[], None, [1], [], [2, "x"]], 4),
        ([["x"], [], []], 0),
        ([[1], "{", ["x"]], 1),
        ([[1], ["x"], "{"], 1),
        ([None, None, 5], 2),
    ],
)
def test_bad_element_is_found_in_its_row(rows: list[Any], bad: int) -> None:
    with pytest.raises(InvalidRecord) as caught:
        ingest([{"x": row} for row in rows], [Field("x", "_int4")])
    assert caught.value.row == bad


# Exact numbers


@pytest.mark.parametrize(
    ("values", "precision", "scale"),
    [
        (["1", "22"], 2, 0),
        (["1.50", "22"], 3, 1),
        (["0.001"], 3, 3),
        (["-0012.5"], 3, 1),
        ([0, None], 1, 0),
        ([100, 0.25], 5, 2),
        (["1e3", "1e-3"], 7, 3),
        ([0.1, 1e22], 24, 1),
        (["." + "1" * 38], 38, 38),
    ],
)
def test_numeric_is_as_wide_as_its_values(values: list[Any], precision: int, scale: int) -> None:
    column = ingest([{"x": value} for value in values], [Field("x", "numeric")]).column(0)
    assert column.type == pa.decimal128(precision, scale)
    expected = [None if value is None else Decimal(str(value)) for value in values]
    assert column.to_pylist() == expected


def test_values_that_need_too_many_digits_together_blame_the_one_too_many() -> None:
    records = [{"x": "1e30"}, {"x": "1.5"}, {"x": "1e-9"}, {"x": "1e-10"}]
    with pytest.raises(InvalidRecord) as caught:
        ingest(records, [Field("x", "numeric")])
    assert caught.value.row == 2
    assert "at most 38 digits" in caught.value.messages[0]


@hypothesis.given(st.lists(st.decimals(allow_nan=False, allow_infinity=False), max_size=4))
def test_numeric_loses_no_digit(numbers: list[Decimal]) -> None:
    texts = [str(number) for number in numbers]
    refused = _refused(texts, "numeric")
    if refused is not None:
        assert "cannot be held" in refused[1]
    else:
        table = ingest([{"x": text} for text in texts], [Field("x", "numeric")])
        assert table.column(0).to_pylist() == numbers


# Values that only callers in Python can send


@pytest.mark.parametrize(
    ("value", "type_name"),
    [
        (Decimal("12.50"), "numeric"),
        (Decimal("12.5"), "int4"),
        (Decimal("1E+3"), "text"),
        (Decimal("NaN"), "float8"),
        (datetime.datetime(2020, 1, 31, 10, 11, 12, 500000), "timestamp"),
        (datetime.datetime(2020, 1, 31, 10, 11, 12), "date"),
        (datetime.datetime(2020, 1, 31, 10, 11, 12), "time"),
        (datetime.datetime(2020, 1, 31, 10, 11, 12, 500000), "text"),
        (datetime.datetime(2020, 1, 31, 1, tzinfo=datetime.timezone.utc), "timestamptz"),
        (datetime.datetime(2020, 1, 31, 1, tzinfo=datetime.timezone.utc), "text"),
        (datetime.datetime(2020, 1, 31, 1, tzinfo=datetime.timezone.utc), "int4"),
        (datetime.date(2020, 1, 31), "timestamp"),
        (datetime.date(2020, 1, 31), "text"),
        (datetime.date(2020, 1, 31), "time"),
        (datetime.time(10, 11), "time"),
        (datetime.time(10, 11), "date"),
        ([datetime.date(2020, 1, 31)], "_date"),
        ((1, 2), "_int4"),
        (object(), "text"),
    ],
    ids=str,
)
def test_python_value_is_stored_or_refused_as_by_postgresql(
    value: Any, type_name: str, postgres: Stock
) -> None:
    # psycopg2 makes a row of a tuple.
    expected = postgres.insert(list(value) if isinstance(value, tuple) else value, type_name)
    if expected.error is not None:
        with pytest.raises(InvalidRecord) as caught:
            _ingest_one(value, type_name)
        assert caught.value.messages == [expected.error]
    else:
        stored = _ingest_one(value, type_name)
        assert _key(stored, type_name) == _key_of_text(expected.text, type_name)


def test_dates_relative_to_now_are_read() -> None:
    table = ingest(
        [{"x": name} for name in ("yesterday", "today", "tomorrow")], [Field("x", "date")]
    )
    yesterday, today, tomorrow = table.column(0).to_pylist()
    assert tomorrow - today == today - yesterday == datetime.timedelta(days=1)


def test_decimal_context_of_the_caller_has_no_say() -> None:
    with decimal.localcontext() as context:
        context.prec = 3
        assert _ingest_one("12345.678", "numeric") == Decimal("12345.678")
        assert _ingest_one(12345.678, "int4") == 12346
