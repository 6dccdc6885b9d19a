"""The command line: exit statuses, formats, bad input."""

import json
import os
import subprocess
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_lint_parser import messages
from triton_lint.command import main
from triton_lint.engine import lint
from triton_lint.models import MAX_CONFIG_BYTES
from triton_lint.options import Options
from triton_lint.schema import model_config_type

GOOD = 'backend: "onnxruntime"\n'
BAD = 'backend: "onnxruntime"\nmax_batch_size: -1\nplatform: "tensorrt_plan"\n'


def write(root: Path, name: str, config: str | bytes | None, version: str = "1") -> Path:
    folder = root / name
    (folder / version).mkdir(parents=True)
    (folder / version / "model.onnx").touch()
    if config is not None:
        data = config if isinstance(config, bytes) else config.encode()
        (folder / "config.pbtxt").write_bytes(data)
    return folder


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    root = tmp_path / "repository"
    root.mkdir()
    return root


def run(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as exited:
        main([*map(str, arguments)], prog_name="triton-lint")
    captured = capsys.readouterr()
    return int(exited.value.code or 0), captured.out, captured.err


def rules(output: str) -> list[str]:
    return [line.rpartition("[")[2].rstrip("]") for line in output.splitlines()[:-1]]


def test_clean(repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(repository, "m", GOOD)
    assert run(capsys, repository) == (0, "1 model, 0 errors, 0 warnings\n", "")


def test_errors_and_places(repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(repository, "m", BAD)
    status, out, _ = run(capsys, repository)
    assert status == 1
    assert f"{repository}/m/config.pbtxt:2:1: error: max_batch_size is -1; 0 means" in out
    assert out.splitlines()[-1] == "1 model, 2 errors, 0 warnings"
    assert rules(out) == ["TRN213", "TRN104"]


def test_warnings_fail_when_strict(repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(repository, "m", 'backend: "mine"\n')
    assert run(capsys, repository)[0] == 0
    assert run(capsys, repository, "--strict")[0] == 1
    assert run(capsys, repository, "--strict", "--backend", "mine")[0] == 0
    assert run(capsys, repository, "--strict", "--ignore", "TRN106")[0] == 0


def test_a_comment_leaves_a_rule_out(repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(repository, "m", "# triton-lint: ignore TRN213, TRN104\n" + BAD)
    write(repository, "n", BAD.replace("max", '# "triton-lint: ignored"\nmax'))
    _, out, _ = run(capsys, repository)
    assert rules(out) == ["TRN213", "TRN104"]
    assert "/m/" not in out


def test_json(repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(repository, "m", BAD)
    status, out, _ = run(capsys, repository, "--format", "json")
    found = json.loads(out)
    assert (status, found["models"], found["errors"]) == (1, 1, 2)
    first = found["findings"][0]
    assert (first["line"], first["column"], first["rule"]) == (2, 1, "TRN213")


@pytest.mark.parametrize("option", ["--ignore", "--explain"])
def test_a_rule_that_does_not_exist_is_refused(
    option: str, repository: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status, out, err = run(capsys, repository, option, "TRN6020")
    assert (status, out) == (2, "")
    assert "TRN6020" in err


def test_files_and_models(repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """As pre-commit calls: with the files of a change, which ensembles may depend on."""
    one, two = write(repository, "one", BAD), write(repository, "two", BAD)
    step = 'model_name: "one" model_version: -1 input_map { key: "a" value: "b" }'
    write(repository, "e", f'platform: "ensemble" ensemble_scheduling {{ step {{ {step} }} }}')
    (repository / "notes").mkdir()

    def models(*paths: Path) -> set[str]:
        found = json.loads(run(capsys, *paths, "--format", "json")[1])["findings"]
        return {each["model"] for each in found}

    assert models(repository) == {"one", "two", "e", "notes"}
    for path in (one, one / "config.pbtxt", one / "1", one / "1" / "model.onnx"):
        assert models(path) == {"one", "e"}
    assert models(one / "config.pbtxt", two / "1" / "model.onnx") == {"one", "two", "e"}
    assert models(two, repository) == {"one", "two", "e", "notes"}


def test_paths_as_they_are_given(
    repository: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write(repository, "m", BAD)
    monkeypatch.chdir(repository)
    assert run(capsys, "m/config.pbtxt")[1].startswith("m/config.pbtxt:2:1")
    monkeypatch.chdir(folder)
    for path in ("config.pbtxt", ".", "1", "../m"):
        assert run(capsys, path)[0] == 1


def test_github(repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(repository, "m", BAD)
    _, out, _ = run(capsys, repository, "--format", "github")
    assert out.startswith(f"::error file={repository}/m/config.pbtxt,line=2,col=1,")


def test_control_characters_are_not_printed(
    repository: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(repository, "m", 'name: "\\033[31m"\nbackend: "onnxruntime"\n')
    for style in ("text", "github", "json"):
        _, out, _ = run(capsys, repository, "--format", style)
        assert "\x1b" not in out


def test_explain(capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = run(capsys, "--explain", "trn204")
    assert status == 0
    assert "dims: [ 0 ]" in out
    status, _, err = run(capsys, "--explain", "TRN999")
    assert status == 2
    assert "TRN204" in err


@pytest.mark.parametrize("arguments", [[], ["/no/such/path"], ["s3://bucket/models"], ["gs://b"]])
def test_no_repository(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    status, out, err = run(capsys, *arguments)
    assert (status, out) == (2, "")
    assert "Error: " in err


def test_what_is_meant_is_found(repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write(repository, "m", GOOD)
    assert f"did you mean {repository}?" in run(capsys, repository.parent)[2]
    assert run(capsys, folder)[:2] == (0, "1 model, 0 errors, 0 warnings\n")
    (repository / "README.md").touch()
    assert "is in no model" in run(capsys, repository / "README.md")[2]


@pytest.mark.parametrize(
    ("config", "rule"),
    [
        (bytes(range(256)) * 40, "TRN010"),
        (b"\x7fELF\x02\x01\x01\x00" * 100, "TRN010"),
        (b"\xef\xbb\xbf" + GOOD.encode(), "TRN010"),
        (GOOD.encode("utf-16"), "TRN010"),
        (b"#" * (MAX_CONFIG_BYTES + 1), "TRN012"),
        (GOOD.encode() + b"# \xe9\n", "TRN013"),
        (b"input {" * 5000, "TRN009"),
        (b"foo {" * 5000, "TRN003"),
        (b'name: "' + b"x" * 100_000, "TRN002"),
    ],
)
def test_junk(
    config: bytes, rule: str, repository: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(repository, "m", config)
    status, out, _ = run(capsys, repository)
    assert rule in rules(out)
    assert status == (0 if rule in ("TRN012", "TRN013") else 1)


def test_links(repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(repository, "m", GOOD)
    (repository / "loop").symlink_to(repository / "loop")
    (repository / "self").symlink_to(repository)
    folder = write(repository, "n", GOOD)
    (folder / "2").symlink_to(folder / "1")
    (folder / "3").symlink_to(folder / "3")
    (repository / "p").mkdir()
    (repository / "p" / "config.pbtxt").symlink_to(repository / "p" / "config.pbtxt")
    (repository / "p" / "1").mkdir()
    status, out, _ = run(capsys, repository)
    assert status == 1
    assert set(rules(out)) == {"TRN102", "TRN118"}  # of p, and of self


def test_names_that_are_no_text(repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(repository, os.fsdecode(b"m\xff\x1b"), 'name: "m"\n')
    status, out, _ = run(capsys, repository)
    assert status == 1
    assert "\x1b" not in out


def test_two_repositories(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("a", "b"):
        write(tmp_path / name, "m", GOOD)
    status, out, _ = run(capsys, tmp_path / "a", tmp_path / "b")
    assert (status, rules(out)) == (1, ["TRN117"])


def test_config_name_falls_back(repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write(repository, "m", GOOD)
    write(repository, "n", GOOD)
    (folder / "configs").mkdir()
    (folder / "configs" / "gpu.pbtxt").write_text(BAD)
    status, out, _ = run(capsys, repository, "--model-config-name", "gpu")
    assert status == 1
    assert f"{folder}/configs/gpu.pbtxt:2:1" in out
    assert run(capsys, repository)[:2] == (status, out)  # each is checked by default
    status, _, err = run(capsys, repository, "--model-config-name", "gpus")
    assert status == 2
    assert "there is: gpu" in err


def test_weights_that_git_does_not_hold(
    repository: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write(repository, "m", GOOD)
    (folder / "1" / "model.onnx").unlink()
    assert run(capsys, repository)[0] == 1
    (folder / "1" / "model.onnx.dvc").touch()
    status, out, _ = run(capsys, repository)
    assert (status, rules(out)) == (0, ["TRN114"])
    (folder / "1" / "model.onnx.dvc").unlink()
    subprocess.run(["git", "init", "-q", repository.parent], check=True)
    subprocess.run(["git", "-C", repository, "add", "m/config.pbtxt"], check=True)
    assert run(capsys, repository)[0] == 0
    (folder / "1").rmdir()
    status, out, _ = run(capsys, repository)
    assert (status, rules(out)) == (0, ["TRN111"])
    assert run(capsys, repository, "--no-files", "--strict")[0] == 0


def test_order_is_stable(repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("c", "a", "b"):
        write(repository, name, BAD)
    first = run(capsys, repository)[1]
    assert first == run(capsys, repository)[1]
    paths = [line.split(":")[0] for line in first.splitlines()[:-1]]
    assert paths == sorted(paths)


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
        for finding in lint([name], Options(gpus=1)).findings:
            assert finding.line >= 1
            assert finding.text


@pytest.mark.parametrize("config", ["", 'backend: "onnxruntime"', 'platform: "pytorch_libtorch"'])
def test_a_checkout_without_weights(
    config: str, repository: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write(repository, "m", f"{config}\nmax_batch_size: 0\n")
    (folder / "1" / "model.onnx").rename(folder / "1" / ".gitkeep")
    tensors = 'input { name: "a" data_type: TYPE_FP32 dims: [ 1 ] }'
    (folder / "config.pbtxt").write_text(
        f"{config}\n{tensors}\n{tensors.replace('input', 'output')}"
    )
    assert run(capsys, repository)[0] == 0
    (folder / "1" / ".gitkeep").rename(folder / "1" / "other.bin")
    assert run(capsys, repository)[0] == 1


def test_what_tensorrt_llm_takes_for_unset(
    repository: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def found(values: dict[str, str], *options: str) -> list[str]:
        entries = "".join(
            f'parameters {{ key: "{key}" value {{ string_value: "{value}" }} }}\n'
            for key, value in values.items()
        )
        config.write_text(f'backend: "tensorrtllm"\n{entries}')
        return rules(run(capsys, repository, "--ignore", "TRN114", *options)[1])

    config = write(repository, "m", "") / "config.pbtxt"
    values = {"gpt_model_type": "V1", "gpt_model_path": "/engine"}
    assert found(values, "--triton", "24.10") == []
    assert found(values) == ["TRN607"] * 3
    guided = ("tokenizer_dir", "xgrammar_tokenizer_info_path", "guided_decoding_backend")
    values |= {key: f"${{{key}}}" for key in guided} | {"decoding_mode": "${decoding_mode}"}
    assert found(values) == []
    assert found(values | {"gpt_model_type": "${batching_strategy}"}) == ["TRN606"]
