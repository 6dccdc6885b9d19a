"""An ensemble as a Mermaid flow chart: steps, tensors, types, shapes, findings."""

from collections.abc import Iterator

from triton_lint.config_tree import Message
from triton_lint.engine import Report
from triton_lint.ensembles import declared, names
from triton_lint.findings import Finding, printable
from triton_lint.models import Model
from triton_lint.repository import Repository, Step

NOWHERE = "nothing"
"""Where tensors come from that nothing writes."""


class NoEnsemble(ValueError):
    """There is no such ensemble; the message says which there are."""


def mermaid(report: Report, name: str) -> str:
    """Draw the ensemble `name`; raises `NoEnsemble`."""
    repository = report.repository.as_read
    found = [model.name for model in repository.ensembles]
    if name not in found:
        raise NoEnsemble(f"there is no ensemble '{name}': {', '.join(found) or 'none at all'}")
    model = repository.models[name]
    findings = [each for each in report.findings if each.model == name]
    lines = [
        "flowchart LR",
        *_tensor_lines(model),
        *(_step_line(step, repository, findings) for step in repository.steps(model)),
        *_arrow_lines(model, repository.steps(model)),
        "    classDef error fill:#fdd,stroke:#c00",
        "    classDef warning fill:#ffd,stroke:#a80",
    ]
    return "\n".join(lines)


def _tensor_lines(model: Model) -> Iterator[str]:
    """The ensemble's own inputs and outputs, as round boxes; of equal keys, the last."""
    nodes = {
        _key(side, tensor.text("name")): _label(tensor.text("name"), tensor)
        for side in ("input", "output")
        for tensor in model.config.children(side)
    }
    for key, label in nodes.items():
        yield f"    {key}([{label}])"


def _step_line(step: Step, repository: Repository, findings: list[Finding]) -> str:
    """A step as a box: what it calls, its batching, its instances, its findings."""
    lines = [f"{step.number}: {step.model_name}"]
    if (called := step.model) is not None:
        lines.append(f"batch ≤ {called.max_batch_size}" if called.max_batch_size else "no batch")
        lines += [f"{called.instances} instances"] if called.instances > 1 else []
        lines += ["decoupled"] if repository.is_decoupled(called) else []
    inside = [each for each in findings if _is_inside(each, step)]
    lines += [f"{each.rule}: {each.text}" for each in inside]
    worst = min((each.severity.value for each in inside), default="")  # "error" < "warning"
    return f"    step{step.number}[{_quoted('<br/>'.join(lines))}]" + (worst and f":::{worst}")


def _arrow_lines(model: Model, steps: list[Step]) -> Iterator[str]:
    writers = {name: _key("input", name) for name in names(model, "input")}
    for step in steps:
        writers |= {str(entry.value): f"step{step.number}" for entry in step.writes}
    for step in steps:
        for entry in step.reads:
            name = str(entry.value)
            known = declared(step.model, "input", str(entry.key)) if step.model else None
            writer = writers.get(name, NOWHERE)
            yield f"    {writer} -- {_label(name, known)} --> step{step.number}"
    for name in dict.fromkeys(names(model, "output")):
        yield f"    {writers.get(name, NOWHERE)} --> {_key('output', name)}"


def _is_inside(finding: Finding, step: Step) -> bool:
    return step.message.at.start <= finding.at.start < step.message.at.end


def _key(side: str, name: str) -> str:
    letters = (each if each.isascii() and each.isalnum() else "_" for each in name)
    return f"{side.removesuffix('put')}_{''.join(letters)}"


def _label(name: str, tensor: Message | None) -> str:
    """The name, and below it type and shape where they are known, such as `FP32 [3]`."""
    if tensor is None or "dims" not in tensor:
        return _quoted(name)
    kind = tensor.text("data_type").removeprefix("TYPE_")
    return _quoted(f"{name}<br/>{kind} {tensor.numbers('dims')}")


def _quoted(label: str) -> str:
    return '"' + printable(label).replace('"', "#quot;") + '"'
