"""Tensor names in the code of Python models, against the configuration."""

import ast
from collections.abc import Iterator

from triton_lint.ensembles import names
from triton_lint.findings import Problem
from triton_lint.models import Model
from triton_lint.python_source import PythonSource, called
from triton_lint.repository import Repository
from triton_lint.rule import WARNING, check
from triton_lint.rules.python_model import parsed
from triton_lint.spelling import did_you_mean


@check("TRN711", WARNING)
def _undeclared_output(model: Model, _: Repository) -> Iterator[Problem]:
    """Names given as text to `Tensor(…)` inside a list of `output_tensors`."""
    outputs = names(model, "output")
    for source in parsed(model):
        if not outputs or not model.tensors_are_final:
            continue
        tensors = dict(_tensor_names(source))
        for call in source.calls_of("InferenceResponse"):
            for name, node in _response_tensors(call, tensors):
                if name not in outputs:
                    hint = did_you_mean(name, outputs) or f": {', '.join(outputs)}"
                    text = f"the configuration has no output '{name}'{hint}; clients get nothing"
                    yield Problem(source.at(node), text, file=source.file)


def _tensor_names(source: PythonSource) -> Iterator[tuple[str, ast.Call]]:
    """Variables that hold one tensor: name and the call that made it, where there is only one."""
    found: dict[str, list[ast.Call]] = {}
    for node in source.nodes:
        if isinstance(node, ast.Assign) and len(node.targets) == 1:
            target, value = node.targets[0], node.value
            if isinstance(target, ast.Name):
                is_tensor = isinstance(value, ast.Call) and called(value) == "Tensor"
                found.setdefault(target.id, []).extend([value] if is_tensor else [])  # type: ignore[list-item]
    yield from ((name, calls[0]) for name, calls in found.items() if len(calls) == 1)


def _response_tensors(
    call: ast.Call, variables: dict[str, ast.Call]
) -> Iterator[tuple[str, ast.AST]]:
    given = [word.value for word in call.keywords if word.arg == "output_tensors"] or call.args[:1]
    for each in given[0].elts if given and isinstance(given[0], ast.List) else []:
        tensor = variables.get(each.id) if isinstance(each, ast.Name) else each
        if isinstance(tensor, ast.Call) and called(tensor) == "Tensor" and tensor.args:
            name = tensor.args[0]
            if isinstance(name, ast.Constant) and isinstance(name.value, str):
                yield name.value, name


@check("TRN712", WARNING)
def _unknown_input(model: Model, _: Repository) -> Iterator[Problem]:
    inputs = names(model, "input")
    batching = model.config.child_or_empty("sequence_batching")
    extra = [each.text("name") for each in batching.children("control_input")]
    extra += [each.text("input_name") for each in batching.children("state")]
    for source in parsed(model):
        for call in source.calls_of("get_input_tensor_by_name"):
            if len(call.args) < 2 or not inputs or not model.tensors_are_final:
                continue
            name = call.args[1]
            if isinstance(name, ast.Constant) and str(name.value) not in (*inputs, *extra):
                hint = did_you_mean(str(name.value), inputs) or f": {', '.join(inputs)}"
                text = f"the configuration has no input '{name.value!s}'{hint}; this is None"
                yield Problem(source.at(name), text, file=source.file)
