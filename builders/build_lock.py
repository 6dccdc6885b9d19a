"""One build of a model at a time: a second one waits, and says for which process.

The kernel drops the lock with the process that holds it, so a killed build never blocks the next.
"""

import contextlib
import os
import time
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout

from builders.build_steps import Progress

LOCK_FILE = ".lock"
HOLDER_FILE = ".lock-holder"


class Busy(Exception):
    """Another process builds this model; the message says which, and since when."""


@contextlib.contextmanager
def held(home: Path, progress: Progress | None = None) -> Iterator[None]:
    """Hold the lock of a model's engine folder; a wait is reported to `progress`.

    Without `progress` nothing waits: raises `Busy`.
    """
    home.mkdir(parents=True, exist_ok=True)
    lock = FileLock(home / LOCK_FILE)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        if progress is None:
            raise Busy(_holder(home)) from None
        progress(f"{_holder(home)} builds this model; waiting for it …")
        lock.acquire()
    try:
        since = time.strftime("%Y-%m-%d %H:%M:%S")
        (home / HOLDER_FILE).write_text(f"process {os.getpid()}, since {since},", encoding="utf-8")
        yield
    finally:
        lock.release()


def _holder(home: Path) -> str:
    try:
        return (home / HOLDER_FILE).read_text(encoding="utf-8") or "another process"
    except FileNotFoundError:  # locked a moment ago, not signed yet
        return "another process"
