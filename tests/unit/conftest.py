"""Fixtures of the unit tests."""

import sys
from types import ModuleType

import pytest

from tests.fakes import triton_stub


@pytest.fixture
def pb(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """Triton's stub as `import triton_python_backend_utils` finds it, its server empty."""
    module = triton_stub.as_module()
    monkeypatch.setitem(sys.modules, "triton_python_backend_utils", module)
    monkeypatch.setattr(triton_stub, "models", {})
    return module
