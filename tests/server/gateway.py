"""A real gateway process over a running tritonserver, on a free port."""

import contextlib
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from builders.spec import ROOT
from operations.ports import Ports
from tests.server.conftest import BOUND_S, eventually

READY = re.compile(r"^gateway ready: (http://\S+?)/v1", re.MULTILINE)


@dataclass(frozen=True)
class Gateway:
    """The running process; `url` is its root, and `client` asks it."""

    url: str
    client: httpx.Client
    process: subprocess.Popen[bytes]
    log: Path

    def post(self, path: str, body: Any, **headers: str) -> httpx.Response:
        """`x_request_id` is the header x-request-id."""
        named = {name.replace("_", "-"): text for name, text in headers.items()}
        return self.client.post(path, json=body, headers=named)


@contextlib.contextmanager
def running_gateway(ports: Ports, folder: Path, settings: str = "") -> Iterator[Gateway]:
    """A gateway with these settings (TOML; where Triton is needs none) until the block ends."""
    config, log = folder / "gateway.toml", folder / "gateway.log"
    config.write_text(settings, encoding="utf-8")
    triton = {
        "GATEWAY_TRITON__HTTP": f"{ports.asked_at}:{ports.http}",
        "GATEWAY_TRITON__GRPC": f"{ports.asked_at}:{ports.grpc}",
        "GATEWAY_TRITON__METRICS": f"{ports.asked_at}:{ports.metrics}",
        "GATEWAY_LISTEN__PORT": "0",
    }
    command = [sys.executable, "-m", "gateway", "serve", "--config", str(config)]
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, stdout=output, stderr=output, env=os.environ | triton, cwd=ROOT
        )
    try:
        url = _url(process, log)
        with httpx.Client(base_url=url, timeout=BOUND_S) as client:
            yield Gateway(url, client, process, log)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(BOUND_S)


def _url(process: subprocess.Popen[bytes], log: Path) -> str:
    """Where it listens, once it says so."""

    def said() -> re.Match[str] | None:
        return READY.search(log.read_text(encoding="utf-8"))

    eventually(lambda: said() is not None or process.poll() is not None)
    found = said()
    assert found is not None, log.read_text(encoding="utf-8")
    return found[1]
