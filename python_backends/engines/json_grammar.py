"""The grammar of a JSON schema whose answers have no more blanks than a line of JSON needs.

GenAI's own grammar allows any number of blanks, and a small model writes them until `max_tokens`.
Its library, xgrammar, has an option against that, but GenAI does not pass it on.
"""

from functools import cache
from importlib.machinery import EXTENSION_SUFFIXES
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

PACKAGE = "xgrammar"
_BINDINGS = "xgrammar_bindings"


def json_grammar(schema: str) -> str:
    """A grammar in GenAI's EBNF; raises `RuntimeError` for a schema that can't be followed.

    Members are as many as the schema allows, separated by ", " and ": ", as Python writes JSON.
    """
    any_whitespace, indent, separators, strict, most_blanks = False, None, None, True, None
    grammar = _bindings().testing._json_schema_to_ebnf(
        schema, any_whitespace, indent, separators, strict, most_blanks
    )
    return str(grammar)


@cache
def _bindings() -> Any:
    """The package's C++ code alone: the package itself imports torch."""
    package = find_spec(PACKAGE)
    if package is None or package.origin is None:
        raise RuntimeError(f"{PACKAGE} is not installed; JSON schemas need it")
    path = Path(package.origin).parent / f"{_BINDINGS}{EXTENSION_SUFFIXES[0]}"
    spec = spec_from_file_location(_BINDINGS, path)
    assert spec and spec.loader
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
