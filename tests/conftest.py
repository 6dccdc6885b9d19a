"""Marks by folder; sockets are off where a test needs none."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import pytest_socket

TESTS = Path(__file__).parent
MARKS = ("unit", "golden", "server", "gpu")
OFFLINE = ("unit", "golden")


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
