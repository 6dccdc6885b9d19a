"""llama.cpp behind the server of llama-cpp-python: the LLM only, one request at a time.

llama.cpp's own `llama-server`, which batches requests, is in no package here.
"""

import json
import os
import sys
from pathlib import Path
from typing import Any

import gguf
import numpy as np
from safetensors.numpy import load_file

_NAMES = {
    "model.embed_tokens": "token_embd", "model.norm": "output_norm",
    "input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm",
    "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output", "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}  # fmt: skip
_PRE_TOKENIZER = "starcoder"
"""Each digit alone, then GPT-2's expression: what the reference LLM's tokenizer does."""


def convert(folder: Path, target: Path) -> None:
    """A Llama checkpoint with a byte-level BPE tokenizer as GGUF, in fp32."""
    config = json.loads((folder / "config.json").read_text())
    writer = gguf.GGUFWriter(target, "llama")
    _write_sizes(writer, config)
    _write_tokenizer(writer, json.loads((folder / "tokenizer.json").read_text()), config)
    for name, array in load_file(folder / "model.safetensors").items():
        writer.add_tensor(_name(name), _rotated(name, array.astype(np.float32), config))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _write_sizes(writer: gguf.GGUFWriter, config: dict[str, Any]) -> None:
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(config["num_attention_heads"])
    writer.add_head_count_kv(config["num_key_value_heads"])
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_rope_freq_base(config["rope_theta"])
    writer.add_rope_dimension_count(config["head_dim"])
    writer.add_vocab_size(config["vocab_size"])
    writer.add_file_type(gguf.LlamaFileType.ALL_F32)


def _write_tokenizer(
    writer: gguf.GGUFWriter, tokenizer: dict[str, Any], config: dict[str, Any]
) -> None:
    special = {token["id"]: token["content"] for token in tokenizer["added_tokens"]}
    tokens = {number: text for text, number in tokenizer["model"]["vocab"].items()} | special
    kinds = [gguf.TokenType.CONTROL if n in special else gguf.TokenType.NORMAL for n in tokens]
    ordered = sorted(zip(tokens.items(), kinds, strict=True))
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(_PRE_TOKENIZER)
    writer.add_token_list([text for (_, text), _ in ordered])
    writer.add_token_types([kind for _, kind in ordered])
    writer.add_token_merges([" ".join(merge) for merge in tokenizer["model"]["merges"]])
    writer.add_bos_token_id(config["bos_token_id"])
    writer.add_eos_token_id(config["eos_token_id"])
    writer.add_add_bos_token(False)


def _name(name: str) -> str:
    """`model.layers.0.mlp.up_proj.weight` is `blk.0.ffn_up.weight` there."""
    stem, _, kind = name.rpartition(".")
    if stem.startswith("model.layers."):
        _, _, number, rest = stem.split(".", 3)
        return f"blk.{number}.{_NAMES[rest]}.{kind}"
    return f"{_NAMES[stem]}.{kind}"


def _rotated(name: str, array: np.ndarray, config: dict[str, Any]) -> np.ndarray:
    """llama.cpp rotates neighbours, transformers halves: rows of queries and keys change places."""
    heads = {"q_proj": "num_attention_heads", "k_proj": "num_key_value_heads"}
    for part, key in heads.items():
        if part in name:
            shape = (config[key], 2, array.shape[0] // config[key] // 2, array.shape[1])
            return np.ascontiguousarray(array.reshape(shape).swapaxes(1, 2).reshape(array.shape))
    return array


if __name__ == "__main__":
    port, _, threads = sys.argv[1:4]
    model = Path("build/bench/reference-llm.gguf")
    convert(Path(os.environ["BENCH_LLM"]), model)
    options = {
        "--model": str(model), "--host": "127.0.0.1", "--port": port, "--n_threads": threads,
        "--n_threads_batch": threads, "--n_ctx": "2048", "--verbose": "False",
        "--interrupt_requests": "False",
    }  # fmt: skip
    flat = [each for pair in options.items() for each in pair]
    os.execv(sys.executable, [sys.executable, "-m", "llama_cpp.server", *flat])
