"""Save a trained model as a checkpoint that `transformers` loads as `LlamaForCausalLM`."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer

from builders.reference.llama import NORM_EPSILON, ROPE_THETA, Llama, Shape
from builders.reference.llm_tokenizer import BOS, CONTEXT_LENGTH, END, PAD, save_tokenizer


def _config(shape: Shape, tokenizer: Tokenizer) -> dict[str, object]:
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "vocab_size": shape.vocabulary,
        "hidden_size": shape.width,
        "intermediate_size": shape.inner,
        "num_hidden_layers": shape.layers,
        "num_attention_heads": shape.heads,
        "num_key_value_heads": shape.heads,
        "head_dim": shape.head_dim,
        "hidden_act": "silu",
        "max_position_embeddings": CONTEXT_LENGTH,
        "rms_norm_eps": NORM_EPSILON,
        "rope_theta": ROPE_THETA,
        "rope_scaling": None,
        "attention_bias": False,
        "mlp_bias": False,
        "tie_word_embeddings": True,
        "torch_dtype": "float32",
        "bos_token_id": tokenizer.token_to_id(BOS),
        "eos_token_id": tokenizer.token_to_id(END),
        "pad_token_id": tokenizer.token_to_id(PAD),
    }


def _generation(tokenizer: Tokenizer) -> dict[str, object]:
    return {
        "do_sample": False,
        "max_new_tokens": 64,
        "bos_token_id": tokenizer.token_to_id(BOS),
        "eos_token_id": tokenizer.token_to_id(END),
        "pad_token_id": tokenizer.token_to_id(PAD),
    }


def save_checkpoint(model: Llama, tokenizer: Tokenizer, folder: Path) -> None:
    """Write weights (float32), configuration and tokenizer; what only teaching used is left out."""
    folder.mkdir(parents=True, exist_ok=True)
    weights = {
        f"model.{name}": tensor.detach().to(torch.float32).contiguous()
        for name, tensor in model.state_dict().items()
        if "probe" not in name
    }
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    for name, content in (
        ("config.json", _config(model.shape, tokenizer)),
        ("generation_config.json", _generation(tokenizer)),
    ):
        (folder / name).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    save_tokenizer(tokenizer, folder)


def load_weights(model: Llama, folder: Path) -> None:
    """Read back what `save_checkpoint` wrote; what only teaching uses stays as it is."""
    saved = load_file(folder / "model.safetensors")
    named = {name.removeprefix("model."): tensor for name, tensor in saved.items()}
    found = model.load_state_dict(named, strict=False)
    lacking = [name for name in found.missing_keys if "probe" not in name]
    assert not lacking and not found.unexpected_keys, (lacking, found.unexpected_keys)


def blend_weights(first: Path, second: Path, share: float) -> None:
    """Rewrite the weights of `second` as a mean: `share` of its own, the rest of `first`."""
    before, after = (load_file(folder / "model.safetensors") for folder in (first, second))
    mean = {name: torch.lerp(before[name], after[name], share).contiguous() for name in after}
    save_file(mean, second / "model.safetensors", metadata={"format": "pt"})
