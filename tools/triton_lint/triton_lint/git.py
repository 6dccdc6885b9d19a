"""What git holds of a repository, read from its index without running git."""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path


@dataclass(frozen=True)
class TrackedFiles:
    """The index of the work tree around a folder.

    Git keeps no empty folders, and weights are seldom in it: what a checkout lacks of these may
    well be put there before the server starts.
    """

    root: Path
    index: bytes

    @classmethod
    def around(cls, path: Path) -> "TrackedFiles | None":
        """Of the work tree that `path` lies in; None outside of one."""
        path = path.absolute()
        for folder in (path, *path.parents):
            if (folder / ".git").exists():
                return _read(folder)
        return None

    def holds(self, path: Path) -> bool:
        """Whether `path` is a tracked file, or a folder with some."""
        try:
            name = path.absolute().relative_to(self.root).as_posix().encode()
        except ValueError:
            return False
        return name + b"\0" in self.index or name + b"/" in self.index


@lru_cache(maxsize=8)
def _read(root: Path) -> TrackedFiles | None:
    folder = root / ".git"
    try:
        if folder.is_file():  # a worktree or submodule: the file names the real folder
            folder = root / folder.read_text().removeprefix("gitdir:").strip()
        return TrackedFiles(root, (folder / "index").read_bytes())
    except (OSError, UnicodeDecodeError):
        return None
