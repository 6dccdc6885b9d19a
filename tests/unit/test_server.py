"""What a tritonserver that was killed leaves behind; a sleeping process stands in for it."""

import subprocess
import time
from pathlib import Path

import psutil
import pytest

from builders.spec import load_sku
from operations.ports import Ports
from operations.server import TritonServer
from operations.shared_memory import SharedMemory


@pytest.mark.parametrize("end", [TritonServer.stop, TritonServer.kill])
def test_an_ended_server_leaves_no_shared_memory(end, tmp_path: Path) -> None:
    found = TritonServer(load_sku("cpu"), Ports(), tmp_path / "log")
    found.shared_memory = SharedMemory(tmp_path)
    ours, others = tmp_path / f"{found.shared_memory.prefix}0b1c", tmp_path / "rag0b1c_0b1c"
    for region in (ours, others):
        region.touch()
    found._process = subprocess.Popen(["sleep", "60"], start_new_session=True)
    end(found)
    assert not ours.exists() and others.exists()


def test_model_processes_that_outlive_their_server_are_ended_with_it(tmp_path: Path) -> None:
    found = TritonServer(load_sku("cpu"), Ports(), tmp_path / "log")
    script = "sleep 60 & echo $!; exit 3"
    found._process = subprocess.Popen(
        ["sh", "-c", script], stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    assert found._process.stdout is not None
    child = int(found._process.stdout.readline())
    found._process.wait(5)  # it ends by itself, its child goes on
    assert found.stop() == 3
    deadline = time.monotonic() + 5
    while is_running(child) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not is_running(child)


def is_running(pid: int) -> bool:
    """Zombies, which nobody may ask after, do not."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
