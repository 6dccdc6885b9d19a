"""An encoder on ONNX Runtime: the reference on CPUs, the engine on GPUs."""

from collections.abc import Mapping

from python_backends.stage import Array, EngineFolder, StageContext


class OnnxRuntimeEncoder:
    """Runs model.onnx in fp32 on the CPU."""

    def __init__(self, context: StageContext, folder: EngineFolder) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = context.integer("num_threads")
        self._session = onnxruntime.InferenceSession(
            str(folder.file("model.onnx")), options, providers=["CPUExecutionProvider"]
        )
        self._names = [node.name for node in self._session.get_inputs()]

    def encode(self, inputs: Mapping[str, Array]) -> Array:
        """INT64 [rows, tokens] inputs by name to FP32 [rows, width]."""
        output: Array = self._session.run(None, {name: inputs[name] for name in self._names})[0]
        return output
