"""`bigquery:` URLs: which dataset, where it is and who asks.

`bigquery://PROJECT/DATASET?location=EU&credentials=/etc/ckan/writer.json`
"""

from __future__ import annotations

import dataclasses
import re
from urllib.parse import parse_qsl, urlsplit

from ...model.errors import Misconfigured

DEFAULT_LOCATION = "US"
_OPTIONS = ("credentials", "endpoint", "impersonate", "location")
_PROJECT = re.compile(r"[a-z][a-z0-9\-]{4,28}[a-z0-9]|[a-z0-9.\-]+:[a-z0-9\-]+")
_DATASET = re.compile(r"[A-Za-z0-9_]{1,1024}")


@dataclasses.dataclass(frozen=True)
class BigQueryURL:
    """A parsed URL.

    :param setting: the setting it came from, for errors
    :param credentials: a service account's key file; empty for the application's default
    :param impersonate: the service account to act as; empty for none
    :param endpoint: another address of the API; one with `http:` is asked without credentials
    """

    setting: str
    project: str
    dataset: str
    location: str
    credentials: str = ""
    impersonate: str = ""
    endpoint: str = ""


def parse(url: str, setting: str) -> BigQueryURL:
    """Read a URL.

    :param setting: the setting it came from, for the error
    :raises Misconfigured: what is wrong with it and how it should look
    """
    parts = urlsplit(url)
    project, dataset = parts.netloc, parts.path.strip("/")
    if not _PROJECT.fullmatch(project) or not _DATASET.fullmatch(dataset):
        raise Misconfigured(
            f"{setting}: names no project and dataset; write bigquery://PROJECT/DATASET?location=EU."
        )
    options = dict(parse_qsl(parts.query))
    unknown = sorted(set(options) - set(_OPTIONS))
    if unknown:
        raise Misconfigured(
            f"{setting}: does not know {', '.join(unknown)}; it takes {', '.join(_OPTIONS)}."
        )
    location = options.pop("location", DEFAULT_LOCATION)
    return BigQueryURL(setting, project, dataset, location, **options)
