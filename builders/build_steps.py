"""The steps of one build, each finished at most once: an interrupted build goes on where it was."""

import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from builders.build_log import BuildLog
from builders.errors import BuildError, CommandError

_FULL_BYTES = 64 * 2**20
"""With less left, a failed step is likely to have failed for it; exporters say "iostream error"."""

REFERENCE = "reference"
"""The step that asks the reference implementation what the engine is asked later."""

Progress = Callable[[str], None]
"""Tells the user a line of text."""


@dataclass(frozen=True)
class BuildSteps:
    """Where a build keeps its steps: the folder `<step>/` is there once the step is finished."""

    model: str
    folder: Path
    log: BuildLog
    progress: Progress

    def step(self, name: str, make: Callable[[Path], None]) -> Path:
        """The folder that `make` fills; found there if an earlier build finished it.

        Raises `BuildError`, that of a command with the end of the log.
        """
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
        """All steps; their last is published, or they are of no more use."""
        shutil.rmtree(self.folder, ignore_errors=True)
