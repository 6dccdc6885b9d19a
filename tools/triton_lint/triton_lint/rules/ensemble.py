"""An ensemble's own configuration: its steps, how its tensors are connected."""

from collections.abc import Iterator

from triton_lint.ensembles import names, ready_tensors, tensors_read, tensors_written
from triton_lint.findings import Problem
from triton_lint.models import Model
from triton_lint.repository import Repository
from triton_lint.rule import ERROR, check
from triton_lint.spelling import did_you_mean


@check("TRN504", ERROR)
def _incomplete_steps(model: Model, repository: Repository) -> Iterator[Problem]:
    for step in repository.steps(model):
        for name in ("model_name", "input_map", "output_map"):
            empty = not step.model_name if name == "model_name" else name not in step.message
            if empty:
                yield Problem(step.message.at, f"{step.label} has no {name}")


@check("TRN505", ERROR)
def _unknown_model(model: Model, repository: Repository) -> Iterator[Problem]:
    for step in repository.steps(model):
        if step.model_name and step.model_name not in repository.models:
            hint = did_you_mean(step.model_name, repository.models)
            text = f"{step.label}: the repository has no model '{step.model_name}'{hint}"
            yield Problem(model.at(step.message, "model_name"), text)


@check("TRN506", ERROR)
def _circle(model: Model, repository: Repository) -> Iterator[Problem]:
    if path := _path_to_itself(model, repository):
        text = f"ensembles call each other in a circle: {' → '.join(path)}"
        yield Problem(model.at(model.config, "ensemble_scheduling"), text)


def _path_to_itself(model: Model, repository: Repository) -> list[str]:
    """The ensembles from `model` back to it, by the fewest calls; empty where there is no way."""
    callers: dict[str, str] = {}
    waiting = [model]
    while waiting:
        caller = waiting.pop(0)
        for step in repository.steps(caller):
            if step.model and step.model.is_ensemble and step.model_name not in callers:
                callers[step.model_name] = caller.name
                waiting.append(step.model)
    if model.name not in callers:
        return []
    path = [model.name]
    while len(path) == 1 or path[0] != model.name:
        path.insert(0, callers[path[0]])
    return path


@check("TRN507", ERROR)
def _written_twice(model: Model, repository: Repository) -> Iterator[Problem]:
    writers: dict[str, str] = {}
    for step in repository.steps(model):
        for entry in step.writes:
            tensor = str(entry.value)
            if tensor in writers:
                text = f"{step.label}: tensor '{tensor}' is written by {writers[tensor]}"
                yield Problem(entry.node.at, text)
            writers.setdefault(tensor, step.label)


@check("TRN508", ERROR)
def _unused_input(model: Model, repository: Repository) -> Iterator[Problem]:
    if not model.is_ensemble:
        return
    read = tensors_read(repository.steps(model))
    outputs = names(model, "output")
    for tensor in model.config.children("input"):
        name = tensor.text("name")
        if name not in read and name not in outputs:
            text = f"no step reads input '{name}'{did_you_mean(name, read - set(outputs))}"
            yield Problem(tensor.at, text)


@check("TRN509", ERROR)
def _unwritten_output(model: Model, repository: Repository) -> Iterator[Problem]:
    if not model.is_ensemble:
        return
    all_steps = repository.steps(model)
    written = tensors_written(all_steps)
    ready = ready_tensors(model, all_steps)
    for tensor in model.config.children("output"):
        name = tensor.text("name")
        if name not in written and name not in names(model, "input"):
            yield Problem(tensor.at, f"no step writes output '{name}'{did_you_mean(name, written)}")
        elif name not in ready:
            text = f"output '{name}' is never written: a step before it can't run"
            yield Problem(tensor.at, text)


@check("TRN510", ERROR)
def _unwritten_tensor(model: Model, repository: Repository) -> Iterator[Problem]:
    all_steps = repository.steps(model)
    written = tensors_written(all_steps)
    available = written | set(names(model, "input"))
    for step in all_steps:
        for entry in step.reads:
            if entry.value not in available:
                hint = did_you_mean(str(entry.value), available)
                text = f"{step.label}: nothing gives tensor '{entry.value}' for '{entry.key}'{hint}"
                yield Problem(entry.node.at, text)


@check("TRN511", ERROR)
def _unread_tensor(model: Model, repository: Repository) -> Iterator[Problem]:
    all_steps = repository.steps(model)
    used = tensors_read(all_steps)
    used |= set(names(model, "output"))
    for step in all_steps:
        for entry in step.writes:
            if entry.value not in used:
                yield Problem(
                    entry.node.at,
                    f"{step.label}: nothing reads tensor '{entry.value}'; leave '{entry.key}' out "
                    "of the output_map",
                )


@check("TRN512", ERROR)
def _stuck(model: Model, repository: Repository) -> Iterator[Problem]:
    all_steps = repository.steps(model)
    ready = ready_tensors(model, all_steps)
    written = tensors_written(all_steps)
    for step in all_steps:
        waits = [str(e.value) for e in step.reads if e.value not in ready and e.value in written]
        if waits:
            yield Problem(
                step.message.at,
                f"{step.label} never runs: '{waits[0]}' is written by a step that waits for it, or "
                "that can't run",
            )
