"""The supervisor's probes over HTTP."""

import json
import logging
import sys
import threading
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import NamedTuple

from operations.ports import LOOPBACK

logger = logging.getLogger(__name__)


class Page(NamedTuple):
    """An answer: status, content type and body."""

    status: int
    body: bytes
    content_type: str = "application/json"


def probe(is_well: bool, body: dict[str, object]) -> Page:
    """A page of JSON with status 200 if `is_well`, else 503."""
    return Page(200 if is_well else 503, json.dumps(body).encode())


class HealthEndpoint(ThreadingHTTPServer):
    """Serves the page of each path until closed; port 0 takes a free one."""

    daemon_threads = True  # threads of open keep-alive connections must not delay the end

    def __init__(
        self, port: int, pages: Mapping[str, Callable[[], Page]], address: str = LOOPBACK
    ) -> None:
        super().__init__((address, port), _RequestHandler)
        self.pages = pages

    def start(self) -> None:
        threading.Thread(target=self.serve_forever, name="endpoint", daemon=True).start()

    def close(self) -> None:
        self.shutdown()
        self.server_close()

    def handle_error(self, request: object, client_address: object) -> None:
        """Prints no traceback: a client that leaves is no fault of the supervisor."""
        if not isinstance(sys.exception(), ConnectionError):
            logger.exception("an answer of the supervisor's own pages failed")


class _RequestHandler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 30.0  # how long a connection may be silent
    server: HealthEndpoint

    def do_GET(self) -> None:
        pages = self.server.pages
        make = pages.get(self.path.partition("?")[0])
        page = make() if make else Page(404, "\n".join(pages).encode(), "text/plain")
        self.send_response(page.status)
        self.send_header("Content-Type", page.content_type)
        self.send_header("Content-Length", str(len(page.body)))
        self.end_headers()
        self.wfile.write(page.body)

    def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002
        """Writes no log: probes come every few seconds."""
