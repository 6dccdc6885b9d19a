"""Importing a package loads no heavy library (`make check` has the import rules)."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

_IMPORT_ALL = """
import importlib, pkgutil, sys
import {package}
for module in pkgutil.walk_packages({package}.__path__, "{package}."):
    importlib.import_module(module.name)
print(" ".join(sorted(set(sys.modules) & set("{forbidden}".split()))))
"""


def imported(package: str, *forbidden: str) -> str:
    code = _IMPORT_ALL.format(package=package, forbidden=" ".join(forbidden))
    return subprocess.check_output([sys.executable, "-c", code], text=True, cwd=ROOT).strip()


def test_python_backends_imports_no_engine_and_not_triton():
    found = imported(
        "python_backends",
        *("openvino", "openvino_genai", "onnxruntime", "torch", "transformers", "pydantic"),
        *("tritonclient", "triton_python_backend_utils", "builders"),
    )
    assert found == ""


def test_contracts_need_the_standard_library_only():
    assert imported("ensembles", "numpy", "jinja2", "pydantic", "google", "tokenizers") == ""
