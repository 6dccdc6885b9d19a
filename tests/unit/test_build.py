"""Builds: one at a time for a model, resumed where they ended, never seen half done."""

import json
import shutil
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest

from builders import build_lock, build_resources
from builders import engine as engines
from builders.build_steps import BuildLog, BuildSteps
from builders.checkpoint import Checkpoint
from builders.engine import build_engine
from builders.engine_plan import EnginePlan
from builders.errors import BuildError
from builders.recipe import Recipe
from builders.spec import ROOT, ModelSpec, Sku, load_sku
from ensembles.manifest import MANIFEST_FILE, read_manifest
from tests.fakes import checkpoints

SKU = Sku(name="cpu", config_name="cpu", placement={})


@pytest.fixture
def spec(tmp_path):
    folder = checkpoints.make_checkpoint(tmp_path / "checkpoint")
    return ModelSpec(name="mine", role="embedder", source=str(folder), max_tokens=64)


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    checkpoints.stub_encoder_builds(monkeypatch, tmp_path, lambda *_: None)
    return tmp_path / "engines" / "cpu" / "mine"


class Recipes:
    """A build of two steps: counts how often each ran, and ends in the one that shall."""

    def __init__(self) -> None:
        self.ran: list[str] = []
        self.fails_in = ""
        self.error: BaseException = BuildError("no")

    def make(self, spec: ModelSpec, checkpoint: Checkpoint, steps: BuildSteps) -> Path:
        converted = steps.step("convert", lambda to: self._fill("convert", to))
        assert (converted / "convert.bin").is_file()
        return steps.step("build", lambda to: self._fill("build", to))

    def _fill(self, name: str, to: Path) -> None:
        self.ran.append(name)
        (to / f"{name}.bin").write_text("half")
        if name == self.fails_in:
            raise self.error
        (to / f"{name}.bin").write_text("whole")


def interrupt() -> None:
    raise KeyboardInterrupt


def build(spec: ModelSpec, recipes: Recipes, said: list[str] | None = None) -> engines.Engine:
    recipe = Recipe("onnx", ("numpy",), recipes.make)
    return build_engine(spec, SKU, (said if said is not None else []).append, recipe=recipe)


def test_what_a_recipe_cannot_take_is_refused_before_anything_is_tried_or_made(tmp_path):
    """A BERT is no LLM: that it has no chat template is not what the user should mend."""
    folder = checkpoints.make_checkpoint(tmp_path / "bert")
    llm = ModelSpec(name="mine", role="llm", source=str(folder), max_tokens=512)
    with pytest.raises(BuildError, match=r"model_type 'bert' in config\.json is none that optimum"):
        build_engine(llm, SKU, print)


# --- steps -------------------------------------------------------------------------------------


@pytest.mark.parametrize("error", [BuildError("no"), KeyboardInterrupt(), OSError("full")])
def test_an_interrupted_build_goes_on_with_the_first_unfinished_step(spec, home, error, tmp_path):
    recipes, said = Recipes(), []
    recipes.fails_in, recipes.error = "build", error
    with pytest.raises((BuildError, KeyboardInterrupt)):
        build(spec, recipes)
    (left,) = home.glob("*/")
    assert left.name.startswith(engines.STEPS)
    recipes.fails_in = ""
    engine = build(spec, recipes, said)
    assert recipes.ran == ["convert", "build", "build"]
    assert "convert was finished by an earlier build" in said
    assert read_manifest(engine.folder).files.keys() == {"build.bin", "tokenizer.json"}
    assert (engine.folder / "build.bin").read_text() == "whole"
    assert list(home.glob("*/")) == [engine.folder]


def test_a_build_that_ended_before_publishing_repeats_no_step(spec, home, monkeypatch):
    recipes = Recipes()
    with monkeypatch.context() as patch:
        rename = Path.rename
        patch.setattr(
            Path,
            "rename",
            lambda path, to: interrupt() if to.parent == home else rename(path, to),
        )
        with pytest.raises(KeyboardInterrupt):
            build(spec, recipes)
    engine = build(spec, recipes)
    assert recipes.ran == ["convert", "build"]
    assert MANIFEST_FILE not in read_manifest(engine.folder).files


@pytest.mark.parametrize("fault", ["manifest", "file"])
def test_a_damaged_engine_is_made_again(spec, fault):
    recipes, said = Recipes(), []
    folder = build(spec, recipes).folder
    if fault == "manifest":
        (folder / MANIFEST_FILE).write_text('{"role": "embed')
    else:
        (folder / "build.bin").unlink()
    assert build(spec, recipes, said).folder == folder
    assert recipes.ran == ["convert", "build"] * 2
    (line,) = [text for text in said if text.startswith("found damaged")]
    assert str(folder) in line
    assert (folder / "build.bin").is_file()


def test_a_plan_is_in_the_key_and_in_the_manifest(spec):
    plan = EnginePlan(
        "engine", "1.2.1", "26.07-trtllm-python-py3", "9.0", "fp8", 2, 1, 64, 8192, 4096
    )  # fmt: skip
    recipe = Recipe("tensorrtllm-backend", (), Recipes().make, plan, "NVIDIA H100 80GB HBM3")
    sku = load_sku("h100-sxm-80gb")
    engine = build_engine(spec, sku, lambda _: None, recipe=recipe)
    manifest = read_manifest(engine.folder)
    assert (manifest.compute_capability, manifest.gpu) == ("9.0", "NVIDIA H100 80GB HBM3")
    assert manifest.container == "26.07-trtllm-python-py3"
    assert manifest.versions == {"tensorrt_llm": "1.2.1"}
    assert manifest.plan == manifest.inputs["plan"] == json.loads(json.dumps(plan.to_json()))
    other = replace(recipe, plan=replace(plan, tp=4))
    assert build_engine(spec, sku, lambda _: None, recipe=other).folder != engine.folder


# --- the lock ----------------------------------------------------------------------------------


HOLD = """
import pathlib, sys
from builders import build_lock
with build_lock.held(pathlib.Path(sys.argv[1]), print):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def other_process(home):
    """A real process that holds the lock of `mine` until its input is closed."""
    command = [sys.executable, "-c", HOLD, str(home)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, cwd=ROOT) as process:
        assert process.stdout.readline() == b"held\n"
        yield process


def test_who_waits_is_told_for_whom_and_finds_the_finished_engine(spec, home, other_process):
    said: list[str] = []
    recipes = Recipes()
    thread = threading.Thread(target=build, args=(spec, recipes, said))
    thread.start()
    while not said:
        time.sleep(0.01)
    assert said[0].startswith(f"process {other_process.pid}, since 2")
    assert said[0].endswith("builds this model; waiting for it …")
    assert recipes.ran == []
    other_process.stdin.close()
    thread.join()
    assert recipes.ran == ["convert", "build"]
    assert build(spec, recipes).seconds == 0.0


def test_a_killed_holder_leaves_no_lock(home, other_process):
    with pytest.raises(build_lock.Busy, match=f"process {other_process.pid}, since"):
        build_lock.held(home).__enter__()
    other_process.kill()
    other_process.wait()
    with build_lock.held(home):
        pass


def test_a_lock_that_is_not_signed_yet_has_a_holder_too(home, other_process):
    (home / build_lock.HOLDER_FILE).unlink()
    with pytest.raises(build_lock.Busy, match="another process"):
        build_lock.held(home).__enter__()


# --- log and progress --------------------------------------------------------------------------


def log_of(tmp_path: Path) -> BuildLog:
    log = BuildLog(tmp_path / "logs" / "cpu-mine.log")
    log.begin()
    return log


def test_a_failing_command_is_told_with_the_end_of_the_log(tmp_path):
    log = log_of(tmp_path)
    steps = BuildSteps("mine", tmp_path / "work", log, lambda _: None)
    code = "print(*range(100), sep='\\n'); import os; print(os.environ['SAYS']); exit(3)"
    with pytest.raises(BuildError) as caught:
        steps.step("export", lambda to: log.run([sys.executable, "-c", code], {"SAYS": "bad"}))
    first, second, *tail = str(caught.value).splitlines()
    assert first == f"model 'mine': export failed: {Path(sys.executable).name} ended with status 3"
    assert second == f"{log.path} ends with:"
    assert tail[-2:] == ["99", "bad"]
    assert len(tail) == 15
    assert "--- export, " in log.path.read_text()


@pytest.mark.parametrize(("free", "is_told"), [(0, True), (2**30, False)])
def test_a_step_that_fails_on_a_full_disk_says_so(tmp_path, monkeypatch, free, is_told):
    usage = shutil.disk_usage(tmp_path)._replace(free=free)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    log = log_of(tmp_path)
    steps = BuildSteps("mine", tmp_path / "work", log, lambda _: None)
    code = "raise RuntimeError('basic_ios::clear: iostream error')"
    with pytest.raises(BuildError) as caught:
        steps.step("export", lambda to: log.run([sys.executable, "-c", code], {}))
    last = str(caught.value).splitlines()[-1]
    assert (last == f"the disk is full: 0 MiB free under {tmp_path}/work") == is_told


def test_a_killed_command_says_that_memory_may_be_short(tmp_path):
    code = f"import os; os.kill(os.getpid(), {signal.SIGKILL.value})"
    with pytest.raises(BuildError, match="was killed: the machine ran out of memory"):
        log_of(tmp_path).run([sys.executable, "-c", code], {})
    code = f"import os; os.kill(os.getpid(), {signal.SIGTERM.value})"
    with pytest.raises(BuildError, match="was ended by signal 15"):
        log_of(tmp_path).run([sys.executable, "-c", code], {})


def test_an_exception_is_a_sentence_and_its_traceback_is_logged(tmp_path):
    log = log_of(tmp_path)

    def fail(to: Path) -> None:
        raise ValueError("no such layer")

    with pytest.raises(BuildError, match="export failed: ValueError: no such layer"):
        BuildSteps("mine", tmp_path / "work", log, lambda _: None).step("export", fail)
    assert "Traceback (most recent call last)" in log.path.read_text()


def test_a_refusal_within_a_step_is_told_without_the_log(spec):
    recipes = Recipes()
    recipes.fails_in, recipes.error = "convert", BuildError("the checkpoint lacks lm_head.weight")
    with pytest.raises(BuildError) as caught:
        build(spec, recipes)
    assert str(caught.value) == "the checkpoint lacks lm_head.weight"


# --- disk and memory ---------------------------------------------------------------------------


def test_too_little_memory_says_how_much(spec, monkeypatch, tmp_path):
    monkeypatch.setattr(build_resources, "available_memory", lambda: 768 * 2**20)
    recipes = Recipes()
    with pytest.raises(BuildError) as caught:
        build(spec, recipes)
    assert str(caught.value).startswith("memory: model 'mine' needs about 1.0 GiB while it is")
    assert "0.8 GiB are available; end other programs, add swap" in str(caught.value)
    assert recipes.ran == []
