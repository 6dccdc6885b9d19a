"""Mounts of our own: a suite that fills /dev/shm must not fill it for others.

The command runs itself again in a private mount namespace. There /dev/shm is a small tmpfs that
holds nothing but our server's regions, which also makes its use exact, and our packages are a
copy, so that an edit made meanwhile does not change what is tested.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from builders.spec import ROOT

_MARK = "TRITON_RAG_PRIVATE_MOUNTS"
SHARED_MEMORY = Path("/dev/shm")
PACKAGES = ("python_backends", "ensembles")


def enter(module: str, shm_mib: int, snapshot: Path, committed: bool = False) -> None:
    """Return inside the namespace; outside of it, this process is replaced by one that is inside.

    `committed` takes the packages as the last commit has them, not as they lie there. Raises
    `CalledProcessError` or FileNotFoundError where the machine can't make a namespace.
    """
    if os.environ.get(_MARK) != module:
        os.environ[_MARK] = module
        user = () if os.geteuid() == 0 else ("--map-root-user",)
        command = ("unshare", *user, "--mount", "--propagation", "private", sys.executable)
        os.execvp("unshare", [*command, "-m", module, *sys.argv[1:]])
    mount_tmpfs(SHARED_MEMORY, shm_mib)
    shutil.rmtree(snapshot, ignore_errors=True)
    snapshot.mkdir(parents=True)
    copy = _copy_commit if committed else _copy_files
    copy(snapshot)
    for name in PACKAGES:
        _mount("--bind", str(snapshot / name), str(ROOT / name))


def _copy_files(target: Path) -> None:
    for name in PACKAGES:
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / name, target / name, ignore=ignored)


def _copy_commit(target: Path) -> None:
    command = ("git", "-C", str(ROOT), "archive", "HEAD", "--", *PACKAGES)
    archive = subprocess.run(command, capture_output=True, check=True).stdout
    subprocess.run(("tar", "-x", "-C", str(target)), input=archive, check=True)


def mount_tmpfs(folder: Path, size_mib: int) -> None:
    """An empty file system in memory, of this size at most, over `folder`."""
    _mount("-t", "tmpfs", "-o", f"size={size_mib}m,mode=1777", "tmpfs", str(folder))


def unmount(folder: Path) -> None:
    """Take the topmost mount off the folder, also while files on it are open."""
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def _mount(*words: str) -> None:
    subprocess.run(["mount", *words], check=True)


def used_mib(folder: Path = SHARED_MEMORY) -> float:
    """What is taken on the file system of the folder."""
    found = os.statvfs(folder)
    return (found.f_blocks - found.f_bfree) * found.f_frsize / 2**20


def clear_shared_memory() -> None:
    """Remove what a server left in our /dev/shm; only inside the namespace."""
    assert _MARK in os.environ, "this /dev/shm is not ours"
    for path in SHARED_MEMORY.iterdir():
        path.unlink()
