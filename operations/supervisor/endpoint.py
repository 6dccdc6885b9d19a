"""The supervisor's own HTTP port: probes that tell the truth, and its metrics."""

import logging
import sys
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Protocol

from operations.ports import LOOPBACK

MAX_BODY_BYTES = 64 * 2**20
IDLE_S = 30.0
"""How long a connection may be silent."""

logger = logging.getLogger("operations.supervisor.endpoint")


class Reply(Protocol):
    """What a handler answers; `operations.monitoring.trace_collector.Reply` is one too."""

    @property
    def status(self) -> int:
        """HTTP status."""

    @property
    def body(self) -> bytes:
        """What follows the headers."""

    @property
    def content_type(self) -> str:
        """Of the body."""


@dataclass(frozen=True)
class Page:
    """The usual reply."""

    status: int
    body: bytes
    content_type: str = "application/json"


Handler = Callable[[str, str, Mapping[str, str], bytes], Reply | None]
"""Method, target, headers, body to a reply; None where the target is not its own."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    """Those of open keep-alive connections must not hold the end up."""

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that goes away is no fault of ours, and no traceback for the terminal."""
        if not isinstance(sys.exception(), ConnectionError):
            logger.exception("an answer of the supervisor's own pages failed")


class Endpoint:
    """Serves `handlers`, asked in order, until closed; port 0 takes a free one."""

    def __init__(self, port: int, handlers: tuple[Handler, ...], address: str = LOOPBACK) -> None:
        self._server = _Server((address, port), _request_handler(handlers))
        self._thread = threading.Thread(target=self._server.serve_forever, name="endpoint")

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self._server.server_address[1])

    def __enter__(self) -> "Endpoint":
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def _request_handler(handlers: tuple[Handler, ...]) -> type[BaseHTTPRequestHandler]:
    class RequestHandler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        timeout = IDLE_S

        def do_GET(self) -> None:
            self._answer(b"")

        def do_POST(self) -> None:
            length = self.headers.get("Content-Length", "")
            if not length.isdigit() or int(length) > MAX_BODY_BYTES:
                self.close_connection = True
                self._send(Page(413, b'{"error": "Content-Length is missing or too large"}'))
                return
            self._answer(self.rfile.read(int(length)))

        def _answer(self, body: bytes) -> None:
            headers = {name.title(): value for name, value in self.headers.items()}
            replies = (handler(self.command, self.path, headers, body) for handler in handlers)
            found = next((reply for reply in replies if reply is not None), None)
            self._send(found or Page(404, b'{"error": "there are /livez, /readyz and /metrics"}'))

        def _send(self, reply: Reply) -> None:
            self.send_response(reply.status)
            self.send_header("Content-Type", reply.content_type)
            self.send_header("Content-Length", str(len(reply.body)))
            self.end_headers()
            self.wfile.write(reply.body)

        def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002
            """Probes come every few seconds: no log."""

    return RequestHandler
