"""`make setup` says what is missing before it begins."""

import os
from pathlib import Path

from operations.setup_check import faults


def test_a_folder_that_cannot_be_written_is_said_first(tmp_path: Path) -> None:
    said = f"/proc: user id {os.geteuid()} can't write there ("
    assert any(fault.startswith(said) for fault in faults(Path("/proc")))
    assert not any("can't write" in fault for fault in faults(tmp_path))
