"""The audit log: lines of JSON, each with a hash over itself and the line before it.

No line can be changed, moved, added or removed without breaking the chain, except at its end: store
the last hash elsewhere to notice that too. With a key, only its owner can make a chain.

If the file is moved away, as in log rotation, a new one is made at its path, where the chain
continues.
"""

import errno
import fcntl
import hashlib
import hmac
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

FIRST = "0" * 64
"""The previous hash of the first line."""


class AuditError(Exception):
    """The log can't be written."""


@dataclass(frozen=True)
class Verdict:
    """The result of verifying a log."""

    lines: int
    hashes: tuple[str, ...]
    """The hashes of its records, in order."""
    faults: tuple[str, ...]
    """Lines, from 1, at which the chain breaks, and why."""
    last_hash: str
    """The hash that the next line must follow, in this file or the next one."""
    sequence: int
    """The number of that line."""


class AuditLog:
    """Appends to one file, which one process writes at a time; raises AuditError."""

    def __init__(self, path: Path, key: bytes) -> None:
        self._path, self._key = path, key
        self._file = _opened(path)
        self._last, self._sequence = self._resume(path)

    def append(self, record: dict[str, Any]) -> None:
        """Add one record. When this returns, the system has it, but a power loss may lose it.

        Raises OSError if there is no room for it. Its number is then left out, so that `verify`
        shows that a record is lost.
        """
        if not _is_at(self._file, self._path):
            moved, self._file = self._file, _opened(self._path)
            os.close(moved)
        entry = {"sequence": self._sequence, "previous": self._last, "record": record}
        self._sequence += 1
        hash_ = _hash(entry, self._key)
        _write_whole(self._file, orjson.dumps(entry | {"hash": hash_}) + b"\n")
        self._last = hash_

    def close(self) -> None:
        """Write the file to the disk, and let other processes write it."""
        os.fsync(self._file)
        os.close(self._file)

    def _resume(self, path: Path) -> tuple[str, int]:
        """The hash and the number for the next line. A line that a crash has cut is closed:
        `verify` shows it, and the chain continues after it."""
        last, sequence, line = FIRST, 0, b"\n"
        for line in _lines(path):
            entry = _entry(line)
            if entry:
                last, sequence = str(entry["hash"]), int(entry["sequence"]) + 1
        if not line.endswith(b"\n"):
            os.write(self._file, b"\n")
        return last, sequence


def _opened(path: Path) -> int:
    """Open the file for this process alone; raises AuditError if another one writes it."""
    flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
    try:
        file = os.open(path, flags, 0o600)
    except FileNotFoundError as error:
        raise AuditError(f"{path}: its folder does not exist") from error
    except OSError as error:
        raise AuditError(f"{path}: {error.strerror}") from error
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(file)
        raise AuditError(f"{path} is written by another process: one file for each") from error
    return file


def _is_at(file: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file), path.stat())
    except FileNotFoundError:
        return False


def _write_whole(file: int, line: bytes) -> None:
    """Write the whole line or nothing; raises OSError."""
    size = os.fstat(file).st_size
    if os.write(file, line) < len(line):
        os.ftruncate(file, size)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def verify(path: Path, key: bytes, last: str = FIRST, sequence: int = 0) -> Verdict:
    """Check every line of a log that begins with the number `sequence`, after the line with the
    hash `last`; raises OSError if it can't be read."""
    number = 0
    hashes, faults = list[str](), list[str]()
    for number, line in enumerate(_lines(path), 1):
        entry = _entry(line)
        if fault := _fault(entry, last, sequence, key):
            faults.append(f"line {number}: {fault}")
        if entry:
            last, sequence = str(entry["hash"]), int(entry["sequence"]) + 1
            hashes.append(last)
    return Verdict(number, tuple(hashes), tuple(faults), last, sequence)


def _fault(entry: dict[str, Any] | None, last: str, sequence: int, key: bytes) -> str:
    if entry is None:
        return "is not a record: cut short, or not written by the gateway"
    claimed = {name: value for name, value in entry.items() if name != "hash"}
    if not hmac.compare_digest(_hash(claimed, key), str(entry["hash"])):
        return "is changed, or made with another key"
    if entry["sequence"] != sequence or entry["previous"] != last:
        return f"does not follow the line before it: number {entry['sequence']}, not {sequence}"
    return ""


def _hash(entry: dict[str, Any], key: bytes) -> str:
    text = orjson.dumps(entry, option=orjson.OPT_SORT_KEYS)
    return hmac.new(key, text, hashlib.sha256).hexdigest()


def _lines(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        yield from file


def _entry(line: bytes) -> dict[str, Any] | None:
    """A line's content, or None if it is no line of an audit log."""
    try:
        entry = orjson.loads(line)
        int(entry["sequence"]), str(entry["previous"]), str(entry["hash"])
    except (orjson.JSONDecodeError, LookupError, TypeError, ValueError):
        return None
    return dict(entry)
