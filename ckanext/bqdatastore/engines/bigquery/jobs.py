"""Runs jobs and metadata calls: own job ids, time limits, repeats where they are safe.

A job's id is made here. Whoever loses the answer to a job's start asks again with the same id, and
BigQuery answers that it knows the job: so nothing runs twice. A job that failed has written
nothing; only then, and only if the reason is a passing one, is the work given to a new job.
"""

from __future__ import annotations

import concurrent.futures
import io
import logging
import random
import re
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, BinaryIO, TypeVar

import pyarrow as pa
import pyarrow.parquet as pq
from google.api_core import exceptions as api
from google.cloud import bigquery
from google.cloud.bigquery.table import RowIterator

from ...model.errors import EngineUnavailable, QueryCancelled, QueryFailed, QueryTimeout
from ..base import Abandoned
from .connection import Connection
from .faults import fault_of, is_passing, is_unanswered

log = logging.getLogger(__name__)

T = TypeVar("T")

NO_RETRY: Any = None
"""The client repeats by itself what only we know to be safe: tell it not to."""

_FIRST_PAUSE = 0.1
_LONGEST_PAUSE = 8.0
_MOST_ATTEMPTS = 8
_REQUEST_SECONDS = 30.0
_CANCEL_SECONDS = 10.0
_SECONDS_BETWEEN_LOOKS = 1.0
_LATE = (concurrent.futures.TimeoutError, TimeoutError)

Parameters = Sequence[bigquery.ScalarQueryParameter | bigquery.ArrayQueryParameter]


class Jobs:
    """Work for BigQuery on one side.

    :param connection: the side
    :param timeout: seconds that one job may run
    :param maximum_bytes_billed: what one query may cost; None for the project's own limit
    :param labels: put on every job, beside the action, the table and the user
    :param caller: names the user whom this thread works for, if any
    """

    def __init__(
        self,
        connection: Connection,
        timeout: float,
        maximum_bytes_billed: int | None,
        labels: Mapping[str, str],
        caller: Callable[[], str | None] = lambda: None,
    ) -> None:
        self._connection = connection
        self._timeout = timeout
        self._maximum_bytes_billed = maximum_bytes_billed
        self._labels = {name: label(value) for name, value in labels.items()}
        self._caller = caller

    def query(
        self,
        text: str,
        parameters: Parameters = (),
        *,
        action: str,
        resource: str,
        timeout: float | None = None,
        abandoned: Abandoned | None = None,
    ) -> RowIterator:
        """Run one statement to its end; its rows, fetched as they are read.

        :param timeout: seconds, if other than the usual
        :param abandoned: asked from time to time while the job runs, and cancels it
        :raises QueryTimeout, QueryCancelled, QueryFailed, TableNotFound, EngineUnavailable:
            QueryFailed also where it would cost more than a query may
        """
        limit = timeout or self._timeout
        if self._maximum_bytes_billed is not None:
            self._refuse_dear(text, parameters, resource, self._maximum_bytes_billed)
        return self._query(text, parameters, action, resource, limit, True, abandoned)[1]

    def change(
        self,
        text: str,
        parameters: Parameters = (),
        *,
        action: str,
        resource: str,
        timeout: float | None = None,
    ) -> int:
        """Run one statement that changes rows; how many.

        :param timeout: seconds, if other than the usual
        :raises QueryTimeout, QueryFailed, TableNotFound, EngineUnavailable:
        """
        limit = timeout or self._timeout
        job, _ = self._query(text, parameters, action, resource, limit, reads=False)
        return int(job.num_dml_affected_rows or 0)

    def _query(
        self,
        text: str,
        parameters: Parameters,
        action: str,
        resource: str,
        limit: float,
        reads: bool,
        abandoned: Abandoned | None = None,
    ) -> tuple[bigquery.QueryJob, RowIterator]:
        config = bigquery.QueryJobConfig(
            query_parameters=list(parameters),
            labels=self._all_labels(action, resource),
            maximum_bytes_billed=self._maximum_bytes_billed,
            job_timeout_ms=int(limit * 1000),
            use_legacy_sql=False,
        )

        def start(client: bigquery.Client, job_id: str, seconds: float) -> Any:
            return client.query(
                text, config, job_id=job_id, retry=NO_RETRY, job_retry=NO_RETRY, timeout=seconds
            )

        job, rows = self._run(start, limit, reads, abandoned)
        log.info(
            "%s of %s: query job %s, %s bytes processed, %s billed",
            *(action, resource, job.job_id, job.total_bytes_processed, job.total_bytes_billed),
        )
        return job, rows

    def load(self, data: pa.Table, table: bigquery.TableReference, *, resource: str) -> None:
        """Make rows the whole content of a table that is there already."""
        content = io.BytesIO()
        pq.write_table(data, content)
        self.load_parquet(content, table, resource=resource)

    def load_parquet(
        self,
        content: BinaryIO,
        table: bigquery.TableReference,
        *,
        resource: str,
        timeout: float | None = None,
    ) -> None:
        """Make a Parquet file the whole content of a table that is there already.

        :param content: it is sent in pieces, and read from its start again where that is needed
        :param timeout: seconds, if other than the usual
        """
        size = content.seek(0, io.SEEK_END)
        config = bigquery.LoadJobConfig(
            source_format=bigquery.SourceFormat.PARQUET,
            write_disposition=bigquery.WriteDisposition.WRITE_TRUNCATE,
            labels=self._all_labels("load", resource),
        )
        config.parquet_options = bigquery.ParquetOptions()
        config.parquet_options.enable_list_inference = True

        def start(client: bigquery.Client, job_id: str, seconds: float) -> Any:
            return client.load_table_from_file(
                content,
                table,
                rewind=True,
                num_retries=0,
                job_id=job_id,
                job_config=config,
                timeout=seconds,
            )

        job, _ = self._run(start, timeout or self._timeout, reads=False)
        log.info("load of %s: load job %s, %s bytes", resource, job.job_id, size)

    def call(self, request: Callable[[bigquery.Client], T]) -> T:
        """Make a request that may be made twice.

        :raises google.api_core.exceptions.NotFound, Conflict: the caller knows what they mean
        """
        for attempt in range(_MOST_ATTEMPTS):
            try:
                return request(self._connection.client())
            except (api.NotFound, api.Conflict):
                raise
            except Exception as error:
                if attempt + 1 == _MOST_ATTEMPTS or not is_passing(error):
                    raise fault_of(error, self._connection.place) from error
            _pause(attempt)
        raise AssertionError

    # Parts

    def _refuse_dear(self, text: str, parameters: Parameters, resource: str, most: int) -> None:
        """Ask what a statement would read, which costs nothing.

        :raises QueryFailed: it is more than one query may
        """
        config = bigquery.QueryJobConfig(
            query_parameters=list(parameters),
            dry_run=True,
            use_query_cache=False,
            use_legacy_sql=False,
        )
        try:
            job = self.call(
                lambda client: client.query(
                    text, config, retry=NO_RETRY, job_retry=NO_RETRY, timeout=_REQUEST_SECONDS
                )
            )
        except (api.NotFound, api.Conflict) as error:
            raise fault_of(error, self._connection.place) from error
        size = job.total_bytes_processed or 0
        if size > most:
            raise QueryFailed(
                f'The query would read {size} bytes of "{resource}", and one query may read {most} '
                "(ckanext.bqdatastore.bigquery.maximum_bytes_billed): ask for fewer columns."
            )

    def _run(
        self,
        start: Callable[[bigquery.Client, str, float], Any],
        limit: float,
        reads: bool,
        abandoned: Abandoned | None = None,
    ) -> Any:
        """Start a job and wait for its end; the job and its rows.

        :param reads: the job does nothing that would have to be known of
        """
        end = time.monotonic() + limit
        for attempt in range(_MOST_ATTEMPTS):
            job_id = f"bqdatastore_{uuid.uuid4().hex}"
            job = self._started(start, job_id, end, limit, reads)
            try:
                return job, self._outcome(job, end, limit, reads, abandoned)
            except api.GoogleAPICallError as error:
                # The job itself has failed, so it has written nothing.
                over = attempt + 1 == _MOST_ATTEMPTS or time.monotonic() > end
                if over or not is_passing(error):
                    raise fault_of(error, self._connection.place) from error
            _pause(attempt)
        raise AssertionError

    def _started(
        self,
        start: Callable[[bigquery.Client, str, float], Any],
        job_id: str,
        end: float,
        limit: float,
        reads: bool,
    ) -> Any:
        client = self._connection.client()
        for attempt in range(_MOST_ATTEMPTS):
            left = end - time.monotonic()
            if left <= 0:
                self._cancel(job_id)
                if not reads:
                    with suppress(EngineUnavailable):
                        return self._known(job_id)
                raise QueryTimeout(f"stopped after {limit:g} s")
            try:
                return start(client, job_id, left)
            except api.Conflict:
                # Asked before: the answer was lost, the job was not.
                return self._known(job_id)
            except Exception as error:
                if not is_passing(error):
                    raise fault_of(error, self._connection.place) from error
                last = error
            if time.monotonic() < end:
                _pause(attempt)
        try:
            return self._known(job_id)
        except EngineUnavailable:
            raise fault_of(last, self._connection.place) from last

    def _known(self, job_id: str) -> Any:
        """The job of that id, if it was ever started."""
        try:
            return self.call(
                lambda client: client.get_job(job_id, retry=NO_RETRY, timeout=_REQUEST_SECONDS)
            )
        except api.NotFound:
            raise EngineUnavailable(
                f"BigQuery gave no answer and knows no job {job_id}: nothing was done."
            ) from None

    def _outcome(
        self, job: Any, end: float, limit: float, reads: bool, abandoned: Abandoned | None
    ) -> Any:
        """Wait for a job.

        :raises google.api_core.exceptions.GoogleAPICallError: the job failed
        :raises EngineUnavailable: how it ended cannot be found out
        """
        for attempt in range(_MOST_ATTEMPTS):
            try:
                return self._rows(job, end, abandoned)
            except QueryCancelled:
                raise
            except Exception as error:
                if job.error_result is not None:
                    raise
                late = isinstance(error, _LATE)
                if (late or is_unanswered(error)) and time.monotonic() >= end:
                    return self._stopped(job, limit, reads)
                if not is_unanswered(error):
                    raise fault_of(error, self._connection.place) from error
            _pause(attempt)
        raise EngineUnavailable(
            f"BigQuery gave no answer to how job {job.job_id} ended: look it up before you repeat."
        )

    def _rows(self, job: Any, end: float, abandoned: Abandoned | None) -> Any:
        """Wait for a job until the time is up, and cancel it if nobody else waits.

        :raises QueryCancelled:
        """
        # Only queries know `job_retry`; both would start the job again by themselves.
        once = {"job_retry": NO_RETRY} if isinstance(job, bigquery.QueryJob) else {}
        while True:
            left = max(end - time.monotonic(), 0.001)
            seconds = min(left, _SECONDS_BETWEEN_LOOKS) if abandoned else left
            try:
                return job.result(retry=NO_RETRY, timeout=seconds, **once)
            except _LATE:
                if abandoned is None or time.monotonic() >= end:
                    raise
                if abandoned():
                    self._cancel(job.job_id)
                    raise QueryCancelled("nobody waits for the answer any more") from None

    def _stopped(self, job: Any, limit: float, reads: bool) -> Any:
        """Stop a job that ran out of time; what it did, if it was done before that."""
        self._cancel(job.job_id)
        end = time.monotonic() + _CANCEL_SECONDS
        while not reads and time.monotonic() < end:
            known = self._known(job.job_id)
            if known.state == "DONE":
                if known.error_result is None:
                    return known.result(retry=NO_RETRY, timeout=_REQUEST_SECONDS)
                break
            time.sleep(_FIRST_PAUSE)
        raise QueryTimeout(f"stopped after {limit:g} s")

    def _cancel(self, job_id: str) -> None:
        try:
            self._connection.client().cancel_job(job_id, retry=NO_RETRY, timeout=_CANCEL_SECONDS)
        except Exception as error:
            # It ends by its own time limit as well.
            log.debug("job %s could not be cancelled: %s", job_id, type(error).__name__)

    def _all_labels(self, action: str, resource: str) -> dict[str, str]:
        user = self._caller()
        return {
            **self._labels,
            "action": label(action),
            "resource": label(resource),
            **({"user": label(user)} if user else {}),
        }


def label(text: str) -> str:
    """A text as the value of a label may be."""
    return re.sub(r"[^a-z0-9_\-]", "_", text.lower())[:63]


def _pause(attempt: int) -> None:
    """Wait longer each time, and not all at once (BigQuery's truncated exponential backoff)."""
    time.sleep(min(_FIRST_PAUSE * 2**attempt, _LONGEST_PAUSE) * random.uniform(0.5, 1.0))
