"""Repairs: made where they make things better, and never at the cost of anything else."""

from pathlib import Path

import pytest
from google.protobuf import text_format
from test_lint_command import run, write
from tritonclient.grpc import model_config_pb2

GPUS = [
    "gpus: [ 0 ]", "gpus: [0]", "gpus: [0, 1]", "gpus:[0] gpus:[1]", "gpus: 0", "gpus: 0 gpus: 1",
    "gpus: [ 0 ], ", "gpus: 0;", "gpus: [\n 0,\n 1 # the second\n]",
]  # fmt: skip


def parsed(path: Path) -> model_config_pb2.ModelConfig:
    return text_format.Parse(path.read_text("utf-8"), model_config_pb2.ModelConfig())


@pytest.mark.parametrize("gpus", GPUS)
def test_a_removed_field_leaves_nothing_behind(
    gpus: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = f'backend: "onnxruntime"\ninstance_group [ {{ kind: KIND_CPU {gpus} count: 2 }} ]\n'
    path = write(tmp_path / "r", "m", text) / "config.pbtxt"
    run(capsys, tmp_path / "r", "--fix")
    assert path.read_text() == text  # KIND_GPU may have been meant
    run(capsys, tmp_path / "r", "--fix", "--unsafe-fix", "TRN401")
    (group,) = parsed(path).instance_group
    assert (group.count, list(group.gpus)) == (2, [])


@pytest.mark.parametrize(
    "text",
    [
        "max_batch_sise: 4 max_batch_size: 8",
        "max_batch_size: 8 max_batch_sise: 4",
        "max_batch_sise: 4 max_batch_siize: 8",
        "max_batch_size: 8 dynamic_batching { preferred_batch_sise: 4 preferred_batch_size: 8 }",
        "dynamic_batchin { } dynamic_batching { } max_batch_size: 8",
        "max_batch_sise { }",
        "instance_group { kind: 'GPU }",
    ],
)
def test_what_would_be_a_new_fault_is_not_repaired(
    text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = f'backend: "onnxruntime" {text}\n'
    path = write(tmp_path / "r", "m", text) / "config.pbtxt"
    run(capsys, tmp_path / "r", "--fix")
    assert path.read_text() in (text, text.replace("batch_siize", "batch_size")) or (
        path.read_text() == text.replace("batch_sise", "batch_size") and "siize" in text
    )


def test_one_bad_repair_does_not_keep_others_away(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = (
        "backend: onnxruntime\nmax_batch_sise: 4\nmax_batch_size: 8\ninstance_group { kind: CPU }\n"
    )
    path = write(tmp_path / "r", "m", text) / "config.pbtxt"
    run(capsys, tmp_path / "r", "--fix")
    wanted = text.replace("onnxruntime", '"onnxruntime"').replace(" CPU", " KIND_CPU")
    assert path.read_text() == wanted


def test_a_model_that_an_ensemble_calls_is_not_renamed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    called = 'name: "encoder"\nbackend: "onnxruntime"\n'
    path = write(tmp_path / "r", "encoder_v2", called) / "config.pbtxt"
    step = (
        'model_name: "encoder" input_map { key: "a" value: "a" } output_map { key: "b" value: "b" }'
    )
    write(tmp_path / "r", "e", f'platform: "ensemble" ensemble_scheduling {{ step {{ {step} }} }}')
    run(capsys, tmp_path / "r", "--fix")
    assert path.read_text() == called
    run(capsys, tmp_path / "r", "--fix", "--unsafe-fix", "TRN101")
    assert path.read_text() == called


def test_a_name_is_changed_only_when_asked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write(tmp_path / "r", "m", 'name: "n" backend: "onnxruntime"') / "config.pbtxt"
    run(capsys, tmp_path / "r", "--fix")
    assert parsed(path).name == "n"
    assert run(capsys, tmp_path / "r", "--fix", "--unsafe-fix", "TRN101")[0] == 0
    assert parsed(path).name == "m"


def test_diff_writes_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path / "r", "m", "backend: onnxruntime\n") / "config.pbtxt"
    before = path.stat()
    status, out, _ = run(capsys, tmp_path / "r", "--diff")
    assert status == 1
    assert '-backend: onnxruntime\n+backend: "onnxruntime"' in out
    assert run(capsys, tmp_path / "r", "--fix", "--diff")[1] == out
    assert path.stat().st_mtime_ns == before.st_mtime_ns
    assert [each.name for each in path.parent.iterdir() if each.is_file()] == ["config.pbtxt"]


def test_links_and_modes_are_kept(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path / "r", "m", None) / "config.pbtxt"
    target = tmp_path / "shared.pbtxt"
    target.write_text("backend: onnxruntime\n")
    target.chmod(0o640)
    path.symlink_to(target)
    run(capsys, tmp_path / "r", "--fix")
    assert path.is_symlink()
    assert target.read_text() == 'backend: "onnxruntime"\n'
    assert target.stat().st_mode & 0o777 == 0o640
