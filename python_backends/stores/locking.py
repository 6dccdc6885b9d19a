"""The lock of a folder of collections: one change at a time, whichever process makes it."""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from python_backends.stores.lance_faults import unwritable
from python_backends.stores.store import down

FILE = ".lock"
WAIT_S = 15.0
"""How long a change waits for another one. It is less than 20 s, after which the supervisor takes a
model that does not answer for stuck."""
_POLL_S = 0.02


@contextmanager
def locked(folder: Path, wait_s: float = WAIT_S) -> Iterator[None]:
    """Holds the lock inside; the kernel frees it when the process dies. Raises `Unavailable`."""
    try:
        file = (folder / FILE).open("a+", encoding="utf-8")
    except OSError as error:
        raise unwritable(folder, error) from error
    with file:
        _wait(file, folder, wait_s)
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield


def _wait(file: IO[str], folder: Path, wait_s: float) -> None:
    end_s = time.monotonic() + wait_s
    while True:
        try:
            return fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            if time.monotonic() > end_s:
                file.seek(0)
                holder = file.read()[:20] or "unknown"
                raise down(
                    f"collection: {folder} is being changed by another server (process "
                    f"{holder}), for more than {wait_s:g} s; try again later"
                ) from error
            time.sleep(_POLL_S)
