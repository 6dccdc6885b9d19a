"""Weights and config.json of a GGUF: llama.cpp's names and layout turned into transformers'."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from builders.gguf.reader import Fields, Floats, Gguf, GgufError

_CLASSES = {
    "llama": "LlamaForCausalLM",
    "qwen2": "Qwen2ForCausalLM",
    "qwen3": "Qwen3ForCausalLM",
}
"""transformers' class of each architecture; "llama" is Mistral's too."""

_LLAMA3_LOW, _LLAMA3_HIGH, _LLAMA3_POSITIONS = 1.0, 4.0, 8192
"""Bounds of Llama 3.1's RoPE scaling, the same in every model that has it."""

_ROPE_FACTORS = "rope_freqs.weight"


@dataclass(frozen=True)
class Weight:
    """Where a tensor of the file goes: its name and shape in a Hugging Face checkpoint.

    `interleaved_heads`: so many heads whose halves, which RoPE turns, llama.cpp interleaves.
    """

    name: str
    shape: tuple[int, ...]
    interleaved_heads: int = 0


class Model:
    """The model in a GGUF: sizes from its fields, checked against its tensors.

    Raises `GgufError` for what can't be turned into a Hugging Face checkpoint.
    """

    def __init__(self, gguf: Gguf) -> None:
        self._gguf, fields = gguf, gguf.fields
        _check_general(fields)
        self.architecture = fields.read("general.architecture", str)
        if self.architecture not in _CLASSES:
            raise GgufError(
                f"field 'general.architecture' is '{self.architecture}'; "
                f"possible: {', '.join(_CLASSES)}"
            )
        self.layers = self._integer("block_count")
        self.hidden = self._integer("embedding_length")
        self.intermediate = self._integer("feed_forward_length")
        self.heads = self._integer("attention.head_count")
        self.kv_heads = self._integer("attention.head_count_kv", self.heads)
        self.head_dim = self._integer("attention.key_length", self.hidden // self.heads)
        self.vocabulary = len(fields.read_list("tokenizer.ggml.tokens", str))
        self._check_supported()
        self.weights = self._expected()
        self._check_tensors()

    @property
    def positions(self) -> int:
        return self._integer("context_length")

    def tensors(self) -> Iterator[tuple[Weight, Floats]]:
        """Every weight with its values in float32, one at a time."""
        for name, weight in self.weights.items():
            values = self._gguf.tensors[name].decode()
            if not np.isfinite(values).all():
                raise GgufError(f"it is damaged: tensor '{name}' holds values that are not finite")
            yield weight, _halves_apart(values, weight.interleaved_heads)

    def kinds(self) -> set[str]:
        """The formats that the matrices are stored in."""
        return {t.kind for t in self._gguf.tensors.values() if len(t.shape) > 1}

    def config(self) -> dict[str, Any]:
        """config.json, without the ids of tokens and the number format."""
        theta = self._number("rope.freq_base", 10000.0)
        config = {
            "architectures": [_CLASSES[self.architecture]],
            "model_type": self.architecture,
            "hidden_act": "silu",
            "vocab_size": self.vocabulary,
            "hidden_size": self.hidden,
            "intermediate_size": self.intermediate,
            "num_hidden_layers": self.layers,
            "num_attention_heads": self.heads,
            "num_key_value_heads": self.kv_heads,
            "head_dim": self.head_dim,
            "max_position_embeddings": self.positions,
            "rms_norm_eps": self._number("attention.layer_norm_rms_epsilon"),
            "rope_theta": theta,
            "attention_bias": self._biased and self.architecture == "llama",
            "tie_word_embeddings": "output.weight" not in self._gguf.tensors,
        }
        scaling = self._rope_scaling(theta)
        return config | ({"rope_scaling": scaling} if scaling else {})

    @property
    def _biased(self) -> bool:
        return self.architecture == "qwen2" or "blk.0.attn_q.bias" in self._gguf.tensors

    def _integer(self, key: str, default: int | None = None) -> int:
        value = self._gguf.fields.read(f"{self.architecture}.{key}", int, default)
        if value < 1:
            raise GgufError(f"field '{self.architecture}.{key}' is {value}; possible: 1 or more")
        return value

    def _number(self, key: str, default: float | None = None) -> float:
        """As a human would write it: 1e-05, not the float32 9.999999747378752e-06."""
        value = self._gguf.fields.read(f"{self.architecture}.{key}", float, default)
        return float(str(np.float32(value)))

    def _check_supported(self) -> None:
        """What llama.cpp computes and the exported class would not."""
        fields, prefix = self._gguf.fields, self.architecture
        only: dict[str, float] = {
            "expert_count": 0,
            "rope.dimension_count": self.head_dim,
            "attention.value_length": self.head_dim,
            "rope.scaling.attn_factor": 1,
        }
        for key, value in only.items():
            if (found := fields.read(f"{prefix}.{key}", float, value)) != value:
                raise GgufError(f"field '{prefix}.{key}' is {found:g}; possible: {value:g}")

    def _expected(self) -> dict[str, Weight]:
        weights = {
            "token_embd.weight": Weight(
                "model.embed_tokens.weight", (self.vocabulary, self.hidden)
            ),
            "output_norm.weight": Weight("model.norm.weight", (self.hidden,)),
        }
        if "output.weight" in self._gguf.tensors:
            weights["output.weight"] = Weight("lm_head.weight", (self.vocabulary, self.hidden))
        layer = self._layer()
        for number in range(self.layers):
            for name, weight in layer.items():
                to = f"model.layers.{number}.{weight.name}"
                weights[f"blk.{number}.{name}"] = Weight(to, weight.shape, weight.interleaved_heads)
        return weights

    def _layer(self) -> dict[str, Weight]:
        hidden, inner = self.hidden, self.intermediate
        weights = {
            "attn_norm.weight": Weight("input_layernorm.weight", (hidden,)),
            "ffn_norm.weight": Weight("post_attention_layernorm.weight", (hidden,)),
            "ffn_gate.weight": Weight("mlp.gate_proj.weight", (inner, hidden)),
            "ffn_up.weight": Weight("mlp.up_proj.weight", (inner, hidden)),
            "ffn_down.weight": Weight("mlp.down_proj.weight", (hidden, inner)),
        } | self._attention()
        if self.architecture == "qwen3":
            for part in ("q_norm", "k_norm"):
                weights[f"attn_{part}.weight"] = Weight(
                    f"self_attn.{part}.weight", (self.head_dim,)
                )
        return weights

    def _attention(self) -> dict[str, Weight]:
        width, kv_width = self.heads * self.head_dim, self.kv_heads * self.head_dim
        llama = self.architecture == "llama"
        weights = {}
        for part, to, rows, heads in (
            ("attn_q", "q_proj", width, self.heads if llama else 0),
            ("attn_k", "k_proj", kv_width, self.kv_heads if llama else 0),
            ("attn_v", "v_proj", kv_width, 0),
        ):
            name = f"self_attn.{to}"
            weights[f"{part}.weight"] = Weight(f"{name}.weight", (rows, self.hidden), heads)
            if self._biased:
                weights[f"{part}.bias"] = Weight(f"{name}.bias", (rows,), heads)
        weights["attn_output.weight"] = Weight("self_attn.o_proj.weight", (self.hidden, width))
        if self._biased and llama:
            weights["attn_output.bias"] = Weight("self_attn.o_proj.bias", (self.hidden,))
        return weights

    def _check_tensors(self) -> None:
        found = self._gguf.tensors
        for name, weight in self.weights.items():
            if name not in found:
                raise GgufError(f"tensor '{name}' is missing; {self.architecture} needs it")
            if found[name].shape != weight.shape:
                raise GgufError(
                    f"tensor '{name}' has the shape {list(found[name].shape)}; by the fields it "
                    f"is {list(weight.shape)}"
                )
        if unknown := sorted(found.keys() - self.weights.keys() - {_ROPE_FACTORS}):
            raise GgufError(
                f"tensor '{unknown[0]}' is not known in the architecture {self.architecture} "
                f"({len(unknown)} such)"
            )

    def _rope_scaling(self, theta: float) -> Mapping[str, Any]:
        """As config.json has it; empty: none."""
        prefix = f"{self.architecture}.rope.scaling"
        fields = self._gguf.fields
        kind = fields.read(f"{prefix}.type", str, "none")
        if _ROPE_FACTORS in self._gguf.tensors:
            return _llama3_scaling(self._gguf.tensors[_ROPE_FACTORS].decode(), theta)
        if kind == "none":
            return {}
        if kind not in ("linear", "yarn"):
            raise GgufError(f"field '{prefix}.type' is '{kind}'; possible: none, linear, yarn")
        scaling: dict[str, Any] = {"rope_type": kind, "factor": self._number("rope.scaling.factor")}
        if kind == "yarn":
            positions = self._integer("rope.scaling.original_context_length")
            scaling["original_max_position_embeddings"] = positions
        return scaling


def _check_general(fields: Fields) -> None:
    if (kind := fields.read("general.type", str, "model")) != "model":
        raise GgufError(f"field 'general.type' is '{kind}'; possible: model")
    if (parts := fields.read("split.count", int, 1)) > 1:
        raise GgufError(
            f"field 'split.count' is {parts}: it is one part of a split model; possible: one "
            "file, as 'llama-gguf-split --merge' of llama.cpp makes it"
        )


def _halves_apart(values: Floats, heads: int) -> Floats:
    """Undo llama.cpp's interleaving of the two halves of each head (`permute` of its converter)."""
    if not heads:
        return values
    pairs = values.reshape(heads, -1, 2, *values.shape[1:])
    return pairs.swapaxes(1, 2).reshape(values.shape)


def _llama3_scaling(factors: Floats, theta: float) -> Mapping[str, Any]:
    """Llama 3.1's scaling, which a GGUF holds only as the divisors of the frequencies.

    `factors`: one for each half of a head's width. Raises `GgufError` for other divisors.
    """
    factor = round(float(factors.max()), 3)
    wavelengths = 2 * math.pi * theta ** (np.arange(factors.size) / factors.size)
    between = (_LLAMA3_POSITIONS / wavelengths - _LLAMA3_LOW) / (_LLAMA3_HIGH - _LLAMA3_LOW)
    smooth = np.clip(between, 0, 1)
    if factors.ndim != 1 or not np.allclose(factors, 1 / ((1 - smooth) / factor + smooth), 1e-3):
        raise GgufError(f"tensor '{_ROPE_FACTORS}' scales RoPE in another way than Llama 3.1 does")
    if factor == 1:
        return {}
    return {
        "rope_type": "llama3",
        "factor": factor,
        "low_freq_factor": _LLAMA3_LOW,
        "high_freq_factor": _LLAMA3_HIGH,
        "original_max_position_embeddings": _LLAMA3_POSITIONS,
    }
