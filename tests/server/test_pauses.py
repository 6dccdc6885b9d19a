"""A model's process that stands still for a second, under a tritonserver without a supervisor."""

import threading
import time
from pathlib import Path

import psutil
from triton_rag import Client, TritonRagError

from builders.spec import load_sku
from operations import model_processes
from operations.cpu_server import CpuServer
from operations.ports import free_ports
from tests.server.conftest import BOUND_S, eventually

STILL_S = 1.3
"""Triton gives up a process after one second."""
SIZES = (1, 10, 1, 5)
"""Texts in a request of each client, so that another's answer has another shape."""


def test_no_request_gets_the_answer_of_another_and_the_server_goes_on(tmp_path: Path) -> None:
    wrong, answered, stop = list[str](), set[int](), threading.Event()

    def ask(address: str, size: int, number: int) -> None:
        with Client(address, timeout_s=BOUND_S) as client:
            for turn in range(10**6):
                if stop.is_set():
                    return
                texts = [f"{number} {turn} {row} " + "word " * 40 for row in range(size)]
                try:
                    found = len(client.embed(texts))
                except TritonRagError:
                    time.sleep(0.05)  # given up
                    continue
                answered.add(number)
                if found != size:
                    wrong.append(f"{size} texts were asked for, {found} came back")

    with CpuServer(load_sku("cpu"), free_ports(), tmp_path / "tritonserver.log") as server:
        address = f"127.0.0.1:{server.ports.grpc}"
        clients = [
            threading.Thread(target=ask, args=(address, size, number))
            for number, size in enumerate(SIZES)
        ]
        for client in clients:
            client.start()
        try:
            assert eventually(lambda: len(answered) == len(SIZES))
            _stand_still(server.pid)
        finally:
            stop.set()
            for client in clients:
                client.join()
        assert wrong == []
        with Client(address, timeout_s=BOUND_S) as client:
            assert len(client.count_tokens(["The other models go on."])) == 1


def _stand_still(server_pid: int) -> None:
    """Stops the embedder's process at its requests, and waits until it has ended."""
    found = model_processes.find(server_pid).living
    (embedder,) = (psutil.Process(one.pid) for one in found if one.model == "embedder")
    embedder.suspend()
    time.sleep(STILL_S)
    embedder.resume()
    assert eventually(lambda: embedder.pid not in _living(server_pid))


def _living(server_pid: int) -> set[int]:
    return {one.pid for one in model_processes.find(server_pid).living}
