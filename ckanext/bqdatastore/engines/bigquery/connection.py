"""Google's client for each side: credentials and addresses, one client per process."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import google.auth
from google.api_core.client_options import ClientOptions
from google.auth import impersonated_credentials
from google.auth.credentials import AnonymousCredentials
from google.auth.exceptions import GoogleAuthError
from google.cloud import bigquery
from google.oauth2 import service_account

from ...model.errors import Misconfigured
from .url import BigQueryURL

_SCOPES = ("https://www.googleapis.com/auth/bigquery",)


class Connection:
    """One side's client, made when it is first needed, once for each process id."""

    def __init__(self, url: BigQueryURL) -> None:
        self.url = url
        self._clients: dict[int, bigquery.Client] = {}
        self._lock = threading.Lock()

    @property
    def place(self) -> str:
        return f"{self.url.project}.{self.url.dataset}"

    def client(self) -> bigquery.Client:
        """
        :raises Misconfigured: there are no usable credentials
        """
        with self._lock:
            client = self._clients.get(os.getpid())
            if client is None:
                client = self._clients[os.getpid()] = _client(self.url)
            return client

    def storage_client(self) -> object | None:
        """A client of the Storage API, which streams Arrow; None where it is not installed."""
        if self.url.endpoint:
            return None  # the address of the one API does not tell that of the other
        try:
            from google.cloud import bigquery_storage
        except ImportError:
            return None
        return bigquery_storage.BigQueryReadClient(credentials=self.client()._credentials)

    def close(self) -> None:
        with self._lock:
            client = self._clients.pop(os.getpid(), None)
        if client is not None:
            client.close()


def _client(url: BigQueryURL) -> bigquery.Client:
    options = ClientOptions(api_endpoint=url.endpoint) if url.endpoint else None
    return bigquery.Client(
        project=url.project,
        credentials=_credentials(url),
        location=url.location,
        client_options=options,
    )


def _credentials(url: BigQueryURL) -> google.auth.credentials.Credentials:
    if url.endpoint.startswith("http://"):
        # A stand-in on this machine; a token must not go over a line that is not encrypted.
        return AnonymousCredentials()
    try:
        if url.credentials:
            source = service_account.Credentials.from_service_account_file(
                url.credentials, scopes=_SCOPES
            )
        else:
            source, _ = google.auth.default(scopes=_SCOPES)
    except (OSError, ValueError):
        raise Misconfigured(
            f"{url.setting}: {Path(url.credentials).name} is not the key file of a service "
            "account, or cannot be read."
        ) from None
    except GoogleAuthError:
        raise Misconfigured(
            f"{url.setting}: there are no credentials; name a service account's key file with "
            "?credentials=, or give the machine application default credentials."
        ) from None
    if url.impersonate:
        return impersonated_credentials.Credentials(
            source_credentials=source,
            target_principal=url.impersonate,
            target_scopes=list(_SCOPES),
        )
    return source
