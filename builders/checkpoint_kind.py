"""Whether config.json is of a model that the spec's role can use, before anything is loaded."""

from collections.abc import Mapping
from importlib.metadata import version
from types import MappingProxyType
from typing import Any

from builders.spec import ModelSpec

_CLASSIFIER = "ForSequenceClassification"
_LLM = ("ForCausalLM", "LMHeadModel")

_OTHER_SENSES = ("vision_config", "audio_config")
"""Fields of config.json that models of text alone lack."""

Config = Mapping[str, Any]


def is_llm(config: Config) -> bool:
    """Whether config.json is of a model that writes text."""
    classes = config.get("architectures") or [""]
    return str(classes[0]).endswith(_LLM)


def check_kind(spec: ModelSpec, config: Config, has_modules: bool) -> None:
    """Raises `BuildError` for another role's checkpoint; `has_modules`: it has a modules.json."""
    if spec.role != "llm" or "auto_map" in config:  # an LLM's exporter knows its types
        _check_known(spec, config)
    classes = [str(name) for name in config.get("architectures") or []]
    if spec.role == "llm":
        _check_is_no_other(spec, classes)
        return
    if parts := [name for name in _OTHER_SENSES if name in config]:
        raise spec.error(
            f"config.json is of a multimodal model ({', '.join(parts)}); possible: a model of text "
            "alone"
        )
    if notes := quantization(config):
        raise spec.error(
            f"the checkpoint's weights are quantized ({notes['quant_method']}); possible: the "
            "original checkpoint, in FP32, FP16 or BF16"
        )
    if spec.role != "embedder":
        if not spec.answer_weights:
            _check_is_reranker(spec, config, classes, has_modules)
    elif not has_modules:
        _check_is_no_other(spec, classes)


QUANTIZATION = ("quantization_config", "compression_config")
"""Fields of config.json; the second is an older name, written by compressed-tensors."""


def quantization(config: Config, beside: Config = MappingProxyType({})) -> Config:
    """How the weights are quantized, with at least `quant_method`; empty: they are not.

    `beside` is hf_quant_config.json of NVIDIA's older checkpoints. MLX writes `quantization`.
    """
    found: Config = next((config[name] for name in QUANTIZATION if config.get(name)), {})
    if noted := {**(beside.get("quantization") or {}), **found}:
        return {"quant_method": "unknown" if found else "modelopt", **noted}
    return {"quant_method": "MLX"} if "quantization" in config else {}


def _check_known(spec: ModelSpec, config: Config) -> None:
    """Raises `BuildError` for a model_type that transformers does not have: during the build it
    would ask at the terminal whether to run the checkpoint's code."""
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING_NAMES

    kind = config.get("model_type", "")
    if kind not in CONFIG_MAPPING_NAMES:
        own = "brings code of its own (auto_map), which a build never runs, and "
        raise spec.error(
            f"its config.json {own * ('auto_map' in config)}names the model_type '{kind}', which "
            f"transformers {version('transformers')} does not have"
        )


def _check_is_no_other(spec: ModelSpec, classes: list[str]) -> None:
    """Raises `BuildError` for a classifier or LLM: the mean of its states is no embedding."""
    others = _CLASSIFIER if spec.role == "llm" else (_CLASSIFIER, *_LLM)
    if found := [name for name in classes if name.endswith(others)]:
        role = "reranker" if found[0].endswith(_CLASSIFIER) else "llm"
        encoders = "; without modules.json only encoders are taken" * (spec.role == "embedder")
        raise spec.error(
            f"role {spec.role} in its spec, and its config.json names {found[0]}: write "
            f'role = "{role}", or name an {spec.role}{encoders}'
        )


def _check_is_reranker(
    spec: ModelSpec, config: Config, classes: list[str], has_modules: bool
) -> None:
    if classes and not any(name.endswith(_CLASSIFIER) for name in classes):
        if is_llm(config) and has_modules:
            return  # modules.json says which token's logit it is (builders/encoder_models.py)
        llm = ", or an LLM whose modules.json has a LogitScore, as Qwen3-Reranker's" * is_llm(
            config
        )
        raise spec.error(
            f"role {spec.role} in its spec, and its config.json names {classes[0]}, which has no "
            f"score; possible: a cross-encoder, a …{_CLASSIFIER} with one label{llm}"
        )
    labels = config.get("id2label") or {}
    if len(labels) > 1:
        raise spec.error(
            f"config.json has {len(labels)} labels ({', '.join(map(str, labels.values()))}), so it "
            "is a classifier; a reranker has one, whose logit is the relevance"
        )
