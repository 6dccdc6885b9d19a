"""Grammars of JSON schemas: written by xgrammar's code, without free blanks and without torch."""

import json
import subprocess
import sys

import pytest

from python_backends.engines.json_grammar import json_grammar

PORT = {"type": "object", "properties": {"port": {"type": "integer"}}, "required": ["port"]}


def test_members_are_separated_by_fixed_texts() -> None:
    *_, root = json_grammar(json.dumps(PORT)).splitlines()
    assert root == r'root ::= "{" "" (("\"port\"" ": " basic_integer "")) "" "}"'


@pytest.mark.parametrize("schema", [PORT, {}, {"type": "object"}, {"items": PORT}])
def test_blanks_are_no_rule_of_their_own(schema: object) -> None:
    """Behind a string a blank is only looked at: `(= …)`."""
    lines = json_grammar(json.dumps(schema)).splitlines()
    assert not [line for line in lines if "[ " in line.partition("(=")[0].replace("[^", "")]


def test_what_is_no_schema_is_told() -> None:
    with pytest.raises(RuntimeError, match='Unsupported type "nonsense"'):
        json_grammar('{"type": "nonsense"}')


def test_torch_is_not_loaded() -> None:
    program = (
        "import sys; from python_backends.engines.json_grammar import json_grammar;"
        "json_grammar('{}'); sys.exit('torch' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
