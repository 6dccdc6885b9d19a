"""Exports encoders to ONNX: one file each, with pooling in the graph; FP32 for CPUs, FP16 for GPUs.

The graph is the reference implementation, traced: sentence-transformers' modules for an embedder,
transformers' classifier for a reranker. Only what can't be traced is replaced.

FP16 is the checkpoint cast by torch before the export: no converter, and no list of operators to
keep in FP32. What could overflow or lose digits over many tokens stays FP32: pooling, the length
of the vector, the output, and the statistics of LayerNormalization (ONNX operator 17: stash_type
1 by default). FP16 was compared with FP32 on a CPU (tests/server/test_encoder_precision.py), and
never run on a GPU.
"""

import contextlib
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS
from transformers.models.deberta import modeling_deberta as deberta
from transformers.models.deberta_v2 import modeling_deberta_v2 as deberta_v2

from builders.checkpoint import Checkpoint
from builders.encoder_models import load_classifier, load_embedder
from builders.spec import ModelSpec
from ensembles.contracts import EMBEDDER, RERANKER

OPSET = 17


def export_encoder(
    spec: ModelSpec, checkpoint: Checkpoint, target: Path, precision: str = "fp32"
) -> None:
    """Write `target` (model.onnx): INT64 [rows, tokens] inputs to FP32 [rows, width]."""
    dtype = torch.float16 if precision == "fp16" else torch.float32
    model, names, output = _encoder(spec, checkpoint, dtype)
    example = tuple(torch.ones((2, 8), dtype=torch.int64) for _ in names)
    axes = {name: {0: "rows", 1: "tokens"} for name in names} | {output: {0: "rows"}}
    with torch.no_grad(), _traceable():
        torch.onnx.export(
            model.eval(),
            example,
            str(target),
            input_names=names,
            output_names=[output],
            dynamic_axes=axes,
            opset_version=OPSET,
            dynamo=False,  # its graph is slower
        )


def _encoder(
    spec: ModelSpec, checkpoint: Checkpoint, dtype: torch.dtype
) -> tuple[torch.nn.Module, list[str], str]:
    has_types = int(checkpoint.config().get("type_vocab_size") or 0) > 1
    if spec.role == "embedder":
        names = [s.name for s in EMBEDDER.inputs]
        return _embedder(spec, checkpoint, has_types, dtype), names, EMBEDDER.outputs[0].name
    names = [s.name for s in RERANKER.inputs if has_types or s.name != "token_type_ids"]
    return _reranker(spec, checkpoint, names, dtype), names, RERANKER.outputs[0].name


def _embedder(
    spec: ModelSpec, checkpoint: Checkpoint, has_types: bool, dtype: torch.dtype
) -> torch.nn.Module:
    transformer, *rest = load_embedder(spec, checkpoint, dtype)

    class Embedder(torch.nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.modules_in_order = torch.nn.ModuleList([transformer, *rest])

        def forward(self, input_ids: Any, attention_mask: Any) -> Any:
            features = {"input_ids": input_ids, "attention_mask": attention_mask}
            if has_types:
                features["token_type_ids"] = torch.zeros_like(input_ids)
            features = transformer(features)
            features["token_embeddings"] = _fp32(features["token_embeddings"])
            for module in rest:
                features = module(features)
            return features["sentence_embedding"]

    return Embedder()


def _fp32(values: Any) -> Any:
    """Cast to FP32 if needed: a Cast from FP32 would change the bytes of every CPU engine."""
    return values if values.dtype == torch.float32 else values.to(torch.float32)


def _reranker(
    spec: ModelSpec, checkpoint: Checkpoint, names: list[str], dtype: torch.dtype
) -> torch.nn.Module:
    classifier = load_classifier(spec, checkpoint, dtype)
    padding = classifier.config.pad_token_id

    class Reranker(torch.nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.classifier = classifier

        def forward(self, *inputs: Any) -> Any:
            named = dict(zip(names, inputs, strict=True))
            # A decoder scores the last token that isn't padding, and finds it by its id. Rows are
            # padded with 0, whatever the checkpoint's padding id is.
            ids, mask = named["input_ids"], named["attention_mask"]
            named["input_ids"] = ids * mask + padding * (1 - mask)
            return _fp32(self.classifier(**named).logits)

    return Reranker()


@contextlib.contextmanager
def _traceable() -> Iterator[None]:
    """Replaces code of transformers 5.5 that a trace would fix to one case, or turn into a branch.

    Its masks for eager attention decide by the mask's values what they can leave out
    (masking_utils.py). DeBERTa has scripted branches for queries and keys of different lengths,
    which an encoder never has; OpenVINO refuses them because their rank is not known.

    The tracer's warnings about the rest are silenced: the engine's rows are compared with the
    reference implementation's before it is published.
    """
    masks = ALL_MASK_ATTENTION_FUNCTIONS._global_mapping
    with (
        warnings.catch_warnings(),
        mock.patch.dict(masks, eager=_eager_mask),
        mock.patch.object(deberta, "build_rpos", lambda query, key, positions: positions),
        mock.patch.object(deberta, "uneven_size_corrected", lambda scores, *_: scores),
        mock.patch.object(deberta_v2, "build_rpos", lambda query, key, positions, *_: positions),
    ):
        warnings.simplefilter("ignore", torch.jit.TracerWarning)
        yield


def _eager_mask(
    *,
    q_length: int,
    kv_length: int,
    mask_function: Callable[..., Any],
    attention_mask: Any,
    dtype: torch.dtype,
    **_: Any,
) -> Any:
    """[rows, 1, queries, keys]: 0 where `mask_function` and the padding allow it, else the lowest
    float. `mask_function` takes indices of row, head, query and key."""
    queries = torch.arange(q_length)[None, None, :, None]
    keys = torch.arange(kv_length)[None, None, None, :]
    row = torch.zeros((1, 1, 1, 1), dtype=torch.int64)
    allowed = torch.logical_and(
        mask_function(row, row, queries, keys), attention_mask[:, None, None, :].bool()
    )
    lowest = torch.tensor(torch.finfo(dtype).min, dtype=dtype)
    mask = torch.where(allowed, torch.zeros((), dtype=dtype), lowest)
    return mask.expand(attention_mask.shape[0], 1, q_length, kv_length)
