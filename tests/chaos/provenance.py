"""Which code was tested: the commit, and whether files differ from it."""

import subprocess

from builders.spec import ROOT
from tests.chaos.namespace import PACKAGES


def commit(committed: bool = False) -> str:
    """Short hash; says so when the tested code has changes that it lacks.

    `committed`: the models' packages are taken from the commit, so that changes there don't count.
    """
    folders = ("builders", "model_repository", *(() if committed else PACKAGES))
    changed = _git("status", "--porcelain", "--", *folders)
    return _git("rev-parse", "--short", "HEAD") + (" with uncommitted changes" if changed else "")


def _git(*words: str) -> str:
    found = subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=True)
    return found.stdout.strip()
