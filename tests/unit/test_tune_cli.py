"""`make tune` from its command line to its files, on servers and load that are made up."""

import json
import random
import re
from contextlib import contextmanager
from functools import partial
from types import SimpleNamespace

import pytest

from builders import spec
from builders.errors import BuildError
from builders.nvml import Device, GpuMachine, NoGpuError
from builders.spec import load_sku
from builders.tune import cli, laboratory, machine, tuning
from builders.tune.change import Change
from builders.tune.decision import Slice
from builders.tune.load import slice_of
from builders.tune.plot import plot
from builders.tune.traffic import RAG_DOCUMENTS, requests
from tests.load.records import Outcome, Record, Response

DELAY = Change("embedder", "max_queue_delay_us", 0)


class Clock:
    """Time that passes where load is put on, and nowhere else."""

    def __init__(self):
        self.now_s = 0.0

    def monotonic(self):
        return self.now_s


class MadeUp:
    """Servers whose speed follows from their changes; a slice takes 3 s."""

    def __init__(self, clock, gains):
        self.clock, self.gains, self.source = clock, gains, random.Random(0)
        self.slices, self.stop_at = 0, None
        self.fails = False
        self.seeds = {}

    @contextmanager
    def servers(self, sku, folder):
        running = {}
        yield SimpleNamespace(
            with_changes=lambda c: running.setdefault(c, SimpleNamespace(url=c, warm=set()))
        )

    def load(self, limits, clients, slice_s):
        return SimpleNamespace(measure=self.measure)

    def measure(self, workload, changes, seed):
        self.slices += 1
        self.clock.now_s += 3
        if self.slices == self.stop_at:
            raise KeyboardInterrupt
        self.seeds.setdefault(changes, []).append(seed)
        rate = 100 * self.source.gauss(1, 0.03)
        for change in changes:
            rate *= self.gains.get(change, 1.0)
        return Slice(rate, int(self.fails), ((0.1,) * 30,))


@pytest.fixture
def made_up(tmp_path, monkeypatch):
    """A tuner without servers, whose files are in a folder of the test's own."""
    clock = Clock()
    found = MadeUp(clock, {DELAY: 1.3})
    for module in (cli, laboratory, tuning):
        monkeypatch.setattr(module, "time", clock)
    monkeypatch.setattr(cli, "FOLDER", tmp_path / "build")
    monkeypatch.setattr(cli, "DOCUMENTS", tmp_path / "docs")
    monkeypatch.setattr(cli, "ROOT", tmp_path)
    monkeypatch.setattr(cli, "TrialServers", found.servers)
    monkeypatch.setattr(cli, "SliceLoad", found.load)
    monkeypatch.setattr(cli, "usable_cores", lambda: 2)
    found.draw = partial(monkeypatch.setattr, cli, "plot")
    found.draw(lambda *_: "<svg/>")
    builders = tmp_path / "builders"
    for folder in ("skus", "placements"):
        (builders / folder).mkdir(parents=True)
        text = (spec.BUILDERS / folder / "cpu.toml").read_text()
        (builders / folder / "cpu.toml").write_text(text)
    monkeypatch.setattr(spec, "ROOT", tmp_path)
    monkeypatch.setattr(spec, "BUILDERS", builders)
    found.placement = builders / "placements" / "cpu.toml"
    return found


def tune(*options):
    return cli.main(["--slo", "embed:p99<200ms", "--minutes", "30", *options])


def test_a_gain_is_shown_as_a_diff_and_not_written(made_up, tmp_path, capsys):
    made_up.draw(plot)
    before = made_up.placement.read_text()
    assert tune() == 0
    told = capsys.readouterr().out
    assert "-max_queue_delay_us = 1000" in told
    assert "+max_queue_delay_us = 0" in told
    assert "Beats the default: embed 1." in told
    assert "nothing was written" in told
    assert made_up.placement.read_text() == before
    assert not (tmp_path / "docs").exists()
    picture = (tmp_path / "build/cpu.svg").read_text()
    assert "embed p99 &lt; 200 ms" in picture
    assert "final, × default" in picture


def test_a_gain_is_written_when_asked(made_up, tmp_path):
    assert tune("--write") == 0
    assert load_sku("cpu").place("embedder").max_queue_delay_us == 0
    page = (tmp_path / "docs/cpu.md").read_text()
    assert "embedder.max_queue_delay_us = 0" in page
    assert "rows/s" in page
    assert (tmp_path / "docs/cpu.svg").is_file()


def test_noise_leaves_the_default_and_says_so_with_numbers(made_up, capsys):
    made_up.gains = {}
    before = made_up.placement.read_text()
    assert tune("--write") == 0
    told = capsys.readouterr().out
    assert "The default stays: of " in told
    assert " × (" in told
    assert made_up.placement.read_text() == before


def test_a_run_ends_in_time(made_up):
    assert tune("--minutes", "6") == 0
    assert made_up.clock.now_s <= 6 * 60 * 1.1


def test_what_was_not_tried_is_said(made_up, capsys):
    tune("--minutes", "3")
    told = capsys.readouterr().out
    assert re.search(r"Changes tried: (?:[1-9]|1[0-5]) of 16, as far as the time went", told)
    tune()
    assert "Changes tried: 16 of 16." in capsys.readouterr().out


def test_the_same_requests_for_both_of_a_pair_and_never_again(made_up):
    tune()
    default = made_up.seeds[()]
    assert len(default) == len(set(default)), "a cache would know them"
    assert set(made_up.seeds[(DELAY,)]) & set(default), "pairs share their requests"


def test_an_interrupted_run_goes_on(made_up, tmp_path, capsys):
    made_up.stop_at = 20
    assert tune() == cli.INTERRUPTED
    assert "the same command goes on" in capsys.readouterr().out
    kept = json.loads((tmp_path / "build/cpu.json").read_text())
    assert kept["finished"] is False
    pairs = sum(len(race["pairs"]) for race in kept["races"])
    assert pairs > 0
    made_up.stop_at = None
    assert tune() == 0
    assert f"going on from an interrupted run: {pairs} pairs" in capsys.readouterr().out
    found = json.loads((tmp_path / "build/cpu.json").read_text())
    assert found["finished"] is True
    assert found["races"][0]["pairs"][0] == kept["races"][0]["pairs"][0]


@pytest.mark.parametrize(
    "other", [["--fresh"], ["--clients", "embed=2"], ["--slo", "embed:p99<9s"]]
)
def test_what_was_measured_otherwise_is_not_mixed_in(made_up, capsys, other):
    made_up.stop_at = 20
    tune()
    capsys.readouterr()
    assert tune(*other) == 0
    assert "going on" not in capsys.readouterr().out


def test_a_changed_placement_begins_anew(made_up, capsys):
    made_up.stop_at = 20
    tune()
    capsys.readouterr()
    made_up.placement.write_text(
        made_up.placement.read_text().replace("delay_us = 1000", "delay_us = 999")
    )
    assert tune() == 0
    assert "going on" not in capsys.readouterr().out


def test_a_finished_run_is_not_gone_on_with(made_up, capsys):
    tune()
    capsys.readouterr()
    tune()
    assert "going on" not in capsys.readouterr().out


def test_a_default_that_fails_requests_is_an_error(made_up, capsys):
    made_up.fails = True
    assert tune() == 1
    assert (
        "embed: 1 requests to a server with the default placement failed" in capsys.readouterr().err
    )


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--sku", "h100"], "SKU 'h100' is unknown; builders/skus/ has"),
        (["--slo", "embed:p99"], "can't be read"),
        (["--clients", "embed=0"], "clients 'embed=0'"),
        (["--minutes", "0.1"], "give at least"),
    ],
)
def test_what_cannot_be_tuned_is_refused(made_up, capsys, options, says):
    assert tune(*options) == 1
    assert says in capsys.readouterr().err
    assert made_up.slices == 0


def _device(name, capability):
    return Device(0, "GPU-1", name, capability, 79.65, 79.0)


def test_a_gpu_sku_is_refused_without_a_gpu(monkeypatch):
    def none():
        raise NoGpuError("no NVIDIA driver")

    monkeypatch.setattr(machine, "this_machine", none)
    with pytest.raises(BuildError) as caught:
        machine.check_machine(load_sku("h100-sxm-80gb"))
    assert "is tuned on its own kind of GPU, nowhere else: no NVIDIA driver" in str(caught.value)
    assert "NVIDIA H100 80GB HBM3" in str(caught.value)


@pytest.mark.parametrize(
    ("device", "says"),
    [
        (_device("NVIDIA L4", "8.9"), "is NVIDIA L4 (compute capability 8.9), not NVIDIA H100"),
        (_device("NVIDIA H100 80GB HBM3", "9.0"), "only SKUs without a GPU can be tuned so far"),
    ],
)
def test_a_gpu_sku_is_refused_on_a_gpu(monkeypatch, device, says):
    monkeypatch.setattr(machine, "this_machine", lambda: GpuMachine("580", (device,)))
    with pytest.raises(BuildError) as caught:
        machine.check_machine(load_sku("h100-sxm-80gb"))
    assert says in str(caught.value)


def test_a_slice_keeps_what_the_limits_are_about():
    def record(end_s, outcome=Outcome.OK):
        responses = (Response(1.0, 2.0), Response(end_s, 4.0))
        return Record(0.0, 0.0, end_s, responses, outcome)

    records = [record(3.0), record(2.0), record(2.5, Outcome.ERROR)]
    tokens = slice_of("llm", records, ["latency", "ttft", "itl"])
    assert tokens == Slice(4.0, 1, ((3.0, 2.0), (1.0, 1.0), (0.5, 0.25)))
    assert slice_of("rag", records, []).work_per_s == pytest.approx(2 / 3)


@pytest.mark.parametrize("workload", ["embed", "rerank", "llm", "rag"])
def test_requests_repeat_for_their_seed_and_never_else(workload):
    def drawn(seed, count=5):
        found = requests(workload, seed)
        return [[i.raw_data for i in map(_Raw, next(found).inputs)] for _ in range(count)]

    assert drawn(1) == drawn(1)
    texts = [one[-1 if workload == "rerank" else 0] for one in drawn(1) + drawn(2)]
    if workload == "rag":
        texts = [one[1] for one in drawn(1) + drawn(2)]
        assert texts[0].count(b"(1-1)") >= RAG_DOCUMENTS
    assert len(set(texts)) == 10


class _Raw:
    """The bytes that an input is sent as."""

    def __init__(self, given):
        self.raw_data = given._get_content()
