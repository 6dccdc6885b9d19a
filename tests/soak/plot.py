"""Memory, load and files of a soak over its minutes."""

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib

from tests.soak.record import Record, Sample


def plot(record: Record, target: Path) -> None:
    """Write an SVG: memory of each process, what they share, requests a second, the collection."""
    matplotlib.use("svg")
    matplotlib.rcParams["svg.hashsalt"] = "soak"
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(4, 1, sharex=True, figsize=(9, 11))
    minutes = [sample.time_s / 60 for sample in record.samples]
    for name in record.names():
        axes[0].plot(minutes, _memory(record.samples, name), label=name, linewidth=1)
    axes[0].set_ylabel("own memory, MiB")
    axes[0].legend(fontsize=7, ncols=2, loc="center left", bbox_to_anchor=(1.0, 0.5))
    _shared(axes[1], minutes, record.samples)
    _rate(axes[2], minutes, record.samples)
    axes[3].plot(minutes, [s.disk_mib for s in record.samples], label="collection on disk, MiB")
    axes[3].plot(minutes, [s.versions for s in record.samples], label="versions of its table")
    axes[3].legend(fontsize=7)
    axes[3].set_xlabel("minutes")
    figure.tight_layout()
    figure.savefig(target, metadata={"Date": None})
    pyplot.close(figure)


def _memory(samples: Sequence[Sample], name: str) -> list[float]:
    """MiB; a gap where the process was away."""
    found = (sample.use.process(name) for sample in samples)
    return [process.memory_mib if process else float("nan") for process in found]


def _shared(axes: Any, minutes: Sequence[float], samples: Sequence[Sample]) -> None:
    axes.plot(minutes, [s.use.shm_mib for s in samples], label="/dev/shm, MiB", linewidth=1)
    axes.plot(minutes, [_files(s) for s in samples], label="open files, all", linewidth=1)
    axes.plot(minutes, [100 * s.use.kv_used for s in samples], label="KV in use, %", linewidth=0.5)
    axes.legend(fontsize=7)


def _files(sample: Sample) -> int:
    return sum(process.files for process in sample.use.processes)


def _rate(axes: Any, minutes: Sequence[float], samples: Sequence[Sample]) -> None:
    pairs = list(itertools.pairwise(samples))
    rates = [(b.requests - a.requests) / (b.time_s - a.time_s) for a, b in pairs]
    axes.plot(minutes[1:], rates, label="requests a second", linewidth=1)
    axes.plot(minutes, [s.unexpected for s in samples], label="unexpected ends, so far")
    axes.legend(fontsize=7)
