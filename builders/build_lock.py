"""One build of a model at a time: who comes second is told whom it waits for.

The kernel drops the lock with the process that holds it, so a killed build never blocks the next.
"""

import contextlib
import fcntl
import json
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

LOCK_FILE = ".lock"


class Busy(Exception):
    """Somebody else builds this model; the message says who, and since when."""


@contextlib.contextmanager
def held(home: Path, report: Callable[[str], None]) -> Iterator[None]:
    """Hold the lock of a model's engine folder, after a wait that is reported."""
    with _opened(home) as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            start = time.monotonic()
            report(f"{_holder(file)} builds this model; waiting for it …")
            fcntl.flock(file, fcntl.LOCK_EX)
            report(f"waited {time.monotonic() - start:.0f} s for the other build")
        _sign(file)
        yield


@contextlib.contextmanager
def held_at_once(home: Path) -> Iterator[None]:
    """The same without a wait: raises `Busy`."""
    with _opened(home) as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Busy(_holder(file)) from None
        _sign(file)
        yield


@contextlib.contextmanager
def _opened(home: Path) -> Iterator[IO[str]]:
    """The lock's file, which stays for good: removing it would let two builds lock two files."""
    home.mkdir(parents=True, exist_ok=True)
    with (home / LOCK_FILE).open("a+") as file:
        yield file


def _sign(file: IO[str]) -> None:
    """Who holds it, for whoever waits."""
    file.truncate(0)
    file.write(json.dumps({"pid": os.getpid(), "since": time.time()}))
    file.flush()


def _holder(file: IO[str]) -> str:
    file.seek(0)
    try:
        signed = json.loads(file.read())
        since = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(signed["since"]))
        return f"process {signed['pid']}, since {since},"
    except (ValueError, KeyError, TypeError):  # locked a moment ago, not signed yet
        return "another process"
