"""What Triton loads and users regret: scheduling of single models."""

import re
from collections.abc import Iterator

from triton_lint.config_tree import Message, Node, Span
from triton_lint.findings import Problem
from triton_lint.models import Model
from triton_lint.repository import Repository
from triton_lint.rule import WARNING, check, opinion
from triton_lint.rules.common import queue_policies
from triton_lint.shapes import element_count
from triton_lint.tokens import TokenKind, tokenize
from triton_lint.versions import Version

_SAMPLING = re.compile(
    r"^(temperature|top_?[kp]|(random_)?seed|runtime_top_[kp]|sampling_.*)$", re.I
)
_PLACEHOLDER = re.compile(r"\$\{[A-Za-z_][A-Za-z0-9_]*\}")
GUIDED_SINCE = Version(2, 54)
TRT_LLM_GUIDED = ("tokenizer_dir", "xgrammar_tokenizer_info_path", "guided_decoding_backend")
"""Read whether guided decoding is wanted or not; an empty or unfilled value is none."""
TRT_LLM_PATHS = ("gpt_model_path", "encoder_model_path")
TRT_LLM_VALUES = ("gpt_model_type", "gpt_model_path")
"""What the backend needs a real value of."""


@check("TRN601", WARNING)
def _uncached_sampling(model: Model, _: Repository) -> Iterator[Problem]:
    if model.config.child_or_empty("response_cache").flag("enable"):
        inputs = [t.text("name") for t in model.config.children("input")]
        found = [name for name in inputs if _SAMPLING.match(name)]
        if found:
            text = f"the cache answers equal requests with one sample: inputs {', '.join(found)}"
            yield Problem(model.at(model.config, "response_cache"), text)


@opinion("TRN602")
def _queue(model: Model, _: Repository) -> Iterator[Problem]:
    """Only where the model says that it batches on a GPU: others are cheap, or queue nothing."""
    batching = model.config.child("dynamic_batching")
    if batching is None or model.is_ensemble or not _on_gpu(model):
        return
    limits = ("max_queue_size", "default_timeout_microseconds")
    if not any(policy.number(limit) for policy in queue_policies(batching) for limit in limits):
        yield Problem(
            model.at(model.config, "dynamic_batching"),
            "the queue in front of this GPU model has no bound: give default_queue_policy a "
            "max_queue_size or a default_timeout_microseconds, or overload becomes waiting "
            "without end",
        )


def _on_gpu(model: Model) -> bool:
    groups = model.config.children("instance_group")
    return any(group.text("kind") == "KIND_GPU" for group in groups)


@opinion("TRN603")
def _nothing_merges(model: Model, _: Repository) -> Iterator[Problem]:
    batching = model.config.child("dynamic_batching")
    if batching is None:
        return
    at = model.at(model.config, "dynamic_batching")
    if model.max_batch_size <= 1 and not model.may_complete:
        text = f"dynamic batching with max_batch_size {model.max_batch_size} merges nothing"
        yield Problem(at, text)
        return
    for tensor in model.config.children("input"):
        dims = tensor.numbers("dims")
        if element_count(dims) == -1 and not tensor.flag("allow_ragged_batch") and _is_text(tensor):
            delay = batching.number("max_queue_delay_microseconds")
            if delay:
                yield Problem(
                    at,
                    f"input '{tensor.text('name')}' varies in length, and only requests of one "
                    f"length are merged: the delay of {delay:g} µs is mostly waited in vain (pad, "
                    "or allow_ragged_batch)",
                )


def _is_text(tensor: Message) -> bool:
    return (
        tensor.text("data_type") in ("TYPE_INT32", "TYPE_INT64") and len(tensor.nodes("dims")) == 1
    )


@opinion("TRN604")
def _cold(model: Model, _: Repository) -> Iterator[Problem]:
    if (
        _on_gpu(model)
        and model.backend in ("onnxruntime", "pytorch", "tensorflow")
        and ("model_warmup" not in model.config)
    ):
        yield Problem(
            model.at(model.config, "instance_group"),
            f"no model_warmup: the first requests of a GPU model of '{model.backend}' wait for "
            "kernels to be chosen and memory to be taken",
        )


@check("TRN606", WARNING)
def _left_placeholders(model: Model, _: Repository) -> Iterator[Problem]:
    if "${" not in model.text:
        return
    unset = [node.value_at for node in _unset_parameters(model)]
    for token in tokenize(model.text):
        for match in _PLACEHOLDER.finditer(token.text) if token.kind == TokenKind.STRING else ():
            at = Span(token.start + match.start(), token.start + match.end())
            if not any(each.start <= at.start < each.end for each in unset):
                yield Problem(at, f"{match[0]} was not filled in")


def _unset_parameters(model: Model) -> list[Node]:
    """Parameters of which TensorRT-LLM's backend takes an unfilled value for none."""
    entries = model.config.entries("parameters") if model.backend == "tensorrtllm" else []
    return [entry.node for entry in entries if entry.key not in TRT_LLM_VALUES]


@check("TRN607", WARNING)
def _tensorrt_llm(model: Model, _: Repository) -> Iterator[Problem]:
    """Follows getBatchingTypeFromParams and getGuidedDecodingConfigFromParams."""
    if model.backend != "tensorrtllm":
        return
    keys = {str(entry.key) for entry in model.config.entries("parameters")}
    guided = TRT_LLM_GUIDED if model.options.triton >= GUIDED_SINCE else ()
    missing = [key for key in ("gpt_model_type", *guided) if key not in keys]
    if not keys & set(TRT_LLM_PATHS):
        missing.append(" or ".join(TRT_LLM_PATHS))
    for key in missing:
        text = f"parameter '{key}' is missing: TensorRT-LLM's C++ backend does not load without it"
        yield Problem(model.at(model.config), text)


@opinion("TRN605")
def _serial_python(model: Model, _: Repository) -> Iterator[Problem]:
    if (
        model.backend == "python"
        and model.max_batch_size > 1
        and not model.may_complete
        and not any(name in model.config for name in ("dynamic_batching", "sequence_batching"))
    ):
        yield Problem(
            model.at(model.config, "max_batch_size"),
            f"max_batch_size is {model.max_batch_size}, and without dynamic_batching each request "
            "runs alone: concurrent requests queue behind each other",
        )
