"""Code of Python models, read as a syntax tree and never run."""

import ast
from collections.abc import Iterator

from triton_lint.config_tree import Span
from triton_lint.findings import Problem
from triton_lint.models import Model
from triton_lint.python_source import Function, PythonSource, called
from triton_lint.repository import Repository
from triton_lint.rule import ERROR, WARNING, check, opinion
from triton_lint.spelling import did_you_mean
from triton_lint.versions import Version

SENDER_FOR_ALL = Version(2, 47)


def parsed(model: Model) -> Iterator[PythonSource]:
    """The code, where it could be parsed."""
    yield from (source for source in model.pythons if source.tree is not None)


@check("TRN701", ERROR)
def _no_python(model: Model, _: Repository) -> Iterator[Problem]:
    for source in model.pythons:
        if (fault := source.fault) is not None:
            weight = None if fault.is_certain else WARNING
            yield Problem(fault.at, f"this {fault.text}", file=source.file, severity=weight)


@check("TRN702", ERROR)
def _no_class(model: Model, _: Repository) -> Iterator[Problem]:
    for source in parsed(model):
        if not source.may_define_class:
            classes = [node.name for node in source.nodes if isinstance(node, ast.ClassDef)]
            hint = did_you_mean("TritonPythonModel", classes)
            text = f"no class TritonPythonModel{hint.replace('did you mean', 'is it')}"
            yield Problem(Span(0, 1), text, file=source.file)


@check("TRN703", WARNING)
def _no_execute(model: Model, _: Repository) -> Iterator[Problem]:
    for source in parsed(model):
        if source.model_class and "execute" not in source.methods and not source.inherits:
            text = "TritonPythonModel has no execute(self, requests): every request fails"
            yield Problem(source.at(source.model_class), text, file=source.file)


_DECLARED = {
    "__init__": "(self)",
    "initialize": "(self, args)",
    "auto_complete_config": "@staticmethod, (auto_complete_model_config)",
}
_ARGUMENTS = {"__init__": 0, "initialize": 1, "auto_complete_config": 1}
"""How many arguments Triton gives, besides self."""


@check("TRN704", ERROR)
def _signatures(model: Model, _: Repository) -> Iterator[Problem]:
    for source in parsed(model):
        for name, given in _ARGUMENTS.items():
            is_called = name != "auto_complete_config" or model.options.auto_complete
            method = source.methods.get(name) if is_called else None
            if method and not _takes(method, given, on_class=name == "auto_complete_config"):
                text = f"{name} can't be called as Triton does: declare it {_DECLARED[name]}"
                yield Problem(source.at(method), text, file=source.file)


def _takes(method: Function, given: int, on_class: bool) -> bool:
    """Whether a method can be called with that many arguments."""
    decorators = {each.id for each in method.decorator_list if isinstance(each, ast.Name)}
    if len(decorators) != len(method.decorator_list) or decorators - {
        "staticmethod",
        "classmethod",
    }:
        return True
    arguments = method.args
    bound = "staticmethod" not in decorators and not (on_class and "classmethod" not in decorators)
    total = len(arguments.posonlyargs) + len(arguments.args) - bound
    required = total - len(arguments.defaults)
    keyword_only = sum(default is None for default in arguments.kw_defaults)
    return required <= given and keyword_only == 0 and (given <= total or bool(arguments.vararg))


@check("TRN705", ERROR)
def _completes_nothing(model: Model, _: Repository) -> Iterator[Problem]:
    for source in parsed(model) if model.options.auto_complete else ():
        method = source.methods.get("auto_complete_config")
        if method is None or (method.decorator_list != [] and not _takes(method, 1, on_class=True)):
            continue
        returns = [node for node in ast.walk(method) if isinstance(node, ast.Return)]
        ends = any(isinstance(node, ast.Raise | ast.Yield) for node in ast.walk(method))
        if not ends and not any(node.value is not None for node in returns):
            text = "auto_complete_config has to return the configuration it was given"
            yield Problem(source.at(method), text, file=source.file)


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


@opinion("TRN715")
def _raises(model: Model, _: Repository) -> Iterator[Problem]:
    for source in parsed(model):
        execute = source.methods.get("execute")
        for node in _outside_try(execute.body) if execute else ():
            if isinstance(node, ast.Raise) and node.exc is not None:
                text = (
                    "an exception from execute fails the whole batch, and its traceback with file "
                    "paths goes to the client: answer with InferenceResponse(error=TritonError(…))"
                )
                yield Problem(source.at(node), text, file=source.file)


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
