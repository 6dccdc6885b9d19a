"""The sizes of a checkpoint in a local folder, where its spec has no [architecture] table."""

from typing import Any

from pydantic import ValidationError

from builders.checkpoint import read_json
from builders.errors import BuildError
from builders.spec import ROOT, Architecture, ModelSpec


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
        sizes = Architecture(**_sizes(read_json(path, {}), spec.role != "llm"), source=str(path))
    except (ValueError, KeyError, TypeError, ValidationError) as error:
        raise BuildError(
            f"{path} does not tell the model's sizes ({error!r}): write them into "
            f"builders/models/{spec.name}.toml under [architecture]"
        ) from error
    return spec.model_copy(update={"architecture": sizes})


def _sizes(config: dict[str, Any], is_encoder: bool) -> dict[str, Any]:
    """Under the names that the configurations of Llama, Qwen, Mistral and BERT share.

    Encoders have no output head and two matrices in their MLP.
    """
    heads = config["num_attention_heads"]
    classes = config.get("architectures") or [""]
    return {
        "layers": config["num_hidden_layers"],
        "hidden": config["hidden_size"],
        "heads": heads,
        "kv_heads": config.get("num_key_value_heads") or heads,
        "head_dim": config.get("head_dim") or config["hidden_size"] // heads,
        "intermediate": config["intermediate_size"],
        "vocabulary": config["vocab_size"],
        "max_positions": config["max_position_embeddings"],
        "mlp_matrices": 2 if is_encoder else 3,
        "tied_embeddings": is_encoder or bool(config.get("tie_word_embeddings", False)),
        "hf_class": str(classes[0]),
    }
