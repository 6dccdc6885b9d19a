"""Code of Python models: what is certain is an error, what may be is a warning or nothing."""

import sys
from pathlib import Path

import pytest
from triton_lint.engine import lint
from triton_lint.python_source import MAX_SOURCE_BYTES

CONFIG = """backend: "python"
input { name: "a" data_type: TYPE_FP32 dims: [ 1 ] }
output { name: "b" data_type: TYPE_FP32 dims: [ 1 ] }
"""
CLASS = "class TritonPythonModel:\n    def execute(self, requests):\n        return []\n"


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
        pytest.param(b"\xef\xbb\xbf" + CLASS.encode(), [], id="byte order mark"),
        pytest.param(b"# coding: latin-1\n# \xe9\n" + CLASS.encode(), [], id="latin-1"),
        pytest.param(CLASS.encode() + b"x = '\xe9'\n", ["TRN701 error"], id="latin-1 undeclared"),
        pytest.param(CLASS + "#" * MAX_SOURCE_BYTES, ["TRN701 warning"], id="large"),
        pytest.param(CLASS + "print 'x'\n", ["TRN701 error"], id="Python 2"),
        pytest.param(CLASS + "try: pass\nexcept A, e: pass\n", ["TRN701 error"], id="except"),
        pytest.param("exec(open('x').read())\n", [], id="class made by exec"),
        pytest.param("globals()['TritonPythonModel'] = type('T', (), {})\n", [], id="by globals"),
        pytest.param("class Model:\n    pass\n", ["TRN702 error"], id="no class"),
    ],
)  # fmt: skip
def test_what_python_reads(code: str | bytes, expected: list[str], tmp_path: Path) -> None:
    assert found(tmp_path, code) == expected


@pytest.mark.skipif(sys.version_info >= (3, 12), reason="this Python reads it")
@pytest.mark.parametrize(
    "code",
    [
        "type X = int\n",
        "type X[T] = list[T]\n",
        "def f[T](x: T) -> T:\n    return x\n",
        "class A[T]:\n    pass\n",
        "x = {'a': 1}\ny = f'{x['a']}'\n",
        "y = f\"{'\\n'.join([])}\"\n",
        "y = f'''{\n    1  # one\n}'''\n",
    ],
)
def test_syntax_of_a_later_python_is_no_error(code: str, tmp_path: Path) -> None:
    assert found(tmp_path, CLASS + code) == ["TRN701 warning"]
