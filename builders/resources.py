"""Disk and memory that a build needs, and how many builds fit beside each other."""

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

import psutil

from builders.checkpoint import Checkpoint
from builders.errors import BuildError
from builders.gpu import GIB

CORES_PER_BUILD = 4
"""An export keeps about this many cores busy: on fewer, builds side by side only take turns."""

_SPARE_BYTES = 200 * 2**20
"""Disk space beside the weights."""


def memory_need(checkpoint_bytes: int) -> int:
    """Bytes that an export takes: weights as read, as converted and as written, and libraries."""
    return 3 * checkpoint_bytes + GIB


def available_memory() -> int:
    """Bytes that programs can still get, swap included."""
    return int(psutil.virtual_memory().available + psutil.swap_memory().free)


def check(model: str, checkpoint: Checkpoint, home: Path) -> None:
    """Before anything long starts. Raises `BuildError`."""
    need = 2 * checkpoint.size_bytes + _SPARE_BYTES  # an export holds the weights twice for a while
    free = shutil.disk_usage(home).free
    if free < need:
        raise BuildError(
            f"disk: {need / GIB:.1f} GiB needed under {home}, {free / GIB:.1f} GiB free; "
            "'python -m builders engines-gc' removes engines that nothing uses"
        )
    need, free = memory_need(checkpoint.size_bytes), available_memory()
    if free < need:
        raise BuildError(
            f"memory: model '{model}' needs about {need / GIB:.1f} GiB while it is built (three "
            f"times its checkpoint, and 1 GiB), {free / GIB:.1f} GiB are available; end other "
            "programs, add swap, or build on a larger machine"
        )


def builds_for_cores(models: int, jobs: int) -> int:
    """Most builds side by side; `jobs` = 0: as cores allow."""
    return max(1, min(models, jobs or (os.cpu_count() or 1) // CORES_PER_BUILD))


def builds_for_memory(needs: Sequence[int], most: int) -> int:
    """How many builds, at most `most`, fit in memory together; the largest count."""
    free, largest = available_memory(), sorted(needs, reverse=True)
    while most > 1 and sum(largest[:most]) > free:
        most -= 1
    return most
