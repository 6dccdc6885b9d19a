"""Runs a supervised server in the foreground, until it is interrupted or the command `run` ends."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from rich.console import Console

from builders.spec import ROOT
from operations.gateway_process import GatewayProcess
from operations.ports import Ports, without_proxy
from operations.supervisor.settings import SupervisorSettings
from operations.supervisor.supervisor import Supervisor
from operations.triton_process import TritonProcess


@contextlib.contextmanager
def ended_by_sigterm() -> Iterator[None]:
    """Inside, SIGTERM and a closed terminal (SIGHUP) act like Ctrl-C, so that nothing that was
    started there stays behind."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)}
    if before[signal.SIGHUP] is signal.SIG_IGN:  # `nohup` has started this process
        del before[signal.SIGHUP]
    for number in before:
        signal.signal(number, interrupt)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def serve_supervised(
    server: TritonProcess,
    settings: SupervisorSettings,
    health_port: int,
    run: str = "",
    gateway: GatewayProcess | None = None,
) -> int:
    """Serve; returns 0 if all requests were answered before the end, and `run` ended with 0.

    The shell command `run` finds the server by TRITON_RAG_URL and TRITON_RAG_HTTP_URL, and the
    gateway by TRITON_RAG_GATEWAY_URL.
    """
    supervisor = Supervisor(server, settings, health_port)
    ports, start = server.ports, time.monotonic()
    waiting = contextlib.ExitStack()
    with ended_by_sigterm(), waiting:
        waiting.enter_context(Console(stderr=True).status("starting tritonserver …"))
        with supervisor as running:
            beside = contextlib.ExitStack()  # these end before the server
            status = 0
            try:  # from here on, a signal is an ordinary end
                if gateway:
                    beside.enter_context(gateway)
                waiting.close()
                _print_ready(server, running, time.monotonic() - start, gateway)
                status = _run_beside(run, ports, gateway) if run else running.wait()
            except KeyboardInterrupt:
                print("stopping …", flush=True)
            finally:
                beside.close()
            stopped = running.stop()
    print(f"tritonserver stopped (status {stopped})", flush=True)
    return status or stopped


def _print_ready(
    server: TritonProcess, running: Supervisor, took_s: float, gateway: GatewayProcess | None
) -> None:
    ports = server.ports
    print(
        f"ready after {took_s:.1f} s: "
        f"HTTP {ports.address}:{ports.http}, gRPC {ports.address}:{ports.grpc}, "
        f"metrics {ports.address}:{ports.metrics}, "
        f"probes {ports.address}:{running.health_port}{_log_note(server.log)}"
        + (f"\nOpenAI's API and others: {gateway.url}/v1" if gateway else ""),
        flush=True,
    )
    for model, problem in running.problems().items():
        if problem:
            print(f"not ready: {model}: {problem}", flush=True)


def _log_note(log: Path | None) -> str:
    if log is None:
        return ""
    return f"; log {log.relative_to(ROOT) if log.is_relative_to(ROOT) else log}"


def _run_beside(command: str, ports: Ports, gateway: GatewayProcess | None) -> int:
    variables = {
        "TRITON_RAG_URL": f"{ports.asked_at}:{ports.grpc}",
        "TRITON_RAG_HTTP_URL": f"{ports.asked_at}:{ports.http}",
        **({"TRITON_RAG_GATEWAY_URL": gateway.url} if gateway else {}),
        "PATH": f"{Path(sys.executable).parent}:{os.environ.get('PATH', os.defpath)}",
    }
    environment = os.environ | variables | without_proxy(ports.asked_at)
    return subprocess.run(command, shell=True, check=False, cwd=ROOT, env=environment).returncode
