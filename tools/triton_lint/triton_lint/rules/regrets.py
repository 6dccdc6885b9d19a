"""What Triton loads and users regret: scheduling of single models."""

import re
from collections.abc import Iterator

from triton_lint.findings import Problem
from triton_lint.models import Model
from triton_lint.nodes import Message, Span
from triton_lint.rule import WARNING, Example, Repository, Rule
from triton_lint.shapes import element_count
from triton_lint.tokens import TokenKind, tokenize

_SAMPLING = re.compile(
    r"^(temperature|top_?[kp]|(random_)?seed|runtime_top_[kp]|sampling_.*)$", re.I
)
_PLACEHOLDER = re.compile(r"\$\{[A-Za-z_][A-Za-z0-9_]*\}")
TRT_LLM_REQUIRED = ("gpt_model_type", "gpt_model_path", "max_beam_width", "batching_type")


def instances(model: Model) -> int:
    """Instances on one device; groups without a count have one."""
    groups = model.config.children("instance_group")
    return sum(max(1, int(group.number("count"))) for group in groups) or 1


def _uncached_sampling(model: Model, _: Repository) -> Iterator[Problem]:
    cache = model.config.child("response_cache")
    if cache and cache.flag("enable"):
        inputs = [t.text("name") for t in model.config.children("input")]
        found = [name for name in inputs if _SAMPLING.match(name)]
        if found:
            yield Problem(
                model.at(model.config, "response_cache"),
                f"the cache answers equal requests with one sample: inputs {', '.join(found)}",
            )


def _queue(model: Model, _: Repository) -> Iterator[Problem]:
    """Only where the model says that it batches on a GPU: others are cheap, or queue nothing."""
    batching = model.config.child("dynamic_batching")
    if batching is None or model.is_ensemble or not _on_gpu(model):
        return
    policies = [batching.child("default_queue_policy")]
    policies += [e.value for e in batching.entries("priority_queue_policy")
                 if isinstance(e.value, Message)]  # fmt: skip
    if not any(p and (p.number("max_queue_size") or p.number("default_timeout_microseconds"))
               for p in policies):  # fmt: skip
        yield Problem(
            model.at(model.config, "dynamic_batching"),
            "the queue in front of this GPU model has no bound: give default_queue_policy a "
            "max_queue_size or a default_timeout_microseconds, or overload becomes waiting "
            "without end",
        )


def _on_gpu(model: Model) -> bool:
    groups = model.config.children("instance_group")
    return any(group.text("kind") == "KIND_GPU" for group in groups)


def _nothing_merges(model: Model, _: Repository) -> Iterator[Problem]:
    batching = model.config.child("dynamic_batching")
    if batching is None:
        return
    at = model.at(model.config, "dynamic_batching")
    if model.max_batch_size <= 1 and not model.may_complete:
        yield Problem(
            at, f"dynamic batching with max_batch_size {model.max_batch_size} merges nothing"
        )
        return
    for tensor in model.config.children("input"):
        dims = tensor.numbers("dims")
        if element_count(dims) == -1 and not tensor.flag("allow_ragged_batch") and _is_text(tensor):
            delay = batching.number("max_queue_delay_microseconds")
            if delay:
                yield Problem(
                    at,
                    f"input '{tensor.text('name')}' varies in length, and only requests of one "
                    f"length are merged: the delay of {delay:g} µs is mostly waited in vain "
                    f"(pad, or "
                    "allow_ragged_batch)",
                )


def _is_text(tensor: Message) -> bool:
    return (
        tensor.text("data_type") in ("TYPE_INT32", "TYPE_INT64") and len(tensor.nodes("dims")) == 1
    )


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


def _left_placeholders(model: Model, _: Repository) -> Iterator[Problem]:
    if "${" not in model.text:
        return
    for token in tokenize(model.text):
        for match in _PLACEHOLDER.finditer(token.text) if token.kind == TokenKind.STRING else ():
            at = Span(token.start + match.start(), token.start + match.end())
            yield Problem(at, f"{match[0]} was not filled in")


def _tensorrt_llm(model: Model, _: Repository) -> Iterator[Problem]:
    if model.backend != "tensorrtllm":
        return
    keys = {str(entry.key) for entry in model.config.entries("parameters")}
    for key in TRT_LLM_REQUIRED:
        if key not in keys:
            yield Problem(
                model.at(model.config),
                f"parameter '{key}' is missing: TensorRT-LLM's C++ backend reads it without a "
                f"default",
            )


def _serial_python(model: Model, _: Repository) -> Iterator[Problem]:
    if (
        model.backend == "python"
        and model.max_batch_size > 1
        and not model.may_complete
        and not any(name in model.config for name in ("dynamic_batching", "sequence_batching"))
    ):
        yield Problem(
            model.at(model.config, "max_batch_size"),
            f"max_batch_size is {model.max_batch_size}, and without dynamic_batching each "
            f"request runs "
            "alone: concurrent requests queue behind each other",
        )


_CACHE = """backend: "python"
input { name: "prompt" data_type: TYPE_STRING dims: [ 1 ] }
input { name: "temperature" data_type: TYPE_FP32 dims: [ 1 ] }
output { name: "text" data_type: TYPE_STRING dims: [ 1 ] }
"""
_GPU = 'backend: "tensorrt"\nmax_batch_size: 8\ninstance_group { kind: KIND_GPU }\n'
_PLAN = {"model/1/model.plan": ""}
_TEXT = """backend: "python"
max_batch_size: 8
input { name: "ids" data_type: TYPE_INT64 dims: [ -1 ] %s}
output { name: "y" data_type: TYPE_FP32 dims: [ 1 ] }
dynamic_batching { max_queue_delay_microseconds: 100 }
"""
_LLM_HEAD = (
    'backend: "tensorrtllm"\nmax_batch_size: 8\nmodel_transaction_policy { decoupled: true }\n'
)
_LLM_KEYS = "".join(
    f'parameters {{ key: "{key}" value {{ string_value: "1" }} }}\n' for key in TRT_LLM_REQUIRED
)
_NOTHING = "facts of 2.51; the examples load"

RULES = (
    Rule("TRN601", "a response cache in front of sampling", WARNING,
         "Equal requests get the same cached answer, and request parameters (as opposed to inputs) "
         "are not even part of the key.",
         Example(_CACHE + "response_cache { enable: true }\n"), Example(_CACHE), _uncached_sampling,
         _NOTHING),
    Rule("TRN602", "a GPU model with an unbounded queue", WARNING,
         "Under overload requests wait for ever longer. A bound lets Triton answer 503 at once. "
         "In front of a single instance, measure it: on 2.51 we saw `max_queue_size` delay some "
         "batches by 500 ms (docs/decisions/0017), and bound requests elsewhere.",
         Example(_GPU + "dynamic_batching { }\n", _PLAN),
         Example(_GPU + "dynamic_batching { default_queue_policy { max_queue_size: 4 } }\n", _PLAN),
         _queue, "server documentation; needs a GPU to be run"),
    Rule("TRN603", "dynamic batching that merges nothing", WARNING,
         "Without a batch size above 1, or for inputs of varying length that are neither "
         "padded nor "
         "ragged, requests are not merged, and a queue delay only costs time.",
         Example(_TEXT % ""), Example(_TEXT % "allow_ragged_batch: true "), _nothing_merges,
         _NOTHING),
    Rule("TRN604", "a GPU model without warm-up", WARNING,
         "ONNX Runtime, PyTorch and TensorFlow choose kernels at the first requests of each shape.",
         Example('backend: "onnxruntime"\ninstance_group { kind: KIND_GPU }\n'),
         Example('backend: "onnxruntime"\ninstance_group { kind: KIND_GPU }\nmodel_warmup { '
                 'name: "w" '
                 "batch_size: 1 }\n"), _cold, "server documentation; needs a GPU to be run"),
    Rule("TRN605", "a Python model that batches, without dynamic batching", WARNING,
         "`max_batch_size` alone only lets clients send batches.",
         Example('backend: "python"\nmax_batch_size: 8\n'),
         Example('backend: "python"\nmax_batch_size: 8\ndynamic_batching { }\n'), _serial_python,
         _NOTHING),
    Rule("TRN606", "a template's `${…}` is left in a string", WARNING,
         "It parses, and becomes the value: TensorRT-LLM's templates load, or fail, with the path "
         "`${engine_dir}`.",
         Example('backend: "identity"\nparameters { key: "dir" value { string_value: "${dir}" '
                 '} }\n'),
         Example('backend: "identity"\nparameters { key: "dir" value { string_value: "/d" } }\n'),
         _left_placeholders, _NOTHING),
    Rule("TRN607", "a TensorRT-LLM parameter without default is missing", WARNING,
         "The C++ backend (up to 1.2.1) reads these keys unconditionally.",
         Example(_LLM_HEAD), Example(_LLM_HEAD + _LLM_KEYS), _tensorrt_llm,
         "source: TensorRT-LLM's inflight_batcher_llm backend; not run"),
)  # fmt: skip
