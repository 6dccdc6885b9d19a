"""Dynamic batching, queues, response cache."""

from collections.abc import Iterator

from triton_lint.ensembles import is_decoupled
from triton_lint.findings import Problem
from triton_lint.models import Model
from triton_lint.nodes import Message
from triton_lint.rule import ERROR, Example, Repository, Rule
from triton_lint.versions import Version

CACHE_OR_SEQUENCE = Version(2, 39)


def preferred_sizes(model: Model, scheduler: Message) -> Iterator[Problem]:
    """Preferred batch sizes that no batch can have."""
    for node in scheduler.nodes("preferred_batch_size"):
        size = node.value
        if isinstance(size, int) and size <= 0:
            yield Problem(node.value_at, f"preferred batch size {size}: it has to be 1 or more")
        elif isinstance(size, int) and size > model.max_batch_size:
            yield Problem(
                node.value_at,
                f"preferred batch size {size} exceeds max_batch_size, which is "
                f"{model.max_batch_size}",
            )


def _preferred(model: Model, _: Repository) -> Iterator[Problem]:
    if batching := model.config.child("dynamic_batching"):
        yield from preferred_sizes(model, batching)


def _default_priority(model: Model, _: Repository) -> Iterator[Problem]:
    batching = model.config.child("dynamic_batching")
    levels = int(batching.number("priority_levels")) if batching else 0
    if batching and levels:
        level = int(batching.number("default_priority_level"))
        if not 1 <= level <= levels:
            yield Problem(
                model.at(batching, "default_priority_level"),
                f"default_priority_level is {level}; with {levels} levels it is from 1 to {levels}",
            )


def _priority_keys(model: Model, _: Repository) -> Iterator[Problem]:
    batching = model.config.child("dynamic_batching")
    levels = int(batching.number("priority_levels")) if batching else 0
    for entry in batching.entries("priority_queue_policy") if batching and levels else []:
        if not 1 <= int(entry.key) <= levels:
            yield Problem(
                entry.node.at, f"queue policy of priority {entry.key}; levels are 1 to {levels}"
            )


def _ordering(model: Model, _: Repository) -> Iterator[Problem]:
    batching = model.config.child("dynamic_batching")
    if batching is None or not batching.flag("preserve_ordering"):
        return
    at = model.at(batching, "preserve_ordering")
    if batching.number("priority_levels") > 1:
        yield Problem(at, "preserve_ordering with more than one priority level")
    policies = [batching.child("default_queue_policy")]
    policies += [
        entry.value
        for entry in batching.entries("priority_queue_policy")
        if isinstance(entry.value, Message)
    ]
    for policy in policies:
        if (
            policy
            and policy.number("default_timeout_microseconds")
            and policy.text("timeout_action") == "DELAY"
        ):
            yield Problem(
                model.at(policy, "timeout_action"),
                "timeout_action DELAY puts requests behind later ones; preserve_ordering "
                "forbids it",
            )


def _cache(model: Model, repository: Repository) -> Iterator[Problem]:
    cache = model.config.child("response_cache")
    if cache is None or not cache.flag("enable"):
        return
    at = model.at(model.config, "response_cache")
    if is_decoupled(model, repository):
        yield Problem(at, "a decoupled model can't have a response cache")
    if "sequence_batching" in model.config and model.options.triton >= CACHE_OR_SEQUENCE:
        yield Problem(at, "a model with sequence_batching can't have a response cache")


def _config(inside: str) -> Example:
    return Example(f'backend: "onnxruntime"\nmax_batch_size: 8\ndynamic_batching {{ {inside} }}\n')


_POLICY = "default_queue_policy { timeout_action: %s default_timeout_microseconds: 100 }"

RULES = (
    Rule("TRN301", "a preferred batch size that can't be", ERROR,
         "Preferred sizes are from 1 to `max_batch_size`. Triton refuses others even when "
         "`max_batch_size` is 0 and batching is off.",
         _config("preferred_batch_size: [ 4, 16 ]"), _config("preferred_batch_size: [ 4, 8 ]"),
         _preferred),
    Rule("TRN302", "the default priority is not a level", ERROR,
         "With `priority_levels` set, `default_priority_level` has to be from 1 to it; 1 is the "
         "highest.",
         _config("priority_levels: 2"), _config("priority_levels: 2 default_priority_level: 1"),
         _default_priority),
    Rule("TRN303", "a queue policy for a priority that does not exist", ERROR,
         "Keys of `priority_queue_policy` are from 1 to `priority_levels`.",
         _config("priority_levels: 2 default_priority_level: 1 priority_queue_policy { key: 3 "
                 "value { max_queue_size: 4 } }"),
         _config("priority_levels: 2 default_priority_level: 1 priority_queue_policy { key: 2 "
                 "value { max_queue_size: 4 } }"), _priority_keys),
    Rule("TRN304", "what preserve_ordering forbids", ERROR,
         "Order can be kept within one priority level only, and not when timed-out requests are "
         "delayed behind others.",
         _config(f"preserve_ordering: true {_POLICY % 'DELAY'}"),
         _config(f"preserve_ordering: true {_POLICY % 'REJECT'}"), _ordering),
    Rule("TRN305", "a response cache that can't be", ERROR,
         "Triton caches neither decoupled models (or ensembles over one) nor (since 23.10) "
         "models with sequence batching.",
         Example('backend: "onnxruntime"\nmodel_transaction_policy { decoupled: true }\n'
                 "response_cache { enable: true }\n"),
         Example('backend: "onnxruntime"\nresponse_cache { enable: true }\n'), _cache),
)  # fmt: skip
