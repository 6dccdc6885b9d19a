"""What the supervisor concludes from processes, canaries and loads without an end."""

import json
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from types import SimpleNamespace
from typing import Any

import pytest
from prometheus_client.samples import Sample

from builders.repository import REPOSITORY
from ensembles.contracts import OVERLOADED
from ensembles.metrics import LARGE_REQUESTS
from operations import model_processes
from operations.model_processes import Found, Instance, State
from operations.ports import Ports
from operations.supervisor import watch
from operations.supervisor.journal import Cause, Journal
from operations.supervisor.model_health import NOT_ASKED, UNLOADED, Finding, ModelHealth
from operations.supervisor.settings import SupervisorSettings
from operations.supervisor.watch import Watch
from operations.triton_api import Answer, NoAnswer, TritonApi

SETTINGS = SupervisorSettings()
TOKENIZER = Instance("tokenizer", "tokenizer_0_0", 6, "rag_1")
LLM = Instance("llm", "llm_0_0", 8, "rag_2")


class LoadingApi(TritonApi):
    """Whose loads are late, each after the time that it was given."""

    samples: Sequence[Sample] = ()

    def metrics(self) -> list[Sample]:
        return list(self.samples)

    def reload(self, model: str, timeout_s: float) -> str:
        raise NoAnswer("no answer", is_late=True)


class Threads:
    """Where a test says so, a job has an end: at once."""

    def __init__(self) -> None:
        self.run = False

    def submit(self, call: Callable[..., Finding], *arguments: object) -> "Future[Finding]":
        future: Future[Finding] = Future()
        if self.run:
            future.set_result(call(*arguments))
        return future


class Machine:
    """The processes that there are, and a watch over them; no thread of it runs."""

    def __init__(
        self,
        monkeypatch: pytest.MonkeyPatch,
        settings: SupervisorSettings = SETTINGS,
        tried: set[str] | None = None,
    ) -> None:
        self.tried = tried if tried is not None else set()
        self.ended: list[Instance] = []
        self.lines: list[str] = []
        self.living: tuple[Instance, ...] = (TOKENIZER, LLM)
        self.states: dict[int, State] = {}
        self.dead: frozenset[int] = frozenset()
        self.api = LoadingApi(Ports())
        server: Any = SimpleNamespace(pid=5, repository=REPOSITORY, api=self.api)
        self.watch = Watch(server, settings, Journal((), self.lines.append), self.tried)
        self.health = self.watch._health["tokenizer"]
        self.threads: Any = Threads()
        self.watch._threads = self.threads
        monkeypatch.setattr(model_processes, "find", lambda pid: Found(self.living, self.dead))
        monkeypatch.setattr(model_processes, "state", lambda pid: self.states.get(pid, State.ALIVE))
        monkeypatch.setattr(model_processes, "kill", self.ended.append)

    def all_well(self) -> None:
        for health in self.watch._health.values():
            health.heard(time.monotonic())

    def hear(self, model: str, times: int = 1) -> None:
        """Ask it so often, and hear what it answers, until the server is given up."""
        health = self.watch._health[model]
        for _ in range(times):
            if self.watch.server_problem:
                return
            now_s = time.monotonic()
            health.begin_job(now_s, Future())
            ask = self.watch._reload if health.cause else self.watch._ask
            self.watch._hear(health, ask(health.canary), now_s)

    def recover(self, cause: Cause) -> None:
        """Something is done about the tokenizer."""
        self.watch._recover(self.health, cause, time.monotonic())

    def begin_load(self) -> None:
        """As a recovery does."""
        self.health.begin_recovery(Cause.DEAD, 0.0, 0.0, False)
        self.health.begin_job(0.0, Future())

    def die(self, instance: Instance = TOKENIZER) -> None:
        """As a zombie: without arguments, so not found any more."""
        self.states[instance.pid] = State.DEAD
        self.living = tuple(one for one in self.living if one != instance)
        self.dead |= {instance.pid}


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    return Machine(monkeypatch)


def test_a_dead_process_is_brought_back(machine: Machine) -> None:
    machine.watch.tick(1.0)
    machine.die()
    machine.watch.tick(2.0)
    assert not machine.health.cause
    machine.watch.tick(2.1 + SETTINGS.lasting_s)
    assert machine.health.cause and machine.watch.server_problem is None


def test_one_that_triton_replaced_is_not(machine: Machine) -> None:
    """Somebody loads the model again: the old process may take its time to end."""
    machine.watch.tick(1.0)
    machine.living += (Instance("tokenizer", "tokenizer_0_0", 7, "rag_3"),)
    machine.watch.tick(2.0)
    machine.die()
    for second in range(3, 9):
        machine.watch.tick(float(second))
    assert not machine.health.cause


def test_one_that_dies_while_it_is_loaded_costs_the_server(machine: Machine) -> None:
    machine.begin_load()
    machine.watch.tick(1.0)
    machine.die()
    machine.watch.tick(2.0)
    machine.watch.tick(2.0 + SETTINGS.load_lost_s / 2)
    assert machine.watch.server_problem is None  # a load that fails leaves one for a moment
    machine.watch.tick(2.1 + SETTINGS.load_lost_s)
    assert machine.watch.server_problem is Cause.STUCK


def test_one_that_died_before_it_was_seen_costs_the_server(machine: Machine) -> None:
    machine.begin_load()
    machine.watch.tick(1.0)
    machine.dead |= {7}
    machine.watch.tick(2.0)
    assert machine.watch.server_problem is None
    machine.watch.tick(2.1 + SETTINGS.load_lost_s)
    assert machine.watch.server_problem is Cause.STUCK


def test_one_that_died_in_somebody_elses_load_does_not(machine: Machine) -> None:
    """Triton keeps it: it is there for every later load of ours."""
    machine.dead |= {7}
    machine.watch.tick(1.0)
    machine.begin_load()
    for second in range(2, 20):
        machine.watch.tick(float(second))
    assert machine.watch.server_problem is None


def test_one_that_we_ended_is_no_news(machine: Machine) -> None:
    """It may take its time to end, and then be a zombie for as long as the server lives."""
    machine.watch.tick(1.0)
    machine.health.begin_recovery(Cause.STUCK, 1.0, 0.0, False)
    machine.watch._kill("tokenizer")
    machine.watch.tick(2.0)
    machine.die()
    machine.living += (Instance("tokenizer", "tokenizer_0_0", 7, "rag_3"),)
    for second in range(3, 20):
        machine.watch.tick(float(second))
    assert machine.watch.server_problem is None
    machine.health.end_recovery(20.0)
    machine.watch.tick(21.0)
    machine.watch.tick(22.0)
    assert not machine.health.cause


def test_one_that_dies_between_two_loads_is_left_to_the_next(machine: Machine) -> None:
    machine.health.begin_recovery(Cause.DEAD, 0.0, 60.0, False)
    machine.watch.tick(1.0)
    machine.die()
    for second in range(2, 20):
        machine.watch.tick(float(second))
    assert machine.watch.server_problem is None and machine.health.job is None


@pytest.mark.parametrize("state", [State.DEAD, State.STOPPED])
def test_a_decoupled_model_costs_the_server(machine: Machine, state: State) -> None:
    """Its streams, and models that wait for it, would hang for ever."""
    machine.watch.tick(1.0)
    machine.states[LLM.pid] = state
    machine.watch.tick(2.0)
    assert machine.watch.server_problem is None
    machine.watch.tick(2.1 + SETTINGS.lasting_s)
    assert machine.watch.server_problem is Cause(state.value)


@pytest.mark.parametrize(
    ("model", "count", "costs"),
    [("tokenizer", 1, True), ("tokenizer", 0, False), ("embedder", 1, False)],
)
def test_a_dead_model_with_large_requests_costs_the_server(
    machine: Machine, model: str, count: int, costs: bool
) -> None:
    """They would hang for ever."""
    machine.api.samples = [Sample(LARGE_REQUESTS.name, {"model": model}, count)]
    machine.recover(Cause.DEAD)
    assert (machine.watch.server_problem is Cause.DEAD) == costs


def test_a_model_that_keeps_dying_costs_the_server(machine: Machine) -> None:
    for _ in range(SETTINGS.reloads):
        machine.recover(Cause.DEAD)
        machine.health.end_recovery(1.0)
    assert machine.watch.server_problem is None
    machine.recover(Cause.DEAD)
    assert machine.watch.server_problem is Cause.DEAD


def test_one_that_keeps_dying_after_that_too_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    """Others would lose the server again and again, for nothing."""
    machine = Machine(monkeypatch, tried={"tokenizer"})
    for _ in range(3 * SETTINGS.reloads):
        machine.recover(Cause.DEAD)
        machine.health.end_recovery(1.0)
    machine.recover(Cause.DEAD)
    assert machine.watch.server_problem is None
    assert machine.watch._broken() == {"tokenizer"}, "the server is ready without it"


def test_a_fault_that_a_reload_does_not_cure_is_said_once_and_left(machine: Machine) -> None:
    watch, ended = machine.watch, machine.ended
    machine.all_well()
    watch._newest = {TOKENIZER.name: TOKENIZER}
    watch._api = FailingApi()
    machine.hear("tokenizer", SETTINGS.failures)
    assert machine.health.cause is Cause.FAILING and not machine.lines
    machine.hear("tokenizer")
    assert ended == [TOKENIZER] and watch._broken() == {"tokenizer"}
    machine.hear("tokenizer", 3 * SETTINGS.failures)
    (line,) = machine.lines
    said = "tokenizer failing: answers its canary with an error: no, also after it was brought back"
    assert f"{said}; left as it is" in line
    assert ended == [TOKENIZER] and watch.server_problem is None
    assert watch.problems()["tokenizer"] == "answers its canary with an error: no"


def test_a_model_that_was_left_answers_again(machine: Machine) -> None:
    watch = machine.watch
    machine.health.problem, machine.health.is_broken = "answers its canary with an error", True
    watch._api = FailingApi(error="")
    machine.hear("tokenizer")
    assert watch._broken() == frozenset() and watch.problems()["tokenizer"] == ""
    assert machine.lines[-1].endswith("tokenizer failing: answers again")


def test_a_graph_that_calls_a_broken_model_is_not_to_blame(machine: Machine) -> None:
    watch = machine.watch
    machine.health.problem, machine.health.is_broken = "answers its canary with an error", True
    watch._api = FailingApi()
    machine.hear("rag_cancellable", 2 * SETTINGS.failures)
    assert watch.problems()["rag_cancellable"] == "calls tokenizer"
    assert watch._broken() == {"tokenizer", "rag_cancellable"} and watch.server_problem is None


def test_a_model_that_somebody_unloaded_is_left(machine: Machine) -> None:
    watch = machine.watch
    watch._api = FailingApi(unloaded=frozenset({"tokenizer"}))
    machine.hear("tokenizer", 2 * SETTINGS.failures)
    assert watch._broken() == {"tokenizer"} and machine.health.cause is None
    assert watch.problems()["tokenizer"] == UNLOADED and not machine.lines


@pytest.mark.parametrize(("tried", "problem"), [(set(), Cause.FAILING), ({"llm"}, None)])
def test_a_decoupled_model_that_fails_costs_the_server_once(
    monkeypatch: pytest.MonkeyPatch, tried: set[str], problem: Cause | None
) -> None:
    machine = Machine(monkeypatch, tried=set(tried))
    machine.watch._api = FailingApi()
    machine.hear("llm", 2 * SETTINGS.failures)
    assert machine.watch.server_problem is problem and machine.tried == {"llm"}
    assert machine.watch._broken() == (frozenset() if problem else {"llm"})


def test_peace_is_forgetting(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(monkeypatch, SupervisorSettings(stable_s=0.0), {"tokenizer"})
    machine.watch._api = FailingApi(error="")
    machine.hear("tokenizer")
    assert machine.tried == set()


def test_a_refused_load_is_said_once_and_tried_on(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(monkeypatch, SupervisorSettings(backoff_min_s=0.0, backoff_max_s=0.0))
    machine.watch._api = api = RefusingApi(9, machine.health)
    machine.recover(Cause.DEAD)
    machine.hear("tokenizer", 10)
    first, last = machine.lines
    assert "reload failed (no such file)" in first and "tokenizer dead: reloaded" in last
    assert api.broken == 3 * [False] + 7 * [True], "ready without it while it can't be loaded"
    assert machine.watch._broken() == frozenset()


@pytest.mark.parametrize("state", [State.DEAD, State.GONE])
def test_a_server_that_is_gone_below_its_launcher_is_dead(machine: Machine, state: State) -> None:
    machine.states[machine.watch.pid] = state
    machine.watch.tick(1.0)
    machine.watch.tick(1.1 + SETTINGS.lasting_s)
    assert machine.watch.server_problem is Cause.DEAD


@pytest.mark.parametrize(("clients", "problem"), [(10, Cause.FULL), (590, None)])
def test_a_server_that_keeps_lost_connections_is_started_again(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, clients: int, problem: Cause | None
) -> None:
    """Those of living clients are no reason."""
    monkeypatch.setattr(model_processes, "open_files", lambda pid: (600, 1000))
    monkeypatch.setattr(watch, "unsent_bytes", lambda ports: [0] * clients)
    machine.watch.tick(1.0)
    assert machine.watch.server_problem is problem
    says = "tritonserver is started again" if problem else NOT_ASKED
    assert set(machine.watch.problems().values()) == {says}


def test_nothing_is_ready_while_nobody_can_connect(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor is a model to blame whose canary can't connect either."""
    machine.watch._api = FailingApi()
    machine.all_well()
    monkeypatch.setattr(model_processes, "open_files", lambda pid: (990, 1000))
    monkeypatch.setattr(watch, "unsent_bytes", lambda ports: [0] * 900)
    machine.watch.tick(1.0)
    assert set(machine.watch.problems().values()) == {"tritonserver has 990 of 1000 files open"}
    machine.hear("tokenizer", SETTINGS.failures)
    assert machine.watch.server_problem is None and not machine.health.cause
    monkeypatch.setattr(model_processes, "open_files", lambda pid: (80, 1000))
    machine.health.heard(2.0)
    machine.watch.tick(2.0)
    assert machine.watch.problems()["tokenizer"] == ""


class FailingApi(LoadingApi):
    """Every canary gets an error; beside the first one, `during` happens. Loads work."""

    def __init__(
        self,
        during: Callable[[], None] = lambda: None,
        error: str = "no",
        unloaded: frozenset[str] = frozenset(),
    ) -> None:
        super().__init__(Ports())
        self.during, self.error, self.unloaded = during, error, unloaded

    def reload(self, model: str, timeout_s: float) -> str:
        return ""

    def metrics(self) -> list[Sample]:
        return []

    def call(self, *_: object, **__: object) -> Answer:
        self.during()
        status = 500 if self.error else 200
        return Answer(status, json.dumps({"error": self.error}).encode(), 0.1)

    def unloaded_models(self) -> frozenset[str]:
        return self.unloaded


class RefusingApi(FailingApi):
    """Loads are refused at first; `broken` is what was thought of the model before each."""

    def __init__(self, refusals: int, health: ModelHealth) -> None:
        super().__init__(error="")
        self.refusals, self.broken, self.health = refusals, list[bool](), health

    def reload(self, model: str, timeout_s: float) -> str:
        self.refusals -= 1
        self.broken.append(self.health.is_broken)
        return "no such file" if self.refusals >= 0 else ""


class SilentApi(FailingApi):
    """No canary is answered in time, and no work ends; beside each one, `during` happens."""

    def call(self, *_: object, **__: object) -> Answer:
        self.during()
        raise NoAnswer("no answer", is_late=True)


@pytest.mark.parametrize(
    ("computing", "busy_canaries", "is_stuck"),
    [(TOKENIZER, 3, False), (TOKENIZER, 99, True), (LLM, 99, True)],
)
def test_one_that_computes_has_longer_to_end_something(
    machine: Machine,
    monkeypatch: pytest.MonkeyPatch,
    computing: Instance,
    busy_canaries: int,
    is_stuck: bool,
) -> None:
    """A batch of an embedder takes a minute on a slow machine: it was killed at work."""
    cpu_s, clock_s, asked = {TOKENIZER.pid: 0.0, LLM.pid: 0.0}, [0.0], [0]

    def work() -> None:
        asked[0] += 1
        clock_s[0] += SETTINGS.canary_timeout_s
        cpu_s[computing.pid] += 2 * SETTINGS.busy_cpu_s
        if asked[0] > busy_canaries:
            machine.watch._api = FailingApi(error="")  # it has ended its batch

    monkeypatch.setattr(model_processes, "cpu_s", lambda pid: cpu_s.get(pid, 0.0))
    monkeypatch.setattr(time, "monotonic", lambda: clock_s[0])
    machine.watch.tick(0.0)
    machine.watch._api = SilentApi(work)
    found = machine.watch._ask(machine.health.canary)
    assert (found.cause is Cause.STUCK) == is_stuck
    most = SETTINGS.busy_s / SETTINGS.canary_timeout_s
    assert asked[0] <= (most if computing is TOKENIZER else 1)


@pytest.mark.parametrize("is_reloaded", [False, True])
def test_a_model_is_not_to_blame_for_one_that_it_calls(machine: Machine, is_reloaded: bool) -> None:
    """Also where that is back when the error comes."""
    watch = machine.watch
    machine.all_well()

    def reload() -> None:
        if is_reloaded:
            machine.health.begin_recovery(Cause.DEAD, 0.0, 0.0, False)
            machine.health.end_recovery(time.monotonic())

    watch._api = FailingApi(reload)
    machine.hear("rag_cancellable", SETTINGS.failures)
    assert (watch.server_problem is None) == is_reloaded


@pytest.mark.parametrize(("status", "error"), [(503, "full"), (400, f"limit; {OVERLOADED}")])
def test_a_full_queue_is_no_fault(machine: Machine, status: int, error: str) -> None:
    """Triton's HTTP /generate answers 400 for what the model calls UNAVAILABLE."""

    class BusyApi(FailingApi):
        def call(self, *_: object, **__: object) -> Answer:
            return Answer(status, json.dumps({"error": error}).encode(), 0.1)

    machine.watch._api = BusyApi()
    machine.hear("llm", SETTINGS.failures)
    assert machine.watch.server_problem is None
    assert machine.watch.problems()["llm"] == ""


@pytest.mark.parametrize(("load_s", "problem"), [(0.0, Cause.STUCK), (60.0, None)])
def test_a_load_without_an_end_costs_the_server(
    monkeypatch: pytest.MonkeyPatch, load_s: float, problem: Cause | None
) -> None:
    """Not so a late answer to what is asked before it."""
    machine = Machine(monkeypatch, SupervisorSettings(load_s=load_s))
    machine.health.begin_recovery(Cause.DEAD, 0.0, 0.0, False)
    machine.hear("tokenizer")
    assert machine.watch.server_problem is problem
    assert machine.health.problem.startswith("dead, ")


def test_a_tick_asks_who_is_due_and_hears_who_has_answered(machine: Machine) -> None:
    machine.watch._api = FailingApi(error="")
    machine.threads.run = True
    now_s = time.monotonic()
    machine.watch.tick(now_s)
    assert set(machine.watch.problems().values()) == {NOT_ASKED}
    machine.watch.tick(now_s + 0.1)
    assert machine.watch.is_ready and set(machine.watch.problems().values()) == {""}
    assert machine.health.due_s == now_s + 0.1 + SETTINGS.canary_interval_s


def test_what_was_asked_before_a_recovery_is_not_heard_after_it(machine: Machine) -> None:
    machine.watch.tick(1.0)
    asked = machine.health.job
    machine.die()
    machine.watch.tick(2.0)
    machine.watch.tick(2.1 + SETTINGS.lasting_s)
    assert asked and machine.health.job is not asked and machine.health.cause is Cause.DEAD
