"""Names, platforms, backends and metric tags."""

import re
from collections.abc import Iterator

from triton_lint.findings import Problem
from triton_lint.model_names import ENSEMBLE, PLATFORMS
from triton_lint.models import Model
from triton_lint.repository import Repository
from triton_lint.rule import ERROR, check
from triton_lint.spelling import did_you_mean

BACKENDS = (
    "python", "onnxruntime", "tensorrt", "pytorch", "tensorflow", "openvino", "dali", "fil",
    "tensorrtllm", "vllm", "identity", "repeat", "square", "sequence", "query", "implicit_state",
    "dyna_sequence", "distributed_addsub", "iterative_sequence", "armnn_tflite", "paddle", "mpi",
    "minimal", "recommended", "bls", "rapids_identity", "rapids-identity", "hugectr", "hps",
    "nvtabular", "caffe2_netdef", "redis", "test_lib",
)  # fmt: skip
"""Those of NVIDIA's containers, examples and tests, and the better known ones of others."""

MISNOMERS = {
    name: f"; did you mean '{meant}'?"
    for meant, names in {
        "onnxruntime": ("onnx", "ort", "onnxruntime_onnx", "onnx_runtime"),
        "tensorrt": ("trt", "tensorrt_plan", "tensor_rt"),
        "pytorch": ("torch", "libtorch", "pytorch_libtorch", "torchscript"),
        "tensorflow": ("tf", "tensorflow_savedmodel", "tensorflow_graphdef", "keras"),
        "python": ("py", "python3"),
        "tensorrtllm": ("trtllm", "tensorrt_llm", "tensorrt-llm"),
    }.items()
    for name in names
} | {ENSEMBLE: ': write platform: "ensemble"'}


@check("TRN101", ERROR)
def _name_mismatch(model: Model, _: Repository) -> Iterator[Problem]:
    name = model.config.text("name")
    node = model.config.node("name")
    if node and name and name != model.name:
        yield Problem(
            node.value_at,
            f"the model is named '{name}', its folder '{model.name}': make them equal, or leave "
            "the name out",
        )


@check("TRN102", ERROR)
def _no_backend(model: Model, _: Repository) -> Iterator[Problem]:
    found = model.names
    if not found.backend and not found.platform and model.checks_files:
        yield Problem(
            model.at(model.config),
            "neither 'backend' nor 'platform' is set, and no version folder holds a file that "
            "tells: model.plan, model.onnx, model.xml, model.pt, model.py",
        )


@check("TRN103", ERROR)
def _unknown_platform(model: Model, _: Repository) -> Iterator[Problem]:
    platform = model.names.platform
    if platform and not model.backend and platform != ENSEMBLE:
        hint = did_you_mean(platform, PLATFORMS)
        if platform in BACKENDS:
            hint = f': that is a backend, write backend: "{platform}"'
        text = f"'{platform}' is no platform{hint or ': ' + ', '.join(PLATFORMS)}"
        yield Problem(model.at(model.config, "platform"), text)


@check("TRN106", ERROR)
def _misnamed_backend(model: Model, _: Repository) -> Iterator[Problem]:
    backend = model.backend
    if backend in BACKENDS or model.names.platform == ENSEMBLE:
        return
    if hint := MISNOMERS.get(backend) or did_you_mean(backend, BACKENDS, cutoff=0.75):
        text = f"no known backend is named '{backend}'{hint}"
        yield Problem(model.at(model.config, "backend"), text)


@check("TRN423", ERROR)
def _metric_tags(model: Model, _: Repository) -> Iterator[Problem]:
    for entry in model.config.entries("metric_tags"):
        if not re.fullmatch(r"([A-Za-z0-9][A-Za-z0-9_]*)?", str(entry.key)):
            yield Problem(
                entry.node.at,
                f"metric tag '{entry.key}' makes no Prometheus label (letters and digits, then "
                "also _): the server ends with an exception",
            )
