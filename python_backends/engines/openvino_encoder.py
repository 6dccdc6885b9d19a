"""An encoder on OpenVINO: the fastest engine on CPUs (facts: engines-cpu)."""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from typing import Any

import numpy as np

from python_backends.stage import Array, EngineFolder, StageContext

_PRECISION_HINTS = {"fp32": "f32", "bf16": "bf16"}

_STREAMS = 2
"""Batches computed side by side; each has its share of the threads."""

_BESIDE_IDS, _ALONE_IDS, _ALONE_SHARE = 11, 13, 0.53
"""What a batch takes, in ids of one computed on its share of the threads: its ids and 11 more
there, 0.53 of them and 13 more on all threads (measured on two cores: docs/decisions/0021)."""


class OpenVinoEncoder:
    """Runs model.onnx as it is; `precision` "auto" computes in bf16 where the CPU has it.

    A batch alone gets every thread. Small ones go side by side, with fewer threads each, which then
    wait less for one another (docs/decisions/0021).
    """

    def __init__(self, context: StageContext, folder: EngineFolder) -> None:
        import openvino

        core, model = openvino.Core(), folder.file("model.onnx")
        properties = _properties(context)
        alone = core.compile_model(model, "CPU", properties)
        self._names = [port.get_any_name() for port in alone.inputs]
        self._alone = alone.create_infer_request()
        self._beside: list[Any] = []
        if alone.get_property("INFERENCE_NUM_THREADS") >= _STREAMS:
            shared = core.compile_model(model, "CPU", properties | {"NUM_STREAMS": _STREAMS})
            self._beside = [shared.create_infer_request() for _ in range(_STREAMS)]
        # OpenVINO prepares itself for numpy in the first call of a process. Two threads that do so
        # at once wait for each other for ever (docs/decisions/0021).
        for request in (self._alone, *self._beside):
            self._infer(request, dict.fromkeys(self._names, np.ones((1, 1), np.int64)))
        self._threads = ThreadPoolExecutor(_STREAMS, "openvino-encoder")

    def encode(self, batches: Sequence[Mapping[str, Array]]) -> list[Array]:
        """INT64 [rows, tokens] inputs by name to FP32 [rows, width], for each batch."""
        sizes = [next(iter(inputs.values())).size for inputs in batches]
        order = sorted(range(len(batches)), key=lambda number: -sizes[number])
        alone = count_alone([sizes[number] for number in order]) if self._beside else len(order)
        results = {number: self._infer(self._alone, batches[number]) for number in order[:alone]}
        # Whoever is free takes the next: in turns, one would wait for the other's longer batches.
        left = iter(order[alone:])

        def work(request: Any) -> None:
            for number in left:
                results[number] = self._infer(request, batches[number])

        if alone < len(order):
            working = [self._threads.submit(work, request) for request in self._beside]
            wait(working)
            for one in working:
                one.result()
        return [results[number] for number in range(len(batches))]

    def _infer(self, request: Any, inputs: Mapping[str, Array]) -> Array:
        named = {name: inputs[name] for name in self._names}
        output: Array = request.infer(named, share_inputs=True)[0]
        return output


def count_alone(sizes: Sequence[int]) -> int:
    """How many batches to compute alone before the others go side by side: what should take least.

    `sizes` are ids (rows x tokens), largest first. Two batches of unlike size side by side leave
    half of the threads idle when the smaller is done.
    """

    def cost(count: int) -> float:
        ends = [0.0] * _STREAMS
        for size in sizes[count:]:
            ends[ends.index(min(ends))] += size + _BESIDE_IDS
        return sum(_ALONE_SHARE * size + _ALONE_IDS for size in sizes[:count]) + max(ends)

    return min(range(len(sizes), -1, -1), key=cost)


def _properties(context: StageContext) -> dict[str, object]:
    properties: dict[str, object] = {
        "PERFORMANCE_HINT": "LATENCY",
        # Else the engines of all processes tie their threads to the same cores, one another's
        # (docs/decisions/0020).
        "ENABLE_CPU_PINNING": False,
    }
    if threads := context.integer("num_threads"):
        properties["INFERENCE_NUM_THREADS"] = threads
    if hint := _PRECISION_HINTS.get(context.parameters["precision"]):
        properties["INFERENCE_PRECISION_HINT"] = hint
    return properties
