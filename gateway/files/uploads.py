"""The contents of uploaded files, and the texts that were read from them, in a file each."""

import gzip
import io
import shutil
from collections.abc import Collection
from pathlib import Path
from typing import BinaryIO

from gateway.errors import BadRequest, TooLarge

_LONGEST_NAME = 255
_PART = ".part"
"""Suffix of a file's name while it is written."""


class Uploads:
    """The uploaded files in `folder`; their names are the ids of the register."""

    def __init__(self, folder: Path, known: Collection[str]) -> None:
        """Removes files that are not `known`: uploads that a killed gateway did not finish."""
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        for path in folder.iterdir():
            if path.name not in known:
                path.unlink()

    def keep(self, file_id: str, content: BinaryIO) -> int:
        """Write a file; returns its size in bytes. It is not there until it is complete, and no
        part stays if it can't be written."""
        part = self.path(file_id).with_suffix(_PART)
        try:
            with part.open("wb") as written:
                shutil.copyfileobj(content, written)
            part.replace(self.path(file_id))
        except OSError:
            part.unlink(missing_ok=True)
            raise
        return self.path(file_id).stat().st_size

    def path(self, file_id: str) -> Path:
        return self._folder / file_id

    def remove(self, file_id: str) -> None:
        self.path(file_id).unlink(missing_ok=True)


class Texts:
    """The texts of files, by id; compressed, because a small file can have a large text."""

    def __init__(self, folder: Path, known: Collection[str]) -> None:
        self._files = Uploads(folder, known)

    def keep(self, file_id: str, text: str) -> None:
        self._files.keep(file_id, io.BytesIO(gzip.compress(text.encode(), compresslevel=1)))

    def read(self, file_id: str, most_bytes: int) -> str:
        """The text of a file; raises `TooLarge`, and `FileNotFoundError` if none is kept."""
        with gzip.open(self._files.path(file_id)) as kept:
            text = kept.read(most_bytes + 1)
        if len(text) > most_bytes:
            raise TooLarge(f"its text has more than {most_bytes} bytes, which is what can be shown")
        return text.decode()

    def remove(self, file_id: str) -> None:
        self._files.remove(file_id)


def plain_name(given: str | None) -> str:
    """The last part of a path; raises `BadRequest` if it is no name of a file."""
    name = (given or "").replace("\\", "/").rpartition("/")[2]
    if not name.strip() or not name.isprintable() or len(name.encode()) > _LONGEST_NAME:
        raise BadRequest.at(
            "file", f"a name of 1 to {_LONGEST_NAME} bytes without control characters is needed"
        )
    return name
