"""Generated files on disk: written when they differ, compared, removed when stale; links."""

from pathlib import Path
from typing import get_args

import pytest

from builders.engine import Engine
from builders.errors import BuildError
from builders.repository import (
    check_writable,
    differences,
    engine_links,
    link_engines,
    stale,
    write,
)
from builders.spec import ModelSpec, Role, Sku
from ensembles.served_models import PYTHON_MODELS

FILES = {"a/config.pbtxt": "name: a\n", "a/1/model.py": "x\n", "a/1/.gitkeep": ""}
SKU = Sku(name="cpu", config_name="cpu", placement={})


def test_files_are_written_once(tmp_path):
    assert sorted(write(FILES, tmp_path)) == sorted(FILES)
    assert {name: (tmp_path / name).read_text() for name in FILES} == FILES
    assert write(FILES, tmp_path) == []
    assert list(differences(FILES, tmp_path)) == []


def test_a_checkout_that_cannot_be_written_is_said_first(tmp_path):
    """/proc takes no files of anybody, root included."""
    check_writable(tmp_path, tmp_path / "engines" / "not there yet")
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(BuildError, match=r"^/proc: user id \d+ can't write there \(.*its owner is"):
        check_writable(Path("/proc/build/engines"))


def test_only_what_differs_is_written_again(tmp_path):
    write(FILES, tmp_path)
    (tmp_path / "a/1/model.py").write_text("y\n")
    assert write(FILES, tmp_path) == ["a/1/model.py"]


def test_differences_are_a_diff_a_missing_file_or_a_stale_one(tmp_path):
    write(FILES | {"old/config.pbtxt": "", "old/configs/h100.pbtxt": ""}, tmp_path)
    (tmp_path / "a/config.pbtxt").write_text("name: b\n")
    (tmp_path / "a/1/.gitkeep").unlink()
    missing, diff, *old = differences(FILES, tmp_path)
    assert missing == "missing: a/1/.gitkeep\n"
    assert "-name: b\n+name: a\n" in diff
    assert "on disk: a/config.pbtxt" in diff
    assert old == ["stale: old/config.pbtxt\n", "stale: old/configs/h100.pbtxt\n"]


def test_what_runs_left_of_a_model_that_is_gone_goes(tmp_path):
    gone, kept = tmp_path / "gone" / "1", tmp_path / "mine" / "1"
    for folder in (gone, kept):
        (folder / "__pycache__").mkdir(parents=True)
        (folder / "__pycache__" / "model.cpython-311.pyc").write_bytes(b"")
        (folder / "engine").symlink_to(tmp_path / "nowhere")
    (kept / "weights.bin").write_bytes(b"")
    assert write({}, tmp_path) == ["gone"]
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_stale_generated_files_go_and_others_stay(tmp_path):
    write(FILES | {"old/config.pbtxt": "", "old/1/model.py": ""}, tmp_path)
    weights = tmp_path / "old/1/engines/weights.bin"
    weights.parent.mkdir()
    weights.write_text("w")
    assert write(FILES, tmp_path) == ["old/config.pbtxt", "old/1/model.py"]
    assert weights.is_file()
    assert list(stale(FILES, tmp_path)) == []


@pytest.fixture
def engines(tmp_path):
    made = []
    for role in get_args(Role):
        folder = tmp_path / "build" / role
        folder.mkdir(parents=True)
        spec = ModelSpec(name=role, role=role, source="x", max_tokens=512)
        made.append(Engine(spec, folder, 1.0))
    return made


def test_each_model_gets_a_relative_link_to_the_engine_of_its_role(tmp_path, engines):
    repository = tmp_path / "repository"
    link_engines(engines, repository)
    link_engines(engines, repository)  # again, over what is there
    for model, role in (("tokenizer", "embedder"), ("pair_tokenizer", "reranker"), ("llm", "llm")):
        link = repository / model / "1" / "engine"
        assert link.resolve() == tmp_path / "build" / role
        assert not Path(link.readlink()).is_absolute(), "the folder may be moved as a whole"
    links = list(engine_links(repository))
    assert len(links) == sum(model.role is not None for model in PYTHON_MODELS)
    assert all(link.is_symlink() for link in links)
    assert [p for p in repository.rglob(".cpu.new") if p.is_symlink()] == []
    assert list(engine_links(tmp_path)) == [], "no model of ours, so no engine is missed"
