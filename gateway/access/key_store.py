"""Where keys are kept: a JSON file that is read again when it changes."""

import fcntl
import logging
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from pydantic import ValidationError

from gateway.access.keys import Key
from gateway.table import Table

_LOG = logging.getLogger(__name__)


class KeyStore(Protocol):
    """Finds and changes keys."""

    async def find(self, key_id: str) -> Key | None: ...
    async def list(self) -> tuple[Key, ...]: ...
    async def add(self, key: Key) -> None: ...
    async def change(self, key_id: str, how: Callable[[Key], Key]) -> Key:
        """The changed key; raises KeyError without such a key."""
        ...

    async def close(self) -> None: ...


class KeyStoreError(Exception):
    """The file can't be read as keys."""


class KeyFile(Table):
    """The file's content."""

    keys: tuple[Key, ...] = ()


_State = tuple[int, int, int]
"""Inode, time of change and size of the file: if one differs, so does the content."""


class FileKeyStore:
    """Keys of a file. Each look-up asks the file system whether the file has changed (2 µs), so a
    disabled key is refused from the next request on.

    If the file can no longer be read, the last keys stay valid, and the log has an error.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._state = _state(path)
        self._keys = _by_id(read_keys(path)) if self._state else {}

    async def find(self, key_id: str) -> Key | None:
        self._refresh()
        return self._keys.get(key_id)

    async def list(self) -> tuple[Key, ...]:
        self._refresh()
        return tuple(self._keys.values())

    async def add(self, key: Key) -> None:
        with _locked(self.path):
            _write(self.path, (*_existing(self.path), key))

    async def change(self, key_id: str, how: Callable[[Key], Key]) -> Key:
        with _locked(self.path):
            keys = _by_id(_existing(self.path))
            keys[key_id] = how(keys[key_id])
            _write(self.path, tuple(keys.values()))
        return keys[key_id]

    async def close(self) -> None:
        pass

    def _refresh(self) -> None:
        state = _state(self.path)
        if state == self._state:
            return
        self._state = state
        try:
            self._keys = _by_id(read_keys(self.path))
        except KeyStoreError as error:
            _LOG.error("the key file changed and can't be read; the last keys stay: %s", error)


def read_keys(path: Path) -> tuple[Key, ...]:
    """Keys of the file; raises KeyStoreError with the first fault."""
    try:
        keys = KeyFile.model_validate_json(path.read_bytes()).keys
    except OSError as error:
        raise KeyStoreError(f"{path.name}: {error.strerror}") from None
    except ValidationError as error:
        fault = error.errors(include_input=False, include_url=False)[0]
        where = ".".join(map(str, fault["loc"])) or "the file"
        raise KeyStoreError(f"{path.name}: {where}: {fault['msg']}") from None
    ids = [key.id for key in keys]
    if twice := sorted({key_id for key_id in ids if ids.count(key_id) > 1}):
        raise KeyStoreError(f"{path.name}: keys have the same id: {', '.join(twice)}")
    return keys


def _existing(path: Path) -> tuple[Key, ...]:
    return read_keys(path) if path.exists() else ()


def _by_id(keys: tuple[Key, ...]) -> dict[str, Key]:
    return {key.id: key for key in keys}


def _state(path: Path) -> _State | None:
    try:
        found = os.stat(path)  # noqa: PTH116 - on every request: three times as fast as Path.stat
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size


def _write(path: Path, keys: tuple[Key, ...]) -> None:
    """Replaces the file at once: readers see the old or the new one. Only its owner reads it."""
    with tempfile.NamedTemporaryFile("wb", dir=path.parent, delete=False) as file:
        file.write(KeyFile(keys=keys).model_dump_json(indent=2, exclude_defaults=True).encode())
        file.flush()
        os.fsync(file.fileno())
    Path(file.name).replace(path)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """One writer at a time, on this machine."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.with_name(path.name + ".lock").open("w", encoding="utf-8") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
