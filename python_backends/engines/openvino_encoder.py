"""An encoder on OpenVINO, the fastest engine measured on CPUs (docs/benchmarks.md)."""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from typing import Any

import numpy as np

from python_backends.context import EngineFolder, StageContext
from python_backends.engines.openvino_properties import cpu_properties
from python_backends.tensors import Array

_STREAMS = 2
"""Batches that run concurrently, each on its share of the threads."""

_MOST_SHARED_BYTES = 256 * 2**20
"""Size of model.onnx up to which small batches run concurrently. That takes memory: 1.7 GiB instead
of 1.1 for the reference reader (docs/decisions/0122)."""

_SHARED_COST_IDS, _ALL_COST_IDS, _ALL_COST_PER_ID = 11, 13, 0.53
"""Time of a batch; the unit is the time of one id on a share of the threads. On a share, a batch of
`n` ids takes n + 11, on all threads 0.53 n + 13 (measured on two cores: docs/decisions/0021)."""


class OpenVinoEncoder:
    """Runs model.onnx; with `precision` "auto", in bf16 where the CPU has it.

    Large batches run one after the other on all threads. Small ones run concurrently with fewer
    threads each, because the threads of a small batch wait long for each other
    (docs/decisions/0021). Those of a large model don't, because that would take more memory.
    """

    def __init__(self, context: StageContext, folder: EngineFolder) -> None:
        import openvino

        core, file = openvino.Core(), folder.file("model.onnx")
        # Compiled twice from the file, its weights would be held twice (docs/decisions/0122).
        model = core.read_model(file)
        properties = cpu_properties(context, context.parameters["precision"]) | {
            "PERFORMANCE_HINT": "LATENCY",
            # Otherwise the engines of all processes pin their threads to the same cores
            # (docs/decisions/0020).
            "ENABLE_CPU_PINNING": False,
        }
        all_threads = core.compile_model(model, "CPU", properties)
        self._names = [port.get_any_name() for port in all_threads.inputs]
        self._on_all = all_threads.create_infer_request()
        self._on_share: list[Any] = []
        is_small = file.stat().st_size <= _MOST_SHARED_BYTES
        if is_small and all_threads.get_property("INFERENCE_NUM_THREADS") >= _STREAMS:
            shared = core.compile_model(model, "CPU", properties | {"NUM_STREAMS": _STREAMS})
            self._on_share = [shared.create_infer_request() for _ in range(_STREAMS)]
        # The first call of a process initializes OpenVINO's use of numpy. Two threads that do so
        # at once deadlock (docs/decisions/0021).
        for request in (self._on_all, *self._on_share):
            self._infer(request, dict.fromkeys(self._names, np.ones((1, 1), np.int64)))
        self._threads = ThreadPoolExecutor(_STREAMS, "openvino-encoder")

    def encode(self, batches: Sequence[Mapping[str, Array]]) -> list[Array]:
        sizes = [next(iter(inputs.values())).size for inputs in batches]
        order = sorted(range(len(batches)), key=lambda number: -sizes[number])
        sequential = len(order)
        if self._on_share:
            sequential = count_sequential([sizes[number] for number in order])
        results = {n: self._infer(self._on_all, batches[n]) for n in order[:sequential]}
        # The stream that is free takes the next batch: with fixed shares, one would finish early.
        left = iter(order[sequential:])

        def work(request: Any) -> None:
            for number in left:
                results[number] = self._infer(request, batches[number])

        if sequential < len(order):
            working = [self._threads.submit(work, request) for request in self._on_share]
            wait(working)
            for one in working:
                one.result()
        return [results[number] for number in range(len(batches))]

    def _infer(self, request: Any, inputs: Mapping[str, Array]) -> Array:
        named = {name: inputs[name] for name in self._names}
        output: Array = request.infer(named, share_inputs=True)[0]
        return output


def count_sequential(sizes: Sequence[int]) -> int:
    """How many of the batches should run on all threads, before the rest runs concurrently.

    `sizes` are ids (rows x tokens), largest first. Two concurrent batches of different size leave
    half of the threads idle when the smaller one is done.
    """

    def cost(count: int) -> float:
        ends = [0.0] * _STREAMS
        for size in sizes[count:]:
            ends[ends.index(min(ends))] += size + _SHARED_COST_IDS
        return sum(_ALL_COST_PER_ID * size + _ALL_COST_IDS for size in sizes[:count]) + max(ends)

    return min(range(len(sizes), -1, -1), key=cost)
