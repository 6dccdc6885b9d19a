"""An ensemble's steps and tensors, followed as Triton follows them."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from triton_lint.models import Model
from triton_lint.nodes import Entry, Message, Span
from triton_lint.rule import Repository


@dataclass(frozen=True)
class Step:
    """One step of an ensemble."""

    number: int
    """From 1."""
    message: Message
    model: Model | None
    """What it calls; None where there is none, or where its configuration has faults."""

    @property
    def model_name(self) -> str:
        """The name of what it calls."""
        return self.message.text("model_name")

    @cached_property
    def reads(self) -> list[Entry]:
        """Input of the model to tensor of the ensemble."""
        return self.message.entries("input_map")

    @cached_property
    def writes(self) -> list[Entry]:
        """Output of the model to tensor of the ensemble."""
        return self.message.entries("output_map")

    @property
    def label(self) -> str:
        """`step 2 (encoder)`."""
        return f"step {self.number} ({self.model_name or 'no model'})"


@dataclass(frozen=True)
class Source:
    """Where a tensor of an ensemble gets its type and shape."""

    owner: str
    data_type: str
    dims: tuple[int, ...]
    batched: bool
    at: Span

    @property
    def full_dims(self) -> tuple[int, ...]:
        """With the batch dimension."""
        return (-1, *self.dims) if self.batched else self.dims


def steps(ensemble: Model, repository: Repository) -> list[Step]:
    """The steps of an ensemble, in order."""
    if not ensemble.is_ensemble:
        return []
    if ensemble.name not in repository.steps:
        scheduling = ensemble.config.child("ensemble_scheduling")
        messages = scheduling.children("step") if scheduling else []
        repository.steps[ensemble.name] = [
            Step(number, message, repository.of_step(message.text("model_name")))
            for number, message in enumerate(messages, start=1)
        ]
    return repository.steps[ensemble.name]


def names(ensemble: Model, side: str) -> list[str]:
    """Declared inputs or outputs."""
    return [tensor.text("name") for tensor in ensemble.config.children(side)]


def ready_tensors(ensemble: Model, all_steps: list[Step]) -> set[str]:
    """Tensors that get a value when the inputs are given: a step runs once it has all it reads."""
    ready = set(names(ensemble, "input"))
    waiting = list(all_steps)
    while True:
        runnable = [step for step in waiting if all(e.value in ready for e in step.reads)]
        if not runnable:
            return ready
        ready |= {str(entry.value) for step in runnable for entry in step.writes}
        waiting = [step for step in waiting if step not in runnable]


def is_decoupled(model: Model, repository: Repository) -> bool:
    """Whether a model may give any number of responses; an ensemble does if a step does."""
    known = repository.decoupled
    if model.name not in known:
        reached, waiting, found = {model.name}, [model], False
        while waiting and not found:
            each = waiting.pop()
            policy = None if each.is_ensemble else each.config.child("model_transaction_policy")
            found = bool(known.get(each.name) or (policy and policy.flag("decoupled")))
            fresh = [step.model for step in steps(each, repository) if step.model]
            waiting += [one for one in fresh if one.name not in reached]
            reached |= {one.name for one in fresh}
        known[model.name] = found
    return known[model.name]


def declared(model: Model, side: str, name: str) -> Message | None:
    """A model's input or output of that name."""
    for tensor in model.tensors(side):
        if tensor.text("name") == name:
            return tensor
    return None


def sources(ensemble: Model, all_steps: list[Step]) -> Iterator[tuple[str, Source]]:
    """Every tensor name with each type and shape it is given, in the order Triton looks."""
    batched = ensemble.max_batch_size > 0
    for side in ("input", "output"):
        for tensor in ensemble.config.children(side):
            reshape = tensor.child("reshape")
            dims = reshape.numbers("shape") if reshape else tensor.numbers("dims")
            label = f"ensemble {side} '{tensor.text('name')}'"
            kind = tensor.text("data_type")
            yield tensor.text("name"), Source(label, kind, tuple(dims), batched, tensor.at)
    for step in all_steps:
        for side, entries in (("input", step.reads), ("output", step.writes)):
            for entry in entries:
                known = _known(step.model, side, str(entry.key)) if step.model else None
                if step.model and known:
                    yield (
                        str(entry.value),
                        Source(
                            f"{side} '{entry.key}' of {step.label}",
                            known.text("data_type"),
                            tuple(known.numbers("dims")),
                            step.model.max_batch_size > 0,
                            entry.node.at,
                        ),
                    )


def _known(model: Model, side: str, name: str) -> Message | None:
    """A tensor whose type and dims stand in the configuration."""
    tensor = declared(model, side, name)
    return tensor if tensor and "dims" in tensor and "data_type" in tensor else None
