"""An encoder on OpenVINO: the fastest engine on CPUs (facts: engines-cpu)."""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from typing import Any

from python_backends.stage import Array, EngineFolder, StageContext

_PRECISION_HINTS = {"fp32": "f32", "bf16": "bf16"}

_STREAMS = 2
"""Batches computed side by side; each has its share of the threads."""


class OpenVinoEncoder:
    """Runs model.onnx as it is; `precision` "auto" computes in bf16 where the CPU has it.

    A batch alone gets every thread. Several go side by side, with fewer threads each, which then
    wait less for one another (docs/decisions/0021).
    """

    def __init__(self, context: StageContext, folder: EngineFolder) -> None:
        import openvino

        core, model = openvino.Core(), folder.file("model.onnx")
        properties = _properties(context)
        alone = core.compile_model(model, "CPU", properties)
        self._names = [port.get_any_name() for port in alone.inputs]
        self._alone = alone.create_infer_request()
        self._beside = [self._alone]
        if alone.get_property("INFERENCE_NUM_THREADS") >= _STREAMS:
            shared = core.compile_model(model, "CPU", properties | {"NUM_STREAMS": _STREAMS})
            self._beside = [shared.create_infer_request() for _ in range(_STREAMS)]
        self._threads = ThreadPoolExecutor(_STREAMS, "openvino-encoder")

    def encode(self, batches: Sequence[Mapping[str, Array]]) -> list[Array]:
        """INT64 [rows, tokens] inputs by name to FP32 [rows, width], for each batch."""
        if len(batches) == 1:
            return [self._infer(self._alone, batches[0])]
        results: dict[int, Array] = {}
        # Whoever is free takes the next: in turns, one would wait for the other's longer batches.
        numbers = iter(range(len(batches)))

        def work(request: Any) -> None:
            for number in numbers:
                results[number] = self._infer(request, batches[number])

        working = [self._threads.submit(work, request) for request in self._beside]
        wait(working)
        for one in working:
            one.result()
        return [results[number] for number in range(len(batches))]

    def _infer(self, request: Any, inputs: Mapping[str, Array]) -> Array:
        named = {name: inputs[name] for name in self._names}
        output: Array = request.infer(named, share_inputs=True)[0]
        return output


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
