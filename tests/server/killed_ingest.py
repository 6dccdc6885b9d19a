"""An ingest of many small files that is killed after its first documents are there."""

import signal
import subprocess
import sys
from pathlib import Path

from triton_rag import Client

from tests.server.conftest import eventually

TEXTS = 40
"""Files of the folder."""

_PROGRAM = """
import sys
from triton_rag import Client, IngestOptions, ingest
ingest(Client(sys.argv[1]), sys.argv[2], sys.argv[3], IngestOptions(commit_passages=1))
"""


def kill_ingest(client: Client, url: str, folder: Path, collection: str) -> None:
    """Fill an empty `folder` with one passage a file; begin to ingest it, then kill the process.

    A process that ended by itself fails the test: nothing was interrupted.
    """
    for number in range(TEXTS):
        (folder / f"{number:02}.txt").write_text(f"Boat {number} sails at {number} o'clock.")
    command = [sys.executable, "-c", _PROGRAM, url, str(folder), collection]
    with subprocess.Popen(command) as process:
        assert eventually(lambda: process.poll() is not None or documents(client, collection) > 0)
        process.kill()
    assert process.returncode == -signal.SIGKILL, "it was done before it was killed"


def documents(client: Client, collection: str) -> int:
    """How many there are, 0 without the collection."""
    return sum(one.documents for one in client.collections() if one.name == collection)
