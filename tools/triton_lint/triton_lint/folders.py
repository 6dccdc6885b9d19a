"""A model repository on disk, read once: folders, versions, configurations."""

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from triton_lint.git import TrackedFiles
from triton_lint.options import Options

CONFIG = "config.pbtxt"
NO_VERSIONS = ("configs", "warmup", "initial_state")
"""Folders of a model that Triton knows not to be versions."""

MAX_VERSION = 2**63 - 1
_CLOUD = re.compile(r"^(s3|gs|as|abfss?|https?|hdfs)://")


class NotARepository(ValueError):
    """The path can't be linted; the message says what is possible."""


@dataclass(frozen=True)
class Folder:
    """A folder's entries; links are followed, loops and unreadable folders look empty."""

    path: Path
    folders: frozenset[str] = frozenset()
    files: frozenset[str] = frozenset()
    fault: str = ""

    @classmethod
    def read(cls, path: Path) -> "Folder":
        folders: set[str] = set()
        files: set[str] = set()
        try:
            with os.scandir(path) as entries:
                for entry in entries:
                    (folders if _is_folder(entry) else files).add(entry.name)
        except OSError as error:
            return cls(path, fault=error.strerror or str(error))
        return cls(path, frozenset(folders), frozenset(files))

    def __contains__(self, name: str) -> bool:
        return name in self.files or name in self.folders

    @property
    def names(self) -> frozenset[str]:
        return self.files | self.folders


def _is_folder(entry: "os.DirEntry[str]") -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a loop of links
        return False


@dataclass(frozen=True)
class ModelFolder:
    """One model's folder, as Triton looks at it."""

    name: str
    folder: Folder
    shown: str
    """The folder's path as the user gave it."""
    config_path: str = CONFIG
    """The configuration that Triton would read, relative to the folder."""
    tracked: TrackedFiles | None = field(default=None, compare=False)

    @cached_property
    def version_folders(self) -> Mapping[str, int]:
        """Folder names that Triton takes for versions, with the number it reads."""
        found = {name: version_number(name) for name in sorted(self.folder.folders)}
        return {name: number for name, number in found.items() if number is not None}

    @cached_property
    def is_tracked(self) -> bool:
        """Whether git holds this model: then empty folders and weights may come later."""
        return self.tracked is not None and self.name in self.tracked

    @property
    def has_config(self) -> bool:
        return (self.folder.path / self.config_path).exists()

    def contents(self, version_folder: str) -> Folder:
        """What a version holds."""
        if version_folder not in self._versions:
            self._versions[version_folder] = Folder.read(self.folder.path / version_folder)
        return self._versions[version_folder]

    @cached_property
    def _versions(self) -> dict[str, Folder]:
        return {}


def version_number(name: str) -> int | None:
    """As Triton reads a folder's name: by C's rules, which take `1abc` for 1."""
    if name in NO_VERSIONS or (len(name) > 1 and name.startswith("0")):
        return None
    match = re.match(r"\s*([+-]?[0-9]+)", name)
    return int(match[1]) if match else None


def model_folders(paths: list[str], options: Options) -> list[ModelFolder]:
    """The models below `paths`; raises `NotARepository`."""
    return [model for path in paths for model in _read(path, options)]


def other_folders(paths: list[str]) -> Iterator[tuple[str, str]]:
    """Folders of a repository that hold no model: the repository and the name."""
    for path in paths:
        for name in sorted(Folder.read(Path(path)).folders):
            if not _looks_like_model(Folder.read(Path(path) / name)):
                yield path, name


def _read(path: str, options: Options) -> Iterator[ModelFolder]:
    if _CLOUD.match(path):
        raise NotARepository(
            f"{path} is a cloud path, which is not read: copy it first, such as with "
            "'aws s3 sync', 'gsutil rsync' or 'azcopy', and lint the copy"
        )
    root = Folder.read(Path(path))
    if root.fault:
        raise NotARepository(f"{path}: {root.fault}")
    if CONFIG in root.files:
        raise NotARepository(
            f"{path} is a model, not a model repository: lint {Path(path).absolute().parent}"
        )
    tracked = TrackedFiles(Path(path))
    found = 0
    for name in sorted(root.folders):
        folder = Folder.read(Path(path) / name)
        if _looks_like_model(folder):
            found += 1
            shown = os.path.join(path, name)  # noqa: PTH118 - Path would drop a leading './'
            yield ModelFolder(name, folder, shown, _config_path(folder, options), tracked)
    if not found:
        raise NotARepository(f"{path} holds no models: {_expected(Path(path), root)}")


def _looks_like_model(folder: Folder) -> bool:
    return (
        CONFIG in folder.files
        or any(name.isdecimal() for name in folder.folders)
        or ("configs" in folder.folders and _has_configs(folder.path / "configs"))
    )


def _has_configs(path: Path) -> bool:
    return any(name.endswith(".pbtxt") for name in Folder.read(path).files)


def _config_path(folder: Folder, options: Options) -> str:
    """Triton takes configs/NAME.pbtxt where it exists, else config.pbtxt."""
    if options.model_config_name:
        custom = f"configs/{options.model_config_name}.pbtxt"
        if (folder.path / custom).exists():
            return custom
    return CONFIG


def _expected(path: Path, root: Folder) -> str:
    """What a repository looks like, or where below there is one."""
    below = [
        str(path / name)
        for name in sorted(root.folders)
        if any(
            _looks_like_model(Folder.read(path / name / inner))
            for inner in sorted(Folder.read(path / name).folders)[:50]
        )
    ]
    if below:
        return f"did you mean {' or '.join(below[:3])}?"
    return "a repository has one folder a model, with a config.pbtxt or version folders such as '1'"
