"""The one error that a client is told about."""

from __future__ import annotations


class BadRequest(Exception):
    """Answered with status 400; where CKAN reads the message, it is Solr's own wording."""
