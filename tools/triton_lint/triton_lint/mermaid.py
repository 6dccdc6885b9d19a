"""An ensemble as a Mermaid flow chart: steps, tensors, types, shapes, findings."""

from collections.abc import Iterator
from dataclasses import dataclass

from triton_lint.config_tree import Message
from triton_lint.engine import Report
from triton_lint.ensembles import declared
from triton_lint.findings import Finding, printable
from triton_lint.models import Model
from triton_lint.repository import Repository, Step

NOWHERE = "nothing"
"""Where tensors come from that nothing writes."""


class NoEnsemble(ValueError):
    """There is no such ensemble; the message says which there are."""


@dataclass(frozen=True)
class Tensor:
    """A tensor's name, and its type and shape where they are known."""

    name: str
    shape: str = ""
    """Such as `FP32 [3]`."""


@dataclass(frozen=True)
class Box:
    """A step of an ensemble."""

    key: str
    lines: tuple[str, ...]
    """What it calls, its batching, its instances."""
    findings: tuple[Finding, ...]


@dataclass(frozen=True)
class Arrow:
    """A tensor on its way, between the keys of boxes and of the ensemble's own tensors."""

    source: str
    target: str
    tensor: Tensor


def mermaid(report: Report, name: str) -> str:
    """Draw the ensemble `name`; raises `NoEnsemble`."""
    repository = report.repository.as_read
    found = [model.name for model in repository.ensembles]
    if name not in found:
        raise NoEnsemble(f"there is no ensemble '{name}': {', '.join(found) or 'none at all'}")
    model = repository.models[name]
    steps = repository.steps(model)
    findings = [each for each in report.findings if each.model == name]
    inputs, outputs = _ends(model, "input"), _ends(model, "output")
    lines = [
        f"    {key}([{_text(_label(tensor))}])"
        for key, tensor in [*inputs.items(), *outputs.items()]
    ]
    lines += [_box_line(_box(step, repository, findings)) for step in steps]
    lines += [_arrow_line(arrow, outputs) for arrow in _arrows(steps, inputs, outputs)]
    styles = ["classDef error fill:#fdd,stroke:#c00", "classDef warning fill:#ffd,stroke:#a80"]
    return "\n".join(["flowchart LR", *lines, *(f"    {style}" for style in styles)])


def _arrow_line(arrow: Arrow, outputs: dict[str, Tensor]) -> str:
    if arrow.target in outputs:
        return f"    {arrow.source} --> {arrow.target}"
    return f"    {arrow.source} -- {_text(_label(arrow.tensor))} --> {arrow.target}"


def _ends(model: Model, side: str) -> dict[str, Tensor]:
    prefix = side.removesuffix("put")
    return {
        f"{prefix}_{_id(each.text('name'))}": _tensor(each.text("name"), each)
        for each in model.config.children(side)
    }


def _arrows(
    all_steps: list[Step], inputs: dict[str, Tensor], outputs: dict[str, Tensor]
) -> Iterator[Arrow]:
    writers = {tensor.name: key for key, tensor in inputs.items()}
    for step in all_steps:
        writers |= {str(entry.value): f"step{step.number}" for entry in step.writes}
    for step in all_steps:
        for entry in step.reads:
            name = str(entry.value)
            known = declared(step.model, "input", str(entry.key)) if step.model else None
            yield Arrow(writers.get(name, NOWHERE), f"step{step.number}", _tensor(name, known))
    for key, tensor in outputs.items():
        yield Arrow(writers.get(tensor.name, NOWHERE), key, tensor)


def _box(step: Step, repository: Repository, findings: list[Finding]) -> Box:
    lines = [f"{step.number}: {step.model_name}"]
    if step.model is not None:
        groups = step.model.config.children("instance_group")
        count = sum(max(1, int(group.number("count"))) for group in groups) or 1
        lines.append(_batching(step.model))
        lines += [f"{count} instances"] if count > 1 else []
        lines += ["decoupled"] if repository.is_decoupled(step.model) else []
    inside = tuple(each for each in findings if _is_inside(each, step))
    return Box(f"step{step.number}", tuple(lines), inside)


def _batching(model: Model) -> str:
    return f"batch ≤ {model.max_batch_size}" if model.max_batch_size else "no batch"


def _is_inside(finding: Finding, step: Step) -> bool:
    return step.message.at.start <= finding.at.start < step.message.at.end


def _tensor(name: str, tensor: Message | None) -> Tensor:
    if tensor is None or "dims" not in tensor:
        return Tensor(name)
    kind = tensor.text("data_type").removeprefix("TYPE_")
    return Tensor(name, f"{kind} {tensor.numbers('dims')}")


def _id(name: str) -> str:
    return "".join(each if each.isascii() and each.isalnum() else "_" for each in name)


def _box_line(box: Box) -> str:
    lines = [*box.lines, *(f"{each.rule}: {each.text}" for each in box.findings)]
    worst = sorted(each.severity.value for each in box.findings)[:1]
    mark = f":::{worst[0]}" if worst else ""
    return f"    {box.key}[{_text('<br/>'.join(lines))}]{mark}"


def _label(tensor: Tensor) -> str:
    return f"{tensor.name}<br/>{tensor.shape}" if tensor.shape else tensor.name


def _text(label: str) -> str:
    return '"' + printable(label).replace('"', "#quot;") + '"'
