"""Makes LLMs for the SKU `cpu`: checks the checkpoint, exports it, writes transformers' results."""

import sys
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path

from builders import build_resources
from builders.build_steps import REFERENCE, BuildSteps
from builders.checkpoint import Checkpoint
from builders.openvino_export import TASK, exporter
from builders.spec import ModelSpec, Precision

TOOLS = ("nncf", "optimum-intel", "openvino", "transformers")

WEIGHT_FORMATS: dict[Precision, str] = {
    "fp32": "fp32",
    "bf16": "fp16",
    "int8": "int8",
    "int4": "int4",
}
"""optimum-intel's names; weights stored as fp16 are computed in bf16 where the CPU has it."""

_FORMS: Mapping[str, tuple[tuple[str, str], ...]] = {
    "awq": (("bits", "4"), ("version", "gemm")),
    "compressed-tensors": (("format", "float-quantized int-quantized pack-quantized"),),
    "fp8": (),
    "gptq": (("bits", "4 8"), ("checkpoint_format", "gptq gptq_v2")),
    "modelopt": (("quant_algo", "FP8"),),
    "mxfp4": (),
}
"""For each quant_method, fields of config.json and their values that can be dequantized."""


def check(spec: ModelSpec, checkpoint: Checkpoint) -> None:
    """Raises `BuildError` for weights or a family that the export does not take."""
    is_quantized(spec, checkpoint)
    check_family(spec, checkpoint)


def make(spec: ModelSpec, checkpoint: Checkpoint, steps: BuildSteps) -> Path:
    """The folder with the exported model; the step `reference` is for the later comparison."""
    from builders.dequantize import write_dequantized  # with torch, which only an export needs
    from builders.llm_reference import write_reference

    if is_quantized(spec, checkpoint):
        steps.progress(
            "its weights are quantized: the engine is made of the numbers they stand for"
        )
        plain = steps.step("dequantize", lambda to: write_dequantized(spec, checkpoint, to))
        checkpoint = Checkpoint(plain, checkpoint.sha256)
        build_resources.check(spec.name, checkpoint.size_bytes, steps.folder)
    steps.step(REFERENCE, lambda to: write_reference(spec, checkpoint, to))

    def export(to: Path) -> None:
        command = [
            *(sys.executable, "-m", "builders.openvino_export", "export", "openvino"),
            *("--task", TASK, "--model", str(checkpoint.path)),
            *("--weight-format", WEIGHT_FORMATS[spec.precision]),
            *(("--group-size-fallback", "adjust") if spec.precision == "int4" else ()),
            *("--disable-convert-tokenizer", str(to)),
        ]
        steps.log.run(command, {"HF_HUB_OFFLINE": "1"})

    return steps.step("export", export)


def is_quantized(spec: ModelSpec, checkpoint: Checkpoint) -> bool:
    """Whether weights are quantized; raises `BuildError` if they can't be dequantized."""
    notes = checkpoint.quantization()
    kind = str(notes.get("quant_method", ""))
    wrong = [
        f"{field} {notes[field]}"
        for field, possible in _FORMS.get(kind, ())
        if field in notes and str(notes[field]).lower() not in possible.lower().split()
    ]
    if kind and (kind not in _FORMS or wrong):
        said = ", ".join([kind, *wrong])
        raise spec.error(
            f"the checkpoint's weights are quantized ({said}), which the export to OpenVINO does "
            f"not take; possible: one by {', '.join(_FORMS)}, or the original checkpoint and the "
            "precision int8 or int4"
        )
    return bool(kind)


def check_family(spec: ModelSpec, checkpoint: Checkpoint) -> None:
    """Raises `BuildError` for what the export would fail on, or compute wrongly."""
    config = checkpoint.config()
    kind = str(config.get("model_type"))
    found = exporter(kind)
    if found is None:
        inner = exporter(str((config.get("text_config") or {}).get("model_type")))
        text_only = "; possible: a checkpoint of its text model alone" * (inner is not None)
        raise spec.error(
            f"model_type '{kind}' in config.json is none that optimum-intel "
            f"{version('optimum-intel')} exports rightly as a text generator{text_only}"
        )
    if kind == "granitemoehybrid" and "mamba" not in config.get("layer_types", ["mamba"]):
        raise spec.error(
            "layer_types in config.json names no Mamba layer, which a Granite 4 must have for "
            f"transformers {version('transformers')}; possible: one with h in its name, as "
            "granite-4.0-h-350m"
        )
    if tested := _other_version(found):
        raise spec.error(
            f"optimum-intel {version('optimum-intel')} exports '{kind}' with transformers "
            f"{tested}, and {version('transformers')} is installed"
        )


def _other_version(config: type) -> str:
    """The bound of versions that the installed transformers violates; "" if it violates none."""
    from packaging.version import Version

    installed = Version(version("transformers"))
    least = str(getattr(config, "MIN_TRANSFORMERS_VERSION", None) or installed)
    most = str(getattr(config, "MAX_TRANSFORMERS_VERSION", None) or installed)
    if installed < Version(least):
        return f"{least} or newer"
    return f"up to {most}" if installed > Version(most) else ""
