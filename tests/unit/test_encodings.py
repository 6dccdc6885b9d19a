"""Text files are UTF-8 whatever the locale: Triton's stub runs in the C locale, which is ASCII.

Ruff's PLW1514 sees only the calls whose type it can infer; this finds them all.
"""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from builders.spec import ROOT

PACKAGES = ("ensembles", "python_backends", "builders", "operations", "gateway")


def opened_in_the_locale(path: Path) -> Iterator[int]:
    """Lines that open a text file without naming its encoding."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            named = {keyword.arg for keyword in node.keywords}
            is_text = node.func.attr in ("read_text", "write_text") or (
                node.func.attr == "open" and not is_os(node.func.value) and has_text_mode(node)
            )
            if is_text and "encoding" not in named:
                yield node.lineno


def has_text_mode(call: ast.Call) -> bool:
    """A mode that is no constant is not judged."""
    modes = [arg.value if isinstance(arg, ast.Constant) else "b" for arg in call.args]
    return not any("b" in str(mode) for mode in modes)


def is_os(value: ast.expr) -> bool:
    return isinstance(value, ast.Name) and value.id == "os"


@pytest.mark.parametrize("package", PACKAGES)
def test_every_text_file_is_opened_as_utf_8(package):
    files = sorted((ROOT / package).rglob("*.py"))
    found = [f"{f.relative_to(ROOT)}:{n}" for f in files for n in opened_in_the_locale(f)]
    assert len(files) > 3
    assert found == []
