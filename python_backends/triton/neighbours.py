"""Keeps Triton from giving up a model's process that is only paused, such as by a busy machine.

While a process has a request, Triton 2.51 clears `stub_health` in the memory that both share, and a
thread of the process sets it again. If it is not set after a second, Triton gives the request up.
If the process then continues, Triton takes its answer for the answer to the next request. So the
processes of a server set `stub_health` for each other (docs/decisions/0109).

Offsets are those of Triton's r24.10 (shm_manager.h, pb_utils.h, message_queue.h).
"""

import contextlib
import fcntl
import logging
import mmap
import os
import struct
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

TICK_S = 0.2
LOOK_S = 1.0
"""Time between two looks for new processes."""
LONGEST_S = 5.0
"""A process that was paused for longer may never continue: Triton may give it up."""

_OWNED = 16
"""Bytes before each block that Triton allocates: the first 4 count its owners, and this module uses
the last 8."""
_SEEN, _HEALTH, _QUEUE = _OWNED - 8, _OWNED, _OWNED + 88
_QUEUE_SIZE = _OWNED + 104
"""Offset of the queue's size; the places of its buffer, head and tail follow it."""
_UUID = 36
"""Number of characters that Triton puts after the prefix of a server's regions."""
_STUB = b"triton_python_backend_stub"

logger = logging.getLogger(__name__)


class Region:
    """The memory that Triton shares with one process; its control block lies at `control`."""

    def __init__(self, path: Path, control: int) -> None:
        """Raises `OSError` or `ValueError` if the file is gone or still empty."""
        self._control = control
        with contextlib.ExitStack() as stack:
            self._file = stack.enter_context(path.open("r+b", buffering=0))
            self._memory = mmap.mmap(self._file.fileno(), mmap.PAGESIZE)
            stack.pop_all()

    def close(self) -> None:
        self._memory.close()
        self._file.close()

    def claim(self, now_s: float) -> None:
        """Lock the region for its own process, until that process ends in any way.

        Raises `ValueError` where the memory is not laid out as expected.
        """
        (queue,) = self._read("q", self._control + _QUEUE)
        if not 0 < queue < mmap.PAGESIZE - _QUEUE_SIZE - 24:
            raise ValueError("no control block")
        size, _, head, tail = self._read("Qqii", queue + _QUEUE_SIZE)
        if not 0 <= min(head, tail) <= max(head, tail) < size < 1 << 20:
            raise ValueError("no queue of messages")
        fcntl.flock(self._file, fcntl.LOCK_EX)
        self.tick(now_s)

    def tick(self, now_s: float) -> None:
        """Show that the region's own process, which calls this, is alive."""
        struct.pack_into("d", self._memory, self._control + _SEEN, now_s)

    def keep(self, now_s: float) -> None:
        """Tell Triton, from another process, that the region's own process is well, if it lives."""
        health = self._control + _HEALTH
        if not self._memory[health] and self._is_alive(now_s):
            self._memory[health] = 1

    def _is_alive(self, now_s: float) -> bool:
        (seen_s,) = self._read("d", self._control + _SEEN)
        if not abs(now_s - seen_s) < LONGEST_S:  # or the region has another layout
            return False
        try:
            fcntl.flock(self._file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        fcntl.flock(self._file, fcntl.LOCK_UN)
        return False

    def _read(self, kinds: str, offset: int) -> tuple[Any, ...]:
        return struct.unpack_from(kinds, self._memory, offset)


class Neighbours:
    """This process and the others of its server, whose regions begin with the same prefix."""

    def __init__(
        self, path: Path, control: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Raises `OSError` or `ValueError` if this process's region, `path`, is not as expected."""
        self._path, self._control, self._clock = path, control, clock
        self._own, self._others = Region(path, control), dict[str, Region]()
        self._own.claim(clock())
        self._look_s = 0.0

    def tick(self) -> None:
        now_s = self._clock()
        self._own.tick(now_s)
        if now_s >= self._look_s:
            self._look_s = now_s + LOOK_S
            with contextlib.suppress(OSError):  # the process may open no more files
                self._look()
        for region in self._others.values():
            region.keep(now_s)

    def watch(self) -> None:
        """Tick in a thread from now on."""
        threading.Thread(target=self._run, name="neighbours", daemon=True).start()

    def _run(self) -> None:
        while True:
            time.sleep(TICK_S)
            self.tick()

    def _look(self) -> None:
        own = self._path.name
        found = {
            path.name
            for path in self._path.parent.glob(f"{own[:-_UUID]}*")
            if len(path.name) == len(own) and path.name != own
        }
        for name in self._others.keys() - found:
            self._others.pop(name).close()
        for name in found - self._others.keys():
            with contextlib.suppress(OSError, ValueError):  # gone, or still empty
                self._others[name] = Region(self._path.parent / name, self._control)


def watch_neighbours() -> None:
    """Keep the other processes' health set from now on, if Triton has started this process."""
    words = Path("/proc/self/cmdline").read_bytes().split(b"\0")
    if len(words) < 9 or not words[0].endswith(_STUB):
        return
    try:
        Neighbours(Path("/dev/shm") / os.fsdecode(words[2]), int(words[7])).watch()
    except (OSError, ValueError) as error:
        logger.warning("Triton may give up processes that stand still (0109): %s", error)
