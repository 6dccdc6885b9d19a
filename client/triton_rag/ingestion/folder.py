"""The files of a folder that can be ingested, and why the others are not."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from unicodedata import normalize

from triton_rag.ingestion.refused import refusal

MAX_FILE_BYTES = 64 * 2**20
"""Larger files are skipped unless the caller allows more: so large a text is a database."""

IsKnown = Callable[[str], bool]

_HIDDEN = {"desktop.ini", "thumbs.db"}
_SHOWN = {
    *(".circleci", ".env.dist", ".env.example", ".env.sample", ".env.template", ".github"),
    *(".gitlab", ".gitlab-ci.yml", ".pre-commit-config.yaml", ".travis.yml"),
}
"""Hidden names that are read: they are texts of a project. `.env` is not: it has secrets."""
_LOCK = "~$"
"""Prefix of the files that mark an open Office file."""
_SAVED = re.compile(r"(.+)[_-](?:files?|filer|Dateien|fichiers|archivos|arquivos|bestanden|pliki)$")
"""Name of the folder with a page's pictures and scripts, which a browser saves beside the page."""
_PAGE = re.compile(r"(.+)\.x?html?$", re.IGNORECASE)
_CACHES = {"node_modules", "bower_components", "__pycache__", "site-packages"}
_CACHE_MARKS = ("CACHEDIR.TAG", "pyvenv.cfg")
"""Files of a folder that a program fills, such as `target` of Cargo or a virtual environment."""


class IngestError(Exception):
    """Nothing can be ingested as asked; the message says what is possible."""


@dataclass(frozen=True)
class File:
    """A file to read."""

    path: Path
    name: str
    """Its path below the folder, with `/` and in Unicode's composed form (NFC) on every machine;
    the id of its document in the collection."""
    size_bytes: int
    modified_s: int
    """Time of the last change, in seconds of the Unix clock."""


@dataclass(frozen=True)
class Skipped:
    """A file or a folder that was not read."""

    name: str
    reason: str


@dataclass(frozen=True)
class Folder:
    """The files of a folder; hidden files and folders are left out."""

    files: tuple[File, ...]
    skipped: tuple[Skipped, ...] = ()
    unlisted: tuple[str, ...] = ()
    """Folders that could not be listed: whether their files are still there is not known."""

    def knows(self, name: str) -> bool:
        """Whether a file of this name would have been found or skipped if it were there."""
        return not any(name.startswith(f"{folder}/") for folder in self.unlisted)


def list_folder(folder: Path, is_known: IsKnown, max_file_bytes: int = MAX_FILE_BYTES) -> Folder:
    """The files of a known type below a folder, by name. Links are followed, and each folder is
    listed once.

    Raises `IngestError` where there is no such folder, or it can't be listed.
    """
    if not folder.is_dir():
        found = "a file" if folder.exists() else "nothing"
        raise IngestError(f"{folder}: a folder is needed, {found} is there")
    listing = _Listing(folder, is_known, max_file_bytes)
    listing.add(folder, "")
    if "" in listing.unlisted:
        raise IngestError(f"{folder}: {listing.skipped[0].reason}")
    files = sorted(listing.files, key=lambda file: file.name)
    skipped = sorted(listing.skipped, key=lambda each: each.name)
    return Folder(tuple(files), tuple(skipped), tuple(listing.unlisted))


class _Listing:
    def __init__(self, folder: Path, is_known: IsKnown, max_file_bytes: int) -> None:
        self._is_known, self._max_file_bytes = is_known, max_file_bytes
        self._seen, self._names = {_identity(one) for one in folder.resolve().parents}, set[str]()
        self.files: list[File] = []
        self.skipped: list[Skipped] = []
        self.unlisted: list[str] = []

    def add(self, folder: Path, name: str) -> None:
        """Take everything below a folder, also where links lead back to it."""
        waiting = [(folder, name)]
        while waiting:
            path, inside = waiting.pop()
            try:
                if (identity := _identity(path)) in self._seen:
                    self._skip(
                        inside, "a link to a folder that is read already, or around this one"
                    )
                    continue
                self._seen.add(identity)
                waiting += self._entries(path, inside)
            except OSError as error:
                self.unlisted.append(inside)
                self._skip(inside, f"can't be listed: {error.strerror or type(error).__name__}")

    def _entries(self, folder: Path, name: str) -> Iterator[tuple[Path, str]]:
        """Take the files of a folder; returns its folders, which the caller lists."""
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
        pages = {found[1] for entry in entries if (found := _PAGE.match(entry.name))}
        for entry in entries:
            own = normalize("NFC", entry.name)
            inside = f"{name}/{own}" if name else own
            is_hidden = entry.name.startswith((".", _LOCK)) and entry.name not in _SHOWN
            if is_hidden or entry.name.lower() in _HIDDEN:
                continue
            path = Path(entry.path)
            if not _is_folder(path):
                self._take(path, inside)
            elif (saved := _SAVED.match(entry.name)) and saved[1] in pages:
                self._skip(inside, "what a browser saved beside its page")
            elif _is_cache(path):
                self._skip(inside, "a program's own folder: packages, or a cache")
            else:
                yield path, inside

    def _take(self, path: Path, name: str) -> None:
        try:
            status = path.stat()
            name.encode()
        except UnicodeEncodeError:
            self._skip(name.encode(errors="replace").decode(), "its name is not UTF-8")
            return
        except OSError as error:
            self._skip(name, f"can't be read: {error.strerror or type(error).__name__}")
            return
        if not self._is_known(name):
            self._skip(name, refusal(name))
        elif not stat.S_ISREG(status.st_mode):
            self._skip(name, "not a regular file")
        elif status.st_size > self._max_file_bytes:
            size, most = status.st_size / 2**20, self._max_file_bytes / 2**20
            self._skip(name, f"{size:,.0f} MiB; files of at most {most:,.0f} MiB are read")
        elif name in self._names:
            self._skip(name, "another file has this name, in other code points")
        else:
            self._names.add(name)
            self.files.append(File(path, name, status.st_size, int(status.st_mtime)))

    def _skip(self, name: str, reason: str) -> None:
        self.skipped.append(Skipped(name, reason))


def _identity(folder: Path) -> tuple[int, int]:
    status = folder.stat()
    return status.st_dev, status.st_ino


def _is_folder(path: Path) -> bool:
    """Whether it is a folder; False also where that can't be known, such as for circular links."""
    try:
        return path.is_dir()
    except OSError:
        return False


def _is_cache(folder: Path) -> bool:
    has_mark = any(os.access(folder / mark, os.F_OK) for mark in _CACHE_MARKS)
    return folder.name in _CACHES or has_mark
