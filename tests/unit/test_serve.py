"""A signal that comes as soon as the server is up is an ordinary end."""

import contextlib
import os
import signal
from types import SimpleNamespace

import pytest

from operations import serve
from operations.ports import Ports
from operations.supervisor.settings import SupervisorSettings


class Running:
    """A supervisor of no server. It gets SIGTERM at the step that `signalled` names."""

    health_port = 9003

    def __init__(self, signalled: str, ended: list[str]) -> None:
        self.signalled, self.ended = signalled, ended

    def __enter__(self):
        return self

    def __exit__(self, *_: object) -> None:
        self.ended.append("closed")

    def at(self, step: str) -> None:
        if step == self.signalled:
            os.kill(os.getpid(), signal.SIGTERM)

    def problems(self) -> dict[str, str]:
        self.at("problems")
        return {}

    def wait(self) -> int:
        self.at("wait")
        return 1

    def stop(self) -> int:
        self.ended.append("drained")
        return 0


@pytest.mark.parametrize("step", ["gateway", "problems", "wait"])
def test_a_signal_once_the_server_is_up_ends_it_in_order(step, monkeypatch, capsys):
    ended: list[str] = []
    running = Running(step, ended)

    class Gateway(contextlib.ExitStack):
        url = "http://127.0.0.1:8080"

        def __enter__(self):
            running.at("gateway")
            return super().__enter__()

    monkeypatch.setattr(serve, "Supervisor", lambda *_: running)
    server = SimpleNamespace(ports=Ports(), log=None)
    assert serve.serve_supervised(server, SupervisorSettings(), 9003, gateway=Gateway()) == 0
    assert ended == ["drained", "closed"]
    assert "stopping …\ntritonserver stopped (status 0)\n" in capsys.readouterr().out
