"""What a tritonserver that was killed leaves behind; a sleeping process stands in for it."""

import os
import subprocess
from pathlib import Path

import pytest

from builders import server
from builders.server import Ports, TritonServer
from builders.spec import load_sku


@pytest.mark.parametrize("end", [TritonServer.stop, TritonServer.kill])
def test_an_ended_server_leaves_no_shared_memory(end, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(server, "SHARED_MEMORY", tmp_path)
    ours = tmp_path / f"rag{os.getpid()}_8000_0b1c"
    others = tmp_path / f"rag{os.getpid()}_80_0b1c"  # another server's of this process
    for region in (ours, others):
        region.touch()
    found = TritonServer(load_sku("cpu"), Ports(), tmp_path / "log")
    found._process = subprocess.Popen(["sleep", "60"], start_new_session=True)
    end(found)
    assert not ours.exists() and others.exists()
