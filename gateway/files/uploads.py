"""The contents of uploaded files, one file each in a folder, with its name beside it."""

import contextlib
import shutil
from pathlib import Path
from typing import BinaryIO

from gateway.errors import BadRequest, NotFound

_LONGEST_NAME = 255
_PART = ".part"
"""What the name of a file ends with while it is written."""


class Uploads:
    """The files in `folder`, by the ids of the register."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        for part in folder.glob(f"*{_PART}"):  # of a gateway that was killed
            part.unlink()

    def keep(self, file_id: str, name: str, content: BinaryIO) -> int:
        """Writes a file; its size in bytes. Nothing of it is there until it is whole, and nothing
        stays where it can't be written."""
        part = self.path(file_id).with_suffix(_PART)
        try:
            self._name(file_id).write_text(name, encoding="utf-8")
            with part.open("wb") as written:
                shutil.copyfileobj(content, written)
            part.replace(self.path(file_id))
        except OSError:
            part.unlink(missing_ok=True)
            self.remove(file_id)
            raise
        return self.path(file_id).stat().st_size

    def path(self, file_id: str) -> Path:
        return self._folder / file_id

    def name(self, file_id: str) -> str:
        """As the client called it; raises `NotFound` where the file was removed."""
        try:
            return self._name(file_id).read_text(encoding="utf-8")
        except FileNotFoundError:
            raise NotFound(f"file {file_id!r:.80} was removed") from None

    def remove(self, file_id: str) -> None:
        for path in (self.path(file_id), self._name(file_id)):
            with contextlib.suppress(FileNotFoundError):
                path.unlink()

    def _name(self, file_id: str) -> Path:
        return self._folder / f"{file_id}.name"


def plain_name(given: str | None) -> str:
    """The last part of a path; raises `BadRequest` for what is no file's name."""
    name = (given or "").replace("\\", "/").rpartition("/")[2]
    if not name.strip() or not name.isprintable() or len(name.encode()) > _LONGEST_NAME:
        raise BadRequest(
            f"file: a name of 1 to {_LONGEST_NAME} bytes without control characters is needed",
            field="file",
        )
    return name
