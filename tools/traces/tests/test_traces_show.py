"""The command `triton-traces show`: exit statuses, files, bad input."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from made_spans import TRACES, otlp, raw
from triton_traces.command import main


def show(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["show", *arguments])


def test_a_file(tmp_path: Path) -> None:
    output = tmp_path / "request.trace.json"
    file = str(TRACES / "rag_cancellable.json")
    done = show(file, "--output", str(output))
    assert done.exit_code == 0
    assert "critical path" in done.stdout
    assert str(output) in done.stderr
    assert json.loads(output.read_text())["traceEvents"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "No such file"),
        (b"\xff", "not UTF-8"),
        (b'{"resourceSpans": []}', "the trace has no spans"),
        (b"{}", "no OTLP"),
    ],
)
def test_unreadable_files_exit_with_2(tmp_path: Path, content: bytes | None, message: str) -> None:
    file = tmp_path / "trace.json"
    if content is not None:
        file.write_bytes(content)
    done = show(str(file))
    assert done.exit_code == 2
    assert str(file) in done.stderr
    assert message in done.stderr


def test_an_output_that_cannot_be_written_exits_with_2(tmp_path: Path) -> None:
    output = tmp_path / "no" / "request.trace.json"
    done = show(str(TRACES / "rag_cancellable.json"), "--output", str(output))
    assert done.exit_code == 2
    assert str(output) in done.stderr


def test_an_id_is_found_in_the_collectors_file(tmp_path: Path) -> None:
    file = tmp_path / "traces.jsonl"
    content = [
        (TRACES / name).read_text()
        for name in ("rag-with-tritons-own.json", "rag_cancellable.json")
    ]
    file.write_text("\n".join(json.dumps(json.loads(each)) for each in content))
    done = show("rag-1", "--file", str(file))
    assert done.stdout.startswith("request rag-1")
    named = CliRunner().invoke(main, ["show", "rag-1"], env={"TRITON_TRACES_FILE": str(file)})
    assert named.stdout == done.stdout


def test_an_unknown_id_exits_with_1(tmp_path: Path) -> None:
    file = tmp_path / "traces.jsonl"
    missing = show("nobody", "--file", str(file))
    assert (missing.exit_code, missing.stdout) == (1, "")
    assert "no trace of 'nobody'" in missing.stderr
    assert "triton-traces collect" in missing.stderr
    file.touch()
    assert show("nobody", "--file", str(file)).exit_code == 1
    file.write_text(otlp(raw()))
    assert show("nobody", "--file", str(file)).exit_code == 1
