"""What a Python model's code says of itself; it is parsed, never run."""

import ast
import warnings
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from triton_lint.config_tree import Span
from triton_lint.tokens import Places

MAX_SOURCE_BYTES = 4 * 1024 * 1024
_CLASS = "TritonPythonModel"


@dataclass(frozen=True)
class PythonSource:
    """A `model.py`."""

    file: str
    """Relative to the model's folder."""
    text: str
    fault: str = ""
    """Why it can't be read."""

    @classmethod
    def read(cls, path: Path, file: str) -> "PythonSource":
        """Read the file; what keeps it from being parsed is in `fault`."""
        try:
            data = path.read_bytes()
        except OSError as error:
            return cls(file, "", f"can't be read: {error.strerror or error}")
        if len(data) > MAX_SOURCE_BYTES:
            return cls(file, "", f"is larger than {MAX_SOURCE_BYTES // 2**20} MiB")
        text = data.decode("utf-8", "replace")
        return cls(file, text)

    @cached_property
    def tree(self) -> ast.Module | None:
        """The syntax tree; None where the code is no Python."""
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of the code's own string escapes
                return ast.parse(self.text)
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            return None

    @cached_property
    def syntax_error(self) -> tuple[str, Span] | None:
        """What Python says of the code, where it is no Python."""
        if self.fault:
            return self.fault, Span(0, 0)
        if self.tree is not None:
            return None
        try:
            compile(self.text, self.file, "exec", flags=ast.PyCF_ONLY_AST, dont_inherit=True)
        except SyntaxError as error:
            line, column = error.lineno or 1, error.offset or 1
            return error.msg or "invalid syntax", self.span(line, column)
        except (ValueError, RecursionError, MemoryError) as error:
            return str(error) or type(error).__name__, Span(0, 0)
        return None

    @cached_property
    def places(self) -> Places:
        return Places(self.text)

    def span(self, line: int, column: int) -> Span:
        """A place given as line and column, both from 1."""
        starts = self.places.starts
        start = starts[min(line, len(starts)) - 1] + max(column, 1) - 1
        return Span(start, start + 1)

    def at(self, node: ast.AST) -> Span:
        return self.span(getattr(node, "lineno", 1), getattr(node, "col_offset", 0) + 1)

    @cached_property
    def model_class(self) -> ast.ClassDef | None:
        """The class that Triton looks for, where this file defines it."""
        for node in self.tree.body if self.tree else []:
            if isinstance(node, ast.ClassDef) and node.name == _CLASS:
                return node
        return None

    @cached_property
    def may_define_class(self) -> bool:
        """Whether `TritonPythonModel` exists after import, as far as can be seen."""
        if self.tree is None or self.model_class is not None:
            return True
        for node in self.nodes:
            if isinstance(node, ast.alias) and (node.asname or node.name) in (_CLASS, "*"):
                return True
            if isinstance(node, ast.Name) and node.id == _CLASS:
                return True
            if isinstance(node, ast.ClassDef | ast.FunctionDef) and node.name == _CLASS:
                return True
        return False

    @cached_property
    def methods(self) -> dict[str, ast.FunctionDef | ast.AsyncFunctionDef]:
        found = {}
        for node in self.model_class.body if self.model_class else []:
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                found[node.name] = node
        return found

    @cached_property
    def inherits(self) -> bool:
        """Whether methods may come from elsewhere: base classes, decorators, assignments."""
        model = self.model_class
        if model is None:
            return True
        bases = [base for base in model.bases if not _is_object(base)]
        return bool(bases or model.keywords or model.decorator_list or _assigned(model))

    @cached_property
    def completes_config(self) -> bool:
        return self.tree is None or "auto_complete_config" in self.methods or self.inherits

    @cached_property
    def nodes(self) -> tuple[ast.AST, ...]:
        """The whole tree; walking it costs more than all else that is done with the code."""
        return tuple(ast.walk(self.tree)) if self.tree else ()

    @cached_property
    def calls(self) -> tuple[tuple[str, ast.Call], ...]:
        """Every call, with the last part of what is called."""
        return tuple((called(node), node) for node in self.nodes if isinstance(node, ast.Call))


def called(call: ast.Call) -> str:
    """`Tensor` of `pb_utils.Tensor(…)`."""
    function = call.func
    if isinstance(function, ast.Attribute):
        return function.attr
    return function.id if isinstance(function, ast.Name) else ""


def _assigned(model: ast.ClassDef) -> set[str]:
    """Names of methods that are set by assignment."""
    targets = [
        target
        for node in model.body
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name)
    ]
    return {target.id for target in targets} & {"execute", "auto_complete_config"}


def _is_object(base: ast.expr) -> bool:
    return isinstance(base, ast.Name) and base.id == "object"
