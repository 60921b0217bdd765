"""Differences from the stock backend that are meant, each as docs/differences.md has it."""

from __future__ import annotations

import dataclasses
import decimal
import json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ckanext.bqdatastore import ckan_versions

from .harness import Answer, differences

Step = Mapping[str, Any]


@dataclasses.dataclass(frozen=True)
class Unlisted:
    """A difference that no kind explains.

    :param steps: the requests up to the one that shows it
    """

    steps: Sequence[Step]
    difference: str

    def __str__(self) -> str:
        return f"step {len(self.steps)} ({next(iter(self.steps[-1]))}): {self.difference}"


@dataclasses.dataclass(frozen=True)
class Kind:
    """A kind of difference.

    :param title: its heading in docs/differences.md
    :param explains: whether it is the reason why these two answers to the last step differ
    """

    title: str
    explains: Callable[[Sequence[Step], Answer, Answer], bool]


def compared(
    steps: Sequence[Step], stock: Sequence[Answer], ours: Sequence[Answer]
) -> list[Unlisted]:
    """What differs and is not listed. After a difference in a write the tables are no longer one,
    and nothing more is compared."""
    found = []
    for number, (step, a, b) in enumerate(zip(steps, stock, ours, strict=True), 1):
        different = differences(a, b)
        so_far = steps[:number]
        if different and not any(kind.explains(so_far, a, b) for kind in KINDS):
            found.append(Unlisted(so_far, "; ".join(different)))
        if (a.status == 200) != (b.status == 200) and next(iter(step)) in _WRITES:
            break
    return found


_WRITES = frozenset(["create", "upsert", "records_delete", "delete"])


def _stock_breaks(steps: Sequence[Step], stock: Answer, ours: Answer) -> bool:
    sql, words = _sql(steps), _words(stock)
    own_fault = "syntax error" in words or ("is not a single statement" in words and not sql)
    if ours.status >= 500 or not (stock.status == 500 or own_fault):
        return False
    # A query that fails in PostgreSQL is a 500 there. Answered here, it must be one of these.
    return ours.status != 200 or not sql or _is_misread(sql) or not _is_json(ours)


def _sql(steps: Sequence[Step]) -> str:
    return str(steps[-1].get("search_sql", {}).get("sql", ""))


def _is_misread(sql: str) -> bool:
    """Whether SQLAlchemy takes something in it for a parameter."""
    return bool(re.search(r"(?<![:\w\\]):\w", sql))


def _is_json(answer: Answer) -> bool:
    """Whether there is a number in JSON for each of its floats."""
    return not re.search("'(NaN|-?Infinity)'", repr(answer.body))


def _array_of_no_type(steps: Sequence[Step], stock: Answer, ours: Answer) -> bool:
    words = r"of type .* but expression is|operator does not exist: .*\[\]"
    return ours.status == 200 and bool(re.search(words, _words(stock)))


def _distinct_arrays(steps: Sequence[Step], stock: Answer, ours: Answer) -> bool:
    request = steps[-1].get("search", {})
    return bool(request.get("distinct")) and "operator for type json" in _words(stock)


def _full_text(steps: Sequence[Step], stock: Answer, ours: Answer) -> bool:
    if "words; at most" in _words(ours) or "negations in each other" in _words(ours):
        return ours.status == 409
    if "q" not in steps[-1].get("search", {}) or {stock.status, ours.status} != {200}:
        return False
    if not differences(_rounded(stock), _rounded(ours)):
        return True
    # How many rows of the stock site may be found by words that they had before.
    upserts = [step["upsert"] for step in steps if "upsert" in step]
    stale = sum(len(each["records"]) for each in upserts if each["method"] == "upsert")
    return len(_documents(stock) ^ _documents(ours)) <= int(stale)


def _documents(answer: Answer) -> set[str]:
    """The rows, without what a search adds to them or numbers them by."""

    def without(row: Mapping[str, Any]) -> list[Any]:
        return [[k, v] for k, v in row.items() if k != "_id" and not k.startswith("rank")]

    return {repr(without(row)) for row in answer.body["records"]}


def _rounded(answer: Answer) -> Answer:
    """Ranks with the six digits that a float4 has for sure."""

    def rounded(row: Mapping[str, Any]) -> dict[str, Any]:
        return {
            name: f"{value:.5e}" if name.startswith("rank") and value is not None else value
            for name, value in row.items()
        }

    return _with_records(answer, lambda rows: [rounded(row) for row in rows])


def _numbers_given_out(steps: Sequence[Step], stock: Answer, ours: Answer) -> bool:
    """The answers are one when the rows are numbered anew, in the order of their `_id`; or, where a
    caller chose an `_id`, when the rows are one in any order."""
    if not any("upsert" in step or "create" in step for step in steps[1:]):
        return False
    stock, ours = _without_next_id(stock), _without_next_id(ours)
    if not differences(_renumbered(stock), _renumbered(ours)):
        return True
    return any(map(_chooses_ids, steps)) and (
        "_pkey" in _words(stock) or not differences(_unnumbered(stock), _unnumbered(ours))
    )


def _without_next_id(answer: Answer) -> Answer:
    """The next page is asked for by the number of the last row."""
    if not isinstance(answer.body, dict) or not isinstance(answer.body.get("next_page"), dict):
        return answer
    how = {field: list(comparison) for field, comparison in answer.body["next_page"].items()}
    return Answer(answer.status, {**answer.body, "next_page": how})


def _chooses_ids(step: Step) -> bool:
    records = step.get("upsert", {}).get("records") or []
    return any("_id" in record for record in records)


def _json_fields(steps: Sequence[Step], stock: Answer, ours: Answer) -> bool:
    if re.search(r"\bnested\b", _words(stock)):
        return bool(_sql(steps)) and ours.status in (200, 409)
    return not differences(_unwrapped(stock), ours)


def _functions_not_allowed(steps: Sequence[Step], stock: Answer, ours: Answer) -> bool:
    return (
        bool(_sql(steps))
        and "Not authorized to call function" in _words(stock)
        and ours.status in (200, 409)
    )


_REFUSED = re.compile(
    "does not support|not supported|Not authorized to call function|Invalid query AST element"
    "|cannot be held|more than 38 digits|overflows numeric format"
)


def _refused_sql(steps: Sequence[Step], stock: Answer, ours: Answer) -> bool:
    return bool(_sql(steps)) and stock.status == 200 and bool(_REFUSED.search(_words(ours)))


def _digits(steps: Sequence[Step], stock: Answer, ours: Answer) -> bool:
    if _sql(steps):
        return not differences(_few_digits(stock), _few_digits(ours))
    if stock.status == 200 and re.search("ast(ing)? value .* DECIMAL", _words(ours)):
        return True
    if not any("float8" in str(step.get("create", {}).get("fields")) for step in steps):
        return False
    return not differences(_with_floats(stock), _with_floats(ours))


def _with_floats(answer: Answer) -> Answer:
    """Numbers of sixteen digits and more as the floats nearest to them, in texts too."""

    def nearest(value: Any) -> Any:
        if isinstance(value, (list, dict)):
            items = value.values() if isinstance(value, dict) else value
            return [nearest(each) for each in items]
        if isinstance(value, (int, decimal.Decimal)) and not isinstance(value, bool):
            return float(value) if abs(float(value)) >= 1e15 else value
        if isinstance(value, str):
            return re.sub(r"\d[\d.]{15,}(e[+-]\d+)?", lambda found: repr(float(found[0])), value)
        return value

    if not isinstance(answer.body, dict) or "records" not in answer.body:
        return answer
    return Answer(answer.status, {**answer.body, "records": nearest(answer.body["records"])})


def _few_digits(answer: Answer) -> Answer:
    """Numbers, also those in texts, with twelve digits and no zeros at the end."""

    def short(text: str) -> str:
        plain = re.sub(r"(\.\d*?)0+(?!\d)", r"\1", text)
        return re.sub(r"\.(?!\d)", "", plain)

    def few(value: Any) -> Any:
        if isinstance(value, list):
            return [few(each) for each in value]
        if isinstance(value, (int, decimal.Decimal)) and not isinstance(value, bool):
            return f"{decimal.Decimal(value):.11e}"
        return short(value) if isinstance(value, str) else value

    return _with_records(
        answer, lambda rows: [{name: few(value) for name, value in row.items()} for row in rows]
    )


def _as_in_2_12(steps: Sequence[Step], stock: Answer, ours: Answer) -> bool:
    if ckan_versions.SHOWS_FILTERS:
        return False
    ((action, request),) = steps[-1].items()
    if action == "create" and "is not a valid field name" in _words(ours):
        names = "".join(field["id"] for field in request["fields"])
        return stock.status == 200 and not names.isprintable()
    if action == "upsert":
        return _is_key_of_2_12(steps, stock, ours)
    if ours.status != 200:
        return False
    if action == "search_sql":
        return "Not authorized to call function" in _words(stock)
    if action != "search":
        return False
    if stock.status != 200:
        return "is not a single statement" in _words(stock) and "\\" in str(request.get("q"))
    if _shows_only_j(stock, ours):
        return True
    if any(map(_chooses_ids, steps)):
        return not differences(_without_numbers(stock), _without_numbers(ours))
    if request.get("distinct"):
        if request.get("limit") or request.get("offset"):
            return True
        return not differences(*(_with_records(each, _sorted) for each in (stock, ours)))
    if request.get("total_estimation_threshold"):
        return not differences(_without_estimate(stock), _without_estimate(ours))
    return False


def _is_key_of_2_12(steps: Sequence[Step], stock: Answer, ours: Answer) -> bool:
    """Whether an upsert differs because 2.11 looks for its keys in another way."""
    records = steps[-1]["upsert"]["records"]
    if stock.status == 200:
        nulls = [each for each in records if each.get("_id", "") is None]
        return bool(nulls) and 'null value in column "_id"' in _words(ours)
    if ours.status != 200:
        return False
    if "operator does not exist: text = integer" in _words(stock):
        return any(isinstance(value, int) for each in records for value in each.values())
    has_trigger = any(step.get("create", {}).get("triggers") for step in steps)
    return has_trigger and "duplicate key value violates" in _words(stock)


def _shows_only_j(stock: Answer, ours: Answer) -> bool:
    """Whether of each record there is the field `j` alone, as 2.11 has it if there is one."""
    rows = ours.body["records"]
    if not all(isinstance(row, dict) and "j" in row for row in rows):
        return False
    return not differences(
        stock, Answer(ours.status, {**ours.body, "records": [row["j"] for row in rows]})
    )


def _without_numbers(answer: Answer) -> Answer:
    """Rows without their numbers, and without those that a trigger wrote down."""

    def without(row: Mapping[str, Any]) -> dict[str, Any]:
        return {
            name: re.sub(r"\d+", "", value) if isinstance(value, str) else value
            for name, value in row.items()
            if name != "_id"
        }

    return _with_records(answer, lambda rows: sorted(map(without, rows), key=repr))


def _sorted(rows: Any) -> Any:
    return sorted(rows, key=repr)


def _without_estimate(answer: Answer) -> Answer:
    estimated = ("total", "total_was_estimated")
    return Answer(answer.status, {k: v for k, v in answer.body.items() if k not in estimated})


def _unwrapped(answer: Answer) -> Answer:
    """The values of the stock backend's composite type, which it shows as they are stored."""

    def value(sent: Any) -> Any:
        if isinstance(sent, dict) and set(sent) == {"json", "extra"}:
            return json.loads(sent["json"], parse_float=decimal.Decimal)
        return sent

    def unwrapped(rows: Any) -> Any:
        return [{name: value(each) for name, each in row.items()} for row in rows]

    return _with_all_records(answer, unwrapped)


def _renumbered(answer: Answer) -> Answer:
    def renumbered(rows: Any) -> Any:
        ids = sorted({row["_id"] for row in rows if "_id" in row})
        places = {each: place for place, each in enumerate(ids)}
        return [{**row, "_id": places[row["_id"]]} if "_id" in row else row for row in rows]

    return _with_all_records(answer, renumbered)


def _unnumbered(answer: Answer) -> Answer:
    def unnumbered(rows: Any) -> Any:
        without = [{name: row[name] for name in row if name != "_id"} for row in rows]
        return sorted(without, key=repr)

    return _with_all_records(answer, unnumbered)


def _with_records(answer: Answer, changed: Callable[[Any], Any], key: str = "records") -> Answer:
    """The answer with its records changed, if it has any in the form of objects."""
    rows = answer.body.get(key) if isinstance(answer.body, dict) else None
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        return answer
    return Answer(answer.status, {**answer.body, key: changed(rows)})


def _with_all_records(answer: Answer, changed: Callable[[Any], Any]) -> Answer:
    for key in ("records", "deleted_records"):
        answer = _with_records(answer, changed, key)
    return answer


def _words(answer: Answer) -> str:
    return str(answer.body) if answer.status != 200 else ""


KINDS: tuple[Kind, ...] = (
    Kind("Requests that break the PostgreSQL backend", _stock_breaks),
    Kind("Numbers given out", _numbers_given_out),
    Kind("Arrays whose type PostgreSQL cannot tell", _array_of_no_type),
    Kind("Distinct arrays", _distinct_arrays),
    Kind("Fields of JSON", _json_fields),
    Kind("Full-text search: a rank's last digit, 13 stems, upserted rows, many words", _full_text),
    Kind("Functions that the PostgreSQL backend does not allow", _functions_not_allowed),
    Kind("SQL that is refused", _refused_sql),
    Kind("Digits of numbers", _digits),
    Kind("On CKAN 2.11", _as_in_2_12),
)
