"""Placements as files: what a change writes, and all that it must leave as it was."""

import tomllib

import pytest

from builders import spec
from builders.spec import load_sku
from builders.tune.change import Change, applied, value
from builders.tune.placement_file import edited, edits
from builders.tune.trial_server import make_repository

TEXT = """# Engines: see docs.
[models.embedder]
max_batch_size = 1024          # rows of one request
max_queue_delay_us = 1000

[models.embedder.parameters]
engine = "openvino"            # or "onnxruntime"
num_threads = 0                # 0: all cores

# The LLM's instance.
[models.llm.parameters]
num_threads = 0
"""


@pytest.fixture
def files(tmp_path, monkeypatch):
    """A builders/ folder of the test's own, with one placement."""
    monkeypatch.setattr(spec, "ROOT", tmp_path)
    monkeypatch.setattr(spec, "BUILDERS", tmp_path / "builders")
    for folder in ("skus", "placements"):
        (tmp_path / "builders" / folder).mkdir(parents=True)
    (tmp_path / "builders/skus/cpu.toml").write_text('name = "cpu"  # any\nplacement = "cpu"\n')
    (tmp_path / "builders/placements/cpu.toml").write_text(TEXT)
    return tmp_path / "builders"


def test_comments_and_order_stay():
    changes = (Change("embedder", "max_queue_delay_us", 0), Change("llm", "num_threads", 1))
    expected = TEXT.replace("delay_us = 1000", "delay_us = 0")
    expected = expected.removesuffix("num_threads = 0\n") + "num_threads = 1\n"
    assert edited(TEXT, changes) == expected


def test_a_new_key_and_a_new_model_find_their_place():
    text = edited(TEXT, (Change("embedder", "instances", 2), Change("tokenizer", "instances", 2)))
    found = tomllib.loads(text)["models"]
    assert found["embedder"]["instances"] == found["tokenizer"]["instances"] == 2
    assert found["embedder"]["parameters"]["num_threads"] == 0
    assert [line for line in TEXT.splitlines() if line not in text.splitlines()] == []


def test_the_file_says_what_was_measured(files):
    """What is written reads back as the SKU that the trial's server had."""
    sku = load_sku("cpu")
    changes = (
        Change("embedder", "instances", 2),
        Change("embedder", "num_threads", 1),
        Change("rag_cancellable", "max_running_requests", 8),
    )
    for edit in edits(sku, changes):
        edit.write()
    assert load_sku("cpu") == applied(sku, changes)


def test_the_diff_is_one_that_git_applies(files):
    (edit,) = edits(load_sku("cpu"), (Change("embedder", "max_queue_delay_us", 0),))
    lines = edit.diff().splitlines()
    assert lines[:2] == ["--- a/builders/placements/cpu.toml", "+++ b/builders/placements/cpu.toml"]
    changed = [line for line in lines[2:] if line[0] in "+-"]
    assert changed == ["-max_queue_delay_us = 1000", "+max_queue_delay_us = 0"]
    assert (files / "placements/cpu.toml").read_text() == TEXT, "a diff writes nothing"


def test_no_changes_no_diff(files):
    assert edits(load_sku("cpu"), ()) == []


def test_a_shared_placement_is_copied_for_the_one_that_was_measured(files):
    (files / "skus/big.toml").write_text('name = "big"\nplacement = "cpu"  # shared\n')
    for edit in edits(load_sku("big"), (Change("llm", "num_threads", 1),)):
        edit.write()
    assert (files / "placements/cpu.toml").read_text() == TEXT
    assert (files / "skus/big.toml").read_text() == 'name = "big"\nplacement = "big"  # shared\n'
    assert value(load_sku("big"), "llm", "num_threads") == 1
    assert value(load_sku("cpu"), "llm", "num_threads") == 0


def test_a_trials_repository_differs_by_its_change_alone(tmp_path):
    sku = load_sku("cpu")
    make_repository(sku, tmp_path / "default")
    make_repository(applied(sku, (Change("embedder", "instances", 2),)), tmp_path / "changed")
    different = [
        str(file.relative_to(tmp_path / "default"))
        for file in sorted((tmp_path / "default").rglob("*"))
        if file.is_file()
        and not file.is_symlink()
        and file.read_text()
        != (tmp_path / "changed" / file.relative_to(tmp_path / "default")).read_text()
    ]
    assert different == ["embedder/config.pbtxt"]
    assert "count: 2" in (tmp_path / "changed/embedder/config.pbtxt").read_text()
