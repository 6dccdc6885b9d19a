"""A small trace collector: it receives OTLP over HTTP and writes one JSON document a line."""

from __future__ import annotations

import base64
import json
import threading
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from google.protobuf.json_format import MessageToDict
from google.protobuf.message import DecodeError
from opentelemetry.proto.trace.v1.trace_pb2 import TracesData

from triton_traces.spans import TraceError, read_spans

EXPORT_PATH = "/v1/traces"
PROTOBUF, JSON = "application/x-protobuf", "application/json"
MAX_BODY_BYTES = 16 * 2**20


class Collector(ThreadingHTTPServer):
    """Appends what is exported to 127.0.0.1:`port` to `file`; `port` 0 takes a free one.

    `serve_forever` runs it. Raises OSError where the port is taken or the file can't be written.
    """

    daemon_threads = True
    block_on_close = False  # an idle keep-alive connection must not delay the end

    def __init__(self, port: int, file: Path) -> None:
        self._file, self._lock = file, threading.Lock()
        self.append("")
        super().__init__(("127.0.0.1", port), _Handler)

    @property
    def url(self) -> str:
        """The value of OTEL_EXPORTER_OTLP_ENDPOINT."""
        return f"http://127.0.0.1:{self.server_port}"

    def append(self, line: str) -> None:
        """Write the line; it is in the file when this returns."""
        with self._lock, self._file.open("a", encoding="utf-8") as file:
            file.write(f"{line}\n" if line else "")


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 30.0
    """Seconds that a connection may be silent."""
    server: Collector

    def do_POST(self) -> None:
        length = self.headers.get("Content-Length", "")
        if not length.isdecimal():
            self._refuse(HTTPStatus.LENGTH_REQUIRED, "Content-Length is needed")
        elif int(length) > MAX_BODY_BYTES:
            reason = f"at most {MAX_BODY_BYTES} bytes are possible"
            self._refuse(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, reason)
        elif self.path.rstrip("/") != EXPORT_PATH:
            self._refuse(HTTPStatus.NOT_FOUND, f"only POST {EXPORT_PATH} is possible")
        else:
            self._receive(self.rfile.read(int(length)))

    def _receive(self, body: bytes) -> None:
        kind = self.headers.get("Content-Type", "")
        try:
            self.server.append(to_line(body, kind, self.headers.get("Content-Encoding", "")))
        except BadExport as error:
            self._refuse(HTTPStatus.BAD_REQUEST, str(error))
        except OSError as error:
            self._refuse(HTTPStatus.INTERNAL_SERVER_ERROR, f"the file: {error.strerror}")
        else:
            is_protobuf = kind.startswith(PROTOBUF)  # the response is in the request's format
            self._send(HTTPStatus.OK, *((b"", PROTOBUF) if is_protobuf else (b"{}", JSON)))

    def _refuse(self, status: HTTPStatus, reason: str) -> None:
        self.close_connection = True  # the body may still be in the connection
        self._send(status, json.dumps({"message": reason}).encode(), JSON)

    def _send(self, status: HTTPStatus, body: bytes, content_type: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Logs nothing: exports come every few seconds."""


class BadExport(Exception):
    """The body of an export can't be used; the message says why."""


def to_line(body: bytes, content_type: str, encoding: str) -> str:
    """The body of a POST to /v1/traces as one line of OTLP JSON, empty where it has no spans.

    Raises `BadExport`.
    """
    kind = content_type.partition(";")[0].strip()
    if encoding not in ("", "identity"):
        raise BadExport(f"Content-Encoding {encoding}; none is possible")
    if kind not in (PROTOBUF, JSON):
        raise BadExport(f"Content-Type {kind or 'missing'}; {PROTOBUF} or {JSON} is needed")
    try:
        document = _from_protobuf(body) if kind == PROTOBUF else json.loads(body)
        line = json.dumps(document) if document else ""
        return line if line and read_spans(line) else ""
    except (DecodeError, TraceError, ValueError, RecursionError) as error:
        raise BadExport(f"no OTLP: {error}"[:300]) from error


def _from_protobuf(body: bytes) -> dict[str, Any]:
    """OTLP JSON has ids as hexadecimal digits, protobuf's own JSON as base64."""
    data = TracesData.FromString(body)
    document: dict[str, Any] = MessageToDict(data, use_integers_for_enums=True)
    for resource in document.get("resourceSpans", ()):
        for scope in resource.get("scopeSpans", ()):
            for span in scope.get("spans", ()):
                for owner in (span, *span.get("links", ())):
                    for name in owner.keys() & {"traceId", "spanId", "parentSpanId"}:
                        owner[name] = base64.b64decode(owner[name]).hex()
    return document
