"""A process that stands still for seconds, or ends, under a tritonserver without a supervisor."""

import os
import signal
import threading
import time
from collections.abc import Iterator
from operator import ge
from pathlib import Path

import numpy as np
import pytest
from triton_rag import Client, TritonRagError

from builders.spec import load_sku
from operations import model_processes
from operations.cpu_server import CpuServer
from operations.ports import free_ports
from operations.triton_process import TritonProcess
from tests.server.conftest import BOUND_S, eventually, linked, until_killed

STILL_S = 2.0
"""Triton gives up a process after one second."""
SIZES = (1, 10, 1, 5)
"""Texts in a request of each client, so that another's answer has another shape."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TritonProcess]:
    log: Path = tmp_path_factory.mktemp("pauses") / "tritonserver.log"
    repository = linked(log.parent / "models", "tokenizer", "embedder", "embed")
    serving = CpuServer(load_sku("cpu"), free_ports(), log, repository)
    with until_killed(serving) as server:
        yield server


class Clients:
    """Each asks for the same texts again and again, and knows their embeddings."""

    def __init__(self, server: TritonProcess) -> None:
        self.faults, self._stop = list[str](), threading.Event()
        self._address = f"127.0.0.1:{server.ports.grpc}"
        self._answers = [0] * len(SIZES)
        self._threads = [
            threading.Thread(target=self._ask, args=(number,)) for number in range(len(SIZES))
        ]

    def __enter__(self) -> "Clients":
        for thread in self._threads:
            thread.start()
        self.wait_for_answers()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def wait_for_answers(self) -> None:
        """Until each client has got one to a request that it sent from now on."""
        most = [count + 2 for count in self._answers]
        assert eventually(lambda: bool(self.faults) or all(map(ge, self._answers, most)))

    def _ask(self, number: int) -> None:
        texts = [f"{number} {row} " + "word " * 40 for row in range(SIZES[number])]
        with Client(self._address, timeout_s=BOUND_S) as client:
            right = client.embed(texts)
            while not self._stop.is_set() and not self.faults:
                try:
                    found = client.embed(texts)
                    if np.shape(found) != np.shape(right) or not np.allclose(
                        found, right, atol=0.05
                    ):
                        self.faults.append(f"client {number} got the answer of another")
                except Exception as error:
                    self.faults.append(f"client {number}: {error}")
                self._answers[number] += 1


def _processes(server: TritonProcess) -> dict[str, int]:
    """The models' processes, by name."""
    return {one.name: one.pid for one in model_processes.find(server.pid).living}


def _stand_still(pid: int) -> None:
    os.kill(pid, signal.SIGSTOP)
    time.sleep(STILL_S)  # what is tested
    os.kill(pid, signal.SIGCONT)


def test_every_request_gets_its_answer_beside_a_process_that_stands_still(
    server: TritonProcess,
) -> None:
    before = _processes(server)
    with Clients(server) as clients:
        _stand_still(before["embedder_0_0"])
        clients.wait_for_answers()
    assert clients.faults == []
    assert _processes(server) == before


def test_a_request_to_a_process_that_was_killed_gets_an_error(server: TritonProcess) -> None:
    """The others do not speak for it, so Triton sees that it has ended."""
    os.kill(_processes(server)["tokenizer_0_0"], signal.SIGKILL)
    client = Client(f"127.0.0.1:{server.ports.grpc}", timeout_s=BOUND_S)
    with client, pytest.raises(TritonRagError, match="not healthy"):
        client.count_tokens(["a"])
