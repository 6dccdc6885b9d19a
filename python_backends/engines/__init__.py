"""Engines behind the stages: two small protocols, and which engine an engine folder needs."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from ensembles.manifest import ManifestError
from python_backends.generation.sampling import GenerationParams
from python_backends.stage import Array, EngineFolder, Overloaded, StageContext


class EncoderEngine(Protocol):
    """Runs padded batches of an encoder."""

    def encode(self, batches: Sequence[Mapping[str, Array]]) -> Sequence[Array]:
        """INT64 [rows, tokens] inputs by name to FP32 [rows, width], for each batch; its order and
        whether several run at once is the engine's to choose. Not thread-safe."""


@dataclass(frozen=True)
class Delta:
    """New ids of one request; a `finish_reason` on the last one only.

    Reasons are stop, length, cancelled and error. `error` says more of the last: a `RequestError`
    is told to the client, anything else is logged. The id that ends a sequence is among the ids
    when the engine hands it over. `cached_tokens` of the prompt came from the KV cache, where the
    engine tells.
    """

    token_ids: tuple[int, ...]
    finish_reason: str | None = None
    error: Exception | None = None
    cached_tokens: int = 0


JOINED = Delta(())
"""The first delta of a request, once it has left our queue for the batch. Where the engine has a
queue of its own behind that (TensorRT-LLM), the time in it counts as prefill."""


CANCELLED = Delta((), "cancelled")
"""The last delta of a request that `cancel` ended."""


Sink = Callable[[Delta], None]
"""Takes the deltas of one request, in order, on the engine's thread."""


@dataclass(frozen=True)
class EngineStats:
    """A look at the engine: requests being decoded, requests waiting, share of KV blocks in use.

    `kv_cache_used` is NaN when the engine doesn't say. Steps of the batch so far and the requests
    in it, summed over the steps, stay 0 then.
    """

    running: int
    waiting: int
    kv_cache_used: float
    iterations: int = 0
    iteration_requests: int = 0


class LlmEngine(Protocol):
    """Generates ids from ids, many requests at a time (in-flight batching)."""

    max_request_tokens: int
    """Prompt and answer of one request can't be longer than this."""

    def submit(self, prompt_ids: Sequence[int], params: GenerationParams, sink: Sink) -> int:
        """Queue a request and return its number.

        Raises `Overloaded` when the queue is full, `RequestError` for what this engine can't do.
        """

    def cancel(self, request: int) -> None:
        """End a request soon; its last delta says so. Unknown numbers are ignored."""

    def stats(self) -> EngineStats:
        """Cheap enough to ask at any time."""

    def close(self) -> None:
        """End all requests and the engine's thread."""


def load_encoder_engine(context: StageContext, folder: EngineFolder) -> EncoderEngine:
    """The engine that the parameter `engine` names, over the folder's model.onnx."""
    match context.parameters["engine"]:
        case "openvino":
            from python_backends.engines.openvino_encoder import OpenVinoEncoder

            return OpenVinoEncoder(context, folder)
        case "onnxruntime":
            from python_backends.engines.onnxruntime_encoder import OnnxRuntimeEncoder

            return OnnxRuntimeEncoder(context, folder)
        case other:
            raise ValueError(f"engine '{other}' for an encoder; openvino or onnxruntime")


def running_requests(context: StageContext, folder: EngineFolder) -> int:
    """How many requests a planned engine is given at once: its batch, at most the placement's."""
    most = context.integer("max_running_requests")
    return min(most, int(folder.manifest.plan.get("max_batch_size", most)))


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


def overloaded(requests: int) -> Overloaded:
    """What `submit` raises when `requests` are running or waiting already."""
    return Overloaded(
        f"{requests} requests are running or waiting, which is this server's limit; try again later"
    )
