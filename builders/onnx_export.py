"""Encoders to ONNX: one artefact each, with pooling inside the graph; FP32 for CPUs, FP16 for GPUs.

FP16 is the checkpoint cast by torch before the export: no converter, and no list of operators to
keep in FP32. What could overflow or lose digits over many tokens stays FP32: pooling, the length
of the vector, the output, and the statistics of LayerNormalization (ONNX operator 17: stash_type
1 by default). Compared with FP32 on a CPU (tests/server/test_encoder_precision.py); never run on a
GPU.
"""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from builders.checkpoint import Checkpoint
from builders.errors import BuildError
from builders.spec import ModelSpec, Sku
from ensembles.contracts import RERANKER

if TYPE_CHECKING:
    import torch

OPSET = 17

EncoderPrecision = Literal["fp32", "fp16"]


def encoder_precision(sku: Sku) -> EncoderPrecision:
    """What a SKU's encoders are exported in."""
    return "fp16" if sku.gpu else "fp32"


def export_encoder(
    spec: ModelSpec, checkpoint: Checkpoint, target: Path, precision: EncoderPrecision = "fp32"
) -> None:
    """Write `target` (model.onnx): INT64 [rows, tokens] inputs to FP32 [rows, width].

    The TorchScript exporter: the dynamo one gives a slower graph.
    """
    import torch
    from transformers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()
    dtype = torch.float16 if precision == "fp16" else torch.float32
    model, names, output = _encoder(spec, checkpoint, dtype)
    example = tuple(torch.ones((2, 8), dtype=torch.int64) for _ in names)
    axes = {name: {0: "rows", 1: "tokens"} for name in names} | {output: {0: "rows"}}
    with torch.no_grad():
        torch.onnx.export(
            model.eval(),
            example,
            str(target),
            input_names=names,
            output_names=[output],
            dynamic_axes=axes,
            opset_version=OPSET,
            dynamo=False,
        )


def _encoder(
    spec: ModelSpec, checkpoint: Checkpoint, dtype: "torch.dtype"
) -> "tuple[torch.nn.Module, list[str], str]":
    has_types = int(str(checkpoint.config().get("type_vocab_size", 0))) > 1
    if spec.role == "embedder":
        return _embedder(checkpoint, has_types, dtype), ["input_ids", "attention_mask"], "embedding"
    names = [s.name for s in RERANKER.inputs if has_types or s.name != "token_type_ids"]
    return _reranker(spec, checkpoint, names, dtype), names, RERANKER.outputs[0].name


def _embedder(checkpoint: Checkpoint, has_types: bool, dtype: "torch.dtype") -> "torch.nn.Module":
    import torch
    from transformers import AutoModel

    encoder = AutoModel.from_pretrained(checkpoint.path, attn_implementation="eager", dtype=dtype)
    mode, normalised = pooling(checkpoint.path)

    class Embedder(torch.nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.encoder = encoder

        def forward(self, input_ids: Any, attention_mask: Any) -> Any:
            types = {"token_type_ids": torch.zeros_like(input_ids)} if has_types else {}
            mask = _additive(attention_mask, dtype)
            hidden = _fp32(self.encoder(input_ids, attention_mask=mask, **types)[0])
            pooled = hidden[:, 0] if mode == "cls" else _mean(hidden, attention_mask)
            return torch.nn.functional.normalize(pooled, dim=1) if normalised else pooled

    return Embedder()


def _additive(attention_mask: Any, dtype: "torch.dtype") -> Any:
    """The mask as transformers would expand it, [rows, 1, 1, tokens]: 0, or the lowest float.

    Given a mask of four dimensions it takes it as it is; its own expansion can't be traced (5.5).
    """
    import torch

    hidden = (1 - attention_mask[:, None, None, :]).to(dtype)
    return hidden * torch.finfo(dtype).min


def _fp32(values: Any) -> Any:
    """Cast where needed: a Cast from FP32 to FP32 would change the bytes of every CPU engine."""
    import torch

    return values if values.dtype == torch.float32 else values.to(torch.float32)


def _mean(hidden: Any, attention_mask: Any) -> Any:
    weights = attention_mask.unsqueeze(-1).to(hidden.dtype)
    return (hidden * weights).sum(1) / weights.sum(1).clamp(min=1e-9)


def _reranker(
    spec: ModelSpec, checkpoint: Checkpoint, names: list[str], dtype: "torch.dtype"
) -> "torch.nn.Module":
    import torch
    from transformers import AutoModelForSequenceClassification

    classifier = AutoModelForSequenceClassification.from_pretrained(
        checkpoint.path, attn_implementation="eager", dtype=dtype
    )
    if classifier.config.num_labels != 1:
        raise BuildError(
            f"model '{spec.name}': {classifier.config.num_labels} labels; a reranker has 1"
        )

    class Reranker(torch.nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.classifier = classifier

        def forward(self, *inputs: Any) -> Any:
            named = dict(zip(names, inputs, strict=True))
            named["attention_mask"] = _additive(named["attention_mask"], dtype)
            return _fp32(self.classifier(**named).logits)

    return Reranker()


def pooling(path: Path) -> tuple[str, bool]:
    """`mean` or `cls`, and whether vectors are normalised: what sentence-transformers would do.

    A checkpoint that doesn't say gets mean and normalised. Raises `BuildError` for other modes.
    """
    modules = path / "modules.json"
    if not modules.is_file():
        return "mean", True
    normalised = any(
        "Normalize" in module["type"] for module in json.loads(modules.read_text(encoding="utf-8"))
    )
    config = json.loads((path / "1_Pooling" / "config.json").read_text(encoding="utf-8"))
    if config.get("pooling_mode_mean_tokens") or config.get("pooling_mode") == "mean":
        return "mean", normalised
    if config.get("pooling_mode_cls_token") or config.get("pooling_mode") == "cls":
        return "cls", normalised
    raise BuildError(f"{path.name}: pooling other than mean or cls: {config}")
