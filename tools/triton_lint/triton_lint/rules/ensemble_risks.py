"""Warnings about ensembles that Triton loads."""

from collections.abc import Iterator

from triton_lint.ensembles import tensors_written
from triton_lint.findings import Problem
from triton_lint.models import Model
from triton_lint.repository import Repository, Step
from triton_lint.rule import WARNING, check


def _decoupled(all_steps: list[Step], repository: Repository) -> list[Step]:
    return [one for one in all_steps if one.model and repository.is_decoupled(one.model)]


def _after(step_: Step, all_steps: list[Step]) -> list[Step]:
    """The steps that read what a step writes, directly or through others."""
    reached = tensors_written([step_])
    found: list[Step] = []
    while fresh := [
        one for one in all_steps
        if one not in found and any(entry.value in reached for entry in one.reads)
    ]:  # fmt: skip
        found += fresh
        reached |= tensors_written(fresh)
    return found


@check("TRN651", WARNING)
def _reordered(model: Model, repository: Repository) -> Iterator[Problem]:
    all_steps = repository.steps(model)
    for decoupled in _decoupled(all_steps, repository):
        for later in _after(decoupled, all_steps):
            if later.model is None or later.model.is_ensemble or later.model.instances < 2:
                continue
            batching = later.model.config.child_or_empty("dynamic_batching")
            if not batching.flag("preserve_ordering"):
                yield Problem(
                    later.message.at,
                    f"{later.label} has {later.model.instances} instances and follows decoupled "
                    f"{decoupled.label}: responses overtake each other; use one instance, or "
                    "dynamic_batching { preserve_ordering: true }",
                )
