"""Code of Python models, read as a syntax tree and never run."""

import ast
from collections.abc import Iterator

from triton_lint.findings import Problem
from triton_lint.models import Model
from triton_lint.python_source import PythonSource, called
from triton_lint.repository import Repository
from triton_lint.rule import WARNING, check
from triton_lint.versions import Version

SENDER_FOR_ALL = Version(2, 47)


def parsed(model: Model) -> Iterator[PythonSource]:
    """The code, where it could be parsed."""
    yield from (source for source in model.pythons if source.tree is not None)


@check("TRN703", WARNING)
def _no_execute(model: Model, _: Repository) -> Iterator[Problem]:
    for source in parsed(model):
        if source.model_class and "execute" not in source.methods and not source.inherits:
            text = "TritonPythonModel has no execute(self, requests): every request fails"
            yield Problem(source.at(source.model_class), text, file=source.file)


@check("TRN713", WARNING)
def _wrong_policy(model: Model, _: Repository) -> Iterator[Problem]:
    decoupled = model.config.child_or_empty("model_transaction_policy").flag("decoupled")
    for source in parsed(model):
        if source.completes_config:
            continue
        senders = list(source.calls_of("get_response_sender"))
        execute = source.methods.get("execute")
        for node in _outside_try(execute.body) if execute and decoupled else ():
            if isinstance(node, ast.Return) and isinstance(node.value, ast.List | ast.ListComp):
                text = "a decoupled model sends by get_response_sender(); execute returns None"
                yield Problem(source.at(node), text, file=source.file)
        if senders and not decoupled and model.options.triton < SENDER_FOR_ALL:
            text = (
                f"before {SENDER_FOR_ALL.describe()} only decoupled models have a response sender"
            )
            yield Problem(source.at(senders[0]), text, file=source.file)


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


def _outside_try(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """Statements that no `try` with handlers surrounds."""
    for node in body:
        yield node
        if isinstance(node, ast.Try) and node.handlers:
            continue
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            continue
        for name in ("body", "orelse", "finalbody"):
            yield from _outside_try(getattr(node, name, []))
