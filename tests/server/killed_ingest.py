"""An ingest of many small files that is killed after its first documents are there."""

import signal
import subprocess
import sys
from pathlib import Path

from triton_rag import Client

TEXTS = 40
"""Files of the folder."""

_PROGRAM = """
import os, signal, sys, threading
from triton_rag import Client, IngestOptions, ingest

class Killed(Client):
    commits = 0

    def upsert(self, *arguments, **options):
        if self.commits == 3:
            threading.Thread(target=os.kill, args=(os.getpid(), signal.SIGKILL)).start()
        change = super().upsert(*arguments, **options)
        self.commits += 1
        return change

ingest(Killed(sys.argv[1]), sys.argv[2], sys.argv[3], IngestOptions(commit_passages=1))
"""


def kill_ingest(url: str, folder: Path, collection: str) -> None:
    """Fill an empty `folder` with one passage a file, and ingest it in a process that is killed
    while its fourth commit is under way, whichever of both the machine does first."""
    for number in range(TEXTS):
        (folder / f"{number:02}.txt").write_text(f"Boat {number} sails at {number} o'clock.")
    command = [sys.executable, "-c", _PROGRAM, url, str(folder), collection]
    assert subprocess.run(command, check=False).returncode == -signal.SIGKILL


def documents(client: Client, collection: str) -> int:
    """How many there are, 0 without the collection."""
    return sum(one.documents for one in client.collections() if one.name == collection)
