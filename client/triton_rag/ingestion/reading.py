"""Reads one file: its text, its words, and whether it has changed."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from triton_rag.ingestion.file_text import FileText, OnPage, Unreadable
from triton_rag.ingestion.folder import File
from triton_rag.ingestion.passages import Words, find_words
from triton_rag.ingestion.readers import SCANS, kind, read

RENEW = "damaged, or too large; save it anew with its program"
MAX_READING_BYTES = 4 * 2**30
"""Most memory of a process that reads."""


@dataclass(frozen=True)
class ReadFile:
    """A file's text and its words."""

    file: File
    content_hash: str
    text: FileText
    words: Words


@dataclass(frozen=True)
class Unchanged:
    """The collection has this file's document already."""

    file: File


@dataclass(frozen=True)
class NotRead:
    file: File
    reason: str


Reading = ReadFile | Unchanged | NotRead


@dataclass(frozen=True)
class Task:
    """A file to read, the hash of its document in the collection ("" for none), and how to read."""

    file: File
    stored_hash: str
    recipe: str
    """How documents are cut, as a part of the hash: with another recipe every file has changed."""
    by_ocr: bool = False
    """Whether OCR reads pages without text."""


def read_file(task: Task, on_page: OnPage = lambda: None) -> Reading:
    """The text of a file; if it can't be read, the reason is returned and no error is raised."""
    try:
        return _read(task, on_page)
    except Unreadable as error:
        return NotRead(task.file, str(error))
    except OSError as error:
        return NotRead(task.file, f"can't be read: {error.strerror or type(error).__name__}")
    except MemoryError:
        return NotRead(task.file, f"takes more than {MAX_READING_BYTES / 2**30:g} GiB to read")
    except RecursionError:
        return NotRead(task.file, "its parts are nested too deeply")
    except Exception as error:  # a reader's package may raise any for a damaged file
        return NotRead(task.file, f"its reader failed ({type(error).__name__}): {RENEW}")


def content_hash(recipe: str, data: bytes) -> str:
    """A hash of 32 hexadecimal digits, equal for equal contents with equal recipes."""
    return hashlib.sha256(recipe.encode() + b"\0" + data).hexdigest()[:32]


def _read(task: Task, on_page: OnPage) -> Reading:
    data, name = _read_whole(task.file.path), task.file.name
    with_ocr, without = (content_hash(task.recipe + mark, data) for mark in (" ocr", ""))
    is_scan = task.by_ocr and kind(name, by_ocr=True) in SCANS
    if task.stored_hash == with_ocr or (task.stored_hash == without and not is_scan):
        return Unchanged(task.file)
    text = read(name, data, on_page if task.by_ocr else None)
    return ReadFile(task.file, with_ocr if is_scan else without, text, find_words(text))


def _read_whole(path: Path) -> bytes:
    """The bytes of a file; raises `Unreadable` if it changes meanwhile."""
    before = path.stat()
    data = path.read_bytes()
    after = path.stat()
    if (before.st_mtime_ns, len(data)) != (after.st_mtime_ns, after.st_size):
        raise Unreadable("it changes while it is read; the next run will read it")
    return data
