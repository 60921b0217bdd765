"""Several processes write at once: no `_id` twice, no key twice, nothing lost, nothing by half."""

from __future__ import annotations

import dataclasses
import gc
import json
import logging
import os
import signal
import subprocess
import sys
import threading
import time
import uuid
import weakref
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
import sqlglot.expressions as sge

from ckanext.bqdatastore.engines.ducklake.engine import DuckLakeEngine
from ckanext.bqdatastore.locking import TableLocks
from ckanext.bqdatastore.model.errors import EngineUnavailable, InvalidRequest
from ckanext.bqdatastore.model.query import ParameterNames, Query, column, table
from ckanext.bqdatastore.model.table import ID, Field, Table
from ckanext.bqdatastore.model.write import Deletion, TableChange, WriteMode

from .writer_process import Job, Writer

WRITERS = 3
BATCHES = 6
RECORDS = 3

Record = dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Place:
    """A lake that nobody has opened yet, and a name for its locks."""

    write_url: str
    read_url: str
    folder: str
    namespace: str

    def writer(self) -> Writer:
        return Writer(self.write_url, self.read_url, self.folder, self.namespace)

    def job(self, table: str, writer: int, **options: Any) -> Job:
        values = {"batches": BATCHES, "records": RECORDS, **options}
        return Job(**dataclasses.asdict(self), table=table, writer=writer, **values)


@pytest.fixture(params=["postgres", "sqlite"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    name = f"test_{uuid.uuid4().hex[:12]}"
    if request.param == "sqlite":
        url = f"ducklake:sqlite:///{tmp_path}/catalog.sqlite?data_path={tmp_path}/lake"
        return Place(url, url, str(tmp_path), name)
    write_url, read_url = (
        f"{os.environ[variable].split('?')[0]}?schema={name}&data_path={tmp_path}/lake"
        for variable in ("CKAN_DATASTORE_WRITE_URL", "CKAN_DATASTORE_READ_URL")
    )
    return Place(write_url, read_url, str(tmp_path), name)


def started(job: Job) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [
            sys.executable,
            "-m",
            "ckanext.bqdatastore.tests.writer_process",
            json.dumps(dataclasses.asdict(job)),
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(processes: list[subprocess.Popen[str]]) -> None:
    """Wait for all of them, and let none fail."""
    try:
        ended = [(process.communicate(timeout=90), process.returncode) for process in processes]
    finally:
        for process in processes:
            process.kill()
    assert [status for _, status in ended] == [0] * len(processes), [out[1] for out, _ in ended]


def records_of(writer: Writer, name: str) -> list[Record]:
    names = [ID, "key", "writer", "batch"]
    tree = sge.select(*(column(each) for each in names)).from_(table(name))
    found = writer.engine.query(Query(tree.order_by(column(ID)))).read_all()
    return found.rename_columns(names).to_pylist()


def twice(records: list[Record], name: str) -> list[Any]:
    return [value for value, count in Counter(row[name] for row in records).items() if count > 1]


def keys(writer: int) -> set[str]:
    return {f"{writer}-{batch}-{n}" for batch in range(BATCHES) for n in range(RECORDS)}


@pytest.fixture
def reader(place: Place) -> Iterator[Writer]:
    """Somebody who looks at the place, from this process."""
    opened = place.writer()
    yield opened
    opened.engine.close()


def test_writers_to_one_table_take_turns(place: Place) -> None:
    # Nobody has made the catalog or the table: that too is for one of them, whoever is first.
    finish([started(place.job("one", number, shared=True)) for number in range(WRITERS)])
    writer = place.writer()
    with closing(writer.engine):
        found = records_of(writer, "one")
    assert twice(found, ID) == []
    assert twice(found, "key") == []
    assert {row["key"] for row in found} == {"shared"}.union(*map(keys, range(WRITERS)))
    assert [row["batch"] for row in found if row["key"] == "shared"] == [BATCHES - 1]


def test_readers_go_on_while_others_write(place: Place, reader: Writer) -> None:
    reader.write("one", WriteMode.INSERT, [{"key": "first", "writer": 9, "batch": 0}])
    processes = [started(place.job("one", number)) for number in range(2)]
    counts = [1]
    while any(process.poll() is None for process in processes):
        counts.append(len(records_of(reader, "one")))
        time.sleep(0.01)
    finish(processes)
    counts.append(len(records_of(reader, "one")))
    assert counts == sorted(counts)
    assert {(count - 1) % RECORDS for count in counts} == {0}  # batches are seen whole
    assert counts[-1] == 1 + 2 * BATCHES * RECORDS


def test_writers_to_different_tables_all_commit(place: Place, reader: Writer) -> None:
    finish([started(place.job(f"table {number}", number)) for number in range(WRITERS)])
    for number in range(WRITERS):
        found = records_of(reader, f"table {number}")
        assert {row["key"] for row in found} == keys(number)
        assert [row[ID] for row in found] == list(range(1, 1 + BATCHES * RECORDS))


def test_of_two_new_tables_with_one_alias_one_is_refused(place: Place, reader: Writer) -> None:
    start = threading.Barrier(2)

    def create(name: str) -> str:
        start.wait()
        try:
            with reader.turn(name):
                new = Table(name, (Field("a", "text"),), aliases=("taken",))
                reader.engine.apply(TableChange(None, new))
        except InvalidRequest as fault:
            return fault.key
        return "made"

    with ThreadPoolExecutor(2) as pool:
        assert sorted(pool.map(create, ["a", "b"])) == ["alias", "made"]
    assert len(reader.engine.tables()) == 1
    assert set(reader.engine.aliases()) == {"taken"}


def test_a_killed_writer_leaves_whole_batches_and_a_free_lock(place: Place, reader: Writer) -> None:
    reader.write("one", WriteMode.INSERT, [{"key": "first", "writer": 9, "batch": 0}])
    size = 2_000
    for number in range(3):
        process = started(place.job("one", number, batches=1_000, records=size))
        assert process.stdout is not None
        for line in process.stdout:
            if line.split() == ["writing", "2"]:
                break
        else:
            pytest.fail(process.communicate()[1])
        time.sleep(0.02 + 0.05 * number)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        with reader.turn("one"):
            pass
    reader.write("one", WriteMode.INSERT, [{"key": "last", "writer": 9, "batch": 1}])
    found = records_of(reader, "one")
    batches = Counter((row["writer"], row["batch"]) for row in found if row["writer"] != 9)
    assert set(batches.values()) == {size}
    assert all((number, batch) in batches for number in range(3) for batch in range(2))
    assert twice(found, ID) == []
    assert found[-1]["key"] == "last"


COMPACTIONS = [
    "CALL ducklake_flush_inlined_data('lake')",
    "CALL ducklake_merge_adjacent_files('lake')",
    "CALL ducklake_rewrite_data_files('lake', delete_threshold => 0)",
    "CALL ducklake_expire_snapshots('lake', older_than => now())",
    "CALL ducklake_cleanup_old_files('lake', cleanup_all => true)",
    "CALL ducklake_delete_orphaned_files('lake', cleanup_all => true)",
]


def test_compaction_keeps_rows_and_never_gives_an_id_again(place: Place, reader: Writer) -> None:
    engine = reader.engine
    assert isinstance(engine, DuckLakeEngine)
    given: set[int] = set()

    def insert(start: int, count: int) -> None:
        batch = [{"key": f"{n}", "writer": 0, "batch": n} for n in range(start, start + count)]
        reader.write("one", WriteMode.INSERT, batch)
        new = {row[ID] for row in records_of(reader, "one") if row["batch"] >= start}
        assert len(new) == count
        assert not new & given
        given.update(new)

    def delete_from(batch: int) -> None:
        names = ParameterNames()
        known = engine.describe("one")
        assert known is not None
        later = sge.GTE(this=column("batch"), expression=names.bind(batch, "int4"))
        with reader.turn("one"):
            engine.delete(Deletion(known, Query(later, names.values)))

    def compact() -> None:
        before = records_of(reader, "one")
        for statement in COMPACTIONS:
            with engine._connections.writer() as cursor:
                cursor.execute(statement).fetchall()
            assert records_of(reader, "one") == before, statement

    insert(0, 5)  # few: kept in the catalog
    insert(5, 500)  # many: a file
    delete_from(400)  # the highest _id is gone
    compact()
    insert(1_000, 3)
    # Records of keys that are there, before one that is new: they use up no number.
    mixed = [{"key": key, "writer": 1, "batch": 7} for key in ("7", "8", "9")]
    reader.write("one", WriteMode.UPSERT, [*mixed, {"key": "new", "writer": 1, "batch": 1_100}])
    given.update(row[ID] for row in records_of(reader, "one"))
    delete_from(1_100)
    compact()
    delete_from(0)  # every row is gone
    compact()
    insert(2_000, 3)
    compact()
    insert(3_000, 50)
    assert len(records_of(reader, "one")) == 53
    # Chosen by the caller: some way above all others, deleted and forgotten.
    chosen = [{ID: 9_000, "key": "chosen", "writer": 2, "batch": 4_000}]
    reader.write("one", WriteMode.UPSERT, chosen)
    given.add(9_000)
    insert(4_001, 3)
    delete_from(4_000)
    compact()
    insert(5_000, 3)
    reader.write(
        "one", WriteMode.UPSERT, [{**chosen[0], ID: 9_020}, {**chosen[0], ID: 9_010, "key": "less"}]
    )
    given.update((9_010, 9_020))
    delete_from(4_000)
    compact()
    insert(6_000, 2)
    # No number was skipped that nobody chose to skip.
    assert max(given) == 9_022


# The lock itself


@pytest.fixture
def database() -> Iterator[sa.engine.Engine]:
    """CKAN's database through a pool of three connections."""
    made = sa.create_engine(
        os.environ["CKAN_SQLALCHEMY_URL"], pool_size=3, max_overflow=0, pool_timeout=20
    )
    yield made
    made.dispose()


def locks(database: sa.engine.Engine, timeout: float, namespace: str = "site") -> TableLocks:
    return TableLocks(database, f"{namespace} {os.getpid()}", timeout)


def test_who_waits_too_long_is_told_for_what(database: sa.engine.Engine) -> None:
    with locks(database, 10).hold("a table"):
        for _ in range(2):
            with (
                pytest.raises(EngineUnavailable, match=r'"a table" have taken longer than 0\.2'),
                locks(database, 0.2).hold("a table"),
            ):
                pass
    with locks(database, 0.2).hold("a table"):
        pass


def test_other_tables_and_other_sites_do_not_wait(database: sa.engine.Engine) -> None:
    with (
        locks(database, 1).hold("a table"),
        locks(database, 1).hold("another"),
        locks(database, 1, "other site").hold("a table"),
    ):
        pass


def test_a_lock_leaves_no_setting_behind(database: sa.engine.Engine) -> None:
    with database.connect() as connection:
        before = connection.execute(sa.text("SHOW lock_timeout")).scalar_one()
    with (
        locks(database, 5).hold("a table"),
        pytest.raises(EngineUnavailable),
        locks(database, 0.1).hold("a table"),
    ):
        pass
    with database.connect() as first, database.connect() as second:
        for connection in (first, second):
            assert connection.execute(sa.text("SHOW lock_timeout")).scalar_one() == before


def test_an_error_in_a_turn_ends_it(database: sa.engine.Engine) -> None:
    with pytest.raises(ZeroDivisionError), locks(database, 1).hold("a table"):
        raise ZeroDivisionError
    with locks(database, 1).hold("a table"):
        pass


def test_writers_who_wait_do_not_take_the_connections_of_ckan(database: sa.engine.Engine) -> None:
    # Every request has a connection of CKAN's when it comes for the lock, and needs it on the way.
    def request(number: int) -> int:
        with database.connect() as connection, locks(database, 20).hold("a table"):
            return int(connection.execute(sa.text("SELECT 1")).scalar_one())

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(request, range(24))) == 24


def test_connections_of_turns_go_with_the_database_they_are_to() -> None:
    """CKAN makes its database anew when its settings are loaded again."""
    made = sa.create_engine(os.environ["CKAN_SQLALCHEMY_URL"])
    with locks(made, 10).hold("a table"):
        pass
    gone = weakref.ref(made)
    del made
    gc.collect()
    assert gone() is None


def test_the_end_of_a_turn_that_lost_its_connection_is_no_error(
    database: sa.engine.Engine, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Reading an ini file, as another test may have done, turns off what loggers there are.
    monkeypatch.setattr(logging.getLogger(TableLocks.__module__), "disabled", False)
    # What was to be written is written by then, and the caller must not be told otherwise.
    end_own = (
        "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' "
        "AND pid IN (SELECT pid FROM pg_stat_activity WHERE usename = current_user)"
    )
    with locks(database, 1).hold("a table"), database.connect() as connection:
        connection.execute(sa.text(end_own))
    assert 'The lock of "a table" was lost' in caplog.text
    with locks(database, 1).hold("a table"):
        pass
