"""The client's command line: options, folders, output, exit statuses."""

import json
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import triton_rag as package
from click.testing import CliRunner
from triton_rag import Answer, Client, Source
from triton_rag.cli import main
from triton_rag.cli.commands import triton_rag
from triton_rag.cli.documents import (
    MAX_DOCUMENTS,
    Documents,
    DocumentsError,
    read_documents,
)
from triton_rag.cli.output import excerpt, print_json, printable, progress, token_line
from triton_rag.cli.sources import answer_object, best_part, source_lines

SOURCES = (Source("The tower\nis 30 m tall.", 1, 0.75, 3.21), Source("x" * 200, 0, 0.5, -1.0))
ANSWER = Answer("30 m [1]", "length", 1200, 8, sources=SOURCES, citations=(1,))
DOCUMENTS = Documents(("a.md", "sub/b.txt"), ("x" * 200, "The tower"))


# --- folders ---------------------------------------------------------------------------------


def test_texts_are_found_below_the_folder_in_order(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / ".git").mkdir()
    for name in ("b.md", "a.TXT", "sub/c.rst", ".git/d.md", ".hidden.md", "e.pdf"):
        (tmp_path / name).write_text(name)
    found = read_documents(tmp_path)
    assert list(found.names) == ["a.TXT", "b.md", "sub/c.rst"]
    assert str(found) == "3 documents, 18 characters"


def test_what_cannot_be_used_is_skipped_and_named(tmp_path: Path) -> None:
    (tmp_path / "good.md").write_bytes("\ufeffgrün".encode())
    (tmp_path / "latin.md").write_bytes("grün".encode("latin-1"))
    (tmp_path / "blank.md").write_text(" \n")
    found = read_documents(tmp_path)
    assert found.texts == ("grün",)
    assert found.skipped == ("blank.md: empty", "latin.md: not UTF-8 (byte 2)")


def test_one_file_is_a_collection(tmp_path: Path) -> None:
    (tmp_path / "notes.org").write_text("text")
    assert list(read_documents(tmp_path / "notes.org").names) == ["notes.org"]


def test_too_many_documents(tmp_path: Path) -> None:
    for number in range(MAX_DOCUMENTS + 1):
        (tmp_path / f"{number}.txt").write_text("x")
    with pytest.raises(DocumentsError, match="1,001 documents; at most 1,000 fit one request"):
        read_documents(tmp_path)


def test_no_documents(tmp_path: Path) -> None:
    (tmp_path / "bad.md").write_bytes(b"\xff")
    with pytest.raises(DocumentsError, match=r"no readable .md, .rst, .txt files \(1 skipped\)"):
        read_documents(tmp_path)


# --- output ----------------------------------------------------------------------------------


def test_sources_are_numbered_and_cited_ones_marked() -> None:
    first, excerpt_, second, _ = source_lines(SOURCES, DOCUMENTS.name, (1,)).splitlines()
    assert first == "*[1] sub/b.txt  (relevance 3.21, similarity 0.75)"
    assert excerpt_.strip() == "The tower is 30 m tall."
    assert second.startswith(" [2] a.md")


def test_a_source_is_shown_from_the_line_that_tells() -> None:
    text = "# Ferry\n\nIt is green. The ferry sails at noon, daily. Bring bread."
    assert best_part(text, "When does the ferry sail at noon?").startswith(
        "The ferry sails at noon"
    )
    assert best_part(text, "") == text


def test_the_telling_sentence_keeps_its_number() -> None:
    text = "1. Sensor files stay for 90 days\n2. No deploys on Fridays"
    assert best_part(text, "deploys on Fridays").startswith("2. No deploys")


def test_excerpt_is_one_line_of_bounded_length(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    assert excerpt("a\n b") == "a b"
    assert len(excerpt("x" * 200)) == 100
    monkeypatch.setenv("COLUMNS", "80")
    assert len(excerpt("x" * 200)) == 74


def test_terminals_are_not_steered() -> None:
    assert printable("\x1b[31mred\a\u009b\n\tnext\u00a0é\udcff") == "[31mred\n\tnext\u00a0é"


def test_sources_steer_no_terminal() -> None:
    named = Documents(("\x1b[7ma.md",), ("x",))
    lines = source_lines((Source("text\x1b[31m", 0, 0.5, 1.0),), named.name)
    assert "\x1b" not in lines


def test_tokens_and_time() -> None:
    line = token_line(ANSWER, 2.0)
    assert line == "1,200 tokens read, 8 written (cut at max_tokens) in 2.0 s (4.0 a second)"


def test_json_answer(capsys: pytest.CaptureFixture[str]) -> None:
    print_json(answer_object(ANSWER, DOCUMENTS.name, 1.23456))
    found = json.loads(capsys.readouterr().out)
    assert found["text"] == "30 m [1]"
    assert found["seconds"] == 1.235
    assert [(s["number"], s["file"], s["cited"]) for s in found["sources"]] == [
        (1, "sub/b.txt", True),
        (2, "a.md", False),
    ]


def test_json_has_no_control_characters(capsys: pytest.CaptureFixture[str]) -> None:
    print_json("\x1b\x9b\x7f\udcff é")
    printed = capsys.readouterr().out
    assert printed == '"\\u001b\\u009b\\u007f\\udcff é"\n'
    assert json.loads(printed) == "\x1b\x9b\x7f\udcff é"


def test_progress_says_nothing_to_a_file(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    with progress("waiting") as shown:
        shown.stop()
    assert capsys.readouterr() == ("", "")


# --- options and exit statuses ---------------------------------------------------------------


def test_options_of_ask_are_arguments_of_the_call(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    asked: list[tuple[str, list[str], dict[str, object]]] = []

    def ask_stream(self: Client, question: str, documents: list[str], **options: object) -> None:
        asked.append((question, documents, options))
        raise ValueError("seen")

    monkeypatch.setattr(Client, "ask_stream", ask_stream)
    (tmp_path / "a.md").write_text("text")
    options = ["--max-tokens", "9", "--model", "rag", "--temperature", "0.5", "--json"]
    assert main(["ask", "Why?", "--documents", str(tmp_path), *options]) == 2
    ((question, documents, given),) = asked
    assert (question, documents) == ("Why?", ("text",))
    assert {name: value for name, value in given.items() if value is not None} == {
        "max_tokens": 9,
        "model": "rag",
        "temperature": 0.5,
    }


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["ask", "Why?"],
        ["ask", "Why?", "--documents", "d", "--max-tokens", "0"],
        ["ready", "--timeout", "-1"],
        ["ready", "--timeout", "inf"],
        ["ready", "--timeout", "nan"],
        ["generate"],
        ["generate", "--wrong"],
        ["ready", "--timeout", "soon"],
    ],
)
def test_wrong_usage_exits_with_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 2
    output, error = capsys.readouterr()
    assert output == ""
    assert error


def test_missing_folder_exits_with_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["ask", "Why?", "--documents", "/nowhere"]) == 2
    assert capsys.readouterr().err == "triton-rag: /nowhere: no such folder\n"


def test_wrong_url_exits_with_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["ready", "--url", "http://localhost:8001"]) == 2
    assert "host:port" in capsys.readouterr().err


def test_server_that_is_not_there_exits_with_1(capsys: pytest.CaptureFixture[str]) -> None:
    url = "unix:/nowhere/triton.sock"
    assert main(["generate", "x", "--url", url]) == 1
    error = capsys.readouterr().err
    assert f"no connection to a Triton server at {url}" in error
    assert re.search(r"\(request [0-9a-f]{32}\)$", error)
    assert main(["ready", "--url", url]) == 1
    assert capsys.readouterr().out == f"{url} is not ready\n"


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_interruption_exits_with_130(
    sent: signal.Signals,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    request: pytest.FixtureRequest,
) -> None:
    # A shell that runs the tests in the background has SIGINT ignored.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    request.addfinalizer(lambda: signal.signal(signal.SIGINT, before))

    def interrupt(folder: Path) -> Documents:
        signal.raise_signal(sent)
        return DOCUMENTS

    monkeypatch.setattr("triton_rag.cli.commands.read_documents", interrupt)
    assert main(["ask", "Why?", "--documents", "docs"]) == 130
    assert "cancelled" in capsys.readouterr().err


_INTERRUPTED_IMPORT = """
import runpy, signal, sys

class Interrupt:
    def find_spec(self, name, *_):
        if name == "triton_rag.cli.commands":
            signal.raise_signal(signal.SIGINT)

signal.signal(signal.SIGINT, signal.default_int_handler)
sys.meta_path.insert(0, Interrupt())
runpy.run_module("triton_rag", run_name="__main__", alter_sys=True)
"""


def test_ctrl_c_ends_it_without_words_while_it_imports() -> None:
    done = subprocess.run(
        [sys.executable, "-c", _INTERRUPTED_IMPORT], check=False, capture_output=True
    )
    assert (done.returncode, done.stderr) == (-signal.SIGINT, b"")


def test_a_process_that_reads_files_imports_no_grpc() -> None:
    code = "import sys, triton_rag.ingestion.reader_process; sys.exit('grpc' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_all_public_names_are_there() -> None:
    assert {name: getattr(package, name) for name in dir(package)}.keys() == set(package.__all__)
    assert not hasattr(package, "Clint")


@pytest.mark.parametrize("command", ["ask", "search", "generate", "ready", "evaluate"])
def test_help(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([command, "--help"]) == 0
    shown = capsys.readouterr().out
    assert "--url" in shown
    assert "127.0.0.1:8001" in shown


def test_the_variable_names_the_server() -> None:
    done = CliRunner().invoke(
        triton_rag, ["ready"], env={"TRITON_RAG_URL": "unix:/nowhere/x"}, standalone_mode=False
    )
    assert done.output == "unix:/nowhere/x is not ready\n"
    assert done.return_value == 1


def test_a_source_is_told_from_a_whole_sentence_though_its_lines_are_wrapped() -> None:
    text = "Boats are red. At a minimum two\ncommands, lset and prset, are\nneeded for a model."
    assert best_part(text, "Which commands for the model?").startswith("At a minimum two")
    lines = "Skoda Octavia Combi, first registered 2019\nTyre pressure: 2.4 bar\nOil: 5W-30"
    assert best_part(lines, "What is the tyre pressure?").startswith("Tyre pressure")
    assert (
        best_part("- Jellyfin: 8096 is one port\n- AdGuard: 3000", "AdGuard?") == "- AdGuard: 3000"
    )
