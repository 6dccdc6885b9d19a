"""The processes of a tritonserver's Python models, as /proc shows them.

Each instance of a Python model is a `triton_python_backend_stub` that the server started. A
killed one stays behind as a zombie without a command line; the server neither notices nor starts
another.
"""

import contextlib
import os
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

PROC = Path("/proc")
STUB = "triton_python_backend_stub"


class State(StrEnum):
    """What a process is up to, as far as it matters here."""

    ALIVE = "alive"
    STOPPED = "stopped"
    DEAD = "dead"
    """A zombie: Triton does not wait for a process that it did not end itself."""
    GONE = "gone"


@dataclass(frozen=True)
class Instance:
    """One process of a model: `name` is Triton's own for it (llm_0_0), `region` its file in
    /dev/shm, which stays behind when it is killed."""

    model: str
    name: str
    pid: int
    region: str


def instances(server_pid: int, proc: Path = PROC) -> Iterator[Instance]:
    """The living ones of a server."""
    for pid in children(server_pid, proc):
        if found := _instance(pid, proc):
            yield found


def children(pid: int, proc: Path = PROC) -> Iterator[int]:
    """Child processes, zombies among them; Linux lists them by the thread that forked."""
    for listing in (proc / str(pid) / "task").glob("*/children"):
        with contextlib.suppress(OSError):
            yield from map(int, listing.read_text().split())


def state(pid: int, proc: Path = PROC) -> State:
    """STOPPED is by SIGSTOP, not by a debugger."""
    try:
        letter = (proc / str(pid) / "stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return State.GONE
    return {"Z": State.DEAD, "X": State.DEAD, "T": State.STOPPED}.get(letter, State.ALIVE)


def kill(instance: Instance) -> None:
    """SIGKILL, if the process still is what it was; frees its shared memory by name."""
    if _instance(instance.pid, PROC) == instance:
        with contextlib.suppress(ProcessLookupError):
            os.kill(instance.pid, signal.SIGKILL)
    free(instance)


def free(instance: Instance) -> None:
    """Remove what a dead process left in /dev/shm; the server's own mapping stays valid."""
    with contextlib.suppress(OSError):
        (Path("/dev/shm") / instance.region).unlink()


def _instance(pid: int, proc: Path) -> Instance | None:
    """None for what is no stub: zombies have no arguments."""
    try:
        arguments = (proc / str(pid) / "cmdline").read_text().split("\0")
    except OSError:
        return None
    if not arguments[0].endswith(STUB):
        return None
    # stub, <repository>/<model>/<version>/model.py, region, sizes, parent, backend, offset, name, …
    return Instance(Path(arguments[1]).parts[-3], arguments[8], pid, arguments[2])
