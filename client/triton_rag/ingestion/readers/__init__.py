"""Reads files of several types. A reader is a function from a file's bytes to a `FileText`.

Each raises `Unreadable` for a file that has no text for it. Its package is imported when its first
file is read.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from importlib import import_module
from pathlib import PurePath

from triton_rag.ingestion.file_text import FileText, Unreadable

Reader = Callable[[bytes], FileText]

MODULES = {
    ".pdf": "pdf",
    ".html": "html",
    ".htm": "html",
    ".xhtml": "html",
    ".docx": "docx",
    ".odt": "opendocument",
    ".pptx": "slides",
    ".epub": "ebook",
    ".eml": "mail",
    ".ipynb": "notebook",
    ".md": "markdown",
    ".markdown": "markdown",
    ".rst": "restructured",
    ".txt": "plain",
    ".text": "plain",
    ".log": "plain",
    ".adoc": "plain",
    ".org": "plain",
    ".tex": "plain",
}
"""The module of `readers` that reads a file of this suffix with its function `read`."""

SUFFIXES = tuple(MODULES)

INSTALL = "pip install 'triton_rag[ingest]'"


def reader_of(suffix: str) -> Reader:
    """The reader of files of a known suffix; raises `Unreadable` where its package is missing."""
    try:
        module = import_module(f"{__name__}.{MODULES[suffix.lower()]}")
    except ModuleNotFoundError as error:
        raise Unreadable(
            f"the package {error.name} that reads {suffix} files is not installed: {INSTALL}"
        ) from error
    reader: Reader = module.read
    return reader


def read(name: str, data: bytes) -> FileText:
    """The text of a file's bytes, titled after its `name` where it has no title of its own.

    Raises `Unreadable`.
    """
    if not data.strip():
        raise Unreadable("empty")
    path = PurePath(name)
    found = reader_of(path.suffix)(data)
    if not found.text.strip():
        raise Unreadable("no text in it")
    return replace(found, title=" ".join(found.title.split()) or path.stem)
