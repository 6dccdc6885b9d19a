"""What `auto_complete_config` adds, against what is allowed and what is configured.

Follows ModelConfig in python_backend's triton_python_backend_utils.py, for values that stand in the
code as literals. What depends on an `if`, a loop or a `try` is a warning: it may never run.
"""

import ast
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from triton_lint.ensembles import declared
from triton_lint.findings import Problem
from triton_lint.models import Model
from triton_lint.python_source import Function, PythonSource, called, is_name
from triton_lint.repository import Repository
from triton_lint.rule import ERROR, WARNING, check
from triton_lint.rules.python_model import parsed

_NEEDED = ("name", "data_type", "dims")
_ALLOWED = {"input": (*_NEEDED, "optional"), "output": _NEEDED}


@dataclass(frozen=True)
class Added:
    """A call on the configuration: `add_input({…})`."""

    source: PythonSource
    method: str
    node: ast.Call
    value: object
    """Its argument; a dict without what is computed, None where all of it is."""
    is_certain: bool

    @property
    def side(self) -> str:
        """`input` or `output`; "" of other calls."""
        side = self.method.removeprefix("add_")
        return side if side in _ALLOWED else ""

    @property
    def given(self) -> dict[str, object] | None:
        return self.value if isinstance(self.value, dict) else None

    def problem(self, text: str) -> Problem:
        return Problem(
            self.source.at(self.node),
            f"auto_complete_config: {text}",
            file=self.source.file,
            severity=None if self.is_certain else WARNING,
        )


def _added(model: Model) -> Iterator[Added]:
    """Calls on what Triton gives to `auto_complete_config`, where Triton calls it at all."""
    for source in parsed(model) if model.options.auto_complete else ():
        method = source.methods.get("auto_complete_config")
        arguments = [each.arg for each in method.args.args] if method else []
        if method is None or not arguments:
            continue
        nodes = list(ast.walk(method))
        variables, certain = _variables(nodes), _certain(method)
        for node in nodes:
            function = node.func if isinstance(node, ast.Call) else None
            owner = function.value if isinstance(function, ast.Attribute) else None
            if not isinstance(node, ast.Call) or not is_name(owner, arguments[-1]):
                continue
            first = node.args[0] if node.args else None
            value = variables.get(first.id) if isinstance(first, ast.Name) else first
            yield Added(source, called(node), node, _literal(value), node in certain)


def _variables(nodes: list[ast.AST]) -> dict[str, ast.expr]:
    """What variables hold that are set once, and then only given to calls."""
    uses = Counter(node.id for node in nodes if isinstance(node, ast.Name))
    for node in nodes:
        for argument in node.args if isinstance(node, ast.Call) else ():
            uses.subtract([argument.id] if isinstance(argument, ast.Name) else [])
    return {
        target.id: node.value
        for node in nodes
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name) and uses[target.id] == 1
    }


def _certain(method: Function) -> set[ast.expr]:
    """The calls that run whenever the method does."""
    found: set[ast.expr] = set()
    for statement in method.body:
        if isinstance(statement, ast.Expr):
            found.add(statement.value)
        elif any(isinstance(node, ast.Return | ast.Raise) for node in ast.walk(statement)):
            break
    return found


def _literal(value: ast.expr | None) -> object:
    """A constant, or a dict of constants in which what is computed counts as `...`."""
    if called(value) == "dict" and isinstance(value, ast.Call) and not value.args:
        pairs = [(word.arg, word.value) for word in value.keywords]
    elif isinstance(value, ast.Dict):
        keys = [_constant(key) if key else None for key in value.keys]
        pairs = list(zip(keys, value.values, strict=True))  # type: ignore[arg-type]
    else:
        return _constant(value) if value else None
    if not all(isinstance(key, str) for key, _ in pairs):
        return None
    return {str(key): _constant(each) for key, each in pairs}


def _constant(value: ast.expr) -> object:
    try:
        return ast.literal_eval(value)
    except (ValueError, TypeError, SyntaxError, RecursionError):
        return ...


@check("TRN706", ERROR)
def _bad_properties(model: Model, _: Repository) -> Iterator[Problem]:
    for each in _added(model):
        given = each.given
        if given is None:
            continue
        if each.side:
            missing = [name for name in _NEEDED if name not in given]
            extra = [name for name in given if name not in _ALLOWED[each.side]]
            if missing:
                yield each.problem(f"this {each.side} lacks {', '.join(missing)}")
            if extra:
                allowed = ", ".join(_ALLOWED[each.side])
                yield each.problem(f"{each.side}s have no {', '.join(extra)}: {allowed}")
        elif each.method == "set_model_transaction_policy" and set(given) - {"decoupled"}:
            yield each.problem("a transaction policy has only 'decoupled'")


@check("TRN707", ERROR)
def _contradictions(model: Model, _: Repository) -> Iterator[Problem]:
    for each in _added(model):
        has = "and the configuration has"
        if each.method == "set_max_batch_size":
            if isinstance(each.value, int) and model.max_batch_size > each.value:
                yield each.problem(f"max_batch_size {each.value}, {has} {model.max_batch_size}")
        elif each.method == "set_dynamic_batching" and "sequence_batching" in model.config:
            yield each.problem(f"set_dynamic_batching, {has} sequence_batching")
        elif each.method == "set_model_transaction_policy":
            policy = model.config.child("model_transaction_policy")
            wanted = (each.given or {}).get("decoupled")
            if policy and isinstance(wanted, bool) and policy.flag("decoupled") != wanted:
                yield each.problem(f"decoupled {wanted}, {has} {not wanted}")
        elif each.side:
            yield from _tensor(model, each, each.given or {}, has)


def _tensor(model: Model, each: Added, given: dict[str, object], has: str) -> Iterator[Problem]:
    tensor = declared(model, each.side, str(given.get("name")))
    if tensor is None:
        return
    kind, configured = given.get("data_type", ...), tensor.text("data_type")
    if configured not in ("", "TYPE_INVALID") and kind not in (..., configured):
        yield each.problem(f"'{given['name']}' is {kind}, {has} {configured}")
    dims = given.get("dims", ...)
    if "dims" in tensor and isinstance(dims, list) and dims != tensor.numbers("dims"):
        yield each.problem(f"'{given['name']}' has dims {dims}, {has} {tensor.numbers('dims')}")
