"""Code of Python models: read as Python reads it; what can't be read is left to Triton."""

from pathlib import Path

import pytest
from triton_lint.engine import lint
from triton_lint.python_source import MAX_SOURCE_BYTES

CONFIG = """backend: "python"
input { name: "a" data_type: TYPE_FP32 dims: [ 1 ] }
output { name: "b" data_type: TYPE_FP32 dims: [ 1 ] }
"""
CLASS = "class TritonPythonModel:\n    def execute(self, requests):\n        return [None]\n"
LATIN_1 = b"# coding: latin-1\n# \xe9\n"


def found(root: Path, code: str | bytes) -> list[str]:
    """`rule severity` of each finding."""
    (root / "m" / "1").mkdir(parents=True, exist_ok=True)
    (root / "m" / "config.pbtxt").write_text(CONFIG)
    data = code if isinstance(code, bytes) else code.encode()
    (root / "m" / "1" / "model.py").write_bytes(data)
    findings = lint([str(root)]).findings
    return [f"{each.rule} {each.severity.value}" for each in findings]


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        pytest.param(CLASS, ["TRN714 warning"], id="plain"),
        pytest.param(b"\xef\xbb\xbf" + CLASS.encode(), ["TRN714 warning"], id="byte order mark"),
        pytest.param(LATIN_1 + CLASS.encode(), ["TRN714 warning"], id="latin-1"),
        pytest.param(CLASS.encode() + b"x = '\xe9'\n", [], id="latin-1 undeclared"),
        pytest.param(CLASS + "#" * MAX_SOURCE_BYTES, [], id="large"),
        pytest.param(CLASS + "print 'x'\n", [], id="Python 2"),
        pytest.param("exec(open('x').read())\n", [], id="class made by exec"),
    ],
)  # fmt: skip
def test_what_python_reads(code: str | bytes, expected: list[str], tmp_path: Path) -> None:
    assert found(tmp_path, code) == expected
