"""Marks by folder; sockets are off where a test needs none."""

from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest
import pytest_socket

TESTS = Path(__file__).parent
MARKS = ("unit", "golden", "server", "gpu")
OFFLINE = ("unit", "golden")

# The same examples in each run, however slow the machine is: what fails once fails for everybody.
# `--hypothesis-profile=default` looks for others.
hypothesis.settings.register_profile(
    "repeatable",
    deadline=None,
    derandomize=True,
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
)
hypothesis.settings.load_profile("repeatable")


def folder_mark(path: Path) -> str | None:
    """`unit` for tests/unit/…, and so on."""
    folder = path.relative_to(TESTS).parts[0] if path.is_relative_to(TESTS) else ""
    return folder if folder in MARKS else None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if mark := folder_mark(item.path):
            item.add_marker(mark)


@pytest.fixture(autouse=True)
def no_network(request: pytest.FixtureRequest) -> Iterator[None]:
    """Unix sockets stay: asyncio and subprocess need them."""
    if folder_mark(request.node.path) not in OFFLINE:
        yield
        return
    pytest_socket.disable_socket(allow_unix_socket=True)
    yield
    pytest_socket.enable_socket()
