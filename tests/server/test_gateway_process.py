"""The gateway as `serve` keeps it."""

import os
import signal
from pathlib import Path

import httpx
import psutil
import pytest

from operations import gpu_server
from operations.gateway_process import GatewayProcess
from operations.ports import free_ports
from operations.triton_process import ServerError
from tests.server.conftest import Server, eventually


def is_alive(url: str) -> bool:
    try:
        return httpx.get(f"{url}/livez").status_code == 200
    except httpx.TransportError:
        return False


def test_a_gateway_that_dies_comes_back_and_none_is_left(server: Server, tmp_path: Path) -> None:
    port = free_ports().http
    with GatewayProcess(server.ports, tmp_path / "gateway.log", port) as gateway:
        assert gateway.url == f"http://127.0.0.1:{port}"
        assert "without keys, for this machine only" in (tmp_path / "gateway.log").read_text()
        first = gateway.pid
        os.kill(first, signal.SIGKILL)
        assert eventually(lambda: gateway.pid != first and is_alive(gateway.url))
        last = psutil.Process(gateway.pid)
    assert not last.is_running()


def test_a_gateway_runs_beside_the_container_of_a_gpu_sku(server: Server, tmp_path: Path) -> None:
    """`docker run` is a stand-in, which ends when the gateway says that its models are ready."""
    port = free_ports().http
    docker = f"until curl -sf http://127.0.0.1:{port}/readyz; do sleep 0.1; done; exit 3"
    gateway = GatewayProcess(server.ports, tmp_path / "gateway.log", port)
    assert gpu_server._run_container(("sh", "-c", docker), gateway) == 3
    assert not is_alive(f"http://127.0.0.1:{port}")


def test_a_gateway_that_can_not_start_says_why(server: Server, tmp_path: Path) -> None:
    settings = tmp_path / "gateway.toml"
    settings.write_text("[listen]\nprot = 1\n", encoding="utf-8")
    gateway = GatewayProcess(server.ports, tmp_path / "gateway.log", 0, settings)
    with pytest.raises(ServerError, match=r"listen\.prot: there is no such setting; port is"):
        gateway.check()
    with pytest.raises(ServerError, match=r"listen\.prot"), gateway:
        pass
    settings.write_text("[listen]\nport = 1\n", encoding="utf-8")
    gateway.check()
