"""What the figures were measured on, and what the server takes there."""

import os
import platform
from datetime import UTC, datetime
from pathlib import Path

import psutil


def describe() -> str:
    """One sentence."""
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    name = next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    flags = next(line for line in lines if line.startswith("flags")).split()
    extra = [flag for flag in ("avx2", "avx512f", "avx512_bf16", "amx_bf16") if flag in flags]
    memory_gib = psutil.virtual_memory().total / 2**30
    return (
        f"{name}, {os.cpu_count()} cores ({', '.join(extra)}), {memory_gib:.0f} GiB, "
        f"Linux {platform.release()}, Python {platform.python_version()}, "
        f"{datetime.now(UTC):%Y-%m-%d}"
    )


def resident_mib(server_pid: int) -> dict[str, float]:
    """Resident memory of the server and of each model's process, in MiB."""
    server = psutil.Process(server_pid)
    found = {"tritonserver": server.memory_info().rss / 2**20}
    for child in server.children(recursive=True):
        words = child.cmdline()
        model = next((Path(w).parent.parent.name for w in words if w.endswith("model.py")), None)
        if model:
            found[model] = child.memory_info().rss / 2**20
    return found
