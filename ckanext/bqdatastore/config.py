"""The extension's settings: one typed accessor each; no setting is read anywhere else."""

from __future__ import annotations

import functools
import math
import os
import re
from collections.abc import Collection
from pathlib import Path
from typing import Any

import ckantoolkit as tk
import redis

from .engines.base import EngineSettings
from .model.errors import Misconfigured

PREFIX = "ckanext.bqdatastore."

WRITE_URL = "ckan.datastore.write_url"
READ_URL = "ckan.datastore.read_url"
TRIGGER_URL = f"{PREFIX}trigger_url"

_REDIS = re.compile(r"rediss?://([^/?]+(/\d*)?|/\d+)(\?.*)?|unix://.+")
_POSTGRESQL = re.compile(r"postgresql://[^/]*/[^/?]+")
# Those that decide who may see or change datasets.
_AUTH_SETTINGS = (
    "anon_create_dataset",
    "create_dataset_if_not_in_organization",
    "create_unowned_dataset",
    "roles_that_cascade_to_sub_groups",
    "allow_dataset_collaborators",
    "allow_admin_collaborators",
)
_MEMORY = re.compile(r"\d+(\.\d+)? ?[KMGT]i?B", re.IGNORECASE)


def write_url() -> str:
    """Where tables live and are written."""
    return str(tk.config.get(WRITE_URL) or "")


def read_url() -> str:
    """The same place, with the right to read only."""
    return str(tk.config.get(READ_URL) or "")


def scheme() -> str:
    """The URL scheme that chooses the backend."""
    return write_url().split(":")[0]


def statement_timeout() -> float:
    """Seconds that one statement may run."""
    return _positive("statement_timeout")


def lock_timeout() -> float:
    """Seconds that a write waits for other writes to the same table."""
    return _positive("lock_timeout")


def sql_queries_per_user() -> int:
    """SQL queries that one user may have running at once; 0 for any number."""
    value = _not_negative("sql_queries_per_user")
    if value != int(value):
        raise Misconfigured(f"{PREFIX}sql_queries_per_user: must be a whole number.")
    return int(value)


def sql_max_answer_mb() -> float:
    """Megabytes that the answer to one SQL query may have."""
    return _positive("sql.max_answer_mb")


def memory_limit() -> str:
    """Memory that an engine may use for one call."""
    value = str(_get("memory_limit"))
    if not _MEMORY.fullmatch(value):
        raise Misconfigured(f'{PREFIX}memory_limit: "{value}" is no size; write it like 1GB.')
    return value


def threads() -> int:
    """Threads that an engine may use for one call."""
    value = _positive("threads")
    if value != int(value):
        raise Misconfigured(f"{PREFIX}threads: must be a whole number.")
    return int(value)


def allowed_functions_file() -> Path | None:
    """A list that takes the place of the engine's own list of SQL functions."""
    value = _get("allowed_functions_file")
    if not value:
        return None
    path = Path(str(value))
    if not path.is_file():
        raise Misconfigured(f"{PREFIX}allowed_functions_file: there is no file {path}.")
    return path


def trigger_url() -> str:
    """A PostgreSQL database that runs trigger functions; empty for none."""
    value = str(_get("trigger_url") or "")
    if value and not _POSTGRESQL.match(value):
        raise Misconfigured(
            f"{TRIGGER_URL}: must name a PostgreSQL database, as postgresql://user@host/database."
        )
    return value


def redis_url() -> str:
    """A Redis that all processes of the site share; empty for none."""
    value = str(_get("redis_url") or "")
    if value and not _is_redis(value):
        raise Misconfigured(
            f"{PREFIX}redis_url: must name a Redis server, as redis://localhost:6379/1."
        )
    return value


@functools.cache
def _is_redis(url: str) -> bool:
    """Whether Redis's client can read it."""
    try:
        redis.ConnectionPool.from_url(url).make_connection()  # which connects when it is used
    except (ValueError, TypeError):
        return False
    return bool(_REDIS.fullmatch(url))


def authorization_cache_ttl() -> float:
    """Seconds that a decision on a permission is kept; 0 for none kept."""
    return _not_negative("authorization.cache_ttl")


def cache_results_ttl() -> float:
    """Seconds that the answer to a statement is kept; 0 for none kept."""
    return _not_negative("cache.results_ttl")


def cache_results_max_mb() -> int:
    """Megabytes of answers that one process keeps."""
    value = _positive("cache.results_max_mb")
    if value != int(value):
        raise Misconfigured(f"{PREFIX}cache.results_max_mb: must be a whole number.")
    return int(value)


def auth_settings() -> tuple[str, ...]:
    """What CKAN's own settings of permissions are now."""
    return tuple(f"{name}={tk.config.get(f'ckan.auth.{name}')}" for name in _AUTH_SETTINGS)


def storage_path() -> Path:
    """Where the extension keeps files for which no place is named."""
    path = tk.config.get("ckan.storage_path")
    if not path:
        raise Misconfigured(
            "ckan.storage_path: is not set; set it, or name a place for the data files with "
            f"?data_path= in {WRITE_URL} and {READ_URL}."
        )
    return Path(str(path))


def sql_search_enabled() -> bool:
    """CKAN's own switch for `datastore_search_sql`."""
    return bool(tk.asbool(tk.config.get("ckan.datastore.sqlsearch.enabled", False)))


def rows_max() -> int:
    """CKAN's own limit on the rows of one answer."""
    return int(tk.config.get("ckan.datastore.search.rows_max", 32000))


def text_search_language() -> str:
    """CKAN's own default language of full-text queries."""
    return str(tk.config.get("ckan.datastore.default_fts_lang") or "english")


def indexed_text_types() -> list[str]:
    """CKAN's own list of types whose fields are searched without the whole row."""
    return list(tk.aslist(tk.config.get("ckan.datastore.default_fts_index_field_types") or []))


def milliseconds_in_timestamps() -> bool:
    """CKAN's own switch for the form of timestamps; 2.11 has none, and shows no milliseconds."""
    return bool(tk.asbool(tk.config.get("ckan.datastore.ms_in_timestamp", False)))


def site_id() -> str:
    return str(tk.config.get("ckan.site_id") or "default")


def maximum_bytes_billed() -> str:
    """Bytes that one BigQuery query may be billed for; empty for no limit."""
    value = str(_get("bigquery.maximum_bytes_billed") or "")
    if value and not (value.isascii() and value.isdigit() and int(value)):
        raise Misconfigured(
            f"{PREFIX}bigquery.maximum_bytes_billed: must be a whole number of bytes, not {value}."
        )
    return value


def engine_settings() -> EngineSettings:
    """All that an engine is told."""
    in_files = scheme() == "ducklake"
    needs_storage = in_files and not ("data_path=" in write_url() and "data_path=" in read_url())
    options = {
        name: str(_get(name) or "")
        for name in (
            "ducklake.s3_access_key_id",
            "ducklake.s3_secret_access_key",
            "ducklake.s3_region",
            "ducklake.s3_endpoint",
            "ducklake.s3_url_style",
        )
    }
    if not options["ducklake.s3_access_key_id"]:
        # One key, whole: parts of two would fit nothing.
        options["ducklake.s3_access_key_id"] = os.environ.get("AWS_ACCESS_KEY_ID", "")
        options["ducklake.s3_secret_access_key"] = os.environ.get("AWS_SECRET_ACCESS_KEY", "")
        options["session_token"] = os.environ.get("AWS_SESSION_TOKEN", "")
    if not options["ducklake.s3_region"]:
        options["ducklake.s3_region"] = os.environ.get("AWS_REGION", "")
    options["site"] = site_id()
    options["bigquery.maximum_bytes_billed"] = maximum_bytes_billed()
    options["bigquery.partition_by"] = str(_get("bigquery.partition_by") or "")
    return EngineSettings(
        write_url=write_url(),
        read_url=read_url(),
        storage_path=storage_path() if needs_storage else Path(),
        statement_timeout=statement_timeout(),
        memory_limit=memory_limit(),
        threads=threads(),
        milliseconds_in_timestamps=milliseconds_in_timestamps(),
        allowed_functions_file=allowed_functions_file(),
        options=tuple((name, value) for name, value in options.items() if value),
    )


def check_schemes(known: Collection[str]) -> None:
    """Both URLs begin with the scheme of one engine.

    :raises Misconfigured:
    """
    urls = {WRITE_URL: write_url(), READ_URL: read_url()}
    for setting, url in urls.items():
        if ":" not in url:
            raise Misconfigured(f"{setting}: is not set to a URL.")
        begin = url.split(":")[0]
        if begin not in known:
            raise Misconfigured(
                f'{setting}: "{begin}:" stands for no engine; a URL begins with one of '
                f"{', '.join(f'{each}:' for each in sorted(known))}."
            )
    if urls[READ_URL].split(":")[0] != scheme():
        raise Misconfigured(
            f"{READ_URL} and {WRITE_URL} must begin with the same scheme: they are for one engine."
        )


def check() -> None:
    """Read every setting once.

    :raises Misconfigured: names the first that is wrong
    """
    engine_settings()
    lock_timeout()
    sql_queries_per_user()
    sql_max_answer_mb()
    trigger_url()
    redis_url()
    authorization_cache_ttl()
    cache_results_ttl()
    cache_results_max_mb()


def check_plugins() -> None:
    """
    :raises Misconfigured: Table Designer is enabled, and could not do its work
    """
    names = tk.aslist(tk.config.get("ckan.plugins"))
    if "tabledesigner" not in names:
        return
    if "bqdatastore" in names[names.index("tabledesigner") :]:
        raise Misconfigured(
            'ckan.plugins: "bqdatastore" must stand before "tabledesigner", whose rules would '
            "otherwise be checked in a database that is not there."
        )
    if not trigger_url():
        raise Misconfigured(
            f'{TRIGGER_URL}: "tabledesigner" checks rows by trigger functions; set this to a '
            "PostgreSQL database for them."
        )


def _get(name: str) -> Any:
    return tk.config.get(PREFIX + name)


def _positive(name: str) -> float:
    number = _number(name)
    if not 0 < number < math.inf:
        raise Misconfigured(f"{PREFIX}{name}: must be more than 0, not {_get(name)}.")
    return number


def _not_negative(name: str) -> float:
    number = _number(name)
    if not 0 <= number < math.inf:
        raise Misconfigured(f"{PREFIX}{name}: must be 0 or more, not {_get(name)}.")
    return number


def _number(name: str) -> float:
    value = _get(name)
    try:
        return float(value)
    except (TypeError, ValueError):
        raise Misconfigured(f'{PREFIX}{name}: "{value}" is not a number.') from None
