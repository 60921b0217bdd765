"""The HTTP side: Solr's paths, over an index."""

from __future__ import annotations

import json
import socket
import socketserver
import traceback
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import parse_qs, urlsplit
from xml.etree import ElementTree

from devstack.search_stand_in.errors import BadRequest
from devstack.search_stand_in.index import Parameters, SearchIndex

_HEADER = {"responseHeader": {"status": 0, "QTime": 0}}


class Server(socketserver.ThreadingTCPServer):
    """Answers for one core, whatever name it is asked for by."""

    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, address: tuple[str, int], index: SearchIndex) -> None:
        super().__init__(address, _Handler)
        self.index = index


class _Handler(BaseHTTPRequestHandler):
    server: Server
    protocol_version = "HTTP/1.1"
    # Headers and body leave in two writes, and the second must not wait for the first's receipt.
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        self._answer(b"")

    def do_POST(self) -> None:
        self._answer(self.rfile.read(int(self.headers.get("Content-Length", 0))))

    def log_message(self, format: str, *arguments: Any) -> None:
        pass

    def _answer(self, body: bytes) -> None:
        url = urlsplit(self.path)
        # /solr/<core>/<handler>, the handler with or without a slash behind it
        handler = "/".join(url.path.strip("/").split("/")[2:])
        answers: dict[str, Callable[[Parameters, bytes], tuple[str, bytes]]] = {
            "select": self._select,
            "update": self._update,
            "schema": self._schema,
            "admin/file": self._schema_file,
            "admin/ping": self._ping,
        }
        try:
            if handler not in answers:
                return self._send_error(HTTPStatus.NOT_FOUND, f"No such handler: /{handler}")
            content_type, content = answers[handler](parse_qs(url.query), body)
        except BadRequest as error:
            return self._send_error(HTTPStatus.BAD_REQUEST, str(error))
        except Exception as error:
            traceback.print_exc()
            return self._send_error(HTTPStatus.INTERNAL_SERVER_ERROR, repr(error))
        self._send(HTTPStatus.OK, content_type, content)

    def _select(self, parameters: Parameters, body: bytes) -> tuple[str, bytes]:
        form = parse_qs(body.decode()) if body else {}
        return _json({**_HEADER, **self.server.index.select({**parameters, **form})})

    def _update(self, parameters: Parameters, body: bytes) -> tuple[str, bytes]:
        if not body.strip():
            pass  # a commit that is in the query string
        elif "json" in self.headers.get("Content-Type", ""):
            documents = json.loads(body)
            if not isinstance(documents, list):
                raise BadRequest("The search stand-in takes JSON as a list of documents only.")
            self.server.index.add(documents)
        else:
            self._update_xml(body)
        return _json(_HEADER)

    def _update_xml(self, body: bytes) -> None:
        try:
            command = ElementTree.fromstring(body)
        except ElementTree.ParseError as error:
            raise BadRequest(str(error)) from None
        if command.tag in ("commit", "optimize"):
            return
        if command.tag != "delete":
            raise BadRequest(f"The search stand-in has no update command <{command.tag}>.")
        self.server.index.delete(key.text or "" for key in command.iter("id"))
        for query in command.iter("query"):
            self.server.index.delete_matching(query.text or "")

    def _schema(self, parameters: Parameters, body: bytes) -> tuple[str, bytes]:
        schema = self.server.index.schema
        if parameters.get("wt") == ["schema.xml"]:
            return "application/xml", schema.xml.encode()
        return _json({**_HEADER, "schema": {"name": schema.name, "uniqueKey": schema.unique_key}})

    def _schema_file(self, parameters: Parameters, body: bytes) -> tuple[str, bytes]:
        if parameters.get("file") != ["schema.xml"]:
            raise BadRequest("The search stand-in has no file but schema.xml.")
        return "application/xml", self.server.index.schema.xml.encode()

    def _ping(self, parameters: Parameters, body: bytes) -> tuple[str, bytes]:
        return _json({**_HEADER, "status": "OK"})

    def _send_error(self, status: HTTPStatus, message: str) -> None:
        content_type, content = _json(
            {
                "responseHeader": {"status": int(status), "QTime": 0},
                "error": {"msg": message, "code": int(status)},
            }
        )
        self._send(status, content_type, content)

    def _send(self, status: HTTPStatus, content_type: str, content: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", f"{content_type};charset=utf-8")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


def _json(content: Any) -> tuple[str, bytes]:
    return "application/json", json.dumps(content).encode()


def listen(index: SearchIndex, port: int) -> tuple[Server, int]:
    """A server on `port` of this machine, or with 0 on any free one, and the port it has."""
    server = Server(("127.0.0.1", port), index)
    assert server.socket.family is socket.AF_INET
    return server, int(server.server_address[1])
