"""What git tracks of a model repository."""

import subprocess
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath

from triton_lint.reading import exists


@dataclass(frozen=True)
class TrackedFiles:
    """The tracked files below a folder.

    Git keeps no empty folders, and weights are seldom in it: what a checkout lacks of these may
    well be put there before the server starts.
    """

    folder: Path

    def __contains__(self, name: str) -> bool:
        """Whether `name` in the folder is a tracked file, or a folder with some."""
        return self._names is None or name in self._names

    @cached_property
    def _names(self) -> frozenset[str] | None:
        """None where git can't tell: it is not installed, or does not trust the folder's owner."""
        root = self.folder.absolute()
        if not any(exists(each / ".git") for each in (root, *root.parents)):
            return frozenset()
        command = ["git", "-C", str(root), "ls-files", "-z"]
        try:
            listed = subprocess.run(command, capture_output=True, check=True).stdout
        except (OSError, subprocess.CalledProcessError):
            return None
        paths = listed.decode("utf-8", "surrogateescape").split("\0")
        return frozenset(PurePosixPath(path).parts[0] for path in paths if path)
