"""An ensemble's steps and tensors, followed as Triton follows them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from triton_lint.config_tree import Message, Span
from triton_lint.models import Model
from triton_lint.repository import Step


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
        return (-1, *self.dims) if self.batched else self.dims


def fits(left: Sequence[int], right: Sequence[int]) -> bool:
    """Triton's rule for shapes: same rank, and each size equal or variable on one side."""
    return len(left) == len(right) and all(
        a == b or -1 in (a, b) for a, b in zip(left, right, strict=True)
    )


def names(ensemble: Model, side: str) -> list[str]:
    """Declared inputs or outputs."""
    return [tensor.text("name") for tensor in ensemble.config.children(side)]


def tensors_read(all_steps: list[Step]) -> set[str]:
    """Tensors that some step reads."""
    return {str(entry.value) for step in all_steps for entry in step.reads}


def tensors_written(all_steps: list[Step]) -> set[str]:
    """Tensors that some step writes."""
    return {str(entry.value) for step in all_steps for entry in step.writes}


def ready_tensors(ensemble: Model, all_steps: list[Step]) -> set[str]:
    """Tensors that get a value when the inputs are given: a step runs once it has all it reads."""
    ready = set(names(ensemble, "input"))
    waiting = list(all_steps)
    while True:
        runnable = [step for step in waiting if all(e.value in ready for e in step.reads)]
        if not runnable:
            return ready
        ready |= tensors_written(runnable)
        waiting = [step for step in waiting if step not in runnable]


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
