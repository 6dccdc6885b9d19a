"""Weights and config.json of a GGUF: llama.cpp's names and layout turned into transformers'."""

import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
from transformers import AutoConfig, AutoModelForCausalLM
from transformers.modeling_gguf_pytorch_utils import (
    TENSOR_PROCESSORS,
    TensorProcessor,
    get_gguf_hf_weights_map,
)

from builders.errors import GgufError
from builders.gguf.reader import Floats, Gguf

_CLASSES = {"llama": "LlamaForCausalLM", "qwen2": "Qwen2ForCausalLM", "qwen3": "Qwen3ForCausalLM"}
"""transformers' class of each architecture; "llama" is Mistral's too."""

_LLAMA3_LOW, _LLAMA3_HIGH, _LLAMA3_POSITIONS = 1.0, 4.0, 8192
"""Bounds of Llama 3.1's RoPE scaling, the same in every model that has it."""

_ROPE_FACTORS = "rope_freqs.weight"


class Model:
    """A GGUF's model: sizes by its fields, checked against its tensors. Raises `GgufError`."""

    def __init__(self, gguf: Gguf) -> None:
        self._gguf = gguf
        if (kind := gguf.read("general.type", str, "model")) != "model":
            raise GgufError(f"field 'general.type' is {kind!r:.60}; possible: model")
        if (parts := gguf.read("split.count", int, 1)) > 1:
            raise GgufError(
                f"field 'split.count' is {parts}: it is one part of a split model; possible: one "
                "file, as 'llama-gguf-split --merge' of llama.cpp makes it"
            )
        self.architecture = gguf.read("general.architecture", str)
        if self.architecture not in _CLASSES:
            raise GgufError(
                f"field 'general.architecture' is {self.architecture!r:.60}; "
                f"possible: {', '.join(_CLASSES)}"
            )
        self._sizes = self._read_sizes()
        self._check_supported()
        # Llama's undoes llama.cpp's interleaving of the two halves of each head, which RoPE turns.
        self._processor = TENSOR_PROCESSORS.get(self.architecture, TensorProcessor)(self._sizes)
        self._weights = self._expected()
        self._check_tensors()

    def tensors(self) -> Iterator[tuple[str, Floats]]:
        """Each weight's name in a Hugging Face checkpoint, and its values in float32."""
        for name, (own_name, _) in self._weights.items():
            values = self._gguf.decode(name)
            if not np.isfinite(values).all():
                raise GgufError(f"it is damaged: tensor '{name}' holds values that are not finite")
            yield own_name, self._processor.process(values, name).weights

    def config(self) -> dict[str, Any]:
        """config.json, without the ids of tokens and the number format."""
        scaling = self._rope_scaling(self._sizes["rope_theta"])
        return self._sizes | ({"rope_scaling": scaling} if scaling else {})

    def _read_sizes(self) -> dict[str, Any]:
        hidden, tensors = self._integer("embedding_length"), self._gguf.tensors
        heads = self._integer("attention.head_count")
        biased = self.architecture == "llama" and "blk.0.attn_q.bias" in tensors
        return {
            "architectures": [_CLASSES[self.architecture]],
            "model_type": self.architecture,
            "hidden_act": "silu",
            "vocab_size": len(self._gguf.read_list("tokenizer.ggml.tokens", str)),
            "hidden_size": hidden,
            "intermediate_size": self._integer("feed_forward_length"),
            "num_hidden_layers": self._integer("block_count"),
            "num_attention_heads": heads,
            "num_key_value_heads": self._integer("attention.head_count_kv", heads),
            "head_dim": self._integer("attention.key_length", hidden // heads),
            "max_position_embeddings": self._integer("context_length"),
            "rms_norm_eps": self._number("attention.layer_norm_rms_epsilon"),
            "rope_theta": self._number("rope.freq_base", 10000.0),
            "attention_bias": biased,
            "tie_word_embeddings": "output.weight" not in tensors,
        }

    def _integer(self, key: str, default: int | None = None) -> int:
        value = self._gguf.read(f"{self.architecture}.{key}", int, default)
        if value < 1:
            raise GgufError(f"field '{self.architecture}.{key}' is {value}; possible: 1 or more")
        return value

    def _number(self, key: str, default: float | None = None) -> float:
        """The number as a human would write it: 1e-05, not the float32 9.999999747378752e-06."""
        value = self._gguf.read(f"{self.architecture}.{key}", float, default)
        if not 0 < value < math.inf:
            raise GgufError(f"field '{self.architecture}.{key}' is {value}; possible: above 0")
        return float(str(np.float32(value)))

    def _check_supported(self) -> None:
        """What llama.cpp computes and the exported class would not, and damage in the sizes."""
        prefix = self.architecture
        layers, head_dim = self._sizes["num_hidden_layers"], self._sizes["head_dim"]
        if layers > (count := len(self._gguf.tensors)):
            raise GgufError(
                f"field '{prefix}.block_count' is {layers}; the file has {count} tensors"
            )
        only: dict[str, float] = {
            "expert_count": 0,
            "rope.dimension_count": head_dim,
            "attention.value_length": head_dim,
            "rope.scaling.attn_factor": 1,
        }
        for key, value in only.items():
            if (found := self._gguf.read(f"{prefix}.{key}", float, value)) != value:
                raise GgufError(f"field '{prefix}.{key}' is {found:g}; possible: {value:g}")

    def _expected(self) -> dict[str, tuple[str, tuple[int, ...]]]:
        """Names and shapes of the weights of transformers' class, by llama.cpp's names."""
        try:
            with torch.device("meta"):  # shapes without memory
                model = AutoModelForCausalLM.from_config(AutoConfig.for_model(**self._sizes))
        except Exception as error:  # of its configuration's checks, and of torch
            said = " ".join(str(error).split())
            raise GgufError(f"transformers makes no model of its sizes: {said:.300}") from error
        names = get_gguf_hf_weights_map(model, self._processor)
        shapes = {name: tuple(values.shape) for name, values in model.named_parameters()}
        return {ours: (name, shapes[name]) for ours, name in names.items() if name in shapes}

    def _check_tensors(self) -> None:
        found = self._gguf.tensors
        for name, (_, needed) in self._weights.items():
            if name not in found:
                raise GgufError(f"tensor '{name}' is missing; {self.architecture} needs it")
            if (shape := self._gguf.shape(name)) != needed:
                raise GgufError(
                    f"tensor '{name}' has the shape {list(shape)}; by the fields it is "
                    f"{list(needed)}"
                )
        if unknown := sorted(found.keys() - self._weights.keys() - {_ROPE_FACTORS}):
            raise GgufError(
                f"tensor '{unknown[0]}' is not known in the architecture {self.architecture} "
                f"({len(unknown)} such)"
            )

    def _rope_scaling(self, theta: float) -> Mapping[str, Any]:
        """The table of config.json, empty without scaling."""
        prefix = f"{self.architecture}.rope.scaling"
        kind = self._gguf.read(f"{prefix}.type", str, "none")
        if _ROPE_FACTORS in self._gguf.tensors:
            return _llama3_scaling(self._gguf.decode(_ROPE_FACTORS), theta)
        if kind == "none":
            return {}
        if kind not in ("linear", "yarn"):
            raise GgufError(f"field '{prefix}.type' is {kind!r:.60}; possible: none, linear, yarn")
        scaling: dict[str, Any] = {"rope_type": kind, "factor": self._number("rope.scaling.factor")}
        if kind == "yarn":
            positions = self._integer("rope.scaling.original_context_length")
            scaling["original_max_position_embeddings"] = positions
        return scaling


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
