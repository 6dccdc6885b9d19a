"""Which engine serves an engine folder. An engine's library is imported only when it is chosen."""

from ensembles.manifest import ManifestError
from python_backends.context import EngineFolder, StageContext
from python_backends.engines.encoder_engine import EncoderEngine
from python_backends.engines.llm_engine import LlmEngine


def load_encoder_engine(context: StageContext, folder: EngineFolder) -> EncoderEngine:
    """The engine that the placement's parameter `engine` names, for the folder's model.onnx."""
    match context.parameters["engine"]:
        case "openvino":
            from python_backends.engines.openvino_encoder import OpenVinoEncoder

            return OpenVinoEncoder(context, folder)
        case "onnxruntime":
            from python_backends.engines.onnxruntime_encoder import OnnxRuntimeEncoder

            return OnnxRuntimeEncoder(context, folder)
        case other:
            raise ValueError(f"engine '{other}' for an encoder; openvino or onnxruntime")


def load_llm_engine(context: StageContext, folder: EngineFolder) -> LlmEngine:
    """The engine that the folder was built for; raises `ManifestError` for an unknown one."""
    match folder.manifest.engine:
        case "openvino":
            from python_backends.engines.openvino_llm import OpenVinoLlm

            return OpenVinoLlm(context, folder)
        case "tensorrt-llm":
            from python_backends.engines.tensorrt_llm_api import TensorRtLlmApi

            return TensorRtLlmApi(context, folder)
        case "tensorrtllm-backend":
            from python_backends.engines.tensorrt_llm_backend import TensorRtLlmBackend

            return TensorRtLlmBackend(context, folder)
        case other:
            raise ManifestError(
                f"{folder.path} holds an engine for '{other}'; an LLM can run on openvino, "
                "tensorrt-llm or tensorrtllm-backend"
            )
