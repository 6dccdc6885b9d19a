"""When a tritonserver as a whole is given up."""

import signal
import subprocess
import sys

import pytest

from operations.ports import Ports
from operations.supervisor import processes
from operations.supervisor.events import Cause
from operations.supervisor.journal import Journal
from operations.supervisor.server_health import ServerHealth
from operations.supervisor.settings import Settings
from operations.supervisor.triton_api import TritonApi

NONE: frozenset[int] = frozenset()
BLOCKS = """
import signal, sys
signal.pthread_sigmask(signal.SIG_BLOCK, [int(sys.argv[1])])
print(flush=True)
input()
"""


class Answers(TritonApi):
    """Live, or not."""

    live = True

    def is_live(self) -> bool:
        return self.live


@pytest.fixture
def api() -> Answers:
    return Answers(Ports())


@pytest.fixture
def lines() -> list[str]:
    return []


@pytest.fixture
def health(api: Answers, lines: list[str]) -> ServerHealth:
    return ServerHealth(5, api, Settings(canary_timeout_s=0.0), Journal(lines.append))


def looks(monkeypatch: pytest.MonkeyPatch, health: ServerHealth, *crashing: frozenset[int]) -> list:
    """What is concluded, look by look, from the threads that are in the handler of a crash."""
    found = iter(crashing)
    monkeypatch.setattr(processes, "crashing", lambda pid: next(found))
    return [health.ask() for _ in crashing]


def test_one_that_hangs_in_its_handler_is_given_up_though_it_is_live(monkeypatch, health, lines):
    threads = frozenset([7]), frozenset([7, 8])
    monkeypatch.setattr(health, "_settings", Settings())
    assert looks(monkeypatch, health, NONE, *threads) == [None, None, Cause.STUCK]
    assert "hangs in its signal handler" in lines[0]


def test_a_second_look_comes_soon(monkeypatch, health):
    monkeypatch.setattr(health, "_settings", Settings())
    looks(monkeypatch, health, NONE)
    calm_s = health.due_s
    looks(monkeypatch, health, frozenset([7]))
    assert health.due_s < calm_s


def test_one_that_is_not_live_is_given_up_after_a_while(monkeypatch, health, api):
    assert looks(monkeypatch, health, NONE) == [None]
    api.live = False
    assert looks(monkeypatch, health, NONE) == [Cause.STUCK]


@pytest.mark.parametrize(
    ("number", "found"), [(signal.SIGABRT, True), (signal.SIGSEGV, True), (signal.SIGTERM, False)]
)
def test_a_thread_that_blocks_a_crash_is_in_its_handler(number, found):
    arguments = [sys.executable, "-c", BLOCKS, str(int(number))]
    with subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stdin is not None
        process.stdout.readline()
        assert processes.crashing(process.pid) == (frozenset([process.pid]) if found else NONE)
        process.communicate(b"\n")
    assert processes.crashing(process.pid) == NONE
