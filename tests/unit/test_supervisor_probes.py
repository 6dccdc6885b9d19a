"""What the probes say, of models that are well, away, and broken."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from builders.repository import REPOSITORY
from operations.ports import Ports
from operations.supervisor import supervisor as module
from operations.supervisor.health_endpoint import Page
from operations.supervisor.journal import Cause
from operations.supervisor.model_health import Backoff
from operations.supervisor.settings import SupervisorSettings
from operations.supervisor.supervisor import Supervisor
from operations.supervisor.watch import Watch
from operations.triton_process import ServerError


class Endpoint:
    """Without a socket."""

    server_port = 1

    def __init__(self, port: int, pages: dict[str, Any], address: str) -> None:
        self.pages = pages


@pytest.fixture
def running(monkeypatch: pytest.MonkeyPatch) -> Supervisor:
    monkeypatch.setattr(module, "HealthEndpoint", Endpoint)
    server: Any = SimpleNamespace(ports=Ports(), repository=REPOSITORY, exit_timeout_s=0)
    return Supervisor(server)


def ask(
    running: Supervisor, path: str = "/readyz", broken: tuple[str, ...] = (), **away: str
) -> Any:
    """The status and the body, where these models have a problem."""
    server: Any = SimpleNamespace(pid=1, repository=running._server.repository, api=None)
    watch = Watch(server, running._settings, running._journal, set())
    for model, health in watch._health.items():
        health.problem, health.is_broken = away.get(model, ""), model in broken
    running._watch = watch
    page: Page = running._endpoint.pages[path]()
    return page.status, json.loads(page.body)


def test_all_is_well(running: Supervisor) -> None:
    status, body = ask(running)
    assert status == 200 and body["ready"] and set(body["models"].values()) == {"ok"}
    assert {"embed", "rerank", "retrieve", "rag"} <= set(body["models"])


def test_only_models_of_the_repository_are_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "HealthEndpoint", Endpoint)
    for model in ("tokenizer", "embedder", "embed"):
        (tmp_path / model).mkdir()
    server: Any = SimpleNamespace(ports=Ports(), repository=tmp_path, exit_timeout_s=0)
    status, body = ask(Supervisor(server))
    assert status == 200 and body["models"] == dict.fromkeys(
        ("tokenizer", "embedder", "embed"), "ok"
    )


def test_a_model_that_is_being_brought_back_takes_the_server_away(running: Supervisor) -> None:
    status, body = ask(running, embedder="dead, being brought back")
    assert status == 503 and not body["ready"]
    assert body["models"]["embedder"] == "dead, being brought back"
    assert body["models"]["embed"] == "calls embedder" and body["models"]["llm"] == "ok"


def test_the_server_is_ready_without_what_nothing_helps(running: Supervisor) -> None:
    status, body = ask(running, broken=("prompt_builder",), prompt_builder="answers with an error")
    assert status == 200 and body["ready"]
    assert body["models"]["prompt_builder"] == "answers with an error"
    assert body["models"]["rag"] == "calls prompt_builder" and body["models"]["embed"] == "ok"
    assert b"rag_supervisor_ready 1.0" in running._metrics().body
    assert b'rag_supervisor_model_up{model="prompt_builder"} 0.0' in running._metrics().body


def test_not_without_any(running: Supervisor) -> None:
    models = tuple(running._models)
    assert ask(running, broken=models, **dict.fromkeys(models, "no"))[0] == 503


@pytest.mark.parametrize(
    ("model", "status", "says"),
    [("embed", 200, "ok"), ("prompt_builder", 503, "no"), ("rag", 503, "calls prompt_builder")],
)
def test_each_model_has_a_probe(running: Supervisor, model: str, status: int, says: str) -> None:
    found = ask(running, f"/readyz/{model}", broken=("prompt_builder",), prompt_builder="no")
    assert found == (status, {"ready": status == 200, "model": says})


def test_why_the_server_does_not_come_back_is_said(running: Supervisor) -> None:
    """As where an engine's file is away. Once it comes back, so does the server."""
    refusals = [ServerError("model 'llm': its engine lacks openvino_model.bin\nmore")]
    said = []

    def start() -> None:
        said.append(running.problems()["llm"])
        if refusals:
            raise refusals.pop()

    server: Any = SimpleNamespace(start=start, pid=1, repository=REPOSITORY, api=None)
    running._server, running._backoff = server, Backoff(SupervisorSettings(backoff_min_s=0.01))
    running._restart(Cause.DEAD, 0.0)
    away = "tritonserver is not running"
    why = "restart failed (model 'llm': its engine lacks openvino_model.bin)"
    assert said == [away, f"{away}: {why}"]


def test_nothing_is_ready_without_the_server_and_while_it_stops(running: Supervisor) -> None:
    assert not running.is_ready and set(running.problems().values()) >= {
        "tritonserver is not running"
    }
    running._stop.set()
    assert ask(running)[0] == 503
    assert ask(running, "/readyz/embed") == (503, {"ready": False, "model": "stopping"})
