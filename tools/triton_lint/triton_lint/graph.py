"""An ensemble as a Mermaid flow chart; findings are marked."""

from collections.abc import Iterator

from triton_lint.chart import Box, Chart, Tensor
from triton_lint.report import printable


def mermaid(chart: Chart) -> str:
    """The chart's text."""
    return "\n".join(["flowchart LR", *_lines(chart)])


def _lines(chart: Chart) -> Iterator[str]:
    for key, tensor in (*chart.inputs.items(), *chart.outputs.items()):
        yield f"    {key}([{_text(_label(tensor))}])"
    for box in chart.boxes:
        yield _box(box)
    for arrow in chart.arrows:
        if arrow.target in chart.outputs:
            yield f"    {arrow.source} --> {arrow.target}"
        else:
            yield f"    {arrow.source} -- {_text(_label(arrow.tensor))} --> {arrow.target}"
    yield "    classDef error fill:#fdd,stroke:#c00"
    yield "    classDef warning fill:#ffd,stroke:#a80"


def _box(box: Box) -> str:
    lines = [*box.lines, *(f"{each.rule}: {each.text}" for each in box.findings)]
    worst = sorted(each.severity.value for each in box.findings)[:1]
    mark = f":::{worst[0]}" if worst else ""
    return f"    {box.key}[{_text('<br/>'.join(lines))}]{mark}"


def _label(tensor: Tensor) -> str:
    return f"{tensor.name}<br/>{tensor.shape}" if tensor.shape else tensor.name


def _text(label: str) -> str:
    return '"' + printable(label).replace('"', "#quot;") + '"'
