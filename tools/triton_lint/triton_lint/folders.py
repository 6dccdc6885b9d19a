"""A model repository on disk, read once: folders, versions, configurations.

Nothing on it can make the linter hang or fail: a name may be too long or hold a NUL, a file may be
a pipe, a folder may be closed to us.
"""

import os
import re
import stat
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

CONFIG = "config.pbtxt"
NO_VERSIONS = ("configs", "warmup", "initial_state")
"""Folders of a model that Triton does not take for versions."""

MAX_VERSION = 2**63 - 1
_DANGLING = "is a link to nothing, and Triton does not start"
_CLOUD = re.compile(r"^(s3|gs|as|abfss?|https?|hdfs)://")


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


class NotARepository(ValueError):
    """The path can't be linted; the message says what is possible."""


@dataclass(frozen=True)
class Folder:
    """A folder's entries; links are followed, loops and unreadable folders look empty."""

    path: Path
    folders: frozenset[str] = frozenset()
    files: frozenset[str] = frozenset()
    dangling: frozenset[str] = frozenset()
    """Those of the files that are links to nothing."""
    fault: str = ""

    @classmethod
    def read(cls, path: Path) -> "Folder":
        try:
            with os.scandir(path) as found:
                entries = list(found)
        except OSError as error:
            return cls(path, fault=error.strerror or str(error))
        folders = frozenset(each.name for each in entries if _is_folder(each))
        links = (each.name for each in entries if each.is_symlink())
        return cls(
            path,
            folders,
            frozenset(each.name for each in entries) - folders,
            frozenset(name for name in links if not exists(path / name)),
        )

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

    def shown_path(self, file: str) -> str:
        """The path of a file in the model, as a user may give it."""
        return os.path.join(self.shown, file)  # noqa: PTH118 - keeps a leading './'

    @cached_property
    def version_folders(self) -> Mapping[str, int]:
        """Folder names that Triton takes for versions, with the number it reads."""
        found = {name: version_number(name) for name in sorted(self.folder.folders)}
        return {name: number for name, number in found.items() if number is not None}

    @property
    def has_config(self) -> bool:
        return exists(self.folder.path / self.config_path)

    @property
    def first_version(self) -> Folder | None:
        """Triton looks for model files in the first folder by name, whatever it is."""
        names = sorted(self.folder.folders)
        return self.contents(names[0]) if names else None

    def contents(self, version_folder: str) -> Folder:
        """What a version holds."""
        if version_folder not in self._versions:
            self._versions[version_folder] = Folder.read(self.folder.path / version_folder)
        return self._versions[version_folder]

    @cached_property
    def _versions(self) -> dict[str, Folder]:
        return {}


def version_number(name: str) -> int | None:
    """The version that Triton reads in a folder's name: by C's rules `1abc` is 1."""
    if name in NO_VERSIONS or (len(name) > 1 and name.startswith("0")):
        return None
    match = re.match(r"\s*([+-]?[0-9]+)", name)
    return int(match[1]) if match else None


def check_repository(path: str) -> None:
    """Raises `NotARepository`, which says what is possible instead of `path`."""
    if _CLOUD.match(path):
        raise NotARepository(
            f"{path} is a cloud path, which is not read: copy it first, such as with "
            "'aws s3 sync', 'gsutil rsync' or 'azcopy', and lint the copy"
        )
    here = Folder.read(Path(path))
    if here.fault:
        raise NotARepository(f"{path}: {here.fault}")
    if CONFIG in here.files or not _holds_models(here):
        raise NotARepository(f"{path} is no model repository: {_expected(Path(path), here)}")


def _holds_models(root: Folder) -> bool:
    return any(looks_like_model(Folder.read(root.path / name)) for name in root.folders)


def models_and_strays(
    repository: str, config_name: str
) -> tuple[list[ModelFolder], list[tuple[str, str]]]:
    """The models of a repository, and what keeps Triton from starting there, with the reason."""
    root = Folder.read(Path(repository))
    models, strays = [], [(name, _DANGLING) for name in sorted(root.dangling)]
    for name in sorted(root.folders):
        folder = Folder.read(root.path / name)
        if looks_like_model(folder) or folder.fault:
            strays += [(f"{name}/{link}", _DANGLING) for link in sorted(folder.dangling)]
            shown = os.path.join(repository, name)  # noqa: PTH118 - keeps a leading './'
            models.append(ModelFolder(name, folder, shown, config_path(folder, config_name)))
        else:
            strays.append((name, "holds no model; Triton tries to load it and does not start"))
    return models, strays


def config_names(repositories: Iterable[str]) -> list[str]:
    """The names that tritonserver's `--model-config-name` can have: each configs/NAME.pbtxt."""
    names: set[str] = set()
    for root in map(Path, repositories):
        for model in Folder.read(root).folders:
            files = Folder.read(root / model / "configs").files
            names |= {name.removesuffix(".pbtxt") for name in files if name.endswith(".pbtxt")}
    return sorted(names)


def looks_like_model(folder: Folder) -> bool:
    return (
        CONFIG in folder.files
        or any(name.isdecimal() for name in folder.folders)
        or any(name.endswith(".pbtxt") for name in Folder.read(folder.path / "configs").files)
    )


def config_path(folder: Folder, config_name: str) -> str:
    """Triton takes configs/NAME.pbtxt where it exists, else config.pbtxt."""
    custom = f"configs/{config_name}.pbtxt"
    return custom if config_name and exists(folder.path / custom) else CONFIG


def _expected(path: Path, root: Folder) -> str:
    """What a repository looks like, or where there is one."""
    if looks_like_model(root):
        return f"it is a model; did you mean {path.parent}?"
    below = [
        str(path / name) for name in sorted(root.folders) if _holds_models(Folder.read(path / name))
    ]
    if below:
        return f"did you mean {' or '.join(below[:3])}?"
    return "a repository has one folder a model, with a config.pbtxt or version folders such as '1'"
