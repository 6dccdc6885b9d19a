"""A server's files in /dev/shm, where it shares tensors with its models: freed when it is gone.

Triton removes them only when all went well, and a supervisor that was killed removes nothing. So
the processes of a server inherit a locked file that lies beside them; the kernel unlocks it when
the last of them has ended, and the next start frees what nobody holds. Process ids would not do:
containers can share /dev/shm, and each counts its own.
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
    """The files of one server: their names begin with `prefix`, and no other server's do."""

    def __init__(self, folder: Path = FOLDER) -> None:
        self.prefix = f"rag{secrets.token_hex(6)}_"
        self._folder = folder

    @contextlib.contextmanager
    def locked(self) -> Iterator[int]:
        """A descriptor for the server: while a process has it, the files are not abandoned.

        Frees what other servers left before.
        """
        free_abandoned(self._folder)
        lock = self._folder / f"{self.prefix}{_LOCK}"
        unlocked = self._folder / f".{lock.name}"  # or another start could lock it before we do
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
        """Remove them; the server has ended."""
        _remove(self._folder, self.prefix)


def free_abandoned(folder: Path = FOLDER) -> None:
    """Remove the files of servers that ended without doing it."""
    for lock in folder.glob(f"rag*_{_LOCK}"):
        with contextlib.suppress(OSError):  # held, another user's, or gone by now
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
