"""What a server leaves in /dev/shm is freed once nobody holds it, and not before."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from operations.shared_memory import SharedMemory, free_abandoned


@pytest.fixture
def left(tmp_path: Path) -> Iterator[tuple[list[Path], "subprocess.Popen[bytes]"]]:
    """Files of a server whose supervisor is gone, and the last of its processes."""
    memory = SharedMemory(tmp_path)
    with memory.locked() as held:
        last = subprocess.Popen(["sleep", "60"], pass_fds=(held,))
    files = [tmp_path / f"{memory.prefix}{name}" for name in ("lock", "0b1c-1", "0b1c-2")]
    for file in files:
        file.touch()
    yield files, last
    last.kill()
    last.wait()


def test_the_next_start_frees_what_nobody_holds(tmp_path: Path, left) -> None:
    files, last = left
    foreign = tmp_path / "rag_of_somebody"
    foreign.touch()
    with SharedMemory(tmp_path).locked():
        assert all(file.exists() for file in files), "its last process still runs"
    last.kill()
    last.wait()
    with SharedMemory(tmp_path).locked() as held:
        assert held and not any(file.exists() for file in files)
    assert foreign.exists()


def test_a_server_that_starts_is_not_taken_for_an_abandoned_one(tmp_path: Path) -> None:
    memory = SharedMemory(tmp_path)
    with memory.locked():
        region = tmp_path / f"{memory.prefix}0b1c"
        region.touch()
        free_abandoned(tmp_path)
        assert region.exists()
    memory.free()
    assert list(tmp_path.iterdir()) == []


def test_links_are_freed_with_the_files(tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.mkdir()
    memory = SharedMemory(tmp_path)
    (memory.link_folder() / "backends").mkdir()
    (memory.link_folder() / "models").symlink_to(target)
    memory.free()
    assert list(tmp_path.iterdir()) == [target]


def test_what_is_not_ours_to_open_is_left(tmp_path: Path, left, monkeypatch) -> None:
    files, last = left
    last.kill()
    last.wait()

    def refuse(*_: object) -> int:
        raise PermissionError

    monkeypatch.setattr("operations.shared_memory.os.open", refuse)
    free_abandoned(tmp_path)
    assert all(file.exists() for file in files)


def test_two_servers_of_a_process_have_names_of_their_own(tmp_path: Path) -> None:
    assert len({SharedMemory(tmp_path).prefix for _ in range(100)}) == 100
