"""The processes of a tritonserver's Python models, as /proc shows them.

Each instance of a Python model is a `triton_python_backend_stub` that the server started. A
killed one stays behind as a zombie without a command line; the server neither notices nor starts
another.
"""

import contextlib
import os
import signal
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

PROC = Path("/proc")
STUB = "triton_python_backend_stub"
CRASHES = 1 << signal.SIGSEGV - 1 | 1 << signal.SIGABRT - 1
"""As bits of a thread's blocked signals."""

_USER, _SYSTEM, _BLOCKED = 11, 12, 29
"""Fields 14, 15 and 32 of /proc/PID/stat (proc(5)), counted from the state."""


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


@dataclass(frozen=True)
class Found:
    """A server's model processes: the living ones, and the numbers of the dead ones that it keeps.

    Which model a dead one served can't be told any more.
    """

    living: tuple[Instance, ...]
    dead: frozenset[int] = frozenset()


class Finder:
    """Finds a server's model processes again and again; others are looked at only once.

    Linux lists a process's children in a file for each of its threads; tritonserver has hundreds.
    """

    def __init__(self, server_pid: int, proc: Path = PROC) -> None:
        self._server_pid, self._proc = server_pid, proc
        self._strangers: frozenset[int] = frozenset()

    def find(self) -> Found:
        """Those that there are now."""
        pids = {int(entry.name) for entry in os.scandir(self._proc) if entry.name.isdecimal()}
        new = pids - self._strangers
        children = {pid for pid in new if _parent(pid, self._proc) == self._server_pid}
        self._strangers = frozenset(pids - children)
        living = (_instance(pid, self._proc) for pid in sorted(children))
        dead = frozenset(pid for pid in children if _is_dead_stub(pid, self._proc))
        return Found(tuple(one for one in living if one), dead)


def instances(server_pid: int, proc: Path = PROC) -> tuple[Instance, ...]:
    """The living ones of a server, looked for once."""
    return Finder(server_pid, proc).find().living


def state(pid: int, proc: Path = PROC) -> State:
    """STOPPED is by SIGSTOP, not by a debugger."""
    try:
        letter = _stat(pid, proc)[0]
    except OSError:
        return State.GONE
    return {"Z": State.DEAD, "X": State.DEAD, "T": State.STOPPED}.get(letter, State.ALIVE)


def cpu_s(pid: int, proc: Path = PROC) -> float:
    """Of all threads since its start; 0 when it is gone."""
    try:
        fields = _stat(pid, proc)
    except OSError:
        return 0.0
    return (int(fields[_USER]) + int(fields[_SYSTEM])) / os.sysconf("SC_CLK_TCK")


def crashing(pid: int, proc: Path = PROC) -> frozenset[int]:
    """Threads of a tritonserver that are in its handler of SIGSEGV or SIGABRT, which blocks the
    signal while it prints a stack trace. One that crashed inside malloc hangs there for ever, and
    the server goes on without it until others need what it holds. No thread blocks them else."""
    tasks = proc / str(pid) / "task"
    found = set()
    with contextlib.suppress(OSError):  # the process is gone
        for thread in os.scandir(tasks):
            with contextlib.suppress(OSError):  # the thread is
                if int(_stat(int(thread.name), tasks)[_BLOCKED]) & CRASHES:
                    found.add(int(thread.name))
    return frozenset(found)


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


def _parent(pid: int, proc: Path) -> int | None:
    try:
        return int(_stat(pid, proc)[1])
    except OSError:  # it has just ended
        return None


def _is_dead_stub(pid: int, proc: Path) -> bool:
    """A zombie has kept nothing but its name, of which the kernel has the first 15 characters."""
    try:
        name = (proc / str(pid) / "comm").read_text().strip()
    except OSError:
        return False
    return name == STUB[:15] and state(pid, proc) is State.DEAD


def _stat(pid: int, proc: Path) -> list[str]:
    """State, parent and more; the name before them may contain anything. Raises OSError."""
    return (proc / str(pid) / "stat").read_text().rpartition(")")[2].split()


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
