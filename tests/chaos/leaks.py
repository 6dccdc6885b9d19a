"""What a server holds more of than before a fault."""

import math
from collections.abc import Iterator

from tests.chaos.resources import SERVER, ProcessUse, Use

SHM_MIB = 0.5
"""A region that stayed behind is 1 MiB or more."""
MEMORY_MIB = 48.0
"""For one process: allocators keep what a first long request took."""
FILES = 8
"""The connections of the last clients, and the page of figures itself."""
THREADS = 8
DEAD_THREADS, DEAD_FILES = 36, 4
"""What tritonserver 2.51 keeps, until it ends, of a model process that died while requests waited
for it, beside its region of /dev/shm: the threads that served it, the region's file, and those of
connections that were cut while their streams waited. Measured: 35, and 12 files of 3 processes and
4 streams. A process that dies without a request leaves nothing."""


def died(before: Use, after: Use) -> tuple[ProcessUse, ...]:
    """Model processes that the same server no longer has."""
    pids = {process.pid for process in after.processes}
    is_same = any(process.name == SERVER and process.pid in pids for process in before.processes)
    return tuple(p for p in before.processes if is_same and p.pid not in pids)


def known_leaks(before: Use, after: Use, may_die: bool = True) -> Iterator[str]:
    """What is left behind through Triton's own fault, in so many words."""
    dead = died(before, after) if may_die else ()
    kept_mib = _unowned_mib(after) - _unowned_mib(before)
    threads = _server_threads(after) - _server_threads(before)
    if dead and (kept_mib > SHM_MIB or threads > THREADS):
        yield (
            f"of {len(dead)} dead processes {max(kept_mib, 0):.1f} MiB of /dev/shm, "
            f"{max(threads, 0)} threads"
        )
    if young := [p for p in after.processes if _inherits(before.process(p.name), p)]:
        most = max(p.files for p in young)
        names = ", ".join(dict.fromkeys(p.name for p in young))
        yield f"inherited files, up to {most}: {names}"


def _inherits(was: ProcessUse | None, now: ProcessUse) -> bool:
    """Triton forks without closing what it has open, connections of clients among it."""
    return was is not None and was.pid != now.pid and now.files > was.files + FILES


def _unowned_mib(use: Use) -> float:
    """Shared memory that is no living process's region."""
    return use.shm_mib - sum(process.region_mib for process in use.processes)


def _server_threads(use: Use) -> int:
    server = use.process(SERVER)
    return server.threads if server else 0


def leaks(before: Use, after: Use, may_die: bool = True) -> Iterator[str]:
    """One line for each thing that was not given back, but for what Triton is known to keep.

    That it keeps for processes that died; where none `may_die`, it must keep nothing.
    """
    dead = died(before, after) if may_die else ()
    known_mib = sum(math.ceil(process.region_size_mib) for process in dead)
    if _unowned_mib(after) > _unowned_mib(before) + known_mib + SHM_MIB:
        yield f"/dev/shm {before.shm_mib:.1f} → {after.shm_mib:.1f} MiB"
    if after.kv_used > 0:
        yield f"KV memory: {after.kv_used:.0%} in use when idle"
    for process in before.processes:
        now = after.process(process.name)
        if now is None:
            yield f"{process.name}: no process"
        else:
            yield from _of_process(process, now, len(dead))


def _of_process(before: ProcessUse, now: ProcessUse, dead: int) -> Iterator[str]:
    if now.memory_mib > before.memory_mib + MEMORY_MIB:
        yield f"{now.name}: memory {before.memory_mib:.0f} → {now.memory_mib:.0f} MiB"
    if now.region_size_mib > before.region_size_mib + SHM_MIB and now.pid == before.pid:
        yield f"{now.name}: /dev/shm {before.region_size_mib:.1f} → {now.region_size_mib:.1f} MiB"
    if now.pid != before.pid:
        return
    if now.files > before.files + FILES + dead * DEAD_FILES:
        yield f"{now.name}: files {before.files} → {now.files}"
    if now.name == SERVER and now.threads > before.threads + THREADS + dead * DEAD_THREADS:
        yield f"{now.name}: threads {before.threads} → {now.threads}"
