"""What Triton loads and users regret: ensembles and models that call models."""

import ast
from collections.abc import Iterator

from triton_lint.ensembles import Step, is_decoupled, steps
from triton_lint.findings import Problem
from triton_lint.models import Model
from triton_lint.rule import WARNING, Example, Repository, Rule
from triton_lint.rules.ensemble import FIRST, GOOD, PART, SECOND, ensemble, step
from triton_lint.rules.regrets import instances
from triton_lint.versions import Version

INFLIGHT_SINCE = Version(2, 63)


def _decoupled(all_steps: list[Step], repository: Repository) -> list[Step]:
    return [one for one in all_steps if one.model and is_decoupled(one.model, repository)]


def _after(step_: Step, all_steps: list[Step]) -> list[Step]:
    """The steps that read, by whatever way, what a step writes."""
    reached = {str(entry.value) for entry in step_.writes}
    found: list[Step] = []
    while fresh := [
        one for one in all_steps
        if one not in found and any(entry.value in reached for entry in one.reads)
    ]:  # fmt: skip
        found += fresh
        reached |= {str(entry.value) for one in fresh for entry in one.writes}
    return found


def _reordered(model: Model, repository: Repository) -> Iterator[Problem]:
    all_steps = steps(model, repository)
    for decoupled in _decoupled(all_steps, repository):
        for later in _after(decoupled, all_steps):
            if later.model is None or later.model.is_ensemble or instances(later.model) < 2:
                continue
            batching = later.model.config.child("dynamic_batching")
            if batching is None or not batching.flag("preserve_ordering"):
                yield Problem(
                    later.message.at,
                    f"{later.label} has {instances(later.model)} instances and follows decoupled "
                    f"{decoupled.label}: responses overtake each other; use one instance, or "
                    "dynamic_batching { preserve_ordering: true }",
                )


def _not_cancelled(model: Model, repository: Repository) -> Iterator[Problem]:
    for one in _decoupled(steps(model, repository), repository):
        if one.model and not one.model.is_ensemble:
            yield Problem(
                one.message.at,
                f"{one.label} generates on when the client is gone: Triton does not cancel "
                f"the steps "
                "of an ensemble; call the model itself, or cancel by a request of its own",
            )


def _no_limit(model: Model, repository: Repository) -> Iterator[Problem]:
    scheduling = model.config.child("ensemble_scheduling")
    if scheduling is None or model.options.triton < INFLIGHT_SINCE:
        return
    all_steps = steps(model, repository)
    for one in _decoupled(all_steps, repository):
        if _after(one, all_steps) and not scheduling.number("max_inflight_requests"):
            yield Problem(
                model.at(model.config, "ensemble_scheduling"),
                f"{one.label} may give responses faster than the next step takes them, "
                f"without bound: "
                "set max_inflight_requests",
            )
            return


def _same_model_twice(model: Model, repository: Repository) -> Iterator[Problem]:
    seen = set()
    for one in steps(model, repository):
        called = one.model
        if called is None or called.is_ensemble:
            continue
        batching = called.config.child("dynamic_batching")
        policy = batching.child("default_queue_policy") if batching else None
        timed = policy and policy.number("default_timeout_microseconds")
        if one.model_name in seen and timed and instances(called) == 1:
            yield Problem(
                one.message.at,
                f"{one.label} is called before: with one instance and a queue timeout, requests in "
                "their second step wait behind others in their first, and time out half-way",
            )
        seen.add(one.model_name)


def _calls_itself(model: Model, _: Repository) -> Iterator[Problem]:
    source = model.python
    if source is None or instances(model) > 1:
        return
    for name, call in source.calls:
        called = [
            word.value.value
            for word in call.keywords
            if word.arg == "model_name" and isinstance(word.value, ast.Constant)
        ]
        if name == "InferenceRequest" and called == [model.name]:
            text = f"'{model.name}' calls itself, and its one instance waits for itself for ever"
            yield Problem(source.at(call), text, file=source.file)


_STREAM = PART + "model_transaction_policy { decoupled: true }\n"
_TWO = PART + "instance_group { count: 2 kind: KIND_CPU }\n"
_TIMED = PART + "dynamic_batching { default_queue_policy { default_timeout_microseconds: 9 } }\n"
_ONE = ensemble(step("first", "IN", "OUT"), first=_STREAM)
_BLS = """import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    def execute(self, requests):
        pb_utils.InferenceRequest(model_name="%s", inputs=[], requested_output_names=[]).exec()
        return []
"""
_NOTHING = "facts of 2.51; the examples load"

RULES = (
    Rule("TRN651", "responses overtake each other", WARNING,
         "After a decoupled step, a model with several instances gives the pieces back in the "
         "order in "
         "which they are done: text is jumbled.",
         ensemble(FIRST, SECOND, first=_STREAM, second=_TWO), GOOD, _reordered, _NOTHING),
    Rule("TRN652", "a decoupled step can't be cancelled", WARNING,
         "A client that leaves cancels the ensemble's request only, not those of its steps: an LLM "
         "generates to the end.", _ONE, GOOD, _not_cancelled, _NOTHING),
    Rule("TRN653", "a decoupled step without a limit", WARNING,
         "Since 25.11 `max_inflight_requests` keeps a fast step from flooding a slow one.",
         ensemble(FIRST, SECOND, first=_STREAM), GOOD, _no_limit,
         "source: 25.11's schema; without it, 2,941 requests were seen to pile up on 2.51"),
    Rule("TRN654", "one instance, called twice, with a queue timeout", WARNING,
         "Requests of both calls share the queue.",
         ensemble(FIRST, step("first", "mid", "OUT"), first=_TIMED), GOOD, _same_model_twice,
         _NOTHING),
    Rule("TRN655", "a model that calls itself", WARNING,
         "Business logic scripting needs a second instance to answer.",
         Example('backend: "python"\n', {"model/1/model.py": _BLS % "model"}),
         Example('backend: "python"\n', {"model/1/model.py": _BLS % "other"}), _calls_itself,
         _NOTHING),
)  # fmt: skip
