"""The log of a build's commands; the error of one that fails has the last lines."""

import ctypes
import os
import signal
import subprocess
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path

from builders.errors import BuildError, CommandError

_TAIL_LINES = 15


class BuildLog:
    """One text file, begun anew by each build and kept after it."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def begin(self) -> None:
        """Empty the file."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.write_text("", encoding="utf-8")

    def write(self, text: str) -> None:
        with self.path.open("a", encoding="utf-8") as file:
            file.write(f"{text}\n")

    def run(self, command: Sequence[str], environment: Mapping[str, str]) -> None:
        """Run a command whose output goes to the log; `environment` adds to ours.

        Raises `CommandError` with the status when it fails. It ends when this process does.
        """
        self.write(f"$ {' '.join(command)}")
        with self.path.open("a", encoding="utf-8") as output:
            done = subprocess.run(
                command,
                check=False,
                stdout=output,
                stderr=output,
                env=os.environ | environment,
                preexec_fn=end_with_parent,
            )
        if done.returncode:
            raise CommandError(f"{Path(command[0]).name} {_fate(done.returncode)}")

    def failure(self, model: str, step: str, error: Exception) -> BuildError:
        """The error of a step as a user needs it: with the log's end, or logged itself."""
        if isinstance(error, CommandError):
            lines = self.path.read_text(errors="replace", encoding="utf-8").splitlines()
            ends = "\n".join([f"{self.path} ends with:", *lines[-_TAIL_LINES:]])
            return BuildError(f"model '{model}': {step} failed: {error}\n{ends}")
        self.write("".join(traceback.format_exception(error)))
        said = " ".join(str(error).split())
        return BuildError(
            f"model '{model}': {step} failed: {type(error).__name__}: {said}; more in {self.path}"
        )


def _fate(status: int) -> str:
    """The exit status in words: the kernel sends SIGKILL when memory runs out, and logs nothing."""
    if status == -signal.SIGKILL:
        return "was killed: the machine ran out of memory (see 'dmesg'), or somebody ended it"
    return f"was ended by signal {-status}" if status < 0 else f"ended with status {status}"


def end_with_parent() -> None:
    """Ask Linux to end this new process when its parent is gone, however that came about.

    An orphan of a build would go on writing into the folder that the next one makes anew.
    """
    pr_set_pdeathsig = 1
    ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGTERM)
