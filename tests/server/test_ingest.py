"""Folders of real files become collections, follow their changes, and survive a kill."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from triton_rag import Client, IngestError, IngestOptions, ingest
from triton_rag.cli import main
from tritonclient.grpc import InferenceServerClient

from tests.fakes.files import docx, pdf
from tests.fakes.scans import picture, saved
from tests.server.conftest import Server
from tests.server.killed_ingest import TEXTS, kill_ingest


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("manuals")
    (folder / "boats").mkdir()
    pages = ["Cover", "The ferry\nThe ferry sails to the island at noon."]
    (folder / "boats" / "ferry.pdf").write_bytes(pdf(pages, {"The ferry": 1}, title="Timetable"))
    (folder / "vebra.docx").write_bytes(docx([("Heading1", "Vebra"), ("", "It uses port 8123.")]))
    (folder / "tower.html").write_text("<title>Tower</title><p>The tower is 30 m tall.</p>")
    (folder / "soup.md").write_text("# Soup\nThe soup is cooked with nettles.")
    (folder / "fares.csv").write_text("Zone;Fare\nHarbour;4 euros\nBridge;7 euros\n")
    (folder / "locked.pdf").write_bytes(pdf(["secret"], is_encrypted=True))
    (folder / "photo.png").write_bytes(b"\x89PNG")
    return folder


@pytest.fixture(scope="module")
def manuals(client: Client, folder: Path) -> Iterator[str]:
    report = ingest(client, folder, "ingested")
    assert (report.added, report.passages, report.files) == (5, 5, 6)
    assert {skipped.name: skipped.reason for skipped in report.skipped} == {
        "photo.png": "'.png' is a picture; triton-rag ingest --ocr reads its words",
        "locked.pdf": "encrypted: a password is needed",
    }
    yield "ingested"
    client.delete_collection("ingested")


def test_sources_tell_where_they_stand(client: Client, manuals: str) -> None:
    best = client.search("When does the ferry sail?", manuals)[0]
    assert (best.title, best.page) == ("Timetable", 2)
    assert best.metadata["document"] == "boats/ferry.pdf"
    assert best.metadata["passage"]["headings"] == ["The ferry"]
    found = client.search("What is cooked?", manuals, filter={"type": {"$in": ["md", "docx"]}})
    assert {source.metadata["document"] for source in found} == {"soup.md", "vebra.docx"}


def test_the_commands_show_title_page_and_line(
    server: Server, manuals: str, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = ["When does the ferry sail?", "--collection", manuals, "--url", server.url]
    assert main(["search", *asked]) == 0
    first, line, *_ = capsys.readouterr().out.splitlines()
    assert first.startswith(" [1] Timetable, page 2 › The ferry (boats/ferry.pdf)")
    assert line.strip() == "The ferry sails to the island at noon."
    assert main(["search", "Bridge fare", *asked[1:]]) == 0
    first, line, *_ = capsys.readouterr().out.splitlines()
    assert first.startswith(" [1] fares, row 2 (fares.csv)")
    assert line.strip() == "Zone: Bridge; Fare: 7 euros"
    assert main(["ask", *asked, "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["sources"][0]["page"] == 2
    assert main(["collections", "--url", server.url]) == 0
    assert f"{manuals}  5 documents, 5 passages" in capsys.readouterr().out


def test_scanned_pages_are_found_by_their_words(
    server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    scans = [picture("Tickets are sold on board."), picture("The ferry sails at noon.")]
    (tmp_path / "scan.tiff").write_bytes(saved(scans, "TIFF"))
    of = ["--collection", "scans", "--url", server.url]
    assert main(["ingest", str(tmp_path), "--ocr", *of]) == 0
    assert capsys.readouterr().out.strip().endswith("; 2 pages by OCR")
    assert main(["search", "When does the ferry sail?", *of]) == 0
    assert capsys.readouterr().out.startswith(" [1] scan, page 1 (scan.tiff)")
    assert (
        main(["ingest", str(tmp_path), *of]) != 0
    )  # without OCR nothing can be read, so all stays
    assert "no file in the folder can be read" in capsys.readouterr().err
    assert main(["collections", "scans", "--delete", "--yes", "--url", server.url]) == 0


def test_questions_are_evaluated_over_a_collection(
    server: Server, manuals: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    question = {"id": "a", "question": "How tall is the tower?", "document": "tower.html"}
    question |= {"answers": ["30 m"], "evidence": "The tower is 30 m tall."}
    (tmp_path / "questions.jsonl").write_text(json.dumps(question))
    command = ["evaluate", str(tmp_path / "questions.jsonl"), "--collection", manuals]
    raw = tmp_path / "raw.json"
    assert main([*command, "--url", server.url, "--json", str(raw)]) == 0
    assert "fused" in capsys.readouterr().out
    (outcome,) = json.loads(raw.read_text())["questions"]
    for order in ("similarity", "words", "fused", "relevance", "served"):
        assert outcome[f"{order}_rank"] == 1, order
    question["document"] = "spire.html"
    (tmp_path / "questions.jsonl").write_text(json.dumps(question))
    assert main([*command, "--url", server.url]) == 2
    assert "line 1: no document 'spire.html'" in capsys.readouterr().err


def embedded(server: Server) -> int:
    """Texts that the server has embedded."""
    found = InferenceServerClient(server.url).get_inference_statistics("embedder")
    return sum(model.inference_count for model in found.model_stats)


def test_a_collection_follows_its_folder(client: Client, server: Server, tmp_path: Path) -> None:
    for name in ("changes", "goes", "stays"):
        (tmp_path / f"{name}.txt").write_text(f"This one {name} at 1 o'clock.")
    ingest(client, tmp_path, "following")
    rows = embedded(server)
    (tmp_path / "changes.txt").write_text("This one changes at 2 o'clock.")
    (tmp_path / "goes.txt").unlink()
    planned = ingest(client, tmp_path, "following", IngestOptions(is_dry_run=True))
    done = ingest(client, tmp_path, "following")
    for report in (planned, done):
        assert (report.added, report.replaced, report.removed, report.unchanged) == (0, 1, 1, 1)
    assert embedded(server) == rows + 1
    texts = {source.text for source in client.search("When?", "following", num_sources=9)}
    assert texts == {"This one changes at 2 o'clock.", "This one stays at 1 o'clock."}
    client.delete_collection("following")


def test_another_folder_does_not_replace_it_by_mistake(
    client: Client, manuals: str, tmp_path: Path
) -> None:
    (tmp_path / "other.txt").write_text("Something else.")
    with pytest.raises(IngestError, match="5 documents, and none of them is in the folder"):
        ingest(client, tmp_path, manuals)
    (tmp_path / "other.txt").rename(tmp_path / "other.unknown")
    with pytest.raises(IngestError, match=r"can be read \(1 skipped\); possible: \.pdf, "):
        ingest(client, tmp_path, manuals)
    (tmp_path / "other.unknown").rename(tmp_path / "other.txt")
    beside = IngestOptions(under="more")
    assert ingest(client, tmp_path, manuals, beside).added == 1
    assert client.collection(manuals).documents == 6
    (tmp_path / "other.txt").rename(tmp_path / "new.txt")
    with pytest.raises(IngestError, match="has 1 documents, and none"):
        ingest(client, tmp_path, manuals, beside)
    replaced = ingest(client, tmp_path, manuals, IngestOptions(under="more", replaces_others=True))
    assert (replaced.added, replaced.removed) == (1, 1)
    client.remove(manuals, ["more/new.txt"])


def test_a_killed_ingest_goes_on(server: Server, client: Client, tmp_path: Path) -> None:
    kill_ingest(server.url, tmp_path, "killed")
    ready = client.documents("killed")
    report = ingest(client, tmp_path, "killed")
    assert report.unchanged >= len(ready) > 0
    assert report.added == TEXTS - report.unchanged > 0
    now = client.documents("killed")
    assert {entry.id: entry for entry in now}.items() >= {
        entry.id: entry for entry in ready
    }.items()
    assert len(now) == client.collection("killed").passages == TEXTS
    client.delete_collection("killed")


def test_two_ingests_at_once(client: Client, tmp_path: Path) -> None:
    for number in range(12):
        (tmp_path / f"{number}.txt").write_text(f"Tram {number} leaves. " * (number + 1) * 5)
    options = IngestOptions(commit_passages=8)
    with ThreadPoolExecutor(2) as pool:
        runs = [pool.submit(ingest, client, tmp_path, "twice", options) for _ in range(2)]
        reports = [run.result() for run in runs]
    once = ingest(client, tmp_path, "once", options)
    for name in ("twice", "once"):
        found = client.collection(name)
        assert (found.documents, found.passages) == (12, once.passages)
    assert all(report.documents == 12 for report in reports)
    assert ingest(client, tmp_path, "twice", options).unchanged == 12
    client.delete_collection("twice")
    client.delete_collection("once")
