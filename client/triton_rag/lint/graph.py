"""An ensemble as a Mermaid flow chart: steps, tensors, types, shapes; findings are marked."""

from collections.abc import Iterator

from triton_rag.lint.engine import Report
from triton_rag.lint.ensembles import Step, declared, is_decoupled, steps
from triton_rag.lint.findings import Finding
from triton_rag.lint.models import Model
from triton_rag.lint.nodes import Message
from triton_rag.lint.report import printable
from triton_rag.lint.rule import Repository


class NoEnsemble(ValueError):
    """There is no such ensemble; the message says which there are."""


def mermaid(report: Report, name: str) -> str:
    """The chart of the ensemble `name`; raises `NoEnsemble`."""
    repository = report.repository
    found = [model.name for model in repository.ensembles]
    if name not in found:
        raise NoEnsemble(f"there is no ensemble '{name}': {', '.join(found) or 'none at all'}")
    model = repository.models[name]
    marked = [finding for finding in report.findings if finding.model == name]
    return "\n".join(["flowchart LR", *_lines(model, repository, marked)])


def _lines(model: Model, repository: Repository, findings: list[Finding]) -> Iterator[str]:
    writers: dict[str, str] = {}
    for side, tensor in _ends(model):
        name = tensor.text("name")
        yield f"    {side}_{_id(name)}([{_text(_tensor(name, tensor))}])"
        if side == "in":
            writers[name] = f"in_{_id(name)}"
    all_steps = steps(model, repository)
    for step in all_steps:
        yield from _step(step, repository, findings)
        writers |= {str(entry.value): f"step{step.number}" for entry in step.writes}
    for step in all_steps:
        for entry in step.reads:
            label = _text(_tensor(str(entry.value), _known(step, str(entry.key))))
            source = writers.get(str(entry.value), f"nothing_{_id(str(entry.value))}")
            yield f"    {source} -- {label} --> step{step.number}"
    for tensor in model.config.children("output"):
        name = tensor.text("name")
        yield f"    {writers.get(name, 'nothing')} --> out_{_id(name)}"
    yield "    classDef error fill:#fdd,stroke:#c00"
    yield "    classDef warning fill:#ffd,stroke:#a80"


def _ends(model: Model) -> Iterator[tuple[str, Message]]:
    for side, short in (("input", "in"), ("output", "out")):
        for tensor in model.config.children(side):
            yield short, tensor


def _step(step: Step, repository: Repository, findings: list[Finding]) -> Iterator[str]:
    """A box with what the model is, and with the findings that stand in the step."""
    parts = [f"{step.number}: {step.model_name}"]
    if step.model is not None:
        groups = step.model.config.children("instance_group")
        count = sum(max(1, int(group.number("count"))) for group in groups) or 1
        parts.append(
            f"batch ≤ {step.model.max_batch_size}" if step.model.max_batch_size else "no batch"
        )
        parts += [f"{count} instances"] if count > 1 else []
        parts += ["decoupled"] if is_decoupled(step.model, repository) else []
    inside = [each for each in findings if _is_inside(each, step)]
    parts += [f"{each.rule}: {each.text}" for each in inside]
    worst = sorted(each.severity.value for each in inside)[:1]
    mark = f":::{worst[0]}" if worst else ""
    yield f"    step{step.number}[{_text('<br/>'.join(parts))}]{mark}"


def _is_inside(finding: Finding, step: Step) -> bool:
    return step.message.at.start <= finding.at.start < step.message.at.end


def _known(step: Step, name: str) -> Message | None:
    return declared(step.model, "input", name) if step.model else None


def _tensor(name: str, tensor: Message | None) -> str:
    if tensor is None or "dims" not in tensor:
        return name
    kind = tensor.text("data_type").removeprefix("TYPE_")
    return f"{name}<br/>{kind} {tensor.numbers('dims')}"


def _id(name: str) -> str:
    return "".join(each if each.isascii() and each.isalnum() else "_" for each in name)


def _text(label: str) -> str:
    return '"' + printable(label).replace('"', "#quot;") + '"'
