"""Frees a server's files in /dev/shm, by which it shares tensors with its models, after its end.

Triton removes them only after a regular end, and a killed supervisor removes nothing. So the
processes of a server inherit a locked file beside them; the kernel unlocks it when the last process
has ended, and the next start frees the files of unlocked ones. Process ids would not work:
containers can share /dev/shm, and each has ids of its own.
"""

import contextlib
import fcntl
import os
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path

FOLDER = Path("/dev/shm")
_LOCK = "lock"


class SharedMemory:
    """The files of one server: only their names begin with `prefix`."""

    def __init__(self, folder: Path = FOLDER) -> None:
        self.prefix = f"rag{secrets.token_hex(6)}_"
        self._folder = folder

    @contextlib.contextmanager
    def locked(self) -> Iterator[int]:
        """A file descriptor for the server: while a process has it, the files are in use.

        Frees files of other servers that have ended.
        """
        free_abandoned(self._folder)
        lock = self._folder / f"{self.prefix}{_LOCK}"
        unlocked = self._folder / f".{lock.name}"  # otherwise another start could lock it first
        descriptor = os.open(unlocked, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            unlocked.rename(lock)
            yield descriptor
        finally:
            os.close(descriptor)

    def link_folder(self) -> Path:
        """The folder for the server's links; its path needs no quotes. Freed with the files."""
        found = self._folder / f"{self.prefix}links"
        found.mkdir(mode=0o700, exist_ok=True)
        return found

    def free(self) -> None:
        """Remove the files of this server, which has ended."""
        _remove(self._folder, self.prefix)


def free_abandoned(folder: Path = FOLDER) -> None:
    """Remove the files of servers that ended without removing them."""
    for lock in folder.glob(f"rag*_{_LOCK}"):
        with contextlib.suppress(OSError):  # locked, another user's, or gone by now
            descriptor = os.open(lock, os.O_RDWR | os.O_CLOEXEC)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                _remove(folder, lock.name.removesuffix(_LOCK))
            finally:
                os.close(descriptor)


def _remove(folder: Path, prefix: str) -> None:
    shutil.rmtree(folder / f"{prefix}links", ignore_errors=True)
    for file in folder.glob(f"{prefix}*"):
        file.unlink(missing_ok=True)
