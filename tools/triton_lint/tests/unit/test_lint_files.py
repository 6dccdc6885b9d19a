"""Files and folders of a repository: what they hold, what is missing, links, versions."""

import os
from pathlib import Path

import pytest
from made_repositories import BAD, GOOD, rules, run, write
from triton_lint.models import MAX_CONFIG_BYTES


@pytest.mark.parametrize(
    ("config", "rule"),
    [
        (bytes(range(256)) * 40, "TRN010"),
        (b"\x7fELF\x02\x01\x01\x00" * 100, "TRN010"),
        (b"\xef\xbb\xbf" + GOOD.encode(), "TRN010"),
        (GOOD.encode("utf-16"), "TRN010"),
        (b"#" * (MAX_CONFIG_BYTES + 1), "TRN012"),
        (GOOD.encode() + b"# \xe9\n", "TRN013"),
        (b"input {" * 5000, "TRN003"),
        (b"input {", "TRN009"),
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


def test_each_configuration_is_checked(
    repository: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write(repository, "m", GOOD)
    write(repository, "n", GOOD)
    (folder / "configs").mkdir()
    (folder / "configs" / "gpu.pbtxt").write_text(BAD)
    status, out, _ = run(capsys, repository)
    assert status == 1
    assert f"{folder}/configs/gpu.pbtxt:2:1" in out


def test_a_checkout_without_weights(repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write(repository, "m", GOOD)
    (folder / "1" / "model.onnx").unlink()
    status, out, _ = run(capsys, repository)
    assert (status, rules(out)) == (1, ["TRN114"])
    (folder / "1").rmdir()
    status, out, _ = run(capsys, repository)
    assert (status, rules(out)) == (1, ["TRN111"])
    assert run(capsys, repository, "--no-files", "--strict")[0] == 0
