"""The supervisor with a real tritonserver: what dies comes back, what hangs is ended."""

import contextlib
import http.client
import json
import os
import queue
import re
import shutil
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest
import tritonclient.grpc as grpcclient

from builders.repository import REPOSITORY
from builders.spec import ROOT, load_sku
from operations import model_processes, shared_memory
from operations.cpu_server import CpuServer
from operations.ports import free_ports
from operations.supervisor.health_endpoint import HealthEndpoint
from operations.supervisor.journal import SERVER, Cause
from operations.supervisor.settings import SupervisorSettings
from operations.supervisor.supervisor import Supervisor
from operations.systemd import Notice
from tests.chaos.requests import Request
from tests.chaos.traffic import cut_stream
from tests.chaos.wire import Tensor
from tests.server.conftest import (
    BOUND_S,
    OpenStream,
    eventually,
    is_final,
    linked,
    seen,
    tensor,
    text,
)

SETTINGS = SupervisorSettings(canary_interval_s=2.0, backoff_min_s=0.2, drain_s=BOUND_S, idle_s=1.0)

EMBED_MODELS = ("tokenizer", "embedder", "embed")
LLM_MODELS = ("tokenizer", "llm")
"""What a test needs that starts a server of its own."""

LONG = [
    text("text_input", "hello"),
    tensor("max_tokens", [1500], "INT32"),
    tensor("min_tokens", [1500], "INT32"),
    tensor("stream", [True], "BOOL"),
]


@contextlib.contextmanager
def supervised(folder: Path, *models: str) -> Iterator[Supervisor]:
    """With these models alone, if any are named."""
    repository = linked(folder / "models", *models) if models else REPOSITORY
    server = CpuServer(load_sku("cpu"), free_ports(), folder / "tritonserver.log", repository)
    with Supervisor(server, SETTINGS) as running:
        yield running


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Supervisor]:
    with supervised(tmp_path_factory.mktemp("supervisor")) as found:
        yield found


def readyz(running: Supervisor, model: str = "") -> tuple[int, Any]:
    url = f"http://127.0.0.1:{running.health_port}/readyz{model}"
    try:
        with urllib.request.urlopen(url) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def pid_of(running: Supervisor, model: str) -> int:
    (found,) = (one.pid for one in model_processes.find(running.pid).living if one.model == model)
    return found


def happened(running: Supervisor, model: str, cause: Cause, action: str) -> bool:
    return any(
        (event.model, event.cause, event.action) == (model, cause, action)
        for event in running.events
    )


def restarts(running: Supervisor) -> int:
    return sum(event.action == "restarted" for event in running.events)


def is_back(running: Supervisor, restarts_before: int) -> bool:
    return restarts(running) > restarts_before and running.is_ready


def ask(running: Supervisor) -> None:
    """Through every model."""
    with grpcclient.InferenceServerClient(f"127.0.0.1:{running.ports.grpc}") as client:
        client.infer("embed", [text("input_text", "a")], client_timeout=BOUND_S)
    stream = OpenStream(
        f"127.0.0.1:{running.ports.grpc}",
        "rag_cancellable",
        [text("question", "Which port?"), text("documents", "Vebra listens on port 8123.")],
    )
    result, error = stream.next(BOUND_S)
    stream.close()
    assert error is None and result is not None


def test_starts_ready_with_every_model(running: Supervisor) -> None:
    _, report = seen(lambda: readyz(running), lambda found: found[0] == 200)
    assert report["ready"] and set(report["models"].values()) == {"ok"}


@pytest.mark.parametrize(
    ("model", "number", "cause"),
    [
        ("embedder", signal.SIGKILL, Cause.DEAD),
        ("tokenizer", signal.SIGSTOP, Cause.STOPPED),
    ],
)
def test_reloads_a_plain_model(
    running: Supervisor, model: str, number: signal.Signals, cause: Cause
) -> None:
    """A stream of `llm` goes on meanwhile."""
    assert eventually(lambda: running.is_ready)
    pid, server = pid_of(running, model), running.pid
    stream = OpenStream(f"127.0.0.1:{running.ports.grpc}", "llm", LONG)
    os.kill(pid, number)
    _, report = seen(
        lambda: readyz(running), lambda found: found[0] == 503 and found[1]["models"][model] != "ok"
    )
    assert not report["ready"]
    assert eventually(lambda: happened(running, model, cause, "reloaded"))
    assert eventually(lambda: running.is_ready)
    assert pid_of(running, model) != pid and running.pid == server
    while not is_final((answer := stream.next(BOUND_S))[0]):
        assert answer[1] is None
    stream.close()
    ask(running)


@pytest.mark.parametrize("model", ["llm", "rag_cancellable"])
def test_a_stream_whose_model_dies_ends_with_an_error(running: Supervisor, model: str) -> None:
    """The stream must last until its model is killed: it is long, and SIGSTOP comes first."""
    assert eventually(lambda: running.is_ready)
    rag = [text("question", "Which port?"), text("documents", "Vebra listens on 8123."), *LONG[1:]]
    pid, before = pid_of(running, "llm"), restarts(running)
    stream = OpenStream(f"127.0.0.1:{running.ports.grpc}", model, LONG if model == "llm" else rag)
    stream.next(BOUND_S)
    os.kill(pid, signal.SIGSTOP)
    os.kill(pid, signal.SIGKILL)
    error: Exception | None = None
    final = False
    while error is None and not final:  # raises queue.Empty where a stream hangs
        result, error = stream.next(BOUND_S)
        final = result is not None and is_final(result)
    assert error is not None and "UNAVAILABLE" in str(error)
    stream.close()
    assert eventually(lambda: is_back(running, before))
    ask(running)


def test_a_server_is_started_again_before_lost_connections_fill_it(running: Supervisor) -> None:
    """Triton keeps those of clients that go after it has refused a request on their stream."""
    assert eventually(lambda: running.is_ready)
    (used, _), before = model_processes.open_files(running.pid), restarts(running)
    limit = 2 * used + 40
    psutil.Process(running.pid).rlimit(psutil.RLIMIT_NOFILE, (limit, limit))
    wrong = Request("llm", (Tensor("text_input", "INT32", (1,)),))
    for _ in range(30):
        assert "data-type" in cut_stream(f"127.0.0.1:{running.ports.grpc}", wrong)
    assert eventually(lambda: is_back(running, before))
    assert happened(running, SERVER, Cause.FULL, "drained")
    ask(running)


def test_counts_what_it_did(running: Supervisor) -> None:
    address = f"http://127.0.0.1:{running.health_port}/metrics"
    with urllib.request.urlopen(address) as answer:
        page = answer.read().decode()
    for model, action in (("embedder", "reloaded"), (SERVER, "restarted")):
        done = sum(
            (e.model, e.cause, e.action) == (model, Cause.DEAD, action) for e in running.events
        )
        assert f'recoveries_total{{cause="dead",model="{model}"}} {float(done)}' in page
    assert 'rag_supervisor_model_up{model="embedder"}' in page


def test_a_client_that_resets_its_connection_leaves_no_traceback(capfd) -> None:
    endpoint = HealthEndpoint(0, {})
    endpoint.start()
    with contextlib.closing(endpoint):
        gone = socket.create_connection(("127.0.0.1", endpoint.server_port))
        gone.send(b"GET /readyz")
        gone.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        gone.close()
        with pytest.raises(urllib.error.HTTPError, match="404"):
            urllib.request.urlopen(f"http://127.0.0.1:{endpoint.server_port}/")
        time.sleep(0.2)
    assert capfd.readouterr().err == ""


def test_starts_a_dead_server_again(running: Supervisor) -> None:
    assert eventually(lambda: running.is_ready)
    pid, before = running.pid, restarts(running)
    left = [one.pid for one in model_processes.find(pid).living]
    os.kill(pid, signal.SIGKILL)
    assert eventually(lambda: is_back(running, before))
    assert running.pid != pid
    assert all(model_processes.state(one) is not model_processes.State.ALIVE for one in left)
    ask(running)


def sse(running: Supervisor, max_tokens: int) -> http.client.HTTPConnection:
    """An open stream whose first event has come."""
    connection = http.client.HTTPConnection("127.0.0.1", running.ports.http, timeout=BOUND_S)
    tokens = {"max_tokens": max_tokens, "min_tokens": max_tokens}
    body = json.dumps({"text_input": "hello", "stream": True} | tokens)
    connection.request("POST", "/v2/models/llm/generate_stream", body)
    return connection


@pytest.fixture
def told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """What a service of `Type=notify` tells systemd, which reads at once."""
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
    found: list[str] = []
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(tmp_path / "notify"))

        def read() -> None:
            while state := systemd.recv(99):
                found.append(state.decode())

        reader = threading.Thread(target=read)
        reader.start()
        yield found
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as last:
            last.sendto(b"", str(tmp_path / "notify"))
        reader.join()


def test_sigterm_drains(tmp_path: Path, told: list[str]) -> None:
    """Open streams end well, idle keep-alives, idle channels and abandoned streams hold nothing."""
    with supervised(tmp_path, *LLM_MODELS) as running:
        assert (
            eventually(lambda: {Notice.READY, Notice.ALIVE} <= set(told))
            and Notice.STOPPING not in told
        )
        idle = http.client.HTTPConnection("127.0.0.1", running.ports.http)
        idle.request("GET", "/v2/health/live")
        idle.getresponse().read()
        channel = grpcclient.InferenceServerClient(f"127.0.0.1:{running.ports.grpc}")
        assert channel.is_server_live()
        for _ in range(5):
            sse(running, 400).close()
        streams = [sse(running, 400) for _ in range(20)]
        responses = [stream.getresponse() for stream in streams]
        bodies: list[bytes] = [b""] * len(responses)

        def read(index: int) -> None:
            bodies[index] = responses[index].read()

        readers = [threading.Thread(target=read, args=(i,)) for i in range(len(responses))]
        for reader in readers:
            reader.start()
        status = running.stop()
        for reader in readers:
            reader.join(BOUND_S)
        assert status == 0
        assert all(b'"finish_reason":"length"' in body for body in bodies)
        (last,) = (e for e in running.events if e.cause is Cause.STOPPING)
        assert last.action.startswith("drained")
        assert eventually(lambda: Notice.STOPPING in told) and told.count(Notice.READY) == 1


BROKEN = """
from python_backends.stages.prompt_builder import PromptBuilderStage
from python_backends.triton.adapter import python_model

class Broken(PromptBuilderStage):
    def answer(self, request):
        raise RuntimeError("the template can't be rendered")

TritonPythonModel = python_model(Broken)
"""


def test_a_model_that_no_reload_cures_is_left_and_the_others_serve(tmp_path: Path) -> None:
    repository = tmp_path / "models"
    shutil.copytree(REPOSITORY, repository, ignore=shutil.ignore_patterns("engine"))
    for link in REPOSITORY.glob("*/1/engine"):
        (repository / link.relative_to(REPOSITORY)).symlink_to(link.resolve())
    (repository / "prompt_builder" / "1" / "model.py").write_text(BROKEN)
    server = CpuServer(load_sku("cpu"), free_ports(), tmp_path / "log", repository)
    with Supervisor(server, replace(SETTINGS, canary_interval_s=0.5)) as running:
        _, report = seen(lambda: readyz(running), lambda found: found[0] == 200)
        assert report["ready"]
        reasons = {model: said for model, said in report["models"].items() if said != "ok"}
        assert "answers its canary with an error" in reasons["prompt_builder"]
        assert reasons["rag"] == reasons["rag_cancellable"] == "calls prompt_builder"
        assert len(reasons) == 3
        assert readyz(running, "/embed")[0] == 200 and readyz(running, "/rag")[0] == 503
        pid = pid_of(running, "prompt_builder")
        with grpcclient.InferenceServerClient(f"127.0.0.1:{running.ports.grpc}") as client:
            client.infer("embed", [text("input_text", "a")], client_timeout=BOUND_S)
        canaries = asked(running, "prompt_builder")
        assert eventually(lambda: asked(running, "prompt_builder") > canaries + 2)
        (event,) = running.events
        assert (event.model, event.cause) == ("prompt_builder", Cause.FAILING)
        assert pid_of(running, "prompt_builder") == pid


def asked(running: Supervisor, model: str) -> int:
    """How often it was asked."""
    with grpcclient.InferenceServerClient(f"127.0.0.1:{running.ports.grpc}") as client:
        (found,) = client.get_inference_statistics(model, as_json=True)["model_stats"]
    return int(found["execution_count"])


def test_sigterm_does_not_wait_for_streams_without_a_request(tmp_path: Path) -> None:
    """tritonclient's users keep a stream open for their next request."""
    with supervised(tmp_path, *LLM_MODELS) as running:
        asked = text("text_input", "hello"), tensor("max_tokens", [2], "INT32")
        stream = OpenStream(f"127.0.0.1:{running.ports.grpc}", "llm", list(asked))
        while not is_final(stream.next(BOUND_S)[0]):
            pass
        start = time.monotonic()
        assert running.stop() == 0
        assert time.monotonic() - start < SETTINGS.drain_s / 2
        stream.close()


def test_sigterm_waits_for_who_reads_slowly(tmp_path: Path) -> None:
    """All is computed, and more of it than the kernel keeps for the client is still to be sent."""
    texts = [f"text {number}" for number in range(1024)]
    inputs = [{"name": "input_text", "shape": [1024], "datatype": "BYTES", "data": texts}]
    body = json.dumps({"inputs": inputs})
    head = f"POST /v2/models/embed/infer HTTP/1.1\r\nContent-Length: {len(body)}\r\n\r\n"
    with supervised(tmp_path, *EMBED_MODELS) as running, socket.socket() as slow:
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 15)
        slow.settimeout(BOUND_S)
        slow.connect(("127.0.0.1", running.ports.http))
        slow.sendall(f"{head}{body}".encode())
        answer = slow.recv(16)
        stopping = threading.Thread(target=running.stop)
        stopping.start()
        time.sleep(3)  # longer than it waits for what is idle
        while part := slow.recv(1 << 20):
            answer += part
        assert running.stop() == 0
        stopping.join(BOUND_S)
    headers, _, content = answer.partition(b"\r\n\r\n")
    length = re.search(rb"Content-Length: (\d+)", headers)
    assert length and len(content) == int(length[1]) > 1 << 22


def test_sigterm_after_a_reload(tmp_path: Path) -> None:
    """tritonserver keeps something of requests that waited for a process that died."""
    with supervised(tmp_path, *EMBED_MODELS) as running:
        pid = pid_of(running, "tokenizer")
        os.kill(pid, signal.SIGSTOP)
        with grpcclient.InferenceServerClient(f"127.0.0.1:{running.ports.grpc}") as client:
            errors: queue.Queue[object] = queue.Queue()
            for _ in range(3):
                client.async_infer(
                    "embed", [text("input_text", "a")], lambda result, error: errors.put(error)
                )
            os.kill(pid, signal.SIGKILL)
            assert all(errors.get(timeout=BOUND_S) for _ in range(3))
        assert eventually(lambda: happened(running, "tokenizer", Cause.DEAD, "reloaded"))
        start = time.monotonic()
        assert running.stop() == 0
        assert time.monotonic() - start < SETTINGS.drain_s / 2


def serve(repository: Path) -> "subprocess.Popen[str]":
    """`make serve` in a process of its own, ready."""
    command = [sys.executable, "-m", "operations", "serve", "--free-ports", "--no-gateway"]
    variables = os.environ | {"MODEL_REPOSITORY": str(repository)}
    found = subprocess.Popen(command, cwd=ROOT, env=variables, stdout=subprocess.PIPE, text=True)
    assert found.stdout is not None
    assert any(line.startswith("ready") for line in iter(found.stdout.readline, ""))
    return found


def shared_files(server: psutil.Process) -> set[Path]:
    """What it has in /dev/shm, beside files of other servers on this machine."""
    (prefix,) = re.findall(r"shm-region-prefix-name=(\w+)", " ".join(server.cmdline()))
    return set(shared_memory.FOLDER.glob(f"{prefix}*"))


def test_the_next_start_frees_the_memory_of_a_killed_supervisor(tmp_path: Path) -> None:
    repository = linked(tmp_path / "models", *EMBED_MODELS)
    first = serve(repository)
    (server,) = psutil.Process(first.pid).children()
    left = shared_files(server)
    first.kill()
    first.wait()
    os.killpg(server.pid, signal.SIGKILL)  # all of it at once, as systemd does
    psutil.wait_procs([server], BOUND_S)
    assert len(left) > 3 and all(file.exists() for file in left)
    second = serve(repository)
    try:
        assert eventually(lambda: not any(file.exists() for file in left))
        (server,) = psutil.Process(second.pid).children()
        used = shared_files(server)
        assert len(used) > 3
    finally:
        second.terminate()
        assert second.wait(BOUND_S) == 0
    assert not any(file.exists() for file in used)
