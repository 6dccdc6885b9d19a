"""The steps of one build and its log: an interrupted build continues after its last step."""

import ctypes
import os
import shutil
import signal
import subprocess
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from builders.errors import BuildError, CommandError

_FULL_BYTES = 64 * 2**20
"""With less free disk space, a failed step has probably failed for lack of it; exporters only say
"iostream error"."""

REFERENCE = "reference"
"""The step that gives the reference implementation the inputs that the engine gets later."""

Progress = Callable[[str], None]
"""Tells the user a line of text."""

_TAIL_LINES = 15


class BuildLog:
    """One text file, which each build empties first and keeps after its end."""

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
        """Run a command that ends with this process; log its output. Raises `CommandError`."""
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
    """Ask Linux to end this new process when its parent has ended, for any reason.

    Without it, a killed build's command would still write into the folder that the next build uses.
    """
    pr_set_pdeathsig = 1
    ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGTERM)


@dataclass(frozen=True)
class BuildSteps:
    """Where a build keeps its steps: the folder `<step>/` is there once the step is finished."""

    model: str
    folder: Path
    log: BuildLog
    progress: Progress

    def step(self, name: str, make: Callable[[Path], None]) -> Path:
        """The folder that `make` fills, or that an earlier build filled. Raises `BuildError`."""
        finished, making = self.folder / name, self.folder / f"{name}.unfinished"
        if finished.is_dir():
            self.progress(f"{name} was finished by an earlier build")
            return finished
        shutil.rmtree(making, ignore_errors=True)
        making.mkdir(parents=True)
        self.progress(f"{name} …")
        self.log.write(f"--- {name}, {time.strftime('%Y-%m-%d %H:%M:%S')}")
        try:
            make(making)
        except Exception as error:
            if isinstance(error, BuildError) and not isinstance(error, CommandError):
                raise
            failure = str(self.log.failure(self.model, name, error))
            if (free := shutil.disk_usage(self.folder).free) < _FULL_BYTES:
                failure += f"\nthe disk is full: {free / 2**20:.0f} MiB free under {self.folder}"
            raise BuildError(failure) from error
        making.rename(finished)
        return finished

    def remove(self) -> None:
        """Remove all steps: the last one is published, or none is needed any more."""
        shutil.rmtree(self.folder, ignore_errors=True)
