"""What GPU SKUs are built for their encoders, as far as a CPU can tell: FP16 computes the same.

ONNX Runtime's CPU provider computes most FP16 operators in FP32, and drops the casts between two of
them. torch rounds after every operator, as a GPU does: the module that is exported runs there too.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch

from builders.checkpoint import Checkpoint, open_checkpoint
from builders.engine import ONNX, ONNX_FP16, recipe_for
from builders.onnx_export import _encoder, export_encoder
from builders.spec import ModelSpec, load_model, load_sku, sku_names

LENGTHS = (1, 2, 5, 17, 33, 64, 128, 250)


@dataclass(frozen=True)
class Exported:
    """One encoder, and the model.onnx of each precision."""

    spec: ModelSpec
    checkpoint: Checkpoint
    fp32: Path
    fp16: Path


MODELS = ["all-minilm-l6-v2", "reference-reranker"]


@pytest.fixture(scope="module", params=MODELS)
def exported(request, tmp_path_factory) -> Exported:
    folder = tmp_path_factory.mktemp(request.param)
    spec = load_model(request.param)
    checkpoint = open_checkpoint(spec)
    export_encoder(spec, checkpoint, folder / "fp32.onnx")
    export_encoder(spec, checkpoint, folder / "fp16.onnx", "fp16")
    return Exported(spec, checkpoint, folder / "fp32.onnx", folder / "fp16.onnx")


def session(path: Path) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def batch() -> dict[str, np.ndarray]:
    rng, width = np.random.default_rng(0), max(LENGTHS)
    mask = (np.arange(width) < np.array(LENGTHS)[:, None]).astype(np.int64)
    segments = (np.arange(width) > np.array(LENGTHS)[:, None] // 2) * mask
    ids = rng.integers(1000, 20000, mask.shape) * mask
    return {"input_ids": ids, "attention_mask": mask, "token_type_ids": segments}


def run(path: Path) -> np.ndarray:
    found, inputs = session(path), batch()
    (output,) = found.run(None, {node.name: inputs[node.name] for node in found.get_inputs()})
    return output


def run_in_torch(exported: Exported) -> np.ndarray:
    module, names, _ = _encoder(exported.spec, exported.checkpoint, torch.float16)
    inputs = batch()
    with torch.no_grad():
        output = module.eval()(*(torch.from_numpy(inputs[name]) for name in names))
    return np.asarray(output.numpy())


def check(found: np.ndarray, expected: np.ndarray) -> None:
    assert found.dtype == np.float32
    assert np.isfinite(found).all()
    if found.shape[1] == 1:  # logits of the reranker
        np.testing.assert_allclose(found, expected, atol=2e-2, rtol=0)
    else:
        assert (found * expected).sum(axis=1).min() > 0.9999
        np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-5)


def test_fp16_gives_what_fp32_gives(exported):
    check(run(exported.fp16), run(exported.fp32))


def test_fp16_gives_what_fp32_gives_when_every_operator_rounds(exported):
    check(run_in_torch(exported), run(exported.fp32))


def test_only_the_inside_is_fp16(exported):
    before, after = session(exported.fp32), session(exported.fp16)
    for one, other in (
        (before.get_inputs(), after.get_inputs()),
        (before.get_outputs(), after.get_outputs()),
    ):
        assert [(n.name, n.type, n.shape) for n in one] == [
            (n.name, n.type, n.shape) for n in other
        ]
    assert exported.fp16.stat().st_size < 0.51 * exported.fp32.stat().st_size


@pytest.mark.parametrize("name", sku_names())
def test_skus_with_a_gpu_get_fp16(name):
    sku = load_sku(name)
    assert recipe_for(load_model("all-minilm-l6-v2"), sku) is (ONNX_FP16 if sku.gpu else ONNX)
