"""What the server holds: memory, threads and files of each process, shared memory, KV blocks."""

import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from ensembles.metrics import KV_CACHE_USED
from operations.ports import Ports
from tests.chaos.namespace import SHARED_MEMORY, used_mib

SERVER, GATEWAY = "tritonserver", "gateway"


@dataclass(frozen=True)
class ProcessUse:
    """One process; `name` is its model, tritonserver, or the gateway.

    `memory_mib` is its own memory: pages of files come and go as the kernel likes. Of its region of
    /dev/shm `region_mib` is taken, of `region_size_mib` that it may touch.
    """

    name: str
    pid: int
    memory_mib: float
    threads: int
    files: int
    region_mib: float = 0.0
    region_size_mib: float = 0.0


@dataclass(frozen=True)
class Use:
    """All of it at one moment."""

    processes: tuple[ProcessUse, ...]
    shm_mib: float
    kv_used: float

    def process(self, name: str) -> ProcessUse | None:
        """The process of a model; None while it has none."""
        return next((process for process in self.processes if process.name == name), None)


def model_processes(server_pid: int) -> Iterator[tuple[str, psutil.Process]]:
    """Each model's process, by the name of the model."""
    for child in psutil.Process(server_pid).children(recursive=True):
        try:
            words, status = child.cmdline(), child.status()
        except psutil.Error:
            continue  # it has just ended
        model = next((Path(w).parent.parent.name for w in words if w.endswith("model.py")), None)
        if model and status != psutil.STATUS_ZOMBIE:
            yield model, child


def use(server_pid: int, ports: Ports, gateway_pid: int | None = None) -> Use:
    """Measure now."""
    found = [(SERVER, psutil.Process(server_pid)), *model_processes(server_pid)]
    if gateway_pid is not None:
        found.append((GATEWAY, psutil.Process(gateway_pid)))
    processes = (_of_process(*each) for each in found)
    return Use(tuple(p for p in processes if p), used_mib(), kv_used(ports))


def _of_process(name: str, process: psutil.Process) -> ProcessUse | None:
    try:
        with process.oneshot():
            memory = process.memory_info()
            own_mib = (memory.rss - memory.shared) / 2**20
            counts = process.num_threads(), process.num_fds()
            region = _region_mib(process.cmdline())
            return ProcessUse(name, process.pid, own_mib, *counts, *region)
    except psutil.Error:
        return None


def _region_mib(command: Sequence[str]) -> tuple[float, float]:
    """Taken and size of the region that a model's process got as its second argument."""
    if len(command) < 3 or not (region := SHARED_MEMORY / command[2]).is_file():
        return 0.0, 0.0
    found = region.stat()
    return found.st_blocks * 512 / 2**20, found.st_size / 2**20


def kv_used(ports: Ports) -> float:
    """Share of the KV memory that is in use; -1 while `llm` doesn't say."""
    url = f"http://127.0.0.1:{ports.metrics}/metrics"
    with urllib.request.urlopen(url, timeout=10) as page:
        lines = page.read().decode().splitlines()
    values = [float(line.split()[-1]) for line in lines if line.startswith(KV_CACHE_USED.name)]
    return max(values, default=-1.0)
