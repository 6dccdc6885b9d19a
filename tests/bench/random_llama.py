"""A random Llama of 85 million parameters: what the reference model is too small to show.

With 0.9 million parameters a step of the engine takes less than a millisecond, so everything
around it weighs more than it ever would with a model that people serve.
"""

import shutil
from pathlib import Path

import torch
from transformers import LlamaConfig, LlamaForCausalLM

from builders.engine import Engine, build_engine
from builders.models_in_use import chosen_models
from builders.repository import REPOSITORY, link_engines
from builders.spec import ROOT, ModelSpec, load_sku
from tests.server.checkpoints import checkpoint

FOLDER = ROOT / "build" / "bench" / "llama-85m"


def repository() -> Path:
    """A copy of model_repository/ whose `llm` is the random model at int4."""
    spec = ModelSpec(
        name="random-llama-85m", role="llm", source=str(_checkpoint()), precision="int4",
        max_tokens=2048,
    )  # fmt: skip
    sku = load_sku("cpu")
    specs = [s for s in chosen_models([]) if s.role != "llm"] + [spec]
    engines: list[Engine] = [build_engine(s, sku, print) for s in specs]
    copy = ROOT / "build" / "bench" / "model_repository"
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(REPOSITORY, copy, ignore=shutil.ignore_patterns("engine"))
    link_engines(engines, copy)
    return copy


def _checkpoint() -> Path:
    """Made once, with the tokenizer of the reference LLM."""
    if not (FOLDER / "model.safetensors").is_file():
        torch.manual_seed(0)
        config = LlamaConfig(
            vocab_size=1024, hidden_size=768, intermediate_size=2048, num_hidden_layers=12,
            num_attention_heads=12, max_position_embeddings=2048, tie_word_embeddings=True,
            eos_token_id=2, bos_token_id=1,
        )  # fmt: skip
        LlamaForCausalLM(config).save_pretrained(FOLDER)
        for name in ("tokenizer.json", "tokenizer_config.json"):
            shutil.copyfile(checkpoint("llm") / name, FOLDER / name)
    return FOLDER
