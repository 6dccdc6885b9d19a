"""What a server holds more of than before a fault."""

from collections.abc import Iterator

from tests.chaos.resources import SERVER, ProcessUse, Use

SHM_MIB = 0.5
"""A region that stayed behind is 1 MiB or more."""
RSS_MIB = 48.0
"""Of one process: allocators keep what a first long request took."""
FILES = 8
"""The connections of the last clients, and the page of figures itself."""
THREADS = 8


DEAD_SHM_MIB, DEAD_THREADS = 4.0, 40
"""What Triton 2.51 keeps of each model process that died under it, measured: its region of
/dev/shm, which the server goes on mapping, and the threads that served it."""


def replaced(before: Use, after: Use) -> int:
    """Model processes that are others now."""
    return len({p.pid for p in after.processes} - {p.pid for p in before.processes})


def known_leaks(before: Use, after: Use) -> Iterator[str]:
    """What is left behind through Triton's own fault, in so many words."""
    count = replaced(before, after)
    shm_mib = after.shm_mib - before.shm_mib
    if count and SHM_MIB < shm_mib <= count * DEAD_SHM_MIB:
        yield f"tritonserver keeps {shm_mib:.1f} MiB of /dev/shm of {count} ended processes mapped"
    for process in after.processes:
        was = before.process(process.name)
        if was and was.pid != process.pid and process.files > was.files + FILES:
            files = process.files - was.files
            yield f"{process.name}'s new process inherits {files} open files of tritonserver"
    threads = _server_threads(after) - _server_threads(before)
    if count and THREADS < threads <= count * DEAD_THREADS:
        yield f"tritonserver keeps {threads} threads of {count} ended processes"


def _server_threads(use: Use) -> int:
    server = use.process(SERVER)
    return server.threads if server else 0


def leaks(before: Use, after: Use) -> Iterator[str]:
    """One line for each thing that was not given back, but for what Triton is known to keep."""
    count = replaced(before, after)
    if after.shm_mib > before.shm_mib + max(SHM_MIB, count * DEAD_SHM_MIB):
        yield f"/dev/shm {before.shm_mib:.1f} → {after.shm_mib:.1f} MiB"
    if after.kv_used > 0:
        yield f"KV memory: {after.kv_used:.0%} in use when idle"
    for process in before.processes:
        now = after.process(process.name)
        if now is None:
            yield f"{process.name}: no process"
        else:
            yield from _of_process(process, now, count)


def _of_process(before: ProcessUse, now: ProcessUse, count: int) -> Iterator[str]:
    if now.rss_mib > before.rss_mib + RSS_MIB:
        yield f"{now.name}: resident {before.rss_mib:.0f} → {now.rss_mib:.0f} MiB"
    if now.files > before.files + FILES and now.pid == before.pid:
        yield f"{now.name}: files {before.files} → {now.files}"
    if now.name == SERVER and now.threads > before.threads + max(THREADS, count * DEAD_THREADS):
        yield f"{now.name}: threads {before.threads} → {now.threads}"
