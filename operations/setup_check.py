"""What this machine lacks for the set-up, a sentence for each fault; standard library only.

Any Python can run it before an environment exists: `python3 -m operations.setup_check`.
"""

import ctypes.util
import importlib.util
import os
import platform
import shutil
import sys
import sysconfig
import tempfile
from pathlib import Path

DISK_GIB = {".venv/.ready": 2.7, ".venv-serve/.ready": 1.2, "build/engines": 0.6}
"""Disk space that steps of the set-up need, by the file or folder that a finished step leaves."""


def faults(folder: Path) -> "list[str]":
    """All faults that would stop `make setup` halfway, or make the server hang later."""
    found = []
    version = sys.version_info[:2]
    package = f"{version[0]}.{version[1]}"
    if version not in ((3, 11), (3, 12)):
        found.append(
            f"Python {package} found; 3.11 or 3.12 is needed (make PYTHON=/path/to/python3.11)"
        )
    if sys.platform != "linux" or platform.machine() != "x86_64":
        found.append(
            f"{sys.platform} on {platform.machine()} found; the Triton wheel is for Linux on x86_64"
        )
    if importlib.util.find_spec("ensurepip") is None:
        found.append(f"Python's venv module lacks ensurepip: apt-get install python{package}-venv")
    if not _has_libpython():
        found.append(
            f"libpython{package}.so.1.0 not found, without which Triton hangs while loading: "
            f"apt-get install libpython{package}"
        )
    try:
        with tempfile.NamedTemporaryFile(dir=folder):
            pass
    except OSError as error:
        found.append(
            f"{folder}: user id {os.geteuid()} can't write there ({error.strerror}); its owner is "
            f"user id {folder.stat().st_uid}: set up as that account, or in a clone of your own"
        )
    free_gib = shutil.disk_usage(folder).free / 2**30
    needed_gib = sum(gib for made, gib in DISK_GIB.items() if not (folder / made).exists())
    if free_gib < needed_gib:
        found.append(f"{free_gib:.1f} GiB free in {folder}; {needed_gib:.1f} GiB are needed")
    return found


def _has_libpython() -> bool:
    name = f"python{sys.version_info[0]}.{sys.version_info[1]}"
    library = Path(sysconfig.get_config_var("LIBDIR") or "/") / f"lib{name}.so.1.0"
    return library.is_file() or ctypes.util.find_library(name) is not None


if __name__ == "__main__":
    lines = faults(Path.cwd())
    print("\n".join(lines), end="\n" if lines else "", file=sys.stderr)
    sys.exit(1 if lines else 0)
