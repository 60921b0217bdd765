"""Who is behind the HTTP request that this thread answers, and whether they still wait.

WSGI says nothing of a client that goes away while the answer is made. But servers show the
connection in ways of their own, and the operating system knows whether the other end is closed.
"""

from __future__ import annotations

import hashlib
import select
import sys
from collections.abc import Callable, Mapping
from typing import Any

import ckantoolkit as tk
from flask import has_request_context

from . import config

# Linux tells when the other end has closed; elsewhere only a connection that broke shows.
_CLOSED = getattr(select, "POLLRDHUP", 0)
_GONE = _CLOSED | select.POLLHUP | select.POLLERR | select.POLLNVAL

_SOCKETS = ("werkzeug.socket", "gunicorn.socket")


def name_of_caller(context: Mapping[str, Any]) -> str | None:
    """The user, or the address of who has not logged in; None outside of HTTP requests."""
    if not has_request_context():
        return None
    user = context.get("user")
    return f"user {user}" if user else f"address {tk.request.environ.get('REMOTE_ADDR', '')}"


def hashed_caller() -> str | None:
    """The user of this request in 16 hexadecimal digits, the same for all their requests.

    None outside of HTTP requests, and for who has not logged in.
    """
    if not has_request_context():
        return None
    user = getattr(tk.g, "user", "")
    if not user:
        return None
    return hashlib.sha256(f"{config.site_id()} {user}".encode()).hexdigest()[:16]


def whether_gone() -> Callable[[], bool] | None:
    """Tells, to any thread while the request lasts, whether its client has closed the connection.

    None outside of HTTP requests, and where the server does not show the connection.
    """
    if not has_request_context():
        return None
    environ = tk.request.environ
    if "waitress.client_disconnected" in environ:
        told: Callable[[], bool] = environ["waitress.client_disconnected"]
        return told
    descriptor = _descriptor(environ)
    if descriptor < 0:
        return None
    connection = select.poll()
    connection.register(descriptor, _CLOSED)
    return lambda: any(event & _GONE for _, event in connection.poll(0))


def _descriptor(environ: Mapping[str, Any]) -> int:
    """The connection's file descriptor; -1 for none."""
    if "uwsgi.version" in environ:
        return int(sys.modules["uwsgi"].connection_fd())
    for name in _SOCKETS:
        if name in environ:
            return int(environ[name].fileno())
    return -1
