"""Options in a project's `pyproject.toml`, in the table `[tool.triton-lint]`."""

import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import click

from triton_lint.reading import is_file

_ONCE = ("fix", "diff", "graph", "unsafe_fix")
"""What one asks for at a time."""


def use_settings(context: click.Context, _: click.Parameter, paths: tuple[str, ...]) -> Any:
    """Make the nearest project's options the defaults of the command."""
    for folder in _folders(paths):
        file = folder / "pyproject.toml"
        table = _table(file) if is_file(file) else None
        if table is not None:
            context.default_map = _defaults(context, file, table)
            break
    return paths


def _folders(paths: Iterable[str]) -> Iterable[Path]:
    """From the first path upwards, else from where the command runs."""
    for start in (*map(Path, list(paths)[:1]), Path()):
        yield from (start.absolute(), *start.absolute().parents)


def _table(file: Path) -> dict[str, Any] | None:
    try:
        found = tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise click.UsageError(f"{file}: {error}") from None
    table = found.get("tool", {}).get("triton-lint")
    if table is not None and not isinstance(table, dict):
        raise click.UsageError(f"{file}: tool.triton-lint is a table")
    return table


def _defaults(context: click.Context, file: Path, table: dict[str, Any]) -> dict[str, Any]:
    """The options by click's names; raises `UsageError` for what is none, or of the wrong form."""
    options = {
        flag.removeprefix("--"): each
        for each in context.command.params
        if isinstance(each, click.Option) and not each.is_eager and each.name not in _ONCE
        for flag in each.opts
    }
    for name, value in table.items():
        where = f"{file}: tool.triton-lint.{name}"
        if name not in options:
            raise click.UsageError(f"{where} is no option: {', '.join(options)}")
        option = options[name]
        wanted = list if option.multiple else bool if option.is_flag else (str, int)
        if not isinstance(value, wanted) or (isinstance(value, bool) and not option.is_flag):
            form = "a list" if option.multiple else "true or false" if option.is_flag else "a value"
            raise click.UsageError(f"{where} takes {form}")
    return {str(options[name].name): value for name, value in table.items()}
