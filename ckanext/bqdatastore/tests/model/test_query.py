"""Streams of Arrow batches, read to their end or to a limit."""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa
import pytest

from ckanext.bqdatastore.model.errors import AnswerTooLarge
from ckanext.bqdatastore.model.query import RecordStream

BATCH = pa.RecordBatch.from_arrays([pa.array(range(1_000), pa.int64())], names=["n"])


def batches(count: int, log: list[str]) -> Iterator[pa.RecordBatch]:
    try:
        for place in range(count):
            log.append(f"batch {place}")
            yield BATCH
    finally:
        log.append("closed")


def test_no_batch_is_fetched_beyond_the_limit_and_the_source_is_closed() -> None:
    log: list[str] = []
    stream = RecordStream(BATCH.schema, batches(9, log))
    with pytest.raises(AnswerTooLarge) as refusal:
        stream.read_all(2 * BATCH.nbytes)
    assert refusal.value.most_bytes == 2 * BATCH.nbytes
    assert log == ["batch 0", "batch 1", "batch 2", "closed"]


@pytest.mark.parametrize("most", [3 * BATCH.nbytes, float("inf")])
def test_as_much_as_the_limit_is_read(most: float) -> None:
    assert RecordStream(BATCH.schema, batches(3, [])).read_all(most).num_rows == 3_000
    assert RecordStream(BATCH.schema, iter([BATCH])).read_all(most).num_rows == 1_000
