"""Files of a repository, looked at so that none can make the linter hang or fail.

A name may be too long or hold a NUL, a file may be a pipe, a folder may be closed to us.
"""

import os
import stat
from pathlib import Path


def exists(path: Path) -> bool:
    """Whether there is something that can be reached."""
    return os.path.exists(path)  # noqa: PTH110 - Path.exists raises for names that are too long


def read_file(path: Path, limit_bytes: int) -> bytes:
    """The content of a regular file, and one byte more than the limit at most; raises `OSError`."""
    mode = path.stat().st_mode
    if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
        raise OSError(0, "it is a pipe, a socket or a device")
    with path.open("rb") as file:
        return file.read(limit_bytes + 1)
