"""The processes of a tritonserver's Python models.

Each instance of a Python model is a `triton_python_backend_stub` that the server started. A killed
one stays behind as a zombie without a command line; the server neither notices nor starts another.
"""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import psutil

from operations.ports import Ports

STUB = "triton_python_backend_stub"
_STATES = {psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD}


class State(StrEnum):
    """What a process is up to, as far as it matters here."""

    ALIVE = "alive"
    STOPPED = "stopped"
    DEAD = "dead"
    """A zombie: Triton does not wait for a process that it did not end itself."""
    GONE = "gone"


@dataclass(frozen=True)
class Instance:
    """One process of a model.

    `name` is Triton's own for it (llm_0_0), `region` its file in /dev/shm, which stays when it is
    killed.
    """

    model: str
    name: str
    pid: int
    region: str


@dataclass(frozen=True)
class Found:
    """A server's model processes: the living ones, and the pids of the dead ones that it keeps.

    Which model a dead one served can't be told any more.
    """

    living: tuple[Instance, ...]
    dead: frozenset[int] = frozenset()


def find(server_pid: int) -> Found:
    """The model processes that the server and its descendants have now."""
    living, dead = [], set()
    for process in _descendants(server_pid):
        with contextlib.suppress(psutil.NoSuchProcess):  # ZombieProcess is one
            if process.name() != STUB[:15] and process.name() != STUB:
                continue
            if process.status() in _STATES:
                dead.add(process.pid)
            elif found := _instance(process):
                living.append(found)
    return Found(tuple(living), frozenset(dead))


def state(pid: int) -> State:
    """STOPPED is by SIGSTOP, not by a debugger."""
    try:
        status = psutil.Process(pid).status()
    except psutil.NoSuchProcess:
        return State.GONE
    if status in _STATES:
        return State.DEAD
    return State.STOPPED if status == psutil.STATUS_STOPPED else State.ALIVE


def cpu_s(instances: tuple[Instance, ...]) -> dict[int, float]:
    """CPU seconds of each since its start."""
    found = {}
    for one in instances:
        with contextlib.suppress(psutil.NoSuchProcess):
            times = psutil.Process(one.pid).cpu_times()
            found[one.pid] = times.user + times.system
    return found


def kill(instance: Instance) -> None:
    """SIGKILL, if the process still is what it was; frees its shared memory by name."""
    with contextlib.suppress(psutil.NoSuchProcess):
        process = psutil.Process(instance.pid)
        if _instance(process) == instance:
            process.kill()
    (Path("/dev/shm") / instance.region).unlink(missing_ok=True)


def open_connections(pid: int, ports: Ports) -> int:
    """How many connections clients have to HTTP and gRPC."""
    try:
        found = psutil.Process(pid).net_connections("tcp")
    except psutil.Error:
        return 0
    served = (ports.http, ports.grpc)
    return sum(one.status == psutil.CONN_ESTABLISHED and one.laddr.port in served for one in found)


def _descendants(pid: int) -> Iterator[psutil.Process]:
    with contextlib.suppress(psutil.NoSuchProcess):
        yield from psutil.Process(pid).children(recursive=True)


def _instance(process: psutil.Process) -> Instance | None:
    """None for one that is between fork and exec."""
    words = process.cmdline()
    if len(words) < 9 or not words[0].endswith(STUB):
        return None
    # stub, <repository>/<model>/<version>/model.py, region, sizes, parent, backend, offset, name, …
    return Instance(Path(words[1]).parts[-3], words[8], process.pid, words[2])
