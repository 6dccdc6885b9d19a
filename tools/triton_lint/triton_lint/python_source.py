"""What a Python model's code says of itself; it is parsed, never run."""

import ast
import io
import tokenize
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from triton_lint.config_tree import Span
from triton_lint.reading import read_file
from triton_lint.tokens import Places

MAX_SOURCE_BYTES = 4 * 1024 * 1024
_CLASS = "TritonPythonModel"

Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class PythonSource:
    """A `model.py`."""

    file: str
    """Relative to the model's folder."""
    text: str
    tree: ast.Module | None
    """None where the code could not be read: when it loads the model, Python says why."""

    @classmethod
    def read(cls, path: Path, file: str) -> "PythonSource":
        try:
            data = read_file(path, MAX_SOURCE_BYTES)
            if len(data) > MAX_SOURCE_BYTES:  # cut, so it is not what Python will read
                return cls(file, "", None)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of the code's own string escapes
                return cls(file, _decoded(data), ast.parse(data))
        except (OSError, SyntaxError, ValueError, RecursionError, MemoryError):
            return cls(file, "", None)

    @cached_property
    def places(self) -> Places:
        return Places(self.text)

    def at(self, node: ast.AST) -> Span:
        return _span(self.places, getattr(node, "lineno", 1), getattr(node, "col_offset", 0) + 1)

    @cached_property
    def model_class(self) -> ast.ClassDef | None:
        """The class that Triton looks for, where this file defines it."""
        for node in self.tree.body if self.tree else []:
            if isinstance(node, ast.ClassDef) and node.name == _CLASS:
                return node
        return None

    @cached_property
    def methods(self) -> dict[str, Function]:
        body = self.model_class.body if self.model_class else []
        return {node.name: node for node in body if isinstance(node, Function)}

    @cached_property
    def completes_config(self) -> bool:
        """Whether `auto_complete_config` may be there: written here, inherited, put there."""
        model = self.model_class
        if model is None or "auto_complete_config" in self.text:
            return True
        return bool(model.bases or model.keywords or model.decorator_list)

    @cached_property
    def nodes(self) -> tuple[ast.AST, ...]:
        """The whole tree; walking it costs more than all else that is done with the code."""
        return tuple(ast.walk(self.tree)) if self.tree else ()

    @cached_property
    def calls(self) -> tuple[tuple[str, ast.Call], ...]:
        """Every call, with the last part of what is called."""
        return tuple((called(node), node) for node in self.nodes if isinstance(node, ast.Call))

    def calls_of(self, name: str) -> Iterator[ast.Call]:
        return (call for function, call in self.calls if function == name)


def called(node: ast.AST | None) -> str:
    """`Tensor` of `pb_utils.Tensor(…)`; "" of what is no call."""
    function = node.func if isinstance(node, ast.Call) else None
    if isinstance(function, ast.Attribute):
        return function.attr
    return function.id if isinstance(function, ast.Name) else ""


def _decoded(data: bytes) -> str:
    """The text, by its byte order mark or its coding comment, as Python reads it."""
    try:
        encoding, _ = tokenize.detect_encoding(io.BytesIO(data).readline)
    except SyntaxError:
        encoding = "utf-8"
    return data.decode(encoding, "replace")


def _span(places: Places, line: int, column: int) -> Span:
    """A place given as line and column, both from 1."""
    start = places.starts[min(line, len(places.starts)) - 1] + max(column, 1) - 1
    return Span(start, start + 1)
