"""Time limits of statements, and the one thread that looks after them."""

from __future__ import annotations

import dataclasses
import os
import threading
import time
from collections.abc import Callable
from typing import Any, cast

import pytest
import sqlglot.expressions as sge

from ckanext.bqdatastore.engines.base import EngineSettings
from ckanext.bqdatastore.engines.ducklake.engine import DuckLakeEngine
from ckanext.bqdatastore.engines.ducklake.limits import Limits
from ckanext.bqdatastore.model.errors import QueryFailed, QueryTimeout
from ckanext.bqdatastore.model.query import ParameterNames, Query
from ckanext.bqdatastore.model.table import Field, Table
from ckanext.bqdatastore.model.write import Deletion, TableChange, Write, WriteMode

from .test_contract import everything, rows

ENGINE_KINDS = ("postgres", "sqlite")


@pytest.fixture
def lake(engine: DuckLakeEngine) -> DuckLakeEngine:
    return engine


ENDLESS = sge.Table(this=sge.Anonymous(this="range", expressions=[sge.convert(10**12)]), alias="a")


def seconds(work: Callable[[], object]) -> float:
    started = time.monotonic()
    work()
    return time.monotonic() - started


def test_the_limit_stops_a_statement(lake: DuckLakeEngine) -> None:
    query = Query(sge.select(sge.Count(this=sge.Star())).from_(ENDLESS))

    def run() -> None:
        with pytest.raises(QueryTimeout):
            lake.query(query, timeout=0.3).read_all()

    assert seconds(run) < 5


def test_the_limit_stops_a_stream(lake: DuckLakeEngine) -> None:
    stream = iter(lake.query(Query(sge.select("*").from_(ENDLESS)), timeout=1.0))
    assert next(stream).num_rows

    def run() -> None:
        with pytest.raises(QueryTimeout):
            for _ in stream:
                pass

    assert seconds(run) < 10


def test_what_fails_in_the_midst_of_a_stream_says_why(lake: DuckLakeEngine) -> None:
    late = sge.If(
        this=sge.column("range").eq(1_000_000), true=sge.func("error", sge.convert("too far"))
    )
    case = sge.Case(ifs=[late], default=sge.convert("near"))
    stream = iter(lake.query(Query(sge.select(case.as_("x")).from_(ENDLESS))))
    assert next(stream).num_rows
    with pytest.raises(QueryFailed, match="too far"):
        for _ in stream:
            pass


def test_the_limit_stops_a_write_and_nothing_of_it_stays(settings: EngineSettings) -> None:
    engine = DuckLakeEngine(dataclasses.replace(settings, statement_timeout=1.0))
    known = Table("slow", (Field("n", "int8"),))
    engine.open()
    try:
        engine.apply(TableChange(None, known))
        engine.apply(TableChange(known, known, Write(WriteMode.INSERT, (rows(known, [{"n": 1}]),))))
        names = ParameterNames()
        tree = sge.Exists(this=sge.select("*").from_(ENDLESS).where(sge.column("range") < 0))
        with pytest.raises(QueryTimeout):
            engine.delete(Deletion(known, Query(sge.not_(tree), names.values)))
        assert len(everything(engine, known)) == 1
    finally:
        engine.drop("slow")
        engine.close()


# The one thread that looks after limits


def test_limits_of_all_statements_are_looked_after_by_one_thread(lake: DuckLakeEngine) -> None:
    lake.query(Query(sge.select(sge.convert(1)))).read_all()
    before = threading.active_count()
    streams = [lake.query(Query(sge.select("*").from_(ENDLESS))) for _ in range(4)]
    for stream in streams:
        assert next(iter(stream)).num_rows
    assert threading.active_count() == before
    for stream in streams:
        stream.close()


class Interrupted:
    """Stands for a cursor whose statement does not end by itself."""

    def __init__(self) -> None:
        self.told = threading.Event()

    def interrupt(self) -> None:
        self.told.set()


def is_interrupted(seconds: float, abandoned: Callable[[], bool] | None = None) -> bool:
    cursor = Interrupted()
    with Limits(cast(Any, cursor), seconds, abandoned):
        return cursor.told.wait(10)


def test_a_short_limit_is_not_kept_waiting_by_a_long_one() -> None:
    with Limits(cast(Any, Interrupted()), 3_600):
        assert is_interrupted(0.05)
        assert is_interrupted(3_600, lambda: True)


def test_limits_hold_in_a_forked_child() -> None:
    assert is_interrupted(0.01)
    child = os.fork()
    if child == 0:
        os._exit(0 if is_interrupted(0.01) else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_what_breaks_while_limits_are_looked_at_leaves_those_of_others() -> None:
    def broken() -> bool:
        raise RuntimeError("broken")

    with Limits(cast(Any, Interrupted()), 3_600, broken):
        time.sleep(0.3)
        assert is_interrupted(0.05)
