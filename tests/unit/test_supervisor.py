"""The supervisor's decisions: on states, times and text, without processes or sockets."""

import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

from builders.repository import REPOSITORY
from operations import drain, model_processes
from operations.drain import Activity, unsent_bytes
from operations.model_processes import Found, Instance, State
from operations.ports import Ports
from operations.supervisor.canary import SERVER_CANARY, Canary, canaries
from operations.supervisor.journal import SERVER, Cause, Journal
from operations.supervisor.model_health import NOT_ASKED, Backoff, ModelHealth
from operations.supervisor.settings import SupervisorSettings
from operations.triton_api import Answer, TritonApi

SETTINGS = SupervisorSettings()


def health() -> ModelHealth:
    return ModelHealth(SERVER_CANARY, SETTINGS, Backoff(SETTINGS))


def test_a_model_is_not_up_before_it_answered() -> None:
    found = health()
    assert found.problem == NOT_ASKED
    found.heard(5.0)
    assert not found.problem and found.due_s == 5.0 + SETTINGS.canary_interval_s


def test_a_stuck_model_is_so_at_once() -> None:
    found = health()
    assert found.heard(60.0, "no answer", Cause.STUCK) is Cause.STUCK
    assert found.problem and found.due_s == 60.0 + SETTINGS.canary_retry_s


def test_errors_in_a_row_are_failing() -> None:
    found = health()
    causes = [found.heard(float(n), "no", Cause.FAILING) for n in range(SETTINGS.failures)]
    assert causes == [None, None, Cause.FAILING]


def test_an_answer_between_errors_starts_the_count_again() -> None:
    found = health()
    for second in range(10):
        assert found.heard(float(second), "no", Cause.FAILING) is None
        found.heard(second + 0.5)


@pytest.mark.parametrize(
    ("state", "cause"), [(State.DEAD, Cause.DEAD), (State.STOPPED, Cause.STOPPED)]
)
def test_a_process_must_be_odd_for_a_while(state: State, cause: Cause) -> None:
    """One that Triton ends itself is a zombie for a moment, too."""
    found = health()
    found.heard(0.0)
    assert found.seen(1.0, 7, state) is None
    assert found.seen(1.1, 7, State.ALIVE) is None
    assert found.seen(1.2, 7, state) is None
    assert found.seen(1.3, 7, State.GONE) is None
    assert not found.problem
    assert found.seen(2.0, 7, state) is None
    assert found.seen(2.1 + SETTINGS.lasting_s, 7, state) is cause
    assert "process 7" in found.problem


def test_errors_without_a_cause_do_not_count() -> None:
    found = health()
    assert [found.heard(float(n), "no") for n in range(9)] == [None] * 9
    assert found.problem


def test_waits_double_up_to_a_bound_and_begin_again_after_quiet() -> None:
    settings = SupervisorSettings(backoff_min_s=1.0, backoff_max_s=8.0, stable_s=60.0)
    backoff = Backoff(settings)
    now_s, waits = 0.0, []
    for _ in range(7):
        waits.append(backoff.next_s(now_s))
        now_s += waits[-1] + 1.0
    assert waits == [0.0, 1.0, 2.0, 4.0, 8.0, 8.0, 8.0]
    assert backoff.count == 7
    assert backoff.next_s(now_s + 61.0) == 0.0 and backoff.count == 1


def test_every_python_model_has_a_canary() -> None:
    found = {canary.model for canary in canaries(REPOSITORY)}
    assert {"tokenizer", "embedder", "llm", "ensemble", "rag_cancellable"} <= found
    assert all(canary.calls <= found for canary in canaries(REPOSITORY))


def test_canaries_are_small_and_complete() -> None:
    by_model = {canary.model: canary for canary in canaries(REPOSITORY)}
    assert by_model["llm"].body == {"text_input": "canary", "max_tokens": 1}
    assert by_model["ensemble_unary"].body == by_model["ensemble"].body
    assert by_model["ensemble_unary"].decoupled and by_model["ensemble_unary"].calls == {"llm"}
    assert by_model["rag_cancellable"].calls >= {"llm", "embedder"}
    (ids, mask) = by_model["embedder"].body["inputs"]  # type: ignore[misc]
    assert ids["shape"] == [1, 1] and mask["data"] == [1]


def test_models_with_a_choice_are_asked_what_they_answer() -> None:
    by_model = {canary.model: canary for canary in canaries(REPOSITORY)}
    asked = {
        model: [(each["name"], each["data"]) for each in by_model[model].body["inputs"]]  # type: ignore[attr-defined]
        for model in ("tokenizer", "collections")
    }
    assert asked["tokenizer"] == [("input_text", ["canary"])]
    assert asked["collections"] == [("operation", ["list"])]


def test_who_finds_no_collection_lives() -> None:
    (search,) = (canary for canary in canaries(REPOSITORY) if canary.model == "vector_search")
    body = {"error": "collection: there is no 'canary'; there are none yet"}
    assert search.fault(Answer(400, json.dumps(body).encode(), 0.1)) == ""
    assert search.fault(Answer(400, b'{"error": "no store"}', 0.1)) == "no store"


PAGE = """\
nv_inference_exec_count{model="embedder",version="1"} 5
nv_inference_exec_count{model="llm",version="1"} 6
llm_iterations_total{model="llm",version="1"} 70
llm_requests_waiting{model="llm",version="1"} 3
llm_tokens_total{model="llm",type="input",version="1"} 9
llm_tokens_total{model="llm",type="output",version="1"} 8
rag_requests_total{model="llm",outcome="cancelled",version="1"} 2
rag_requests_total{model="llm",outcome="ok",version="1"} 4
"""


def progress(model: str, decoupled: bool, calls: frozenset[str] = frozenset()) -> list[str]:
    api = RecordedApi({"/metrics": PAGE.encode()})
    canary = Canary(model, "", {"inputs": []}, decoupled, calls)
    return [sample.name for sample in canary.progress(api)]


def test_progress_is_finished_work_only() -> None:
    """A stuck model takes requests, and counts those that its clients gave up."""
    assert progress("llm", True) == [
        "llm_iterations_total",
        "llm_tokens_total",
        "rag_requests_total",
    ]
    assert progress("embedder", False) == ["nv_inference_exec_count"]
    assert progress("ensemble", True, frozenset({"llm"})) == [
        "llm_iterations_total",
        "llm_tokens_total",
    ]


def test_an_error_is_read_from_the_body() -> None:
    assert Answer(200, b"{}", 0.1).error == ""
    assert Answer(400, b'{"error":"Stub process is not healthy."}', 0.1).error.startswith("Stub")
    assert Answer(500, b"<html>", 0.1).error == "HTTP 500"


class RecordedApi(TritonApi):
    """Answers from a table instead of a server."""

    def __init__(self, answers: dict[str, bytes]) -> None:
        super().__init__(Ports())
        self.answers, self.sent = answers, list[tuple[str, object]]()

    def call(
        self,
        method: str,
        path: str,
        body: object = None,
        timeout_s: float = 1.0,
        port: int | None = None,
    ) -> Answer:
        self.sent.append((path, body))
        found = self.answers.get(path, b"")
        return Answer(400 if b"error" in found else 200, found, 0.0)


def test_a_reload_changes_the_configuration() -> None:
    """Triton keeps dead instances where nothing changed."""
    api = RecordedApi({"/v2/models/llm/config": b'{"name": "llm", "parameters": {}}'})
    assert api.reload("llm", 1.0) == ""
    path, body = api.sent[-1]
    assert path == "/v2/repository/models/llm/load"
    assert "reloaded" in body["parameters"]["config"]  # type: ignore[index]


def test_a_model_that_is_not_loaded_is_loaded_from_its_file() -> None:
    api = RecordedApi({"/v2/models/llm/config": b'{"error": "unknown model"}'})
    api.reload("llm", 1.0)
    assert api.sent[-1] == ("/v2/repository/models/llm/load", {})


def test_unloaded_is_what_somebody_unloaded() -> None:
    rows = b'[{"name":"a","state":"READY"},{"name":"b","state":"UNAVAILABLE","reason":"unloaded"}]'
    assert RecordedApi({"/v2/repository/index": rows}).unloaded_models() == {"b"}


def test_in_flight_are_requests_that_wait_or_are_generated_for() -> None:
    page = PAGE + 'nv_inference_pending_request_count{model="embedder",version="1"} 2\n'
    assert RecordedApi({"/metrics": page.encode()}).in_flight() == 5


def test_the_journal_keeps_and_writes_events() -> None:
    lines: list[str] = []
    journal = Journal((), lines.append)
    journal.recovered("llm", Cause.DEAD, "reloaded", 0.84)
    journal.add("llm", Cause.STUCK, "reload failed")
    assert lines[0].endswith("Z llm dead: reloaded after 0.84 s")
    assert lines[1].endswith("Z llm stuck: reload failed")
    assert [event.line() for event in journal.events] == lines


@pytest.fixture
def stub(tmp_path: Path) -> Iterator["subprocess.Popen[bytes]"]:
    """A process with the name and arguments of a model's, below a shell as below mpirun."""
    link = tmp_path / model_processes.STUB
    shutil.copy("/bin/sleep", link)
    with subprocess.Popen(["sh", "-c", '"$@" & wait', "sh", str(link), "60"]) as shell:
        yield shell
        for child in psutil.Process(shell.pid).children():
            child.kill()


def wait_for(condition: Callable[[], object]) -> None:
    while not condition():
        time.sleep(0.01)


def instance_of(pid: int) -> Instance:
    return Instance("", "60", pid, "0")


def test_finds_model_processes_among_descendants(
    stub: "subprocess.Popen[bytes]", monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(model_processes, "_instance", lambda process: instance_of(process.pid))
    wait_for(lambda: model_processes.find(stub.pid).living)
    (found,) = model_processes.find(stub.pid).living
    assert found in model_processes.find(os.getpid()).living
    assert model_processes.find(stub.pid) == Found((found,))
    assert model_processes.state(found.pid) is State.ALIVE
    os.kill(found.pid, signal.SIGSTOP)
    wait_for(lambda: model_processes.state(found.pid) is State.STOPPED)
    assert model_processes.cpu_s(found.pid) >= 0
    model_processes.kill(found)
    wait_for(lambda: model_processes.state(found.pid) is State.GONE)
    assert model_processes.cpu_s(found.pid) == 0


def test_reads_a_models_arguments(monkeypatch: pytest.MonkeyPatch) -> None:
    words = [
        *("/r/triton_python_backend_stub", "/m/llm/1/model.py", "rag_1", "1", "1", "5", "/r", "3"),
        *("llm_0_0", "DEFAULT"),
    ]
    process = psutil.Process()
    monkeypatch.setattr(process, "cmdline", lambda: words)
    assert model_processes._instance(process) == Instance("llm", "llm_0_0", process.pid, "rag_1")
    monkeypatch.setattr(process, "cmdline", lambda: ["tritonserver"])  # between fork and exec
    assert model_processes._instance(process) is None


def test_counts_open_files() -> None:
    before = model_processes.open_files(os.getpid())
    with Path(os.devnull).open("rb"):
        assert model_processes.open_files(os.getpid()) == (before[0] + 1, before[1])
    assert model_processes.open_files(2**22 + 1)[0] == 0, "nobody has this number"


def test_a_zombie_is_dead(monkeypatch: pytest.MonkeyPatch) -> None:
    child = subprocess.Popen(["true"])
    wait_for(lambda: model_processes.state(child.pid) is State.DEAD)
    monkeypatch.setattr(model_processes, "STUB", "true")
    assert model_processes.find(os.getpid()).dead >= {child.pid}
    child.wait()
    assert model_processes.state(child.pid) is State.GONE


def test_counts_bytes_that_clients_have_not_taken(tmp_path: Path) -> None:
    assert unsent_bytes(Ports(), tmp_path) == []
    rows = [
        "0: 0100007F:1F40 00000000:0000 0A 00000007:00000000 00:00 0 0 0 1",  # listens
        "1: 0100007F:1F40 0100007F:0FA0 01 00000010:00000000 00:00 0 0 0 2",
        "2: 0100007F:1F41 0100007F:0FA1 01 00000001:00000000 00:00 0 0 0 3",
        "3: 0100007F:0FA0 0100007F:1F40 01 00000020:00000000 00:00 0 0 0 4",  # the client's side
    ]
    (tmp_path / "tcp").write_text("\n".join(["header", *rows]))
    assert unsent_bytes(Ports(), tmp_path) == [0x10, 1]


def test_models_are_down_with_the_server_and_up_again_with_it() -> None:
    """A series of the server itself would stay at 0 after a restart, and page for ever."""
    journal = Journal(("llm",), lambda line: None)
    down = journal.metrics_page(False, {SERVER: False}).decode()
    assert 'rag_supervisor_model_up{model="llm"} 0.0' in down
    up = journal.metrics_page(True, {"llm": True}).decode()
    values = [line for line in up.splitlines() if line.startswith("rag_supervisor_model_up{")]
    assert values == ['rag_supervisor_model_up{model="llm"} 1.0']


def test_metrics_have_a_series_for_every_model_from_the_start() -> None:
    journal = Journal(("llm",), lambda line: None)
    journal.recovered("llm", Cause.STUCK, "reloaded", 0.1)
    journal.canary_s.labels("llm").observe(0.003)
    page = journal.metrics_page(False, {"llm": True}).decode()
    assert 'rag_supervisor_recoveries_total{cause="dead",model="llm"} 0.0' in page
    assert 'rag_supervisor_recoveries_total{cause="stuck",model="llm"} 1.0' in page
    assert "rag_supervisor_ready 0.0" in page and 'rag_supervisor_model_up{model="llm"} 1.0' in page
    assert 'rag_supervisor_canary_duration_seconds_bucket{le="0.005",model="llm"} 1.0' in page


class Idle:
    """A server whose clock, CPU times, requests and unsent bytes a test sets."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now_s, self.used_s, self.requests, self.unsent = 0.0, {1: 5.0, 2: 7.0}, 0, 0
        monkeypatch.setattr(drain, "time", SimpleNamespace(monotonic=lambda: self.now_s))
        monkeypatch.setattr(drain, "unsent_bytes", lambda _: [self.unsent])
        instances = tuple(map(instance_of, self.used_s))
        monkeypatch.setattr(model_processes, "find", lambda _: Found(instances))
        monkeypatch.setattr(model_processes, "cpu_s", lambda pid: self.used_s.get(pid, 0.0))
        api = RecordedApi({})
        monkeypatch.setattr(api, "in_flight", lambda: self.requests)
        self.activity = Activity(5, api)

    def idle_s(self, now_s: float) -> float:
        self.now_s = now_s
        return self.activity.idle_s()


@pytest.fixture
def idle(monkeypatch: pytest.MonkeyPatch) -> Idle:
    return Idle(monkeypatch)


def test_idle_models_compute_next_to_nothing(idle: Idle) -> None:
    idle.used_s[1] += 0.02  # two counts of Linux's
    assert idle.idle_s(1.0) == 1.0
    del idle.used_s[2]  # it has ended: what it had used is no work of the others
    assert idle.idle_s(4.0) == 4.0
    idle.used_s[1] += 0.2
    assert idle.idle_s(4.1) == 0.0
    assert idle.idle_s(5.1) == 1.0


@pytest.mark.parametrize("what", ["requests", "unsent"])
def test_requests_and_unsent_bytes_are_in_flight(idle: Idle, what: str) -> None:
    assert idle.idle_s(1.0) == 1.0
    setattr(idle, what, 1)
    assert idle.idle_s(9.0) == 0.0
    setattr(idle, what, 0)
    assert idle.idle_s(11.0) == 2.0
