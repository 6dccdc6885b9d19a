"""The supervisor's own HTTP port: probes that tell the truth, and its metrics."""

import logging
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from operations.ports import LOOPBACK

IDLE_S = 30.0
"""How long a connection may be silent."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Page:
    """What is answered."""

    status: int
    body: bytes
    content_type: str = "application/json"


Pages = Callable[[str], Page | None]
"""From a path to its page; None where there is none."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    """Those of open keep-alive connections must not hold the end up."""

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that goes away is no fault of ours, and no traceback for the terminal."""
        if not isinstance(sys.exception(), ConnectionError):
            logger.exception("an answer of the supervisor's own pages failed")


class HealthEndpoint:
    """Serves `pages` until closed; port 0 takes a free one."""

    def __init__(self, port: int, pages: Pages, address: str = LOOPBACK) -> None:
        self._server = _Server((address, port), _request_handler(pages))
        self._thread = threading.Thread(target=self._server.serve_forever, name="endpoint")

    @property
    def port(self) -> int:
        return int(self._server.server_address[1])

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def _request_handler(pages: Pages) -> type[BaseHTTPRequestHandler]:
    class RequestHandler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        timeout = IDLE_S

        def do_GET(self) -> None:
            missing = Page(404, b'{"error": "there are /livez, /readyz and /metrics"}')
            page = pages(self.path.partition("?")[0]) or missing
            self.send_response(page.status)
            self.send_header("Content-Type", page.content_type)
            self.send_header("Content-Length", str(len(page.body)))
            self.end_headers()
            self.wfile.write(page.body)

        def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002
            """Probes come every few seconds: no log."""

    return RequestHandler
