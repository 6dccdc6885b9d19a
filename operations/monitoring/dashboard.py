"""`python -m operations.monitoring.dashboard`: the panels of a live run, in a browser.

Starts a Prometheus that scrapes the running server, and a page on 127.0.0.1 that draws what it
has. Needs no Grafana and no network.
"""

import argparse
import contextlib
import errno
import json
import sys
import threading
import time
import urllib.parse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from builders.errors import BuildError
from operations.interruption import ended_by_sigterm
from operations.monitoring.alerts import GROUPS
from operations.monitoring.live import View, snapshot
from operations.monitoring.prometheus import Api, Prometheus, PrometheusError, answers
from operations.monitoring.rows import ROWS
from operations.monitoring.rule_files import rules_yaml
from operations.monitoring.sources import SUPERVISOR_JOB, TRITON_JOB

PAGE = Path(__file__).with_name("dashboard.html")
SCRAPE_S, EVALUATE_S, WINDOW_S = 2, 5, 20
SPANS_S = (60, 3 * 3600)
_DATA_PLACE = "/*SNAPSHOT*/null"


def main(arguments: list[str] | None = None) -> int:
    """Runs until interrupted; 0, or 1 with a message."""
    options = _parser().parse_args(arguments)
    try:
        with ended_by_sigterm(), contextlib.suppress(KeyboardInterrupt):
            _show(options)
    except BuildError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="make dashboard", description=__doc__)
    parser.add_argument("--server", default="127.0.0.1:8002", help="its metrics (%(default)s)")
    parser.add_argument("--supervisor", default="127.0.0.1:8003", help="its metrics (%(default)s)")
    parser.add_argument("--port", type=int, default=8090, help="of the page (%(default)s); 0: any")
    parser.add_argument("--once", metavar="FILE.html", type=Path, help="write the page and end")
    parser.add_argument("--after", type=int, default=60, help="s of scraping before --once")
    return parser


def _show(options: argparse.Namespace) -> None:
    if options.after < 2 * SCRAPE_S:
        raise PrometheusError(f"--after {options.after}: at least {2 * SCRAPE_S} s are needed")
    targets = _targets(options.server, options.supervisor)
    prometheus = Prometheus(targets, rules_yaml(GROUPS), SCRAPE_S, EVALUATE_S)
    if options.once:
        with prometheus as api:
            time.sleep(options.after)
            options.once.write_text(page(_data(api, max(options.after, SPANS_S[0]))))
        print(f"wrote {options.once}")
        return
    page_server = _page_server(options.port)
    with prometheus as api:
        page_server.RequestHandlerClass = _handler(api)
        print(
            f"dashboard: http://127.0.0.1:{page_server.server_port}  (Prometheus: {api.url}; "
            f"scrapes {', '.join(targets.values())} every {SCRAPE_S} s; Ctrl-C ends both)",
            flush=True,
        )
        page_server.serve_forever()


def _targets(server: str, supervisor: str) -> dict[str, str]:
    """Those that answer; raises `PrometheusError` when the server does not."""
    if not answers(f"http://{server}/metrics"):
        raise PrometheusError(
            f"no tritonserver answers at http://{server}/metrics: start one with 'make serve', or "
            "name its metrics port with --server HOST:PORT (make dashboard "
            "DASHBOARD_FLAGS='--server HOST:PORT')"
        )
    if not answers(f"http://{supervisor}/metrics"):
        print(f"no supervisor answers at http://{supervisor}/metrics: its row stays empty")
        return {TRITON_JOB: server}
    return {TRITON_JOB: server, SUPERVISOR_JOB: supervisor}


def page(data: str = "null") -> str:
    """The page; with data it shows those and asks for no others."""
    # "</" would end the script that the data are part of.
    return PAGE.read_text().replace(_DATA_PLACE, data.replace("</", "<\\/"))


def _data(api: Api, span_s: float) -> str:
    view = View(span_s, WINDOW_S, SCRAPE_S)
    return json.dumps(snapshot(api, ROWS, view).as_json(), allow_nan=False)


def _page_server(port: int) -> ThreadingHTTPServer:
    try:
        return ThreadingHTTPServer(("127.0.0.1", port), BaseHTTPRequestHandler)
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            raise PrometheusError(f"port {port} of the page: {error}") from None
        raise PrometheusError(
            f"port {port} is in use: name another with --port, 0 takes any that is free"
        ) from None


def _handler(api: Api) -> type[BaseHTTPRequestHandler]:
    one_at_a_time = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        """The page, and its data."""

        def do_GET(self) -> None:
            path, _, query = self.path.partition("?")
            if path == "/":
                self._send(200, "text/html; charset=utf-8", page())
            elif path == "/data":
                self._send_data(query)
            else:
                self._send(404, "text/plain", "there are / and /data")

        def _send_data(self, query: str) -> None:
            asked = urllib.parse.parse_qs(query).get("span", ["600"])[0]
            shortest, longest = SPANS_S
            if not asked.isdigit() or not shortest <= int(asked) <= longest:
                self._send(400, "text/plain", f"span: {shortest} to {longest} seconds")
                return
            try:
                with one_at_a_time:
                    found = _data(api, int(asked))
            except PrometheusError as error:
                self._send(502, "text/plain", str(error))
            else:
                self._send(200, "application/json", found)

        def _send(self, status: int, kind: str, text: str) -> None:
            content = text.encode()
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(content)))
            self.send_header("Cache-Control", "no-store")
            self.end_headers()
            with contextlib.suppress(ConnectionError):
                self.wfile.write(content)

        def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002
            """Quiet: the terminal has the address of the page."""

    return Handler


if __name__ == "__main__":
    sys.exit(main())
