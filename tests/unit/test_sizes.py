"""Modules and functions stay small, in every package."""

import ast
import statistics
from collections.abc import Iterator
from pathlib import Path

import pytest

from builders.spec import ROOT

PACKAGES = (
    "builders",
    "client",
    "ensembles",
    "examples",
    "gateway",
    "operations",
    "python_backends",
    "tools",
)
MOST_MODULE_LINES = 300
LONGER: set[str] = set()
"""Modules that were longer when this test came; they may not stay here for ever."""
MOST_FUNCTION_LINES = 60
MOST_MEDIAN_LINES = 10


def modules(package: str) -> list[Path]:
    """Its Python files but for tests."""
    found = (ROOT / package).rglob("*.py")
    return [path for path in found if not {"tests", "build"} & {*path.relative_to(ROOT).parts}]


def functions(package: str) -> Iterator[tuple[int, str]]:
    """The lines of each function, and where it is."""
    for path in modules(package):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                assert node.end_lineno is not None
                yield node.end_lineno - node.lineno + 1, f"{path.relative_to(ROOT)}: {node.name}"


@pytest.mark.parametrize("package", PACKAGES)
def test_modules_are_short(package: str) -> None:
    lines = {str(m.relative_to(ROOT)): len(m.read_text().splitlines()) for m in modules(package)}
    assert lines, "the folder has moved"
    too_long = {name for name, count in lines.items() if count > MOST_MODULE_LINES}
    assert too_long - LONGER == set()
    assert LONGER & lines.keys() <= too_long, "take it out of the list"


@pytest.mark.parametrize("package", PACKAGES)
def test_functions_are_short(package: str) -> None:
    assert [found for found in functions(package) if found[0] > MOST_FUNCTION_LINES] == []


def test_half_of_the_functions_are_very_short() -> None:
    lines = [found[0] for package in PACKAGES for found in functions(package)]
    assert statistics.median(lines) <= MOST_MEDIAN_LINES


def test_every_package_is_looked_at() -> None:
    beside = {"docs", "model_repository", "requirements", "tests"}
    folders = {path.parent.name for path in ROOT.glob("*/*.py")} | {"client", "tools"}
    assert folders - beside == set(PACKAGES)
