"""An encoder on ONNX Runtime: the reference on CPUs, the engine on GPUs.

The placement's parameter `provider` names an execution provider. Single nodes that it can't run
fall back to the next one of tensorrt, cuda, cpu; the whole model never does. ONNX Runtime itself
continues on the CPU with a line in its log when a provider doesn't load, even with fallback
disabled (microsoft/onnxruntime#17801, #23647), so the providers of the session are checked.

Inputs and outputs are bound to the provider's device (onnxruntime.ai/docs/performance/
tune-performance/iobinding.html); tests run the same code with the CPU.

CUDA and TensorRT were never run, for lack of a GPU. The options are documented in ONNX Runtime's
docs/execution-providers/TensorRT-ExecutionProvider.md (gh-pages, 766400b) and in its sources
tensorrt_execution_provider_info.cc (trt_timing_cache_path) and cuda_provider_options.h.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from python_backends.context import EngineFolder, StageContext
from python_backends.engines.encoder_engine import LENGTH_STEP, MAX_BATCH_ROWS, padded_length
from python_backends.errors import MachineError
from python_backends.tensors import Array

PROVIDERS = {
    "cpu": ("CPUExecutionProvider",),
    "cuda": ("CUDAExecutionProvider", "CPUExecutionProvider"),
    "tensorrt": ("TensorrtExecutionProvider", "CUDAExecutionProvider", "CPUExecutionProvider"),
}
"""Execution providers for each value of `provider`; the first that can run a node gets it."""

_TYPICAL_TOKENS = 128
"""Length that TensorRT optimizes for: a passage with a question."""


class OnnxRuntimeEncoder:
    def __init__(self, context: StageContext, folder: EngineFolder) -> None:
        import onnxruntime

        provider = context.parameters["provider"]
        check_available(provider)
        path = folder.file("model.onnx")
        options = {n: _options(n, context.device_id, folder) for n in PROVIDERS[provider]}
        self._session = open_session(path, provider, options, context.integer("num_threads"))
        self._device = ("cpu", 0) if provider == "cpu" else ("cuda", context.device_id)
        self._value_on = onnxruntime.OrtValue.ortvalue_from_numpy
        self._names = [node.name for node in self._session.get_inputs()]
        self._output = self._session.get_outputs()[0].name

    def encode(self, batches: Sequence[Mapping[str, Array]]) -> list[Array]:
        return [self._run(inputs) for inputs in batches]

    def _run(self, inputs: Mapping[str, Array]) -> Array:
        binding = self._session.io_binding()
        for name in self._names:
            binding.bind_ortvalue_input(name, self._value_on(inputs[name], *self._device))
        binding.bind_output(self._output, *self._device)  # the size is known after the run
        self._session.run_with_iobinding(binding)
        output: Array = binding.copy_outputs_to_cpu()[0]
        return output


def check_available(provider: str) -> None:
    import onnxruntime

    if provider not in PROVIDERS:
        raise MachineError(f"provider '{provider}' asked; {', '.join(PROVIDERS)} are known")
    found = onnxruntime.get_available_providers()
    if missing := [name for name in PROVIDERS[provider] if name not in found]:
        possible = [name for name, needed in PROVIDERS.items() if set(needed) <= set(found)]
        raise MachineError(
            f"provider '{provider}' asked, which needs {' and '.join(missing)}; onnxruntime "
            f"{onnxruntime.__version__} here has {', '.join(found)}; possible: "
            f"{', '.join(possible)} (the package onnxruntime-gpu has the others)"
        )


def open_session(
    path: Path, provider: str, options: Mapping[str, Mapping[str, object]], threads: int
) -> Any:
    """A session with the execution providers that `options` names; raises `MachineError`."""
    import onnxruntime

    if provider != "cpu":
        onnxruntime.preload_dlls()  # CUDA and cuDNN from pip packages, else from the system
    session_options = onnxruntime.SessionOptions()
    session_options.intra_op_num_threads = threads
    try:
        session = onnxruntime.InferenceSession(
            str(path), session_options, providers=list(options.items()), enable_fallback=0
        )
    except Exception as error:  # its exceptions have no common base
        raise MachineError(f"provider '{provider}' asked; onnxruntime refuses: {error}") from error
    _check_loaded(provider, session.get_providers())
    return session


def _check_loaded(provider: str, found: Sequence[str]) -> None:
    if missing := [name for name in PROVIDERS[provider] if name not in found]:
        raise MachineError(
            f"provider '{provider}' asked; {' and '.join(missing)} did not load and the session "
            f"has {', '.join(found)}; the lines of onnxruntime's log above this one say which "
            "library it misses"
        )


def profile_shapes(names: Iterable[str], rows: int, tokens: int) -> str:
    """One shape for all inputs, as TensorRT's options write it: `a:32x128,b:32x128`."""
    return ",".join(f"{name}:{rows}x{tokens}" for name in names)


def _options(name: str, device_id: int, folder: EngineFolder) -> dict[str, object]:
    match name:
        case "CUDAExecutionProvider":
            # An arena that grows by what is needed: the LLM is on the same GPU.
            return {"device_id": device_id, "arena_extend_strategy": "kSameAsRequested"}
        case "TensorrtExecutionProvider":
            return _tensorrt_options(device_id, folder)
        case _:
            return {}


def _tensorrt_options(device_id: int, folder: EngineFolder) -> dict[str, object]:
    """FP16, one profile for all shapes, and built engines cached on disk."""
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
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(str(path), options, providers=list(PROVIDERS["cpu"]))
    return [node.name for node in session.get_inputs()]


def _cache_folder(folder: EngineFolder) -> Path:
    """A folder per SM and ONNX Runtime version, since built engines and timings fit no other.

    Remove it after changing TensorRT alone: ONNX Runtime does not notice that.
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
