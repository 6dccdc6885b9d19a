"""Dynamic batching, queues, response cache."""

from collections.abc import Iterator

from triton_lint.config_tree import Message
from triton_lint.findings import Problem
from triton_lint.models import Model
from triton_lint.repository import Repository
from triton_lint.rule import ERROR, check
from triton_lint.rules.common import queue_policies
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


@check("TRN301", ERROR)
def _preferred(model: Model, _: Repository) -> Iterator[Problem]:
    yield from preferred_sizes(model, model.config.child_or_empty("dynamic_batching"))


@check("TRN302", ERROR)
def _default_priority(model: Model, _: Repository) -> Iterator[Problem]:
    batching = model.config.child_or_empty("dynamic_batching")
    levels = int(batching.number("priority_levels"))
    level = int(batching.number("default_priority_level")) if levels else 0
    if levels and not 1 <= level <= levels:
        text = f"default_priority_level is {level}; with {levels} levels it is from 1 to {levels}"
        yield Problem(model.at(batching, "default_priority_level"), text)


@check("TRN303", ERROR)
def _priority_keys(model: Model, _: Repository) -> Iterator[Problem]:
    batching = model.config.child_or_empty("dynamic_batching")
    levels = int(batching.number("priority_levels"))
    for entry in batching.entries("priority_queue_policy") if levels else []:
        if not 1 <= int(entry.key) <= levels:
            text = f"queue policy of priority {entry.key}; levels are 1 to {levels}"
            yield Problem(entry.node.at, text)


@check("TRN304", ERROR)
def _ordering(model: Model, _: Repository) -> Iterator[Problem]:
    batching = model.config.child_or_empty("dynamic_batching")
    if not batching.flag("preserve_ordering"):
        return
    at = model.at(batching, "preserve_ordering")
    if batching.number("priority_levels") > 1:
        yield Problem(at, "preserve_ordering with more than one priority level")
    for policy in queue_policies(batching):
        is_timed = policy.number("default_timeout_microseconds")
        if is_timed and policy.text("timeout_action") == "DELAY":
            yield Problem(
                model.at(policy, "timeout_action"),
                "timeout_action DELAY puts requests behind later ones; preserve_ordering "
                "forbids it",
            )


@check("TRN305", ERROR)
def _cache(model: Model, repository: Repository) -> Iterator[Problem]:
    if not model.config.child_or_empty("response_cache").flag("enable"):
        return
    at = model.at(model.config, "response_cache")
    if repository.is_decoupled(model):
        yield Problem(at, "a decoupled model can't have a response cache")
    if "sequence_batching" in model.config and model.options.triton >= CACHE_OR_SEQUENCE:
        yield Problem(at, "a model with sequence_batching can't have a response cache")
