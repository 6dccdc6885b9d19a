"""Documentation and Makefile say the same: commands."""

import importlib
import re
from pathlib import Path

import pytest

from builders.spec import ROOT

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
MAKEFILE = ROOT / "Makefile"
_OF_MAKE = re.compile(r"\bmake ((?:[A-Z_]+=\S+ )*)([a-z][a-z-]*)")


def targets() -> set[str]:
    return set(re.findall(r"^([a-z][\w-]*):", MAKEFILE.read_text(), re.MULTILINE))


def commands(page: Path) -> set[str]:
    """`make X` in code: fenced blocks and `inline`."""
    text = page.read_text(encoding="utf-8")
    code = re.findall(r"```.*?\n(.*?)```", text, re.DOTALL)
    code += re.findall(r"`([^`\n]+)`", re.sub(r"```.*?```", "", text, flags=re.DOTALL))
    return {match[1] for snippet in code for match in _OF_MAKE.findall(snippet)}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_commands_of_the_documentation_exist(page):
    assert commands(page) <= targets()


def test_the_readme_shows_the_ways_in():
    assert {"demo", "test", "serve"} <= commands(ROOT / "README.md")


def test_every_target_is_explained():
    text = MAKEFILE.read_text()
    public = re.findall(r"^([a-z][\w-]*):(.*)$", text, re.MULTILINE)
    assert [name for name, rest in public if "## " not in rest] == []


@pytest.mark.parametrize("package", ["builders", "operations"])
def test_the_makefile_calls_commands_that_exist(package):
    called = set(re.findall(rf"-m {package} ([a-z-]+)", MAKEFILE.read_text()))
    assert called
    assert called <= set(importlib.import_module(f"{package}.cli").cli.commands)
