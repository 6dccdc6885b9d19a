"""Code of Python models, read as a syntax tree and never run."""

import ast
from collections.abc import Iterator

from triton_lint.findings import Problem
from triton_lint.models import Model
from triton_lint.python_source import PythonSource, called
from triton_lint.repository import Repository
from triton_lint.rule import WARNING, check


def parsed(model: Model) -> Iterator[PythonSource]:
    """The code, where it could be parsed."""
    yield from (source for source in model.pythons if source.tree is not None)


@check("TRN714", WARNING)
def _none_responses(model: Model, _: Repository) -> Iterator[Problem]:
    decoupled = model.config.child_or_empty("model_transaction_policy").flag("decoupled")
    for source in parsed(model):
        execute = source.methods.get("execute")
        if decoupled or execute is None or any(source.calls_of("get_response_sender")):
            continue
        for node in ast.walk(execute):
            appended = isinstance(node, ast.Call) and called(node) == "append" and node.args
            values = node.args if appended and isinstance(node, ast.Call) else []
            if isinstance(node, ast.Return) and isinstance(node.value, ast.List):
                values = node.value.elts
            for value in values:
                if _is_none(value) and _is_responses(node):
                    text = "None in the list of responses: the request hangs for ever"
                    yield Problem(source.at(value), text, file=source.file)


def _is_none(value: ast.AST) -> bool:
    return isinstance(value, ast.Constant) and value.value is None


def _is_responses(node: ast.AST) -> bool:
    """Whether what is appended to, or returned, is the list of responses by its name."""
    if isinstance(node, ast.Return):
        return True
    function = node.func if isinstance(node, ast.Call) else None
    target = function.value if isinstance(function, ast.Attribute) else None
    return isinstance(target, ast.Name) and "response" in target.id.lower()
