"""What systemd is told: real datagrams, and nothing where nobody listens."""

import contextlib
import socket
from pathlib import Path

import pytest

from operations.systemd import Notice, notify


@pytest.mark.parametrize("name", ["{folder}/notify", "@rag-test-{folder}"])
def test_a_state_is_one_datagram(name: str, tmp_path: Path, monkeypatch) -> None:
    path = name.format(folder=tmp_path)
    monkeypatch.setenv("NOTIFY_SOCKET", path)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(path.replace("@", "\0", 1))
        notify(Notice.READY)
        notify(Notice.ALIVE)
        assert [systemd.recv(99), systemd.recv(99)] == [b"READY=1", b"WATCHDOG=1"]


def test_without_systemd_nothing_happens(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    notify(Notice.READY)
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "nobody"))
    notify(Notice.READY)
    assert list(tmp_path.iterdir()) == []


def test_one_that_does_not_read_does_not_hold_us(tmp_path: Path, monkeypatch) -> None:
    path = str(tmp_path / "notify")
    monkeypatch.setenv("NOTIFY_SOCKET", path)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(path)
        for _ in range(10_000):
            notify(Notice.ALIVE)
        systemd.setblocking(False)
        kept = 0
        with contextlib.suppress(BlockingIOError):
            while systemd.recv(99):
                kept += 1
    assert 0 < kept < 10_000, "the kernel keeps a few, the rest is dropped"
