"""The command line: options, output, exit status, which models a path means."""

from pathlib import Path

import pytest
from made_repositories import BAD, GOOD, rules, run, write


def test_clean(repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(repository, "m", GOOD)
    assert run(capsys, repository) == (0, "1 model, 0 errors, 0 warnings\n", "")


def test_errors_and_places(repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(repository, "m", BAD)
    status, out, _ = run(capsys, repository)
    assert status == 1
    assert (
        f"{repository}/m/config.pbtxt:2:1: error: metric tag 'a-b' makes no Prometheus label" in out
    )
    assert out.splitlines()[-1] == "1 model, 2 errors, 0 warnings"
    assert rules(out) == ["TRN423", "TRN204"]


def test_warnings_fail_when_strict(repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(repository, "m", f"{GOOD}version_policy {{ specific {{ versions: [ 1, 2 ] }} }}\n")
    assert run(capsys, repository)[0] == 0
    assert run(capsys, repository, "--strict")[0] == 1
    assert run(capsys, repository, "--strict", "--ignore", "TRN112")[0] == 0


def test_a_comment_leaves_a_rule_out(repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(repository, "m", "# triton-lint: ignore TRN423, TRN204\n" + BAD)
    write(repository, "n", BAD.replace("metric", '# "triton-lint: ignored"\nmetric'))
    _, out, _ = run(capsys, repository)
    assert rules(out) == ["TRN423", "TRN204"]
    assert "/m/" not in out


@pytest.mark.parametrize("option", ["--ignore", "--explain"])
def test_a_rule_that_does_not_exist_is_refused(
    option: str, repository: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status, out, err = run(capsys, repository, option, "TRN6020")
    assert (status, out) == (2, "")
    assert "TRN6020" in err


def test_paths_as_they_are_given(
    repository: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    write(repository, "m", BAD)
    monkeypatch.chdir(repository)
    for path in (".", f"../{repository.name}"):
        assert run(capsys, path)[1].startswith(f"{path}/m/config.pbtxt:2:1")


def test_github(repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(repository, "m", BAD)
    _, out, _ = run(capsys, repository, "--format", "github")
    assert out.startswith(f"::error file={repository}/m/config.pbtxt,line=2,col=1,")


def test_control_characters_are_not_printed(
    repository: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(repository, "m", 'name: "\\033[31m"\nbackend: "onnxruntime"\n')
    for style in ("text", "github"):
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
    assert f"did you mean {repository}?" in run(capsys, folder)[2]
    (repository / "README.md").touch()
    assert "README.md: Not a directory" in run(capsys, repository / "README.md")[2]


def test_order_is_stable(repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("c", "a", "b"):
        write(repository, name, BAD)
    first = run(capsys, repository)[1]
    assert first == run(capsys, repository)[1]
    paths = [line.split(":")[0] for line in first.splitlines()[:-1]]
    assert paths == sorted(paths)
