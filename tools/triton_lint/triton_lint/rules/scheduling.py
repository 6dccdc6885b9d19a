"""Dynamic batching, queues, response cache."""

from collections.abc import Iterator

from triton_lint.config_tree import Message
from triton_lint.findings import Problem
from triton_lint.models import Model
from triton_lint.repository import Repository
from triton_lint.rule import ERROR, Rule
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
    if repository.is_decoupled(model):
        yield Problem(at, "a decoupled model can't have a response cache")
    if "sequence_batching" in model.config and model.options.triton >= CACHE_OR_SEQUENCE:
        yield Problem(at, "a model with sequence_batching can't have a response cache")


RULES = (
    Rule("TRN301", ERROR, _preferred),
    Rule("TRN302", ERROR, _default_priority),
    Rule("TRN303", ERROR, _priority_keys),
    Rule("TRN304", ERROR, _ordering),
    Rule("TRN305", ERROR, _cache),
)
