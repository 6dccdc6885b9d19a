"""Commands of other programs that make an engine: data, checked before the first of them runs."""

import shlex
import shutil
from collections.abc import Sequence
from dataclasses import dataclass

from builders.errors import BuildError


@dataclass(frozen=True)
class Command:
    """One program call. `name` is a short word for it, `what` says to people what it does."""

    name: str
    argv: tuple[str, ...]
    what: str

    def __str__(self) -> str:
        return shlex.join(self.argv)


def check_programs(commands: Sequence[Command]) -> None:
    """A quantization takes hours: what comes behind it must be there when it begins."""
    for program in dict.fromkeys(command.argv[0] for command in commands):
        if shutil.which(program) is None:
            raise BuildError(
                f"no program '{program}' on this machine, and "
                f"{', '.join(c.name for c in commands if c.argv[0] == program)} needs it; the "
                "programs of TensorRT-LLM are in its containers (nvcr.io/nvidia/tritonserver)"
            )
