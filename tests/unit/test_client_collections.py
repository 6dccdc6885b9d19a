"""The commands `ingest` and `collections`: options, what they print, exit statuses."""

import io
import json
import time
from dataclasses import asdict, replace
from pathlib import Path

import pytest
from triton_rag import Client, Collection, Source
from triton_rag.cli import main
from triton_rag.cli.collections import age
from triton_rag.cli.ingestion import report_lines
from triton_rag.cli.sources import collection_place
from triton_rag.ingestion.folder import Skipped
from triton_rag.ingestion.report import IngestReport
from triton_rag.ingestion.run import IngestOptions

ROVER = Collection(
    name="rover",
    embedder="minilm@abc",
    served_embedder="minilm@abc",
    dimension=384,
    fields={"type": "text", "modified_s": "number"},
    documents=1200,
    passages=34_000,
    created_s=time.time() - 90_000,
    updated_s=time.time() - 7_300,
    size_bytes=3 * 2**20,
)


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A server with the collection `rover`; the names of those that were deleted."""
    deleted: list[str] = []
    monkeypatch.setattr(Client, "collections", lambda self: [ROVER])
    monkeypatch.setattr(Client, "collection", lambda self, name: ROVER)
    monkeypatch.setattr(Client, "delete_collection", lambda self, name: deleted.append(name))
    return deleted


# --- collections -----------------------------------------------------------------------------


def test_collections_are_listed(served: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["collections"]) == 0
    assert capsys.readouterr().out == (
        "rover  1,200 documents, 34,000 passages, 3.0 MiB, changed 2 hours ago, minilm@abc\n"
    )
    assert main(["collections", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == [asdict(ROVER)]


def test_a_damaged_collection_says_so(
    served: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    damaged = replace(ROVER, embedder="", fault="its table is damaged")
    monkeypatch.setattr(Client, "collections", lambda self: [damaged])
    monkeypatch.setattr(Client, "collection", lambda self, name: damaged)
    for command in (["collections"], ["collections", "rover"]):
        assert main(command) == 0
        assert capsys.readouterr().out == "rover  its table is damaged\n"


def test_one_collection_is_shown(
    served: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert main(["collections", "rover"]) == 0
    shown = dict(line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines())
    assert shown["passages"] == "34,000"
    assert shown["filters"] == "modified_s (number), type (text)"
    other = replace(ROVER, served_embedder="bge@def")
    monkeypatch.setattr(Client, "collection", lambda self, name: other)
    assert main(["collections", "rover"]) == 0
    assert "embedder is bge@def: it can't be searched" in capsys.readouterr().out


def test_deleting_asks_first(
    served: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("n\n"))
    assert main(["collections", "rover", "--delete"]) == 130
    assert served == []
    assert "with 1,200 documents, 34,000 passages?" in capsys.readouterr().err
    assert main(["collections", "rover", "--delete", "--yes"]) == 0
    assert served == ["rover"]
    assert main(["collections", "--delete"]) == 2


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(3, "just now"), (60, "1 minute ago"), (7_300, "2 hours ago"), (90_000, "1 day ago")],
)
def test_age(seconds: float, words: str) -> None:
    assert age(seconds) == words


# --- ingest ----------------------------------------------------------------------------------


def test_options_of_ingest(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    asked: list[tuple[Path, str, IngestOptions]] = []

    def ingest(
        client: Client, folder: Path, name: str, options: IngestOptions, _: object
    ) -> IngestReport:
        asked.append((folder, name, options))
        return IngestReport(name)

    monkeypatch.setattr("triton_rag.cli.ingestion.ingest_folder", ingest)
    more = ["--under", "a", "--passage-tokens", "99", "--max-file-mib", "2", "--dry-run"]
    assert main(["ingest", str(tmp_path), "--collection", "rover", *more]) == 0
    assert asked == [(tmp_path, "rover", IngestOptions("a", 99, 2 * 2**20, is_dry_run=True))]


def test_a_folder_that_is_none(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["ingest", str(tmp_path / "x"), "--collection", "rover"]) == 2
    assert "a folder is needed, nothing is there" in capsys.readouterr().err


def test_a_report_names_a_few_files_for_each_reason() -> None:
    report = IngestReport(
        "rover", files=9, added=2, replaced=1, removed=4, unchanged=1, passages=50
    )
    report.seconds = 2.0
    report.skipped = [Skipped(f"{n}.png", "unknown type '.png'") for n in range(5)]
    report.remarks = [Skipped("a\x1b\nb.pdf", "no text on page 3 (of 9): scanned?")]
    assert list(report_lines(report)) == [
        "rover: 2 added, 1 replaced, 4 removed, 1 unchanged; 50 passages in 2.0 s (25 a second)",
        "  skipped 0.png, 1.png, 2.png and 2 more: unknown type '.png'",
        "  not read of a b.pdf: no text on page 3 (of 9): scanned?",
    ]
    report.skipped = [Skipped(f"a.{n}", f"unknown type '.{n % 9}'") for n in range(10)]
    assert list(report_lines(report))[1] == (
        "  skipped 10 files of unknown types: 2 '.0', 1 '.1', 1 '.2', 1 '.3', 1 '.4', 1 '.5', "
        "1 '.6', 1 '.7' and 1 more types"
    )
    report.passages = 1
    assert next(report_lines(report)).endswith("; 1 passage in 2.0 s (0 a second)")
    report.is_dry_run, report.passages = True, 0
    assert next(report_lines(report)) == (
        "rover: would be 2 added, 1 replaced, 4 removed, 1 unchanged"
    )


# --- sources ---------------------------------------------------------------------------------


def test_the_place_of_a_source() -> None:
    about = {
        "document": "manuals/rover.pdf",
        "passage": {"headings": ["Rover", "Power"], "start": 9, "end": 20},
    }
    source = Source("text", 0, 0.5, 1.0, id="x#1", title="Rover", page=7, metadata=about)
    assert collection_place(source) == "Rover, page 7 › Power (manuals/rover.pdf)"
    assert collection_place(replace(source, page=0)) == "Rover › Power (manuals/rover.pdf)"
    talk = replace(source, metadata={**about, "metadata": {"type": "srt"}})
    assert collection_place(talk).startswith("Rover, minute 7")


@pytest.mark.parametrize("where", [[], ["--documents", "d", "--collection", "c"]])
def test_ask_needs_one_place_to_look(where: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["ask", "Why?", *where]) == 2
    assert "exactly one of --documents and --collection" in capsys.readouterr().err


@pytest.mark.parametrize(("wanted", "words"), [("{", "not JSON"), ("3", "an object is needed")])
def test_filters_are_checked(wanted: str, words: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["search", "Why?", "--collection", "c", "--filter", wanted]) == 2
    assert words in capsys.readouterr().err
