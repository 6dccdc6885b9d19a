"""The server under test, and whether it is well."""

import importlib
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from builders.repository import REPOSITORY
from builders.spec import load_sku
from operations.cpu_server import CpuServer
from operations.ports import Ports, free_ports

Starter = Callable[..., Any]
"""Makes a server that is not running yet: `(sku, ports, log, repository=, options=)`."""


def starter(is_bare: bool) -> Starter:
    """The supervisor's, as `make serve` has it, or tritonserver alone."""
    if is_bare:
        return CpuServer
    supervisor = importlib.import_module("operations.supervisor.supervisor").Supervisor
    return lambda *arguments, **options: supervisor(CpuServer(*arguments, **options))


def start(
    starter_: Starter, log: Path, repository: Path = REPOSITORY, options: tuple[str, ...] = ()
) -> Any:
    """A context manager with `.ports` and `.pid` inside."""
    log.parent.mkdir(parents=True, exist_ok=True)
    return starter_(load_sku("cpu"), free_ports(), log, repository=repository, options=options)


def grpc_address(ports: Ports) -> str:
    return f"127.0.0.1:{ports.grpc}"


def wait_until(condition: Callable[[], bool], timeout_s: float, pause_s: float = 0.05) -> float:
    """Seconds until the condition held, looked at every `pause_s`; raises TimeoutError."""
    begun = time.monotonic()
    while not condition():
        if time.monotonic() - begun > timeout_s:
            raise TimeoutError(f"not within {timeout_s} s")
        time.sleep(pause_s)
    return time.monotonic() - begun
