"""Whether this machine may tune a SKU: figures of another one decide nothing."""

import os
from datetime import UTC, datetime
from pathlib import Path

from builders.errors import BuildError
from builders.gpu_machine import device_faults, no_gpu, seen_by_cuda
from builders.nvml import NoGpuError, this_machine
from builders.spec import Sku


def check_machine(sku: Sku) -> None:
    """Raises `BuildError` for a SKU with a GPU: without it here, and, so far, with it."""
    if sku.gpu is None:
        return
    begin = f"SKU '{sku.name}' is tuned on its own kind of GPU, nowhere else: "
    try:
        devices = seen_by_cuda(sku, this_machine(), 1)
    except NoGpuError as error:
        raise BuildError(begin + no_gpu(sku, str(error))) from error
    if found := list(device_faults(sku, devices)):
        raise BuildError(begin + "\n".join(found))
    raise BuildError(
        f"this machine has the GPU of SKU '{sku.name}', but only SKUs without a GPU can be tuned "
        "so far: a race needs two servers side by side, and the plan of this SKU gives its GPU's "
        "memory to one (docs/tuning.md)"
    )


def usable_cores() -> int:
    """That this process, and so the servers that it starts, may run on."""
    return len(os.sched_getaffinity(0))


def describe() -> str:
    """What the figures were measured on."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    name = next(
        (line.split(":")[1].strip() for line in lines if line.startswith("model name")), "?"
    )
    memory_gib = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    today = datetime.now(UTC).date()
    return f"{name}, {usable_cores()} cores, {memory_gib:.0f} GiB, {today}"
