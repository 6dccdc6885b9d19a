"""GGUF files, written by the format's description and not by the code that reads them."""

import struct
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

KINDS = {
    "F32": 0, "F16": 1, "Q4_0": 2, "Q4_1": 3, "Q5_0": 6, "Q5_1": 7, "Q8_0": 8, "Q4_K": 12,
    "Q5_K": 13, "Q6_K": 14, "Q8_K": 15, "BF16": 30,
}  # fmt: skip
ALIGNMENT_BYTES = 32


def write(
    path: Path,
    fields: Mapping[str, Any],
    tensors: Mapping[str, tuple[str, Sequence[int], bytes]],
    version: int = 3,
) -> Path:
    """`tensors`: kind, shape as numpy has it, bytes."""
    out = struct.pack("<4sIQQ", b"GGUF", version, len(tensors), len(fields))
    for key, value in fields.items():
        kind = _type_of(value)
        out += _string(key) + struct.pack("<I", kind) + _value(kind, value)
    body = b""
    for name, (kind_name, shape, raw) in tensors.items():
        out += _string(name) + struct.pack("<I", len(shape))
        out += struct.pack(f"<{len(shape)}Q", *reversed(shape))
        out += struct.pack("<IQ", KINDS[kind_name], len(body))
        body += raw + b"\0" * (-len(raw) % ALIGNMENT_BYTES)
    path.write_bytes(out + b"\0" * (-len(out) % ALIGNMENT_BYTES) + body)
    return path


def floats(values: np.ndarray) -> tuple[str, Sequence[int], bytes]:
    """A tensor of F32."""
    return "F32", values.shape, np.ascontiguousarray(values, "<f4").tobytes()


def _type_of(value: Any) -> int:
    kinds = {bool: 7, int: 4, float: 6, str: 8, list: 9}
    return kinds[type(value)]


def _string(text: str) -> bytes:
    raw = text.encode()
    return struct.pack("<Q", len(raw)) + raw


def _value(kind: int, value: Any) -> bytes:
    if kind == 8:
        return _string(value)
    if kind == 9:
        inner = {int: 5}.get(type(value[0]), _type_of(value[0])) if value else 8
        entries = b"".join(_value(inner, entry) for entry in value)
        return struct.pack("<IQ", inner, len(value)) + entries
    return struct.pack({4: "<I", 5: "<i", 6: "<f", 7: "<?"}[kind], value)


# --- a whole model -----------------------------------------------------------------------------

WORDS = ["<unk>", "<s>", "</s>", "<|im_start|>", "<|im_end|>", *"abcdefgh", "ab", "cd", "abcd"]
MERGES = ["a b", "c d", "ab cd"]
CONTROL = 3


def tokenizer(**changes: Any) -> dict[str, Any]:
    """Fields of a byte-level tokenizer; a change to None leaves a field out."""
    fields = {
        "model": "gpt2",
        "pre": "smollm",
        "tokens": WORDS,
        "token_type": [CONTROL] * 5 + [1] * (len(WORDS) - 5),
        "merges": MERGES,
        "bos_token_id": 1,
        "eos_token_id": 4,
    } | changes
    return {f"tokenizer.ggml.{key}": v for key, v in fields.items() if v is not None}


NAMES = {
    "model.embed_tokens": "token_embd", "model.norm": "output_norm", "lm_head": "output",
    "input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm",
    "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output", "self_attn.q_norm": "attn_q_norm",
    "self_attn.k_norm": "attn_k_norm", "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}  # fmt: skip


def interleaved(values: np.ndarray, heads: int) -> np.ndarray:
    """As llama.cpp's convert_hf_to_gguf.py stores queries and keys of Llama."""
    halves = values.reshape(heads, 2, values.shape[0] // heads // 2, *values.shape[1:])
    return halves.swapaxes(1, 2).reshape(values.shape)


def model_fields(config: Any, architecture: str) -> dict[str, Any]:
    """Fields of a transformers configuration."""
    sizes = {
        "block_count": config.num_hidden_layers,
        "context_length": config.max_position_embeddings,
        "embedding_length": config.hidden_size,
        "feed_forward_length": config.intermediate_size,
        "attention.head_count": config.num_attention_heads,
        "attention.head_count_kv": config.num_key_value_heads,
        "attention.key_length": config.head_dim,
        "attention.layer_norm_rms_epsilon": config.rms_norm_eps,
        "rope.freq_base": 10000.0,
    }
    named = {f"{architecture}.{key}": value for key, value in sizes.items()}
    return {"general.architecture": architecture} | named


def model_tensors(model: Any, architecture: str) -> dict[str, np.ndarray]:
    """Weights of a transformers model as llama.cpp names and lays them out."""
    config, tensors = model.config, {}
    heads = {"attn_q": config.num_attention_heads, "attn_k": config.num_key_value_heads}
    for name, values in model.state_dict().items():
        if name == "lm_head.weight" and config.tie_word_embeddings:
            continue
        stem, _, suffix = name.rpartition(".")
        layer = ""
        if stem.startswith("model.layers."):
            _, _, number, stem = stem.split(".", 3)
            layer = f"blk.{number}."
        array = values.float().numpy()
        if architecture == "llama" and NAMES[stem] in heads:
            array = interleaved(array, heads[NAMES[stem]])
        tensors[f"{layer}{NAMES[stem]}.{suffix}"] = array
    return tensors
