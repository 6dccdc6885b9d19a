"""What the supervisor concludes from the processes that it sees, and from loads without an end."""

import contextlib

import pytest

from operations.ports import Ports
from operations.supervisor import connections, processes
from operations.supervisor.events import Cause
from operations.supervisor.journal import Journal
from operations.supervisor.metrics import SupervisorMetrics
from operations.supervisor.processes import Found, Instance, State
from operations.supervisor.settings import Settings
from operations.supervisor.triton_api import NoAnswer, TritonApi
from operations.supervisor.watch import Watch

SETTINGS = Settings()
LLM = Instance("llm", "llm_0_0", 6, "rag_1")


class LoadingApi(TritonApi):
    """Whose loads are late, each after the time that it was given."""

    def reload(self, model: str, timeout_s: float) -> str:
        raise NoAnswer("no answer", is_late=True)


class Machine:
    """The processes that there are, and a watch over them; no thread of it runs."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, settings: Settings = SETTINGS) -> None:
        self.living: tuple[Instance, ...] = (LLM,)
        self._open = contextlib.ExitStack()
        self.states: dict[int, State] = {}
        self.dead: frozenset[int] = frozenset()
        metrics = SupervisorMetrics(("llm",))
        self.watch = Watch(5, LoadingApi(Ports()), settings, Journal(lambda line: None), metrics)
        self.health = self.watch._health["llm"]
        monkeypatch.setattr(self.watch._finder, "find", lambda: Found(self.living, self.dead))
        monkeypatch.setattr(processes, "state", lambda pid: self.states.get(pid, State.ALIVE))
        monkeypatch.setattr(processes, "kill", lambda instance: None)
        monkeypatch.setattr(connections, "end_clients", lambda *_: 0)
        monkeypatch.setattr(self.watch._threads, "submit", lambda *_: None)

    def begin_load(self) -> None:
        """As a recovery does."""
        self.health.begin_recovery(Cause.DEAD)
        self._open.enter_context(self.watch._loads.under_way("llm"))

    def die(self, instance: Instance = LLM) -> None:
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
    assert not machine.health.recovering
    machine.watch.tick(2.1 + SETTINGS.lasting_s)
    assert machine.health.recovering and machine.watch.server_problem is None


def test_one_that_triton_replaced_is_not(machine: Machine) -> None:
    """Somebody loads the model again: the old process may take its time to end."""
    machine.watch.tick(1.0)
    machine.living += (Instance("llm", "llm_0_0", 7, "rag_2"),)
    machine.watch.tick(2.0)
    machine.die()
    for second in range(3, 9):
        machine.watch.tick(float(second))
    assert not machine.health.recovering


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
    machine.health.begin_recovery(Cause.STUCK)
    machine.watch._clear_away(frozenset(["llm"]))
    machine.watch.tick(2.0)
    machine.die()
    for second in range(3, 20):
        machine.watch.tick(float(second))
    assert machine.watch.server_problem is None
    machine.health.end_recovery(20.0)
    machine.watch.tick(21.0)
    machine.watch.tick(22.0)
    assert not machine.health.recovering


def test_one_that_dies_behind_its_load_is_left_to_its_canary(machine: Machine) -> None:
    machine.health.begin_recovery(Cause.DEAD)
    machine.watch.tick(1.0)
    machine.die()
    for second in range(2, 20):
        machine.watch.tick(float(second))
    assert machine.watch.server_problem is None


@pytest.mark.parametrize(
    ("counters", "expected"),
    [
        (["1", "1"], {"llm": Cause.STUCK, "ensemble": Cause.CALLER}),
        (["1", "2"], {}),  # busy with others
    ],
)
def test_what_streamed_to_a_dead_model_may_be_blocked(
    machine: Machine,
    monkeypatch: pytest.MonkeyPatch,
    counters: list[str],
    expected: dict[str, Cause],
) -> None:
    api = machine.watch._api

    def silent(canary: object, timeout_s: float) -> None:
        raise NoAnswer("timed out", is_late=True)

    monkeypatch.setattr(api, "ask", silent)
    monkeypatch.setattr(api, "progress", lambda canary: (counters.pop(0),))
    machine.watch._health["rag_cancellable"].begin_recovery(Cause.DEAD)
    assert machine.watch._begin_blocked(frozenset(["rag_cancellable"])) == expected
    assert machine.health.recovering == bool(expected)


@pytest.mark.parametrize(("load_s", "problem"), [(0.0, Cause.STUCK), (60.0, None)])
def test_a_load_without_an_end_costs_the_server(
    monkeypatch: pytest.MonkeyPatch, load_s: float, problem: Cause | None
) -> None:
    """Not so a late answer to what is asked before it."""
    watch = Machine(monkeypatch, Settings(load_s=load_s)).watch
    assert watch._load_and_ask("llm") == "no answer"
    assert watch.server_problem is problem
