"""Save a trained model as a checkpoint that `transformers` loads as `LlamaForCausalLM`."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer
from torch import Tensor, nn

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
        (folder / name).write_text(json.dumps(content, indent=2) + "\n")
    save_tokenizer(tokenizer, folder)


def saved_shape(folder: Path) -> Shape:
    """The shape of a saved model."""
    config = json.loads((folder / "config.json").read_text())
    return Shape(layers=config["num_hidden_layers"], inner=config["intermediate_size"])


def load_weights(model: Llama, folder: Path) -> None:
    """Read back what `save_checkpoint` wrote, into a model of the same shape or a larger one.

    What only teaching uses stays as it is. A larger model has new layers after the first one and
    wider feed-forward parts; it answers as the saved one until it is trained, since what is new
    writes nothing yet.
    """
    saved = load_file(folder / "model.safetensors")
    added = model.shape.layers - saved_shape(folder).layers
    for number in range(1, added + 1):
        layer = model.layers[number]
        nn.init.zeros_(layer.self_attn.o_proj.weight)
        nn.init.zeros_(layer.mlp.down_proj.weight)
    own = model.state_dict()
    for name, tensor in saved.items():
        _write(own[_renumbered(name.removeprefix("model."), added)], tensor)


def _renumbered(name: str, added: int) -> str:
    """The name of a weight where `added` layers stand after the first one."""
    parts = name.split(".")
    if parts[0] == "layers" and parts[1] != "0":
        parts[1] = str(int(parts[1]) + added)
    return ".".join(parts)


def _write(target: Tensor, saved: Tensor) -> None:
    """Copy a weight; where the target has more columns (`down_proj`), these are nothing at first,
    where it has more rows they stay as they are."""
    if target.ndim == 2 and target.shape[1] > saved.shape[1]:
        target[:, saved.shape[1] :] = 0
    target[tuple(slice(n) for n in saved.shape)] = saved


def blend_weights(model: Llama, before: dict[str, Tensor], share: float) -> None:
    """Make the weights a mean: `share` of the model's own, the rest of those `before`."""
    for name, tensor in model.state_dict().items():
        tensor.copy_(torch.lerp(before[name], tensor, share))
