"""Fixtures of the unit tests."""

import os
import sys
from types import ModuleType

import pytest

from tests.fakes import triton_stub


@pytest.fixture(autouse=True)
def no_niceness(monkeypatch: pytest.MonkeyPatch) -> None:
    """A placement's `niceness` would stay with these tests' process, and all that follow in it."""
    monkeypatch.setattr(os, "nice", lambda increment: 0)


@pytest.fixture
def pb(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """Triton's stub as `import triton_python_backend_utils` finds it, its server empty."""
    module = triton_stub.as_module()
    monkeypatch.setitem(sys.modules, "triton_python_backend_utils", module)
    monkeypatch.setattr(triton_stub, "models", {})
    return module
