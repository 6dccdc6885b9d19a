"""The sizes of a checkpoint in a local folder, where its spec has no [architecture] table."""

from typing import Any

from pydantic import ValidationError

from builders.checkpoint_files import read_json
from builders.errors import BuildError
from builders.spec import ROOT, Architecture, ModelSpec

_EXPERTS = ("num_local_experts", "num_experts", "n_routed_experts", "moe_num_experts")

_TWO_MATRICES = (
    *("bloom", "codegen", "falcon", "gpt2", "gpt_bigcode", "gpt_neo", "gpt_neox", "gptj"),
    *("nemotron", "opt", "persimmon", "phi", "starcoder2"),
)
"""Values of model_type of LLMs whose MLP has no gate."""

_MLP_WIDTHS = ("intermediate_size", "n_inner", "ffn_dim", "ffn_hidden_size", "d_ff", "hidden_dim")


def with_architecture(spec: ModelSpec) -> ModelSpec:
    """The spec with its sizes: its own table, else from config.json; raises `BuildError`."""
    if spec.architecture:
        return spec
    path = ROOT / spec.source / "config.json"
    if "://" in spec.source or not path.is_file():
        raise BuildError(
            f"builders/models/{spec.name}.toml has no [architecture] table (layers, hidden, heads, "
            f"…), without which memory can't be planned, and '{spec.source}' is no local folder "
            "whose config.json would tell"
        )
    try:
        config = _read(read_json(path, {}))
        if experts := next((n for n in _EXPERTS if int(config.get(n) or 0) > 1), None):
            raise spec.error(
                f"{path} is of a mixture of experts ({experts} {config[experts]}), whose memory "
                "and speed the planner does not know; possible: a dense model"
            )
        sizes = Architecture(**_sizes(config, spec), source=str(path))
    except (ValueError, KeyError, TypeError, AttributeError, ValidationError) as error:
        raise BuildError(
            f"{path} does not tell the model's sizes ({error!r}): write them into "
            f"builders/models/{spec.name}.toml under [architecture]"
        ) from error
    return spec.model_copy(update={"architecture": sizes})


def _read(config: dict[str, Any]) -> dict[str, Any]:
    """config.json with Llama's names of fields; transformers reads those of other families."""
    names = ("num_hidden_layers", "num_attention_heads", "intermediate_size", "vocab_size")
    if all(name in config for name in names):
        return config
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

    read = CONFIG_MAPPING[config["model_type"]].from_dict(config)
    text = read.get_text_config()
    named = {name: getattr(text, own) for name, own in text.attribute_map.items()}
    found: dict[str, Any] = named | text.to_dict()
    if text is not read:
        found["architectures"] = [MODEL_FOR_CAUSAL_LM_MAPPING_NAMES[text.model_type]]
    return found


def _sizes(config: dict[str, Any], spec: ModelSpec) -> dict[str, Any]:
    """Fields of `Architecture`; encoders have no output head, and two matrices in their MLP."""
    is_encoder = spec.role != "llm"
    heads, hidden = config["num_attention_heads"], config["hidden_size"]
    has_gate = not is_encoder and config.get("model_type") not in _TWO_MATRICES
    width = next((config[name] for name in _MLP_WIDTHS if config.get(name)), 4 * hidden)
    return {
        "layers": config["num_hidden_layers"],
        "hidden": hidden,
        "heads": heads,
        "kv_heads": _kv_heads(config) or heads,
        "head_dim": config.get("head_dim") or hidden // heads,
        "intermediate": width,
        "vocabulary": config["vocab_size"],
        "max_positions": config.get("max_position_embeddings") or spec.max_tokens,
        "mlp_matrices": 3 if has_gate else 2,
        "tied_embeddings": is_encoder or bool(config.get("tie_word_embeddings", False)),
        "hf_class": str((config.get("architectures") or [""])[0]),
    }


def _kv_heads(config: dict[str, Any]) -> int | None:
    """Number of KV heads; Falcon and GPT-BigCode only say whether there is one or one per head."""
    if config.get("multi_query") and not config.get("new_decoder_architecture"):
        return 1
    return config.get("num_key_value_heads") or config.get("num_kv_heads")
