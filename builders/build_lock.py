"""One build of a model at a time: a second one waits, and says for which process.

The kernel frees the lock when its process ends, so a killed build never blocks the next one.
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
    """Hold the lock of a model's engine folder; waits, or without `progress` raises `Busy`."""
    home.mkdir(parents=True, exist_ok=True)
    lock, signature = FileLock(home / LOCK_FILE), home / HOLDER_FILE
    try:
        lock.acquire(timeout=0)
    except Timeout:
        is_signed = signature.is_file()  # not where it was locked a moment ago
        holder = (is_signed and signature.read_text(encoding="utf-8")) or "another process"
        if progress is None:
            raise Busy(holder) from None
        progress(f"{holder} builds this model; waiting for it …")
        lock.acquire()
    try:
        since = time.strftime("%Y-%m-%d %H:%M:%S")
        signature.write_text(f"process {os.getpid()}, since {since},", encoding="utf-8")
        yield
    finally:
        lock.release()
