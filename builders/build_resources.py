"""Disk and memory that a build needs."""

import shutil
from pathlib import Path

import psutil

from builders.errors import BuildError
from builders.gpu_spec import GIB

_SPARE_BYTES = 200 * 2**20
"""Disk space needed in addition to the weights."""


def available_memory() -> int:
    """Bytes that programs can still get, swap included."""
    return int(psutil.virtual_memory().available + psutil.swap_memory().free)


def check_disk(folder: Path, need_bytes: int) -> None:
    """Raises `BuildError` if the folder's disk has less free space than `need_bytes`."""
    free = shutil.disk_usage(folder).free
    if free < need_bytes:
        raise BuildError(
            f"disk: {need_bytes / GIB:.1f} GiB needed under {folder}, {free / GIB:.1f} GiB free; "
            "'python -m builders engines-gc' removes engines that nothing uses"
        )


def check(model: str, weight_bytes: int, home: Path) -> None:
    """Checks disk and memory before anything long starts. Raises `BuildError`."""
    check_disk(home, 2 * weight_bytes + _SPARE_BYTES)  # an export holds them twice for a while
    # Weights as read, as converted and as written, and libraries.
    need, free = 3 * weight_bytes + GIB, available_memory()
    if free < need:
        raise BuildError(
            f"memory: model '{model}' needs about {need / GIB:.1f} GiB while it is built (three "
            f"times its checkpoint, and 1 GiB), {free / GIB:.1f} GiB are available; end other "
            "programs, add swap, or build on a larger machine"
        )
