"""An encoder on OpenVINO: the fastest engine on CPUs (facts: engines-cpu)."""

from collections.abc import Mapping

from python_backends.stage import Array, EngineFolder, StageContext

_PRECISION_HINTS = {"fp32": "f32", "bf16": "bf16"}


class OpenVinoEncoder:
    """Runs model.onnx as it is; `precision` "auto" computes in bf16 where the CPU has it."""

    def __init__(self, context: StageContext, folder: EngineFolder) -> None:
        import openvino

        properties: dict[str, object] = {"PERFORMANCE_HINT": "LATENCY"}
        # Else the engines of all processes tie their threads to the same cores, one another's
        # (docs/decisions/0020).
        properties["ENABLE_CPU_PINNING"] = False
        if threads := context.integer("num_threads"):
            properties["INFERENCE_NUM_THREADS"] = threads
        if hint := _PRECISION_HINTS.get(context.parameters["precision"]):
            properties["INFERENCE_PRECISION_HINT"] = hint
        model = openvino.Core().compile_model(folder.file("model.onnx"), "CPU", properties)
        self._names = [port.get_any_name() for port in model.inputs]
        self._request = model.create_infer_request()

    def encode(self, inputs: Mapping[str, Array]) -> Array:
        """INT64 [rows, tokens] inputs by name to FP32 [rows, width]."""
        named = {name: inputs[name] for name in self._names}
        output: Array = self._request.infer(named, share_inputs=True)[0]
        return output
