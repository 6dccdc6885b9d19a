"""Texts, files and folders of every kind: no hang, no traceback; what stops Triton is an error."""

import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from made_repositories import GOOD, rules, run, write
from test_lint_parser import messages
from triton_lint import command
from triton_lint.engine import lint
from triton_lint.schema import model_config_type

TENSORS = """input { name: "a" data_type: TYPE_FP32 dims: [ 1 ] }
output { name: "b" data_type: TYPE_FP32 dims: [ 1 ] LABEL }
"""
LONG = "n" * 300
PYTHON = "class TritonPythonModel:\n    def execute(self, requests):\n        return []\n"


@pytest.mark.parametrize(
    "text",
    [
        f'name: "{LONG}"',
        f'default_model_filename: "{LONG}"',
        f'runtime: "{LONG}"',
        TENSORS.replace("LABEL", f'label_filename: "{LONG}"'),
        TENSORS.replace("LABEL", 'label_filename: "a\\000b"'),
        'model_warmup { batch_size: 1 inputs { key: "a" value { input_data_file: "LONG" } } }',
        f'parameters {{ key: "engine_folder" value {{ string_value: "{LONG}" }} }}',
        'instance_group { profile: "' + "9" * 5000 + '" }',
    ],
)
def test_names_that_no_file_can_have(
    text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path / "r", "m", GOOD + text.replace("LONG", LONG))
    assert run(capsys, tmp_path / "r")[0] in (0, 1)
    assert run(capsys, tmp_path / LONG)[0] == 2


@pytest.mark.parametrize("name", ["config.pbtxt", "1/model.py"])
@pytest.mark.parametrize("kind", ["pipe", "device", "folder"])
def test_files_that_are_none(
    name: str, kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write(tmp_path / "r", "m", 'backend: "python"')
    path = folder / name
    path.unlink(missing_ok=True)
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "device":
        path.symlink_to("/dev/zero")
    else:
        path.mkdir()
    status, out, _ = run(capsys, tmp_path / "r")
    assert status == (1 if name == "config.pbtxt" else status)
    assert ("TRN001" in rules(out)) == (name == "config.pbtxt")


def test_a_huge_file_is_not_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write(tmp_path / "r", "m", "")
    with (folder / "config.pbtxt").open("wb") as file:
        file.truncate(2**40)
    assert rules(run(capsys, tmp_path / "r")[1]) == ["TRN012"]


def test_a_closed_folder(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The system's refusal is imitated: root may read all."""
    write(tmp_path / "r", "m", GOOD)
    write(tmp_path / "r", "n", GOOD)
    scandir = os.scandir

    def refuse(path: Path) -> object:
        if Path(path).name in closed:
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    monkeypatch.setattr("triton_lint.folders.os.scandir", refuse)
    closed = ["m"]
    status, out, _ = run(capsys, tmp_path / "r")
    assert (status, rules(out)) == (1, ["TRN001"])
    assert "Permission denied" in out
    closed = ["1"]
    assert run(capsys, tmp_path / "r")[0] in (0, 1)
    closed = ["r"]
    status, _, err = run(capsys, tmp_path / "r")
    assert status == 2
    assert "Permission denied" in err


def test_a_fault_of_the_linter_has_a_status_of_its_own(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("no such thing")

    write(tmp_path / "r", "m", GOOD)
    monkeypatch.setattr(command, "lint", fail)
    status, out, err = run(capsys, tmp_path / "r")
    assert (status, out) == (3, "")
    assert "RuntimeError: no such thing" in err
    assert "Traceback" not in err


@pytest.mark.parametrize("name", [".git", "__pycache__", ".ipynb_checkpoints", "docs"])
def test_folders_that_stop_triton(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Seen on 2.51: `failed to load all models`."""
    write(tmp_path / "r", "m", GOOD)
    (tmp_path / "r" / name).mkdir()
    status, out, _ = run(capsys, tmp_path / "r")
    assert (status, rules(out)) == (1, ["TRN118"])


@pytest.mark.parametrize(("place", "status"), [("x", 1), ("m/x", 1), ("m/2", 1), ("m/1/x", 0)])
def test_links_that_stop_triton(
    place: str, status: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path / "r", "m", GOOD)
    (tmp_path / "r" / place).symlink_to(tmp_path / "nowhere")
    assert run(capsys, tmp_path / "r")[0] == status


@pytest.mark.parametrize(
    ("versions", "policy", "status"),
    [
        (["1.1"], "", 1),
        (["-1"], "", 1),
        (["+1"], "", 1),
        (["1_old"], "", 1),
        (["2_old", "1"], "", 1),
        (["-1", "1"], "", 0),
        (["-1", "1"], "version_policy { all { } }", 1),
        (["1.1", "1"], "version_policy { all { } }", 0),
        (["0"], "", 0),
    ],
)
def test_version_folders_that_triton_reads_differently(
    versions: list[str],
    policy: str,
    status: int,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """As 2.51 loads or waits for ever, with a Python model."""
    folder = tmp_path / "r" / "m"
    for version in versions:
        (folder / version).mkdir(parents=True)
        (folder / version / "model.py").write_text(PYTHON)
    (folder / "config.pbtxt").write_text('backend: "python"\n' + policy)
    assert run(capsys, tmp_path / "r")[0] == status


def test_ensembles_that_fan_out_are_read_in_time(
    repository: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Layers that each call the next twice: 2^400 ways through, and deep."""
    tensors = "".join(
        f'{side} {{ name: "{name}" data_type: TYPE_FP32 dims: [ 1 ] }}\n'
        for side, name in (("input", "x"), ("output", "y"))
    )
    for layer in range(400):
        calls = "".join(
            f'step {{ model_name: "m{layer + 1}" model_version: -1 input_map {{ key: "x" value: '
            f'"{read}" }} output_map {{ key: "y" value: "{written}" }} }}\n'
            for read, written in (("x", "mid"), ("mid", "y"))
        )
        config = f'platform: "ensemble"\n{tensors}ensemble_scheduling {{\n{calls}}}\n'
        write(repository, f"m{layer}", config)
    write(repository, "m400", f'backend: "identity"\n{tensors}')
    assert run(capsys, repository)[:2] == (0, "401 models, 0 errors, 0 warnings\n")


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(messages(model_config_type()), messages(model_config_type()), st.booleans())
def test_no_configuration_makes_it_fail(one: str, two: str, ensemble: bool) -> None:
    """Whatever the text, every rule gives findings and no traceback."""
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        write(root, "one", one + ('\nplatform: "ensemble"' if ensemble else ""))
        write(root, "two", two)
        for finding in lint([name]).findings:
            assert finding.line >= 1
            assert finding.text
