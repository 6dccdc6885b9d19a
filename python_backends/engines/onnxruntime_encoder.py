"""An encoder on ONNX Runtime: the reference on CPUs, the engine on GPUs.

The parameter `provider` names an execution provider. What it can't run goes to the next of its
line, node by node: tensorrt, cuda, cpu. The whole model never does. ONNX Runtime itself would go on
with the CPU and a line in its log when a provider doesn't load, also with fallback disabled
(microsoft/onnxruntime#17801, #23647), so what the session really got is looked at.

Inputs and outputs are bound to the provider's device (onnxruntime.ai/docs/performance/
tune-performance/iobinding.html). The CPU's way through this code is the same, and is tested.

CUDA and TensorRT were never run: there was no GPU. Their options are those of ONNX Runtime's page
docs/execution-providers/TensorRT-ExecutionProvider.md (gh-pages, 766400b); trt_timing_cache_path
also stands in tensorrt_execution_provider_info.cc, CUDA's are those of cuda_provider_options.h.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from python_backends.engines.batches import LENGTH_STEP, MAX_BATCH_ROWS, padded_length
from python_backends.stage import Array, EngineFolder, MachineError, StageContext

LINES = {
    "cpu": ("CPUExecutionProvider",),
    "cuda": ("CUDAExecutionProvider", "CPUExecutionProvider"),
    "tensorrt": ("TensorrtExecutionProvider", "CUDAExecutionProvider", "CPUExecutionProvider"),
}
"""For each value of `provider`, who gets a node: the first that can run it."""

_TYPICAL_TOKENS = 128
"""Length that TensorRT tunes for: a passage with a question beside it."""


class OnnxRuntimeEncoder:
    """Runs model.onnx as it is. Raises `MachineError` when the provider can't be had here."""

    def __init__(self, context: StageContext, folder: EngineFolder) -> None:
        import onnxruntime

        provider = context.parameters["provider"]
        check_available(provider)
        path = folder.file("model.onnx")
        line = [(name, _options(name, context.device_id, folder)) for name in LINES[provider]]
        self._session = open_session(path, provider, line, context.integer("num_threads"))
        self._device = ("cpu", 0) if provider == "cpu" else ("cuda", context.device_id)
        self._value_on = onnxruntime.OrtValue.ortvalue_from_numpy
        self._names = [node.name for node in self._session.get_inputs()]
        self._output = self._session.get_outputs()[0].name

    def encode(self, batches: Sequence[Mapping[str, Array]]) -> list[Array]:
        """INT64 [rows, tokens] inputs by name to FP32 [rows, width], for each batch."""
        return [self._run(inputs) for inputs in batches]

    def _run(self, inputs: Mapping[str, Array]) -> Array:
        binding = self._session.io_binding()
        for name in self._names:
            binding.bind_ortvalue_input(name, self._value_on(inputs[name], *self._device))
        binding.bind_output(self._output, *self._device)  # its width is the graph's to decide
        self._session.run_with_iobinding(binding)
        output: Array = binding.copy_outputs_to_cpu()[0]
        return output


def check_available(provider: str) -> None:
    """Refuse what this installation of ONNX Runtime was not built with."""
    import onnxruntime

    if provider not in LINES:
        raise MachineError(f"provider '{provider}' asked; {', '.join(LINES)} are known")
    found = onnxruntime.get_available_providers()
    if missing := [name for name in LINES[provider] if name not in found]:
        possible = [name for name, line in LINES.items() if set(line) <= set(found)]
        raise MachineError(
            f"provider '{provider}' asked, which needs {' and '.join(missing)}; onnxruntime "
            f"{onnxruntime.__version__} here has {', '.join(found)}; possible: "
            f"{', '.join(possible)} (the package onnxruntime-gpu has the others)"
        )


def open_session(
    path: Path, provider: str, line: Iterable[tuple[str, Mapping[str, object]]], threads: int
) -> Any:
    """A session that has every provider of its line."""
    import onnxruntime

    if provider != "cpu":
        onnxruntime.preload_dlls()  # CUDA and cuDNN where pip put them, else the system's
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    try:
        session = onnxruntime.InferenceSession(
            str(path), options, providers=list(line), enable_fallback=0
        )
    except Exception as error:  # its own classes have no common base
        raise MachineError(f"provider '{provider}' asked; onnxruntime refuses: {error}") from error
    _check_loaded(provider, session.get_providers())
    return session


def _check_loaded(provider: str, found: Sequence[str]) -> None:
    if missing := [name for name in LINES[provider] if name not in found]:
        raise MachineError(
            f"provider '{provider}' asked; {' and '.join(missing)} did not load and the session "
            f"has {', '.join(found)}; the lines of onnxruntime's log above this one say which "
            "library it misses"
        )


def profile_shapes(names: Iterable[str], rows: int, tokens: int) -> str:
    """A shape of all inputs as TensorRT's options want it: `a:32x128,b:32x128`."""
    return ",".join(f"{name}:{rows}x{tokens}" for name in names)


def _options(name: str, device_id: int, folder: EngineFolder) -> dict[str, object]:
    match name:
        case "CUDAExecutionProvider":
            return _cuda_options(device_id)
        case "TensorrtExecutionProvider":
            return _tensorrt_options(device_id, folder)
        case _:
            return {}


def _cuda_options(device_id: int) -> dict[str, object]:
    """An arena that grows by what is asked for: the LLM lives on the same GPU."""
    return {"device_id": device_id, "arena_extend_strategy": "kSameAsRequested"}


def _tensorrt_options(device_id: int, folder: EngineFolder) -> dict[str, object]:
    """FP16, one profile for every shape that is ever asked for, and what was built kept on disk."""
    names, longest = _input_names(folder.path / "model.onnx"), folder.manifest.max_tokens
    cache = str(_cache_folder(folder))
    typical = min(padded_length(_TYPICAL_TOKENS), longest)
    return {
        "device_id": device_id,
        "trt_fp16_enable": True,
        "trt_engine_cache_enable": True,
        "trt_engine_cache_path": cache,
        "trt_timing_cache_enable": True,
        "trt_timing_cache_path": cache,
        "trt_profile_min_shapes": profile_shapes(names, 1, LENGTH_STEP),
        "trt_profile_opt_shapes": profile_shapes(names, MAX_BATCH_ROWS, typical),
        "trt_profile_max_shapes": profile_shapes(names, MAX_BATCH_ROWS, longest),
    }


def _input_names(path: Path) -> list[str]:
    """Of a model that no session has been opened for."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(str(path), options, providers=list(LINES["cpu"]))
    return [node.name for node in session.get_inputs()]


def _cache_folder(folder: EngineFolder) -> Path:
    """Inside the engine's folder, by SM and version: neither engines nor timings are portable.

    ONNX Runtime doesn't notice another TensorRT behind the same version of itself: remove the
    folder then, as its documentation says.
    """
    import onnxruntime

    capability = folder.manifest.compute_capability
    if not capability:
        raise MachineError(
            f"provider 'tensorrt' asked; {folder.path} was not built for a GPU (its manifest names "
            "no compute_capability); possible: cpu, cuda"
        )
    sm = "sm" + capability.replace(".", "")
    cache = folder.path / "tensorrt" / sm / f"onnxruntime-{onnxruntime.__version__}"
    cache.mkdir(parents=True, exist_ok=True)
    return cache
