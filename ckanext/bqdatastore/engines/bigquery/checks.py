"""What must be so for BigQuery to work, as an administrator's checks. None of them costs money."""

from __future__ import annotations

import datetime
import uuid
from collections.abc import Sequence

from google.api_core.exceptions import Forbidden, NotFound
from google.cloud import bigquery

from ...model.errors import DatastoreFault, EngineUnavailable, Misconfigured
from ..base import Check
from .connection import Connection
from .jobs import NO_RETRY, Jobs
from .names import STAGING_PREFIX

_FAR_AWAY_SECONDS = 30.0


def checks_of(side: Connection, jobs: Jobs) -> Sequence[Check]:
    """The checks of one side."""
    name = side.url.setting.rpartition(".")[2].replace("_url", " URL")
    found = [
        Check(f"{name}: there are credentials", lambda: side.client()),
        Check(
            f"{name}: the dataset is there, and where the URL says",
            lambda: require_dataset(side, jobs),
        ),
        Check(f"{name}: its account may list tables", lambda: _list_tables(side, jobs)),
        Check(f"{name}: its account may run queries", lambda: _run_query(jobs)),
    ]
    if name.startswith("write"):
        found.append(
            Check(
                f"{name}: its account may make and remove tables", lambda: _make_table(side, jobs)
            )
        )
    else:
        found.append(
            Check(f"{name}: its account cannot write", lambda: _refuse_writing_reader(side, jobs))
        )
    return found


def _dataset(side: Connection) -> bigquery.DatasetReference:
    return bigquery.DatasetReference(side.url.project, side.url.dataset)


def _list_tables(side: Connection, jobs: Jobs) -> None:
    def first(client: bigquery.Client) -> object:
        return list(
            client.list_tables(
                _dataset(side), max_results=1, retry=NO_RETRY, timeout=_FAR_AWAY_SECONDS
            )
        )

    jobs.call(first)


def _run_query(jobs: Jobs) -> None:
    config = bigquery.QueryJobConfig(dry_run=True, use_query_cache=False)
    jobs.call(
        lambda client: client.query(
            "SELECT 1", config, retry=NO_RETRY, job_retry=NO_RETRY, timeout=_FAR_AWAY_SECONDS
        )
    )


def _make_table(side: Connection, jobs: Jobs) -> None:
    table = bigquery.Table(
        _dataset(side).table(f"{STAGING_PREFIX}check_{uuid.uuid4().hex}"),
        [bigquery.SchemaField("checked", "BOOL")],
    )
    # Should it not be removed: BigQuery does so itself.
    table.expires = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(hours=1)
    jobs.call(lambda client: client.create_table(table, retry=NO_RETRY, timeout=_FAR_AWAY_SECONDS))
    jobs.call(
        lambda client: client.delete_table(
            table, not_found_ok=True, retry=NO_RETRY, timeout=_FAR_AWAY_SECONDS
        )
    )


def _refuse_writing_reader(side: Connection, jobs: Jobs) -> None:
    try:
        _make_table(side, jobs)
    except DatastoreFault as fault:
        if isinstance(fault.__cause__, Forbidden):
            return
        raise
    raise Misconfigured(
        "its account may make tables; give it roles/bigquery.dataViewer on the dataset and no "
        "more, as a second lock behind the checks of SQL."
    )


def require_dataset(side: Connection, jobs: Jobs) -> None:
    """
    :raises Misconfigured: the dataset is not there, not here, or not for us
    """
    where, setting = side.url, side.url.setting
    reference = bigquery.DatasetReference(where.project, where.dataset)
    try:
        found = jobs.call(
            lambda client: client.get_dataset(reference, retry=NO_RETRY, timeout=_FAR_AWAY_SECONDS)
        )
    except NotFound:
        raise Misconfigured(
            f"{setting}: there is no dataset {where.dataset} in project {where.project}; make it: "
            f"bq mk --location={where.location} {where.project}:{where.dataset}"
        ) from None
    except EngineUnavailable as fault:
        if isinstance(fault.__cause__, Forbidden):
            raise Misconfigured(f"{setting}: {fault}") from None
        raise
    if found.location and found.location.upper() != where.location.upper():
        raise Misconfigured(
            f"{setting}: the dataset is in {found.location}; write ?location={found.location}."
        )
