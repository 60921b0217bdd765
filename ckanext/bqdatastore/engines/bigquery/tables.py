"""What BigQuery says of the dataset's tables, and what we keep with each: no query is asked.

A table's metadata is the JSON text of its description; its labels tell ours from others' and hold
the first `_id` that was never given out. An alias is a view whose friendly name is its table's. A
table without our label is nobody's to see: it is being made, or is not ours.
"""

from __future__ import annotations

import base64
import dataclasses
import datetime
import zlib
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

import sqlglot.expressions as sge
from google.api_core.exceptions import Conflict, NotFound
from google.cloud import bigquery

from ...model import metadata
from ...model.errors import InvalidRequest
from ...model.table import ID, Table
from .jobs import NO_RETRY, Jobs
from .names import STAGING_PREFIX, table_id, table_name
from .statements import UNFINISHED, Layout
from .types import is_clusterable, stored_type

_KIND = "bqdatastore"
_TABLE, _ALIAS = "table", "alias"
_NEXT_ID = "bqdatastore_next_id"

# BigQuery's limit on a description, in characters.
_DESCRIPTION_LENGTH = 16_384
_COMPRESSED = "zlib:"

_CLUSTERING_COLUMNS = 4
_STAGED_HOURS = 6
_SECONDS = 30.0


@dataclasses.dataclass(frozen=True)
class Entry:
    """A table as it stands in BigQuery.

    :param columns: field ids (and `_id`) to the names of their columns
    :param types: stored names of numeric columns to their types (`NUMERIC(12, 3)`)
    :param next_id: the first `_id` that was never given out
    :param physical: names of all columns, also of those that no field has
    :param version: another after every change, to the rows as well
    :param layout: how its rows are kept together
    """

    table: Table
    columns: Mapping[str, str]
    types: Mapping[str, str]
    next_id: int
    physical: tuple[str, ...]
    byte_count: int
    version: str
    layout: Layout


@dataclasses.dataclass(frozen=True)
class Found:
    """A name in the dataset: a table, or an alias of one."""

    entry: Entry | None = None
    alias_of: str | None = None


def to_description(table: Table, columns: Mapping[str, str], types: Mapping[str, str]) -> str:
    """A table's metadata as the text of its description.

    :raises InvalidRequest: it is longer than BigQuery allows
    """
    stored = {name: {"stored": type} for name, type in types.items()}
    text = metadata.to_json(table, columns, stored)
    description = text.decode()
    if len(description) > _DESCRIPTION_LENGTH:
        description = _COMPRESSED + base64.b85encode(zlib.compress(text, 9)).decode()
    if len(description) > _DESCRIPTION_LENGTH:
        raise InvalidRequest(
            "fields",
            "The fields with their data dictionary are longer than BigQuery keeps with a table "
            f"({_DESCRIPTION_LENGTH} characters, compressed): shorten the dictionary.",
        )
    return description


def from_description(name: str, description: str) -> tuple[Table, dict[str, str], dict[str, str]]:
    """The table that a description tells of, its columns' names and the numeric ones' types."""
    text = description.encode()
    if description.startswith(_COMPRESSED):
        text = zlib.decompress(base64.b85decode(description.removeprefix(_COMPRESSED)))
    table, columns, content = metadata.from_json(name, text)
    types = {
        columns[field["id"]]: field["stored"] for field in content["fields"] if "stored" in field
    }
    return table, columns, types


class Tables:
    """The dataset's tables, by the API's names.

    :param jobs: the side that makes the calls
    """

    def __init__(self, jobs: Jobs, project: str, dataset: str) -> None:
        self._jobs = jobs
        self._dataset = bigquery.DatasetReference(project, dataset)

    def reference(self, name: str) -> bigquery.TableReference:
        return self._dataset.table(table_id(name))

    # Looking

    def find(self, name: str) -> Found | None:
        """What a name stands for, or None."""
        found = self._get(self.reference(name))
        return None if found is None else _found(name, found)

    def names(self) -> list[str]:
        return [name for name, found in self._ours() if found == _TABLE]

    def aliases(self) -> dict[str, str]:
        return {name: found for name, found in self._ours() if found != _TABLE}

    def row_count(self, name: str) -> int:
        """How many rows a table has; BigQuery counts them as they come, so this costs no query."""
        reference = self.reference(name)
        path = f"{reference.path}/data"

        def count(client: bigquery.Client) -> int:
            answer = client._connection.api_request(
                # No public call asks for no rows.
                method="GET",
                path=path,
                query_params={"maxResults": 0},
                timeout=_SECONDS,
            )
            return int(answer["totalRows"])

        return self._jobs.call(count)

    def _ours(self) -> list[tuple[str, str]]:
        """Names, each with `table` or with the table that an alias stands for."""
        found: list[tuple[str, str]] = []
        for item in self._jobs.call(self._list):
            if item.table_id.startswith(STAGING_PREFIX):
                continue
            name = table_name(item.table_id)
            kind, alias_of = item.labels.get(_KIND), item.friendly_name
            if not item.labels or (kind == _ALIAS and not alias_of):
                whole = self._get(item.reference)
                if whole is None:
                    continue
                kind, alias_of = whole.labels.get(_KIND), whole.friendly_name
            if kind == _TABLE:
                found.append((name, _TABLE))
            elif kind == _ALIAS and alias_of:
                found.append((name, alias_of))
        return found

    def _list(self, client: bigquery.Client) -> list[Any]:
        return list(client.list_tables(self._dataset, retry=NO_RETRY, timeout=_SECONDS))

    def _get(self, reference: bigquery.TableReference) -> bigquery.Table | None:
        try:
            return self._jobs.call(
                lambda client: client.get_table(reference, retry=NO_RETRY, timeout=_SECONDS)
            )
        except NotFound:
            return None

    # Changing

    def put_metadata(
        self,
        table: Table,
        columns: Mapping[str, str],
        types: Mapping[str, str],
        next_id: int,
    ) -> None:
        """Write what we keep with a table; from here on it is there for all to see."""
        changed = bigquery.Table(self.reference(table.name))
        changed.description = to_description(table, columns, types)
        changed.labels = labels(next_id)
        changed.clustering_fields = list(clustering(table, columns))
        self._update(changed, ["description", "labels", "clustering_fields"])

    def put_clustering(self, name: str, columns: Sequence[str]) -> None:
        """Keep rows sorted by other columns; it costs nothing, and BigQuery takes its time."""
        changed = bigquery.Table(self.reference(name))
        changed.clustering_fields = list(columns)
        self._update(changed, ["clustering_fields"])

    def put_next_id(self, name: str, next_id: int) -> None:
        changed = bigquery.Table(self.reference(name))
        changed.labels = labels(next_id)
        self._update(changed, ["labels"])

    def _update(self, changed: bigquery.Table, properties: Sequence[str]) -> None:
        self._jobs.call(
            lambda client: client.update_table(
                changed, list(properties), retry=NO_RETRY, timeout=_SECONDS
            )
        )

    def put_alias(self, alias: str, name: str) -> None:
        target = self.reference(name)
        view = bigquery.Table(self.reference(alias))
        source = sge.Table(
            this=sge.to_identifier(target.table_id, quoted=True),
            db=sge.to_identifier(target.dataset_id, quoted=True),
            catalog=sge.to_identifier(target.project, quoted=True),
        )
        view.view_query = sge.select("*").from_(source).sql(dialect="bigquery")
        view.friendly_name = name
        view.labels = {_KIND: _ALIAS}
        try:
            self._create(view)
        except Conflict:
            # The caller has seen that the name was free: a lost answer was repeated.
            self._update(view, ["labels", "friendly_name"])

    def remove_unfinished(self, name: str) -> None:
        """Remove a table that was being made when its maker died.

        :raises InvalidRequest: there is a table of that name which is not ours
        """
        found = self._get(self.reference(name))
        if found is None:
            return
        if found.labels.get(_KIND) or found.description != UNFINISHED:
            raise InvalidRequest(
                "resource_id",
                f'BigQuery has a table "{found.table_id}" in this dataset that is not the '
                "DataStore's: give it another name or another dataset.",
            )
        self.remove(name)

    def create_staging(
        self, name: str, fields: Sequence[bigquery.SchemaField]
    ) -> bigquery.TableReference:
        """An empty table that goes by itself, if nobody removes it before."""
        reference = self._dataset.table(f"{STAGING_PREFIX}{name}")
        staged = bigquery.Table(reference, schema=list(fields))
        now = datetime.datetime.now(datetime.timezone.utc)
        staged.expires = now + datetime.timedelta(hours=_STAGED_HOURS)
        with suppress(Conflict):  # its name is used once: a lost answer was repeated
            self._create(staged)
        return reference

    def _create(self, table: bigquery.Table) -> None:
        self._jobs.call(lambda client: client.create_table(table, retry=NO_RETRY, timeout=_SECONDS))

    def remove(self, name: str) -> None:
        self.remove_reference(self.reference(name))

    def remove_reference(self, reference: bigquery.TableReference) -> None:
        self._jobs.call(
            lambda client: client.delete_table(
                reference, retry=NO_RETRY, timeout=_SECONDS, not_found_ok=True
            )
        )


def clustering(table: Table, columns: Mapping[str, str]) -> tuple[str, ...]:
    """The columns, by stored name, by which a table's rows are kept sorted."""
    key = [columns[name] for name in table.primary_key if is_clusterable(table.types[name])]
    return tuple(key[:_CLUSTERING_COLUMNS]) or (ID,)


def labels(next_id: int) -> dict[str, str]:
    """What tells a table of ours from others."""
    return {_KIND: _TABLE, _NEXT_ID: str(next_id)}


def _found(name: str, found: bigquery.Table) -> Found | None:
    kind = found.labels.get(_KIND)
    if kind == _ALIAS:
        return Found(alias_of=found.friendly_name)
    if kind != _TABLE:
        return None
    table, columns, types = from_description(name, found.description or "")
    return Found(
        Entry(
            table,
            columns,
            types,
            int(found.labels.get(_NEXT_ID, 1)),
            tuple(field.name for field in found.schema),
            int(found.num_bytes or 0),
            _version(found),
            Layout(
                found.time_partitioning.field if found.time_partitioning else None,
                tuple(found.clustering_fields or ()),
            ),
        )
    )


def _version(found: bigquery.Table) -> str:
    """What BigQuery calls the table's state, and when it was last modified: the creation tells a
    table from an older one of the same name."""
    return " ".join(str(each) for each in (found.created, found.modified, found.etag))


def numeric_types(table: Table, columns: Mapping[str, str]) -> dict[str, str]:
    """Types of a new table's numeric columns, by stored name."""
    return {
        columns[field.id]: stored_type(field.type)
        for field in table.fields
        if field.type == "numeric"
    }
