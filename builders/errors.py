"""The error of build time: a message for the user, no traceback."""

import contextlib
from collections.abc import Iterable, Iterator
from typing import Any


class BuildError(Exception):
    """The message says what was asked, what was found and what is possible."""


class CommandError(BuildError):
    """A command of a build failed; the end of the log says why."""


class GgufError(ValueError):
    """A GGUF file that can't be used: which field or tensor is wrong, and what is possible."""


@contextlib.contextmanager
def refusing(spec: Any, what: str) -> Iterator[None]:
    """Turns any error of a library into the spec's `BuildError`: `what` can't be done, and why."""
    try:
        yield
    except Exception as error:  # many libraries, some with error classes of their own
        said = " ".join(str(error).split())
        raise spec.error(f"{what}: {type(error).__name__}: {said:.300}") from error


def by_sentence(said: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    """Each sentence once, with all names that it is about; `said` has pairs (name, sentence)."""
    names: dict[str, list[str]] = {}
    for name, sentence in said:
        names.setdefault(sentence, []).append(name)
    return names
