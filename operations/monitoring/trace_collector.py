"""A small trace collector: OTLP over HTTP in, the newest traces out again.

POST /v1/traces      OTLP, protobuf or JSON, gzip or not
GET  /traces         what is kept, newest first
GET  /traces/ID      the trace or traces of a request or trace id, as one OTLP JSON document

`handle` is all of it, for a server that others host; `TraceCollector` is a server of its own, which
`python -m operations.monitoring.trace_collector --port 8003` runs.
Meant for 127.0.0.1 and for looking into single requests; production sends its traces to
a collector that keeps them.
"""

import argparse
import json
import threading
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Self
from urllib.parse import unquote, urlsplit

from operations.monitoring.otlp import JSON, MAX_BODY_BYTES, PROTOBUF, BadExport, decode, to_json
from operations.monitoring.trace_store import TraceStore

EXPORT, TRACES = "/v1/traces", "/traces"
IDLE_S = 30.0
"""How long a connection may be silent."""


@dataclass(frozen=True)
class Reply:
    """The answer to an HTTP request."""

    status: HTTPStatus
    body: bytes
    content_type: str = JSON


def handle(
    store: TraceStore, method: str, target: str, headers: Mapping[str, str], body: bytes = b""
) -> Reply | None:
    """The answer to a request; None where its path is none of ours.

    Of `headers`, `Content-Type` and `Content-Encoding` are looked at, so spelt.
    """
    path = urlsplit(target).path.rstrip("/")
    if path == EXPORT:
        return _receive(store, headers, body) if method == "POST" else _wrong_method("POST")
    if path != TRACES and not path.startswith(f"{TRACES}/"):
        return None
    if method != "GET":
        return _wrong_method("GET")
    return _list(store) if path == TRACES else _find(store, unquote(path[len(TRACES) + 1 :]))


def _receive(store: TraceStore, headers: Mapping[str, str], body: bytes) -> Reply:
    kind = headers.get("Content-Type") or ""
    try:
        refused = store.add(decode(body, kind, headers.get("Content-Encoding") or ""))
    except BadExport as error:
        return _refusal(HTTPStatus.BAD_REQUEST, str(error))
    if kind.startswith(PROTOBUF):  # OTLP answers in kind; an empty message is empty bytes
        return Reply(HTTPStatus.OK, b"", PROTOBUF)
    reason = "more spans than are kept of one trace"
    partial = {"rejectedSpans": str(refused), "errorMessage": reason} if refused else {}
    return _json({"partialSuccess": partial} if partial else {})


def _list(store: TraceStore) -> Reply:
    return _json({"traces": [asdict(summary) for summary in store.summaries()]})


def _find(store: TraceStore, wanted: str) -> Reply:
    if (found := store.find(wanted)) is None:
        return _refusal(HTTPStatus.NOT_FOUND, f"no trace of '{wanted[:100]}'; {TRACES} lists all")
    return Reply(HTTPStatus.OK, to_json(found))


def _json(content: Mapping[str, object], status: HTTPStatus = HTTPStatus.OK) -> Reply:
    return Reply(status, json.dumps(content, ensure_ascii=False).encode())


def _refusal(status: HTTPStatus, reason: str) -> Reply:
    return _json({"message": reason}, status)


def _wrong_method(possible: str) -> Reply:
    return _refusal(HTTPStatus.METHOD_NOT_ALLOWED, f"only {possible} is possible here")


class TraceCollector:
    """`with TraceCollector() as collector:` listens until the block ends, in a thread.

    `port` 0 takes a free one. Raises OSError when the port is taken.
    """

    def __init__(
        self, port: int = 0, host: str = "127.0.0.1", store: TraceStore | None = None
    ) -> None:
        self.store = store or TraceStore()
        self._server = _Server((host, port), self.store)
        self._thread = threading.Thread(
            target=self._server.serve_forever, name="trace-collector", daemon=True
        )

    @property
    def url(self) -> str:
        """Where it listens: the value of OTEL_EXPORTER_OTLP_ENDPOINT."""
        host, port = self._server.server_address[:2]
        return f"http://{host!s}:{port}"

    def start(self) -> None:
        """Begin to answer."""
        self._thread.start()

    def close(self) -> None:
        """Stop listening; what was kept is still in `store`."""
        if self._thread.is_alive():
            self._server.shutdown()
            self._thread.join()
        self._server.server_close()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False  # an idle keep-alive connection must not hold up the end

    def __init__(self, address: tuple[str, int], store: TraceStore) -> None:
        self.store = store
        super().__init__(address, _Handler)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = IDLE_S
    server: _Server

    def do_GET(self) -> None:
        self._answer(b"")

    def do_POST(self) -> None:
        length = self.headers.get("Content-Length", "")
        if not length.isdecimal():
            self._refuse(HTTPStatus.LENGTH_REQUIRED, "Content-Length is needed")
        elif int(length) > MAX_BODY_BYTES:
            self._refuse(
                HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"at most {MAX_BODY_BYTES} bytes are taken"
            )
        else:
            self._answer(self.rfile.read(int(length)))

    def _answer(self, body: bytes) -> None:
        headers = {name.title(): value for name, value in self.headers.items()}
        reply = handle(self.server.store, self.command, self.path, headers, body)
        self._send(reply or _refusal(HTTPStatus.NOT_FOUND, f"only {EXPORT} and {TRACES} are here"))

    def _refuse(self, status: HTTPStatus, reason: str) -> None:
        self.close_connection = True  # the body is still in the connection
        self._send(_refusal(status, reason))

    def _send(self, reply: Reply) -> None:
        self.send_response(reply.status)
        self.send_header("Content-Type", reply.content_type)
        self.send_header("Content-Length", str(len(reply.body)))
        self.end_headers()
        self.wfile.write(reply.body)

    def log_message(self, *_: object) -> None:
        """Nothing: exports come every few seconds."""


def main() -> None:
    """Collect until Ctrl-C or SIGTERM."""
    parser = argparse.ArgumentParser(description="Collect traces on 127.0.0.1.")
    parser.add_argument("--port", type=int, default=8003, help="%(default)s; 0: a free one")
    with TraceCollector(parser.parse_args().port) as collector, suppress(KeyboardInterrupt):
        print(f"OTEL_EXPORTER_OTLP_ENDPOINT={collector.url}", flush=True)
        threading.Event().wait()


if __name__ == "__main__":
    main()
