"""All rules: those in the modules of `triton_lint.rules`."""

import pkgutil
from collections.abc import Iterator
from importlib import import_module

from triton_lint import rules
from triton_lint.rule import Rule
from triton_lint.rules import files, text_format


def _rules() -> Iterator[Rule]:
    """Rules made by `@check`, and those that are found while files and folders are read."""
    for found in pkgutil.iter_modules(rules.__path__, f"{rules.__name__}."):
        module = import_module(found.name)
        yield from (each for each in vars(module).values() if isinstance(each, Rule))
    yield from text_format.READING_RULES
    yield from files.FOLDER_RULES


RULES = tuple(sorted(_rules(), key=lambda rule: rule.id))

BY_ID = {rule.id: rule for rule in RULES}
