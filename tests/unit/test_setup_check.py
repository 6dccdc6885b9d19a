"""`make setup` says what is missing before it begins."""

import os
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest

from operations.setup_check import faults


def test_a_folder_that_cannot_be_written_is_said_first(tmp_path: Path) -> None:
    said = f"/proc: user id {os.geteuid()} can't write there ("
    assert any(fault.startswith(said) for fault in faults(Path("/proc")))
    assert not any("can't write" in fault for fault in faults(tmp_path))


def test_disk_is_needed_for_what_is_not_made_yet(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=4 * 2**30))
    assert f"4.0 GiB free in {tmp_path}; 4.5 GiB are needed" in faults(tmp_path)
    (tmp_path / ".venv").mkdir()
    (tmp_path / ".venv/.ready").touch()
    assert not any("GiB" in fault for fault in faults(tmp_path))
