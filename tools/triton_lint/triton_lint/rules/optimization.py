"""Settings that the ONNX Runtime and TensorRT backends refuse, from their sources."""

from collections.abc import Iterator

from triton_lint.config_tree import Entry, Message
from triton_lint.findings import Problem
from triton_lint.models import Model
from triton_lint.repository import Repository
from triton_lint.rule import ERROR, check
from triton_lint.spelling import did_you_mean

_ACCELERATORS = {
    "gpu_execution_accelerator": ("tensorrt", "cuda"),
    "cpu_execution_accelerator": ("openvino",),
}
_PRECISIONS = ("FP32", "FP16", "INT8", "BF16")
_TENSORRT = (
    "precision_mode", "max_workspace_size_bytes", "int8_calibration_table_name",
    "int8_use_native_calibration_table", "trt_max_partition_iterations", "trt_min_subgraph_size",
    "trt_dla_enable", "trt_dla_core", "trt_engine_cache_enable", "trt_engine_cache_path",
    "trt_engine_cache_prefix", "trt_dump_subgraphs", "trt_force_sequential_engine_build",
    "trt_context_memory_sharing_enable", "trt_layer_norm_fp32_fallback", "trt_timing_cache_enable",
    "trt_timing_cache_path", "trt_force_timing_cache", "trt_detailed_build_log",
    "trt_build_heuristics_enable", "trt_sparsity_enable", "trt_builder_optimization_level",
    "trt_auxiliary_streams", "trt_tactic_sources", "trt_extra_plugin_lib_paths",
    "trt_profile_min_shapes", "trt_profile_max_shapes", "trt_profile_opt_shapes",
    "trt_cuda_graph_enable", "trt_dump_ep_context_model", "trt_ep_context_file_path",
    "trt_ep_context_embed_mode",
)  # fmt: skip
_STRATEGIES = ("STATIC", "ON_PROFILE_CHANGE")


def _accelerators(model: Model, side: str) -> list[Message]:
    """Those that ONNX Runtime's backend would look at."""
    if model.backend != "onnxruntime":
        return []
    kinds = [group.text("kind") for group in model.config.children("instance_group")]
    on_cpu = model.options.gpus == 0 or (kinds and set(kinds) == {"KIND_CPU"})
    if on_cpu and side.startswith("gpu"):
        return []
    optimization = model.config.child_or_empty("optimization")
    return optimization.child_or_empty("execution_accelerators").children(side)


@check("TRN431", ERROR)
def _unknown_accelerator(model: Model, _: Repository) -> Iterator[Problem]:
    for side, known in _ACCELERATORS.items():
        for each in _accelerators(model, side):
            name = each.text("name")
            if name not in known:
                hint = did_you_mean(name, known) or f": {', '.join(known)}"
                text = f"ONNX Runtime's backend has no {side} '{name}'{hint}"
                yield Problem(model.at(each, "name"), text)


@check("TRN432", ERROR)
def _tensorrt_parameters(model: Model, _: Repository) -> Iterator[Problem]:
    for each in _accelerators(model, "gpu_execution_accelerator"):
        for entry in each.entries("parameters") if each.text("name") == "tensorrt" else []:
            if fault := _tensorrt_fault(entry):
                yield Problem(entry.node.at, fault)


def _tensorrt_fault(entry: Entry) -> str:
    if entry.key not in _TENSORRT:
        hint = did_you_mean(str(entry.key), _TENSORRT)
        return f"the accelerator has no parameter '{entry.key}'{hint}"
    if entry.key == "precision_mode" and entry.value not in _PRECISIONS:
        return f"precision_mode '{entry.value}': it is {', '.join(_PRECISIONS)}"
    return ""


@check("TRN433", ERROR)
def _strategy(model: Model, _: Repository) -> Iterator[Problem]:
    for entry in model.config.entries("parameters") if model.backend == "tensorrt" else []:
        value = entry.value.text("string_value") if isinstance(entry.value, Message) else ""
        if entry.key == "execution_context_allocation_strategy" and value not in _STRATEGIES:
            yield Problem(entry.node.at, f"{entry.key} '{value}': it is {' or '.join(_STRATEGIES)}")
