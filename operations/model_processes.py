"""The processes of a tritonserver's Python models.

Each instance of a Python model is a `triton_python_backend_stub` that the server started. If it is
killed, it stays as a zombie without a command line; the server neither notices nor starts another.
"""

import contextlib
from enum import StrEnum
from pathlib import Path
from typing import NamedTuple

import psutil

STUB = "triton_python_backend_stub"
_DEAD = {psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD}


class State(StrEnum):
    """The state of a process; STOPPED means by SIGSTOP, not by a debugger."""

    ALIVE = "alive"
    STOPPED = "stopped"
    DEAD = "dead"
    """A zombie: Triton does not wait for a process that it did not end itself."""
    GONE = "gone"


class Instance(NamedTuple):
    """One process of a model.

    `name` is Triton's name of the instance (llm_0_0), `region` its file in /dev/shm, which stays
    when it is killed.
    """

    model: str
    name: str
    pid: int
    region: str


class Found(NamedTuple):
    """A server's model processes; the model of a dead one is not known."""

    living: tuple[Instance, ...]
    dead: frozenset[int] = frozenset()
    """Pids of zombies."""


def find(server_pid: int) -> Found:
    """The model processes that the server and its descendants have now."""
    living, dead, descendants = list[Instance](), set[int](), list[psutil.Process]()
    with contextlib.suppress(psutil.NoSuchProcess):
        descendants = psutil.Process(server_pid).children(recursive=True)
    for process in descendants:
        with contextlib.suppress(psutil.NoSuchProcess):  # includes ZombieProcess
            if not process.name().startswith(STUB[:15]):  # Linux keeps 15 characters
                continue
            if process.status() in _DEAD:
                dead.add(process.pid)
            elif found := _instance(process):
                living.append(found)
    return Found(tuple(living), frozenset(dead))


def state(pid: int) -> State:
    try:
        status = psutil.Process(pid).status()
    except psutil.NoSuchProcess:
        return State.GONE
    stopped = State.STOPPED if status == psutil.STATUS_STOPPED else State.ALIVE
    return State.DEAD if status in _DEAD else stopped


def cpu_s(pid: int) -> float:
    """CPU time of a process so far; 0 if it is gone."""
    with contextlib.suppress(psutil.Error):
        times = psutil.Process(pid).cpu_times()
        return times.user + times.system
    return 0.0


def open_files(pid: int) -> tuple[int, int]:
    """How many files and connections a process has open, and may have.

    The first is 0 if the process is gone, or this account may not read it.
    """
    with contextlib.suppress(psutil.Error):
        process = psutil.Process(pid)
        return process.num_fds(), process.rlimit(psutil.RLIMIT_NOFILE)[0]
    return 0, 1


def kill(instance: Instance) -> None:
    """Send SIGKILL, if the process is still that instance; removes its file of shared memory."""
    with contextlib.suppress(psutil.NoSuchProcess):
        process = psutil.Process(instance.pid)
        if _instance(process) == instance:
            process.kill()
    (Path("/dev/shm") / instance.region).unlink(missing_ok=True)


def _instance(process: psutil.Process) -> Instance | None:
    """The instance of a process; None between its fork and exec."""
    words = process.cmdline()
    if len(words) < 9 or not words[0].endswith(STUB):
        return None
    # stub, <repository>/<model>/<version>/model.py, region, sizes, parent, backend, offset, name, …
    return Instance(Path(words[1]).parts[-3], words[8], process.pid, words[2])
