"""Engines that are there: why one would be made again, and which may go."""

import os
import re
import sys
from pathlib import Path

import pytest
from rich.console import Console

from builders import build_lock, engine_builds, engines_gc, onnx_export
from builders import cli as clis
from builders import recipe as recipes
from builders.engine import build_engine, published, recipe_for
from builders.engine_builds import EngineBuild
from builders.engines_gc import collect
from builders.spec import ModelSpec, Sku
from ensembles.manifest import MANIFEST_FILE
from tests.fakes import checkpoints

SKU = Sku(name="cpu", config_name="cpu", placement={})


@pytest.fixture
def checkpoint(tmp_path):
    return checkpoints.make_checkpoint(tmp_path / "checkpoint")


def spec_of(checkpoint: Path, **changes: object) -> ModelSpec:
    fields = {"name": "mine", "role": "embedder", "source": str(checkpoint), "max_tokens": 64}
    return ModelSpec(**(fields | changes))


@pytest.fixture(autouse=True)
def build_folder(tmp_path, monkeypatch):
    checkpoints.stub_encoder_builds(
        monkeypatch, tmp_path, lambda s, c, to, _: to.write_text("onnx" * 1000)
    )
    monkeypatch.setattr(recipes, "version", lambda tool: "1.0")
    return tmp_path


def build(spec: ModelSpec, sku: Sku = SKU) -> Path:
    return build_engine(spec, sku, lambda _: None).folder


# --- why an engine is made again ---------------------------------------------------------------


def said_by(spec: ModelSpec) -> list[str]:
    lines: list[str] = []
    build_engine(spec, SKU, lines.append)
    return [line for line in lines if line.startswith("not the newest engine's: ")]


def test_nothing_is_said_of_the_first_engine_and_of_one_that_is_there(checkpoint):
    assert said_by(spec_of(checkpoint)) == []
    assert said_by(spec_of(checkpoint, source=str(checkpoint))) == []


def test_every_input_that_differs_is_told_old_and_new(checkpoint, monkeypatch):
    older = build(spec_of(checkpoint, max_tokens=32))
    build(spec_of(checkpoint))
    os.utime(older / MANIFEST_FILE, (1, 1))
    (checkpoint / "extra.txt").write_text("x")
    monkeypatch.setattr(recipes, "version", lambda tool: "2.0" if tool == "torch" else "1.0")
    monkeypatch.setattr(recipes, "_FORMAT", 99)
    (line,) = said_by(spec_of(checkpoint, dimensions=32, max_tokens=48))
    hashes, *rest = line.removeprefix("not the newest engine's: ").split(", ")
    assert re.fullmatch(r"checkpoint [0-9a-f]{16} → [0-9a-f]{16}", hashes)
    assert rest == ["format 4 → 99", "spec.dimensions – → 32", "spec.max_tokens 64 → 48",
                    "tools.torch 1.0 → 2.0"]  # fmt: skip


def test_a_damaged_manifest_is_no_reason(checkpoint):
    (build(spec_of(checkpoint)) / MANIFEST_FILE).write_text("{")
    assert said_by(spec_of(checkpoint, max_tokens=32)) == []


def test_settings_of_an_encoder_export_nothing(checkpoint, monkeypatch):
    spec = spec_of(checkpoint, role="reranker")
    before = build(spec)
    monkeypatch.setattr(onnx_export, "export_encoder", None)
    after = build(spec.model_copy(update={"relevance_percent": 300}))
    assert published(after).relevance_percent == 300
    assert (after / "model.onnx").samefile(before / "model.onnx")
    assert published(after).comparison == "not compared"


# --- engines-gc --------------------------------------------------------------------------------


@pytest.fixture
def repository(tmp_path, monkeypatch):
    monkeypatch.setattr(engines_gc, "model_names", lambda: ["mine"])
    path = tmp_path / "repository"
    (path / "embedder" / "1").mkdir(parents=True)
    return path


def current(monkeypatch, spec: ModelSpec) -> None:
    monkeypatch.setattr(engines_gc, "load_model", lambda name: spec)


def link(repository: Path, folder: Path) -> None:
    (repository / "embedder" / "1" / "engine").symlink_to(folder)


def collected(repository: Path, dry_run: bool = False, said: list[str] | None = None) -> list[Path]:
    report = (said if said is not None else []).append
    return [folder for folder, _ in collect([SKU], report, dry_run, repository)]


def test_linked_and_current_engines_stay(checkpoint, repository, monkeypatch, tmp_path):
    old, linked, now = (build(spec_of(checkpoint, max_tokens=n)) for n in (32, 48, 64))
    newest = build(spec_of(checkpoint, max_tokens=80))
    link(repository, linked)
    current(monkeypatch, spec_of(checkpoint))
    unfinished, resumable = (now.with_name(f".steps-{key}") for key in ("old", now.name))
    unfinished.mkdir()
    resumable.mkdir()
    everything = {old, newest, unfinished}
    assert set(collected(repository, dry_run=True)) == everything
    assert all(folder.is_dir() for folder in everything)
    assert set(collected(repository)) == everything
    assert not any(folder.exists() for folder in everything)
    assert linked.is_dir() and now.is_dir() and resumable.is_dir()
    assert collected(repository) == []


def test_of_a_model_that_nothing_uses_the_newest_stays(checkpoint, repository, monkeypatch):
    older, newest = (build(spec_of(checkpoint, max_tokens=n)) for n in (32, 48))
    os.utime(older / MANIFEST_FILE, (1, 1))
    monkeypatch.setattr(engines_gc, "model_names", list)
    assert collected(repository) == [older]
    assert newest.is_dir()


def test_without_its_checkpoint_the_newest_stays_and_it_is_said(
    checkpoint, repository, monkeypatch
):
    older, linked, newest = (build(spec_of(checkpoint, max_tokens=n)) for n in (32, 48, 64))
    for age, folder in enumerate((newest, linked, older), start=1):
        os.utime(folder / MANIFEST_FILE, (100 - age, 100 - age))
    link(repository, linked)
    current(monkeypatch, spec_of(checkpoint / "gone"))
    said: list[str] = []
    assert collected(repository, said=said) == [older]
    assert said[0].startswith("cpu/mine: keeping the newest; its checkpoint can't be read")


def test_what_is_being_built_is_left_alone(checkpoint, repository, monkeypatch):
    folders = [build(spec_of(checkpoint, max_tokens=n)) for n in (32, 48)]
    current(monkeypatch, spec_of(checkpoint))
    said: list[str] = []
    with build_lock.held(folders[0].parent):
        assert collected(repository, said=said) == []
    assert said[0].startswith(f"cpu/mine: left alone, process {os.getpid()}, since ")
    assert all(folder.is_dir() for folder in folders)


# --- the command line --------------------------------------------------------------------------


@pytest.fixture
def specs(checkpoint, monkeypatch, build_folder):
    found = [spec_of(checkpoint, name=name) for name in ("one", "two")]
    monkeypatch.setattr(engine_builds, "chosen_models", lambda names, sku: found)
    monkeypatch.setattr(clis, "load_sku", lambda name: SKU)
    monkeypatch.setattr(engine_builds, "ROOT", build_folder)
    monkeypatch.setattr(clis, "ROOT", build_folder)
    monkeypatch.setattr(clis, "write_rendered", lambda: 0)
    monkeypatch.setattr(clis, "link_engines", lambda engines: None)
    return found


def test_a_build_says_what_it_does(specs, capsys):
    assert clis.main(["build-engines"]) == 0
    remark, making, *_, made = capsys.readouterr().out.splitlines()[:7]
    assert remark.startswith("[1/2] embedder one: it has no modules.json: tokens' mean is pooled")
    assert making == f"[1/2] embedder one: making fp32 engine from {specs[0].source} …"
    assert made.startswith("[1/2] embedder one: made in 0.")


def test_a_terminal_shows_what_runs_and_keeps_the_lines(specs, capsys, monkeypatch):
    terminal = Console(force_terminal=True, width=200, file=sys.stdout)
    monkeypatch.setattr(engine_builds, "Console", lambda: terminal)
    build = EngineBuild(specs[0], recipe_for(specs[0], SKU))
    engine_builds.build_one(build, SKU, "one")
    shown = capsys.readouterr().out
    assert "one: making" in shown
    assert "one: made in" in shown
    assert "0:00:0" in shown, "the time that has passed"


def test_collecting_tells_what_was_freed(specs, capsys, monkeypatch):
    clis.main(["build-engines"])
    build(spec_of(Path(specs[0].source), name="one", max_tokens=32))
    monkeypatch.setattr(engines_gc, "model_names", lambda: ["one", "two"])
    monkeypatch.setattr(
        engines_gc, "load_model", lambda name: next(s for s in specs if s.name == name)
    )
    monkeypatch.setattr(clis, "sku_names", lambda: ["cpu"])
    capsys.readouterr()
    assert clis.main(["engines-gc", "--dry-run"]) == 0
    planned = capsys.readouterr().out
    assert "would remove engines/cpu/one/" in planned
    assert planned.splitlines()[-1].startswith("would free 0.0 MiB")
    assert clis.main(["engines-gc"]) == 0
    assert capsys.readouterr().out.splitlines()[-1].startswith("freed 0.0 MiB")
    assert clis.main(["engines-gc", "--dry-run"]) == 0
    assert capsys.readouterr().out == "would free 0.0 MiB\n"


def test_an_interrupted_build_says_how_to_go_on(specs, capsys, monkeypatch):
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(onnx_export, "export_encoder", interrupt)
    assert clis.main(["build-engines"]) == 1
    assert "interrupted: what was finished is kept" in capsys.readouterr().err
