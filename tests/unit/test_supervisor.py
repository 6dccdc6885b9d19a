"""The supervisor's decisions: on states, times and text, without processes or sockets."""

import os
import socket
from pathlib import Path

import pytest

from operations.ports import Ports
from operations.supervisor import connections, processes, quiet
from operations.supervisor.canary import Canary, canaries
from operations.supervisor.drain import Drain
from operations.supervisor.events import Cause
from operations.supervisor.health import NOT_ASKED, Backoff, ModelHealth
from operations.supervisor.journal import Journal
from operations.supervisor.metrics import SupervisorMetrics
from operations.supervisor.processes import Found, Instance, State
from operations.supervisor.settings import Settings
from operations.supervisor.triton_api import Answer, TritonApi, _is_progress

SETTINGS = Settings()


def health() -> ModelHealth:
    return ModelHealth(SETTINGS)


def test_a_model_is_not_up_before_it_answered() -> None:
    found = health()
    assert found.problem == NOT_ASKED and not found.is_up
    found.answered(5.0)
    assert found.is_up and found.due_s == 5.0 + SETTINGS.canary_interval_s


def test_a_silent_model_is_stuck_only_without_progress() -> None:
    found = health()
    found.answered(0.0)
    assert found.silent(30.0, progressed=True) is None
    assert found.is_up
    assert found.silent(60.0, progressed=False) is Cause.STUCK
    assert not found.is_up


def test_errors_in_a_row_are_failing() -> None:
    found = health()
    causes = [found.refused(float(second), "no") for second in range(SETTINGS.failures)]
    assert causes == [None, None, Cause.FAILING]


def test_an_answer_between_errors_starts_the_count_again() -> None:
    found = health()
    for second in range(10):
        assert found.refused(float(second), "no") is None
        found.answered(second + 0.5)


@pytest.mark.parametrize(
    ("state", "cause"), [(State.DEAD, Cause.DEAD), (State.STOPPED, Cause.STOPPED)]
)
def test_a_process_must_be_odd_for_a_while(state: State, cause: Cause) -> None:
    """One that Triton ends itself is a zombie for a moment, too."""
    found = health()
    found.answered(0.0)
    assert found.seen(1.0, 7, state) is None
    assert found.seen(1.1, 7, State.ALIVE) is None
    assert found.seen(1.2, 7, state) is None
    assert found.seen(1.3, 7, State.GONE) is None
    assert found.is_up
    assert found.seen(2.0, 7, state) is None
    assert found.seen(2.1 + SETTINGS.lasting_s, 7, state) is cause
    assert "process 7" in found.problem


def test_a_recovery_outdates_what_was_asked_before() -> None:
    found = health()
    before = found.generation
    found.begin_recovery(Cause.DEAD)
    assert found.generation != before and found.recovering and not found.is_up
    found.end_recovery(9.0)
    assert not found.recovering and found.due_s == 9.0


def test_waits_double_up_to_a_bound_and_begin_again_after_quiet() -> None:
    settings = Settings(backoff_min_s=1.0, backoff_max_s=8.0, stable_s=60.0)
    backoff = Backoff(settings)
    now_s, waits = 0.0, []
    for _ in range(7):
        waits.append(backoff.next_s(now_s))
        now_s += waits[-1] + 1.0
    assert waits == [0.0, 1.0, 2.0, 4.0, 8.0, 8.0, 8.0]
    assert backoff.next_s(now_s + 61.0) == 0.0


def test_every_python_model_has_a_canary_and_callers_come_last() -> None:
    found = [canary.model for canary in canaries()]
    assert {"tokenizer", "embedder", "llm", "ensemble", "rag_cancellable"} <= set(found)
    for canary in canaries():
        assert all(found.index(model) < found.index(canary.model) for model in canary.calls)


def test_canaries_are_small_and_complete() -> None:
    by_model = {canary.model: canary for canary in canaries()}
    assert by_model["llm"].body == {"text_input": "canary", "max_tokens": 1}
    assert by_model["rag_cancellable"].calls >= {"llm", "embedder"}
    (ids, mask) = by_model["embedder"].body["inputs"]  # type: ignore[misc]
    assert ids["shape"] == [1, 1] and mask["data"] == [1]


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
    canary = Canary(model, "", {}, decoupled, calls)
    return [line.split("{")[0] for line in PAGE.splitlines() if _is_progress(line, canary)]


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

    def _call(
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


def make_process(proc: Path, pid: int, parent: int, state: str, *arguments: str) -> None:
    folder = proc / str(pid)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "stat").write_text(f"{pid} (a name) with) {state} {parent} 2 3")
    (folder / "comm").write_text("triton_python_b\n")
    (folder / "cmdline").write_text("\0".join(arguments))


STUB = (
    "/r/triton_python_backend_stub",
    "/m/llm/1/model.py",
    "rag_1",
    "1",
    "1",
    "5",
    "/r",
    "3",
    "llm_0_0",
)


LLM_6 = Instance("llm", "llm_0_0", 6, "rag_1")


def test_reads_the_models_of_a_servers_children(tmp_path: Path) -> None:
    make_process(tmp_path, 5, 1, "S", "tritonserver")
    make_process(tmp_path, 6, 5, "S", *STUB, "DEFAULT")
    make_process(tmp_path, 7, 5, "Z")
    make_process(tmp_path, 8, 5, "T", "sh")
    make_process(tmp_path, 10, 4, "S", *STUB, "DEFAULT")  # of another server
    assert processes.Finder(5, tmp_path).find() == Found((LLM_6,), frozenset([7]))
    states = [processes.state(pid, tmp_path) for pid in (6, 7, 8, 9)]
    assert states == [State.ALIVE, State.DEAD, State.STOPPED, State.GONE]


def test_finds_a_process_that_is_new_or_becomes_a_models(tmp_path: Path) -> None:
    """Between fork and exec it still has the server's arguments."""
    make_process(tmp_path, 5, 1, "S", "tritonserver")
    make_process(tmp_path, 6, 5, "S", "tritonserver")
    finder = processes.Finder(5, tmp_path)
    assert finder.find() == Found(())
    make_process(tmp_path, 6, 5, "S", *STUB)
    make_process(tmp_path, 7, 5, "S", *STUB)
    assert [one.pid for one in finder.find().living] == [6, 7]


def test_finds_clients_connections_and_no_listeners(tmp_path: Path) -> None:
    (tmp_path / "5" / "net").mkdir(parents=True)
    row = "{n}: 0100007F:{local:04X} 0100007F:{peer:04X} {state} 0:0 0:0 0 0 0 {inode} 1"
    rows = [
        row.format(n=0, local=8000, peer=0, state="0A", inode=1),  # listens
        row.format(n=1, local=8000, peer=4000, state="01", inode=2),
        row.format(n=2, local=4000, peer=8000, state="01", inode=3),  # the client's side of it
        row.format(n=3, local=8001, peer=4001, state="06", inode=0),  # closed, still counted
        row.format(n=4, local=8001, peer=4002, state="01", inode=5),
    ]
    (tmp_path / "5" / "net" / "tcp").write_text("\n".join(["header", *rows]))
    found = list(connections.established(5, (8000, 8001), tmp_path))
    assert [(one.inode, one.peer_port) for one in found] == [(2, 4000), (5, 4002)]


def test_nothing_to_end_asks_the_system_for_nothing() -> None:
    assert connections.end(-1, frozenset()) == 0


def test_shuts_a_socket_down_once() -> None:
    ours, theirs = socket.socketpair()
    assert connections._shut_down(ours)
    assert theirs.recv(1) == b""
    ours.close()
    theirs.close()


def test_the_journal_keeps_and_reports() -> None:
    lines: list[str] = []
    journal = Journal(lines.append)
    journal.add("llm", Cause.DEAD, "reloaded", 0.84)
    journal.add_once("llm", Cause.REFUSED, "no right")
    journal.add_once("llm", Cause.REFUSED, "no right")
    assert len(lines) == 2 and lines[0].endswith("llm dead: reloaded after 0.84 s")
    assert [event.ok for event in journal.events] == [True, False]


def test_metrics_have_a_series_for_every_model_from_the_start() -> None:
    metrics = SupervisorMetrics(("llm",))
    metrics.recovered("llm", Cause.STUCK)
    metrics.canary_answered("llm", 0.003)
    page = metrics.page(False, {"llm": True}).decode()
    assert 'rag_supervisor_recoveries_total{cause="dead",model="llm"} 0.0' in page
    assert 'rag_supervisor_recoveries_total{cause="stuck",model="llm"} 1.0' in page
    assert "rag_supervisor_ready 0.0" in page and 'rag_supervisor_model_up{model="llm"} 1.0' in page
    assert 'rag_supervisor_canary_duration_seconds_bucket{le="0.005",model="llm"} 1.0' in page


def drain_step(
    monkeypatch: pytest.MonkeyPatch, page: bytes, traffic: connections.Traffic, has_leaks: bool
) -> tuple[bool, frozenset[connections.Connection]]:
    """One step of a drain with one open HTTP connection: is it over, what was ended."""
    one, ended = connections.Connection(5, 4000), set[connections.Connection]()

    def end(pid: int, wanted: frozenset[connections.Connection]) -> int:
        ended.update(wanted)
        return len(wanted)

    def established(pid: int, ports: tuple[int, ...]) -> list[connections.Connection]:
        return [one] if Ports().http in ports else []

    monkeypatch.setattr(connections, "established", established)
    monkeypatch.setattr(connections, "traffic", lambda pid, connection: traffic)
    monkeypatch.setattr(connections, "end", end)
    drain = Drain(RunningServer(), RecordedApi({"/metrics": page}), SETTINGS, Journal(), has_leaks)  # type: ignore[arg-type]
    return drain._step(), frozenset(ended)


class RunningServer:
    pid, ports = 1, Ports()

    def status(self) -> None:
        return None


@pytest.mark.parametrize(
    ("waiting", "silent_s", "was_answered", "is_ended"),
    [
        (0, 4.0, True, True),
        (0, 1.0, True, False),
        (0, 100.0, False, False),  # a request that was not answered yet
        (1, 4.0, True, False),  # perhaps a stream that pauses
        (1, 16.0, True, True),
    ],
)
def test_drains_by_ending_idle_connections_only(
    monkeypatch: pytest.MonkeyPatch,
    waiting: int,
    silent_s: float,
    was_answered: bool,
    is_ended: bool,
) -> None:
    page = f"llm_requests_running 0\nllm_requests_waiting {waiting}\n".encode()
    traffic = connections.Traffic(silent_s, was_answered)
    is_over, ended = drain_step(monkeypatch, page, traffic, has_leaks=True)
    assert bool(ended) == is_over == is_ended
    is_over, _ = drain_step(monkeypatch, page, traffic, has_leaks=False)
    assert not is_over  # tritonserver ends by itself


@pytest.mark.parametrize(
    ("quiet_s", "silent_s", "is_ended"),
    [
        (4.0, 4.0, True),
        (1.0, 4.0, False),  # a model computes: perhaps for this one
        (4.0, 1.0, False),
    ],
)
def test_silent_grpc_connections_are_ended_when_no_model_computes(
    monkeypatch: pytest.MonkeyPatch, quiet_s: float, silent_s: float, is_ended: bool
) -> None:
    one, ended = connections.Connection(5, 4000), set[connections.Connection]()
    monkeypatch.setattr(quiet.Quiet, "seconds", lambda self: quiet_s)
    monkeypatch.setattr(
        connections, "established", lambda pid, ports: [one] * (Ports().grpc in ports)
    )
    monkeypatch.setattr(connections, "traffic", lambda *_: connections.Traffic(silent_s, False))
    monkeypatch.setattr(connections, "end", lambda pid, wanted: ended.update(wanted) or 1)
    api = RecordedApi({"/metrics": b"llm_requests_running 0\n"})
    drain = Drain(RunningServer(), api, SETTINGS, Journal(), False)  # type: ignore[arg-type]
    assert not drain._step()  # tritonserver ends by itself then
    assert ended == ({one} if is_ended else set())


def test_quiet_is_what_computes_next_to_nothing() -> None:
    now_s, used = 0.0, {1: 5.0, 2: 7.0}
    found = quiet.Quiet(lambda: dict(used), lambda: now_s)
    now_s = 1.0
    used[1] += 0.02  # two counts of Linux's
    assert found.seconds() == 1.0
    del used[2]  # ended: what it had used is no work of the others'
    now_s = 4.0
    assert found.seconds() == 4.0
    now_s, used[1] = 4.1, used[1] + 0.1  # at work again
    assert found.seconds() == 0.0
    now_s = 5.1
    assert found.seconds() == 1.0
    now_s, used[3] = 5.2, 0.5  # a new process
    assert found.seconds() == 0.0


def test_a_process_that_is_gone_has_used_nothing(tmp_path: Path) -> None:
    (tmp_path / "7").mkdir()
    fields = " ".join(["S", "1", *["0"] * 9, "150", "50", *["0"] * 20])
    (tmp_path / "7" / "stat").write_text(f"7 (a ) name) {fields}")
    second = 200 / os.sysconf("SC_CLK_TCK")
    assert processes.cpu_s(7, tmp_path) == second and processes.cpu_s(8, tmp_path) == 0.0


@pytest.mark.parametrize(("exit_s", "is_over"), [(0.0, True), (60.0, False)])
def test_a_server_without_connections_is_not_waited_for_long(
    monkeypatch: pytest.MonkeyPatch, exit_s: float, is_over: bool
) -> None:
    """Triton stays until its exit timeout where a load failed before."""
    monkeypatch.setattr(connections, "established", lambda pid, ports: [])
    api = RecordedApi({"/metrics": b""})
    drain = Drain(RunningServer(), api, Settings(exit_s=exit_s), Journal(), has_leaks=False)  # type: ignore[arg-type]
    assert drain._step() is is_over
