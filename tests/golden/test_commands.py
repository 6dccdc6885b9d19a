"""Documentation and Makefile say the same: commands."""

import importlib
import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
import triton_lint.command
import triton_rag.cli.commands
import triton_traces.command
from click.testing import CliRunner

import builders.cli
import gateway.cli
import operations.cli
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


COMMAND_LINES = {
    "builders": builders.cli.cli,
    "gateway": gateway.cli.cli,
    "operations": operations.cli.cli,
    "triton-lint": triton_lint.command.main,
    "triton-rag": triton_rag.cli.commands.triton_rag,
    "triton-traces": triton_traces.command.main,
}


def _commands(command: click.Command, *names: str) -> Iterator[list[str]]:
    command._help_option = None  # a test that ran it without its group left one without `-h`
    yield [*names]
    if isinstance(command, click.Group):
        for name, inner in command.commands.items():
            yield from _commands(inner, *names, name)


@pytest.mark.parametrize("name", COMMAND_LINES)
def test_help_is_whole(name):
    """Every command has `-h`; lists cut no sentence at 80 columns; no default is an empty text."""
    cli = COMMAND_LINES[name]
    for names in _commands(cli):
        shown = CliRunner().invoke(cli, [*names, "-h"], terminal_width=80)
        assert shown.exit_code == 0, names
        listed = shown.output.partition("Commands:")[2]
        assert not re.search(r"\.\.\.$", listed, re.MULTILINE), listed
        assert 'default: ""' not in shown.output, names
