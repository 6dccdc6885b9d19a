"""Guides are blamed for what they do, and not for what the machine does meanwhile."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from python_backends.engines import guide_checks
from python_backends.engines.guide_checks import GuideChecks
from python_backends.engines.llm_engine import Guide
from python_backends.errors import Overloaded, RequestError

GUIDE = Guide("regex", "a+")
TRIAL = """
import os, signal, sys, time
print(flush=True)
for _ in sys.stdin:
    {}
"""
"""Stands in for the process that tries guides; what it does with each is put in."""


@pytest.fixture
def checks(monkeypatch: pytest.MonkeyPatch) -> Iterator[GuideChecks]:
    monkeypatch.setattr(guide_checks, "MOST_CPU_S", 0.05)
    monkeypatch.setattr(guide_checks, "MOST_WAIT_S", 1.0)
    made = GuideChecks(Path("engine"), 0, ())
    yield made
    made.close()


def does(checks: GuideChecks, what: str) -> None:
    checks.close()
    checks._process = None
    checks._command = [sys.executable, "-c", TRIAL.format(what)]


FINE = 'print(\'{"cpu_s": 0, "memory_kib": 1}\', flush=True)'


@pytest.mark.parametrize(
    "what",
    ["time.sleep(60)", "os.kill(os.getpid(), signal.SIGKILL)"],
    ids=["a machine that stands still", "a process that is killed"],
)
def test_what_the_machine_did_is_not_remembered(checks: GuideChecks, what: str) -> None:
    does(checks, what)
    with pytest.raises(Overloaded, match="try again later"):
        checks.check(GUIDE)
    does(checks, FINE)
    checks.check(GUIDE)
    assert checks.allows(GUIDE)


@pytest.mark.parametrize(
    ("what", "why"),
    [("while True: pass", "holds up the library"), ("os.abort()", "ends the library")],
)
def test_what_the_guide_did_is_remembered(checks: GuideChecks, what: str, why: str) -> None:
    does(checks, what)
    for _ in range(2):
        with pytest.raises(RequestError, match=why) as caught:
            checks.check(GUIDE)
        assert not isinstance(caught.value, Overloaded)
        does(checks, FINE)
