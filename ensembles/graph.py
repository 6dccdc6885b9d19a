"""Graphs: models connected by tensor names, checked when they are made."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property

from ensembles.contracts import ModelContract
from ensembles.tensors import TensorSpec


class GraphError(ValueError):
    """The connections of a graph are wrong; the message lists every fault, one per line."""


@dataclass(frozen=True)
class Step:
    """One call of `model`.

    `inputs` and `outputs` map the model's tensor names to the graph's; other names stay. An output
    mapped to None is dropped. An optional input that is not in `inputs` is connected only if the
    graph has a tensor of its name.
    """

    model: ModelContract
    inputs: Mapping[str, str] = field(default_factory=dict)
    outputs: Mapping[str, str | None] = field(default_factory=dict)

    def writes(self) -> Iterator[tuple[TensorSpec, str]]:
        """The outputs that are kept, each with its name in the graph."""
        for spec in self.model.outputs:
            name = self.outputs.get(spec.name, spec.name)
            if name is not None:
                yield spec, name


@dataclass(frozen=True)
class EnsembleGraph:
    """Steps that together serve `contract`; a step runs when its inputs are there.

    Raises `GraphError` for unknown or unconnected tensors, types and shapes that don't fit, tensors
    that are written twice or never read, cycles, and decoupled steps that are not last.
    """

    contract: ModelContract
    steps: tuple[Step, ...]

    def __post_init__(self) -> None:
        faults = list(_faults(self))
        if faults:
            raise GraphError(
                f"graph '{self.contract.name}' has {len(faults)} fault(s):\n  "
                + "\n  ".join(faults)
            )

    @property
    def name(self) -> str:
        return self.contract.name

    @property
    def calls(self) -> frozenset[str]:
        """Names of the models of its steps."""
        return frozenset(step.model.name for step in self.steps)

    @property
    def splits_rows(self) -> bool:
        """Whether the rows of a batch are served one by one, because each has its own stream.

        Triton's ensemble scheduler can't do this: such a graph needs the graph runner.
        """
        return self.contract.batched and self.contract.decoupled

    @cached_property
    def tensors(self) -> dict[str, tuple[TensorSpec, bool]]:
        """The graph's inputs and the steps' outputs: spec, and whether it has a batch dimension."""
        batched = self.contract.batched and not self.splits_rows
        found = {spec.name: (spec, batched) for spec in self.contract.inputs}
        for step in self.steps:
            found.update({name: (spec, step.model.batched) for spec, name in step.writes()})
        return found

    def reads(self, step: Step) -> Iterator[tuple[TensorSpec, str]]:
        """The connected inputs of `step`, each with its name in the graph."""
        available = self.tensors
        for spec in step.model.inputs:
            name = step.inputs.get(spec.name, spec.name)
            if name in available or spec.name in step.inputs or not spec.optional:
                yield spec, name

    def levels(self) -> Iterator[list[Step]]:
        """The steps in an order that their data allows; those of one level can run concurrently.

        Steps that wait for each other are left out.
        """
        pending = {name for step in self.steps for _, name in step.writes()}
        pending -= {spec.name for spec in self.contract.inputs}
        waiting = list(self.steps)
        while level := [s for s in waiting if not any(n in pending for _, n in self.reads(s))]:
            pending -= {name for step in level for _, name in step.writes()}
            waiting = [step for step in waiting if step not in level]
            yield level

    def label(self, step: Step) -> str:
        """`step 3 (reranker)`: how messages name a step."""
        number = next(n for n, one in enumerate(self.steps, start=1) if one is step)
        return f"step {number} ({step.model.name})"


def full_dims(spec: TensorSpec, batched: bool) -> tuple[int, ...]:
    """The shape in a request: with the batch dimension, where there is one."""
    return ((-1,) if batched else ()) + spec.shape


def fits(given: tuple[int, ...], wanted: tuple[int, ...]) -> bool:
    """Triton's rule for shapes: same rank, and each size equal or variable on one side."""
    return len(given) == len(wanted) and all(
        a == b or -1 in (a, b) for a, b in zip(given, wanted, strict=True)
    )


def _faults(graph: EnsembleGraph) -> Iterator[str]:
    yield from _name_faults(graph)
    yield from _writer_faults(graph)
    yield from _input_faults(graph)
    yield from _output_faults(graph)
    yield from _unread_faults(graph)
    yield from _cycle_faults(graph)
    yield from _decoupled_faults(graph)


def _name_faults(graph: EnsembleGraph) -> Iterator[str]:
    for step in graph.steps:
        where = graph.label(step)
        sides = (
            ("input", step.inputs, step.model.inputs),
            ("output", step.outputs, step.model.outputs),
        )
        for side, names, specs in sides:
            known = [spec.name for spec in specs]
            for name in sorted(names.keys() - set(known)):
                yield f"{where}: no {side} '{name}'; it has {', '.join(known)}"


def _writer_faults(graph: EnsembleGraph) -> Iterator[str]:
    writers = Counter(name for step in graph.steps for _, name in step.writes())
    writers.update(spec.name for spec in graph.contract.inputs)
    for step in graph.steps:
        for _, name in step.writes():
            if writers[name] > 1:
                yield f"{graph.label(step)}: tensor '{name}' is written {writers[name]} times"


def _input_faults(graph: EnsembleGraph) -> Iterator[str]:
    available = graph.tensors
    for step in graph.steps:
        for spec, name in graph.reads(step):
            where = f"{graph.label(step)}: input '{spec.name}'"
            if name not in available:
                yield f"{where}: nothing gives tensor '{name}'"
                continue
            given, batched = available[name]
            yield from _mismatch(where, name, given, batched, spec, step.model.batched)
            if given.optional and not spec.optional:
                yield f"{where}: is required, but graph input '{name}' is optional"


def _mismatch(
    where: str, name: str, given: TensorSpec, batched: bool, wanted: TensorSpec, to_batched: bool
) -> Iterator[str]:
    if given.dtype is not wanted.dtype:
        yield f"{where}: takes {wanted.dtype.name}, tensor '{name}' is {given.dtype.name}"
    have, want = full_dims(given, batched), full_dims(wanted, to_batched)
    if not fits(have, want):
        yield f"{where}: takes shape {list(want)}, tensor '{name}' has {list(have)}"


def _output_faults(graph: EnsembleGraph) -> Iterator[str]:
    available = graph.tensors
    inputs = {spec.name for spec in graph.contract.inputs}
    for spec in graph.contract.outputs:
        where = f"graph output '{spec.name}'"
        if spec.name not in available or spec.name in inputs:
            yield f"{where}: no step gives it"
        else:
            given, batched = available[spec.name]
            wants_batch = graph.contract.batched and not graph.splits_rows
            yield from _mismatch(where, spec.name, given, batched, spec, wants_batch)


def _unread_faults(graph: EnsembleGraph) -> Iterator[str]:
    read = {name for step in graph.steps for _, name in graph.reads(step)}
    outputs = {spec.name for spec in graph.contract.outputs}
    for step in graph.steps:
        for _, name in step.writes():
            if name not in read | outputs:
                yield f"{graph.label(step)}: nothing reads tensor '{name}'"
    for spec in graph.contract.inputs:
        if spec.name not in read:
            yield f"graph input '{spec.name}': nothing reads it"


def _cycle_faults(graph: EnsembleGraph) -> Iterator[str]:
    ordered = [step for level in graph.levels() for step in level]
    waiting = [step for step in graph.steps if step not in ordered]
    if waiting:
        yield "cycle: " + ", ".join(graph.label(s) for s in waiting) + " wait for each other"


def _decoupled_faults(graph: EnsembleGraph) -> Iterator[str]:
    decoupled = [step for step in graph.steps if step.model.decoupled]
    if bool(decoupled) != graph.contract.decoupled:
        kind = "decoupled" if decoupled else "not decoupled"
        yield f"graph is declared decoupled={graph.contract.decoupled}, its steps are {kind}"
    for step in decoupled:
        yield from _after_decoupled(graph, step)


def _after_decoupled(graph: EnsembleGraph, step: Step) -> Iterator[str]:
    """Nothing may follow a decoupled step; every response holds its outputs and no others."""
    own = {name for _, name in step.writes()}
    for later in graph.steps:
        for _, name in graph.reads(later):
            if name in own:
                yield (
                    f"{graph.label(later)}: reads '{name}' of decoupled {graph.label(step)}; "
                    "a decoupled step must be last (no order, no back-pressure after it)"
                )
    for spec in graph.contract.outputs:
        if spec.name not in own:
            yield f"graph output '{spec.name}': must come from decoupled {graph.label(step)}"
