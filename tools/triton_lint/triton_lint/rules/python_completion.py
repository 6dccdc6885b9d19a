"""What `auto_complete_config` adds, against what is allowed and what is configured.

Follows ModelConfig in python_backend's triton_python_backend_utils.py, for values that stand in the
code as literals.
"""

import ast
from collections.abc import Iterator
from dataclasses import dataclass

from triton_lint.ensembles import declared
from triton_lint.findings import Problem
from triton_lint.models import Model
from triton_lint.python_source import PythonSource, called
from triton_lint.repository import Repository
from triton_lint.rule import ERROR, check

_NEEDED = ("name", "data_type", "dims")
_ALLOWED = {"input": (*_NEEDED, "optional"), "output": _NEEDED}


@dataclass(frozen=True)
class Added:
    """A call on the configuration: `add_input({…})`."""

    method: str
    node: ast.Call
    value: ast.expr | None
    """Its argument; of a variable, the only dict that is assigned to it."""


def _added(source: PythonSource) -> Iterator[Added]:
    method = source.methods.get("auto_complete_config")
    if method is None:
        return
    assigned: dict[str, list[ast.expr]] = {}
    for node in ast.walk(method):
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            assigned.setdefault(node.targets[0].id, []).append(node.value)
    for node in ast.walk(method):
        if isinstance(node, ast.Call):
            value = node.args[0] if node.args else None
            if isinstance(value, ast.Name):
                values = assigned.get(value.id, [])
                value = values[0] if len(values) == 1 else None
            yield Added(called(node), node, value)


def _literal(value: ast.expr | None) -> dict[str, object] | None:
    """A dict of constants; None where it is none. What is computed counts as `...`."""
    if isinstance(value, ast.Call) and called(value) == "dict" and not value.args:
        pairs = [(word.arg, word.value) for word in value.keywords]
    elif isinstance(value, ast.Dict):
        pairs = [(_constant(key), each) for key, each in zip(value.keys, value.values, strict=True)]  # type: ignore[misc]
    else:
        return None
    if not all(isinstance(key, str) for key, _ in pairs):
        return None
    return {str(key): _constant(each) for key, each in pairs}


def _constant(value: ast.expr | None) -> object:
    try:
        return ast.literal_eval(value) if value is not None else None
    except (ValueError, TypeError, SyntaxError, RecursionError):
        return ...


@check("TRN706", ERROR)
def _bad_properties(model: Model, _: Repository) -> Iterator[Problem]:
    source = model.python
    for each in _added(source) if source else ():
        given = _literal(each.value)
        if source is None or given is None:
            continue
        side = each.method.removeprefix("add_")
        if each.method in ("add_input", "add_output"):
            missing = [name for name in _NEEDED if name not in given]
            extra = [name for name in given if name not in _ALLOWED[side]]
            if missing:
                yield _problem(source, each, f"this {side} lacks {', '.join(missing)}")
            if extra:
                allowed = ", ".join(_ALLOWED[side])
                yield _problem(source, each, f"{side}s have no {', '.join(extra)}: {allowed}")
        elif each.method == "set_model_transaction_policy" and set(given) - {"decoupled"}:
            yield _problem(source, each, "a transaction policy has only 'decoupled'")


@check("TRN707", ERROR)
def _contradictions(model: Model, _: Repository) -> Iterator[Problem]:
    source = model.python
    for each in _added(source) if source else ():
        assert source is not None
        if each.method == "set_max_batch_size":
            size = _constant(each.node.args[0]) if each.node.args else ...
            if isinstance(size, int) and model.max_batch_size > size:
                text = f"max_batch_size {size}, and the configuration has {model.max_batch_size}"
                yield _problem(source, each, text)
        elif each.method == "set_dynamic_batching" and "sequence_batching" in model.config:
            text = "set_dynamic_batching, and the configuration has sequence_batching"
            yield _problem(source, each, text)
        elif each.method == "set_model_transaction_policy":
            yield from _policy(model, source, each)
        elif each.method in ("add_input", "add_output"):
            yield from _tensor(model, source, each)


def _policy(model: Model, source: PythonSource, each: Added) -> Iterator[Problem]:
    policy, given = model.config.child("model_transaction_policy"), _literal(each.value)
    wanted = given.get("decoupled") if given else None
    if policy is not None and isinstance(wanted, bool) and policy.flag("decoupled") != wanted:
        text = f"decoupled {wanted}, and the configuration has {not wanted}"
        yield _problem(source, each, text)


def _tensor(model: Model, source: PythonSource, each: Added) -> Iterator[Problem]:
    given = _literal(each.value) or {}
    tensor = declared(model, each.method.removeprefix("add_"), str(given.get("name")))
    if tensor is None:
        return
    kind, configured = given.get("data_type", ...), tensor.text("data_type")
    if configured not in ("", "TYPE_INVALID") and kind is not ... and kind != configured:
        text = f"'{given['name']}' is {kind}, and the configuration has {configured}"
        yield _problem(source, each, text)
    dims = given.get("dims", ...)
    if "dims" in tensor and isinstance(dims, list) and dims != tensor.numbers("dims"):
        text = f"'{given['name']}' has dims {dims}, and the configuration {tensor.numbers('dims')}"
        yield _problem(source, each, text)


def _problem(source: PythonSource, each: Added, text: str) -> Problem:
    return Problem(source.at(each.node), f"auto_complete_config: {text}", file=source.file)
