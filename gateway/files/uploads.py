"""The contents of uploaded files, one file each in a folder."""

import shutil
from collections.abc import Collection
from pathlib import Path
from typing import BinaryIO

from gateway.errors import BadRequest

_LONGEST_NAME = 255
_PART = ".part"
"""What the name of a file ends with while it is written."""


class Uploads:
    """The files in `folder`, by the ids of the register."""

    def __init__(self, folder: Path, known: Collection[str]) -> None:
        """Removes what is not `known`: uploads that a killed gateway did not finish."""
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        for path in folder.iterdir():
            if path.name not in known:
                path.unlink()

    def keep(self, file_id: str, content: BinaryIO) -> int:
        """Writes a file; its size in bytes. Nothing of it is there until it is whole, and nothing
        stays where it can't be written."""
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


def plain_name(given: str | None) -> str:
    """The last part of a path; raises `BadRequest` for what is no file's name."""
    name = (given or "").replace("\\", "/").rpartition("/")[2]
    if not name.strip() or not name.isprintable() or len(name.encode()) > _LONGEST_NAME:
        raise BadRequest.at(
            "file", f"a name of 1 to {_LONGEST_NAME} bytes without control characters is needed"
        )
    return name
