"""A supervised server in the foreground, until it is interrupted or a command beside it ends."""

import contextlib
import os
import subprocess
import sys
import time
from pathlib import Path

from rich.console import Console

from builders.spec import ROOT
from operations.interruption import ended_by_sigterm
from operations.ports import Ports
from operations.server_process import ServerProcess
from operations.supervisor.settings import SupervisorSettings
from operations.supervisor.supervisor import Supervisor


def serve_supervised(
    server: ServerProcess, settings: SupervisorSettings, health_port: int, run: str = ""
) -> int:
    """0 when all requests were answered before the end, and `run` ended with 0.

    The shell command `run` finds the server by TRITON_RAG_URL and TRITON_RAG_HTTP_URL.
    """
    supervisor = Supervisor(server, settings, health_port)
    ports, start = server.ports, time.monotonic()
    waiting = contextlib.ExitStack()
    with ended_by_sigterm(), waiting:
        waiting.enter_context(Console(stderr=True).status("starting tritonserver …"))
        with supervisor as running:
            waiting.close()
            print(
                f"ready after {time.monotonic() - start:.1f} s: "
                f"HTTP {ports.address}:{ports.http}, gRPC {ports.address}:{ports.grpc}, "
                f"metrics {ports.address}:{ports.metrics}, "
                f"probes {ports.address}:{running.health_port}{_log_note(server.log)}",
                flush=True,
            )
            status = 0
            try:
                status = _run_beside(run, ports) if run else running.wait()
            except KeyboardInterrupt:
                print("stopping …", flush=True)
            stopped = running.stop()
    print(f"tritonserver stopped (status {stopped})", flush=True)
    return status or stopped


def _log_note(log: Path | None) -> str:
    return f"; log {log.relative_to(ROOT)}" if log else ""


def _run_beside(command: str, ports: Ports) -> int:
    variables = {
        "TRITON_RAG_URL": f"{ports.asked_at}:{ports.grpc}",
        "TRITON_RAG_HTTP_URL": f"{ports.asked_at}:{ports.http}",
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
    }
    environment = os.environ | variables
    return subprocess.run(command, shell=True, check=False, cwd=ROOT, env=environment).returncode
