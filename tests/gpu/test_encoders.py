"""Encoders on the GPU give what they give on the CPU, in FP16."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from builders.repository import REPOSITORY
from builders.spec import ENGINE_LINK
from python_backends.context import EngineFolder, StageContext
from python_backends.engines.onnxruntime_encoder import OnnxRuntimeEncoder
from tests.fakes.serving import FakeMeter

ROWS, TOKENS = 32, 128


def encoder(sku, model: str, provider: str) -> OnnxRuntimeEncoder:
    values = {"engine_folder": ENGINE_LINK, "provider": provider, "num_threads": "1"}
    folder = REPOSITORY / model / "1"
    context = StageContext(folder, values, None, FakeMeter())
    return OnnxRuntimeEncoder(context, context.engine_folder())


def batch(names: list[str]) -> dict[str, np.ndarray]:
    ids = np.random.default_rng(0).integers(5, 1000, (ROWS, TOKENS))
    full = {"input_ids": ids, "attention_mask": np.ones_like(ids)}
    return {name: full.get(name, np.zeros_like(ids)) for name in names}


@pytest.mark.parametrize("provider", ["cuda", "tensorrt"])
def test_embeddings_are_those_of_the_cpu(sku, gpu, provider):
    inputs = batch(["input_ids", "attention_mask", "token_type_ids"])
    (on_gpu,) = encoder(sku, "embedder", provider).encode([inputs])
    (on_cpu,) = encoder(sku, "embedder", "cpu").encode([inputs])
    cosine = np.sum(on_gpu * on_cpu, axis=1)
    assert cosine.min() > 0.999


@pytest.mark.parametrize("provider", ["cuda", "tensorrt"])
def test_logits_are_those_of_the_cpu(sku, gpu, provider):
    inputs = batch(["input_ids", "attention_mask", "token_type_ids"])
    (on_gpu,) = encoder(sku, "reranker", provider).encode([inputs])
    (on_cpu,) = encoder(sku, "reranker", "cpu").encode([inputs])
    assert_allclose(on_gpu, on_cpu, atol=2e-2)


def test_the_engine_folder_is_of_this_gpu(sku, gpu):
    context = StageContext(
        REPOSITORY / "llm" / "1", {"engine_folder": ENGINE_LINK}, None, FakeMeter()
    )
    folder: EngineFolder = context.engine_folder()
    assert folder.manifest.compute_capability == gpu.compute_capability
    assert folder.manifest.gpu == gpu.name
