"""`evaluate` against the real server, over three documents."""

import json
from pathlib import Path

import pytest
from triton_rag.cli import main

from tests.server.conftest import Server

DOCUMENTS = {
    "net/vebra.md": "Vebra listens on port 8123.",
    "net/ferry.md": "The ferry sails at noon.",
    "net/tower.md": "The tower is 30 m tall.",
}
QUESTIONS = [
    {
        "id": "port",
        "question": "Which port does Vebra listen on?",
        "document": "net/vebra.md",
        "answers": ["8,123"],
        "evidence": DOCUMENTS["net/vebra.md"],
        "folder": "net",
        "split": "tune",
    },
    {"id": "cook", "question": "Who cooks the soup?", "folder": "net", "split": "held_out"},
]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "documents" / "net").mkdir(parents=True)
    for name, text in DOCUMENTS.items():
        (tmp_path / "documents" / name).write_text(text)
    (tmp_path / "questions.jsonl").write_text("\n".join(map(json.dumps, QUESTIONS)))
    return tmp_path


def evaluate(server: Server, folder: Path, *more: str) -> int:
    questions, documents = str(folder / "questions.jsonl"), str(folder / "documents")
    return main(["evaluate", questions, "--documents", documents, "--url", server.url, *more])


def test_figures_of_a_run(server: Server, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert evaluate(server, folder, "--json", str(folder / "raw.json")) == 0
    shown = capsys.readouterr()
    assert all(word in shown.out for word in ("MRR@10", "held_out", "tune", "p99"))
    assert not any(text in shown.err for text in DOCUMENTS.values())
    raw = json.loads((folder / "raw.json").read_text())
    assert list(raw["figures"]) == ["held_out", "tune", "all"]
    port, cook = raw["questions"]
    assert (port["served_rank"], port["similarity_rank"], port["relevance_rank"]) == (1, 1, 1)
    assert port["is_right"] and port["is_cited_right"], port["text"]
    assert port["seconds"] > 0
    assert cook["served_rank"] is None
    assert raw["figures"]["tune"]["right"]["value"] == 1.0


def test_a_folder_that_does_not_fit_one_request(
    server: Server, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "documents" / "net" / "long.md").write_text("one two three four five.\n" * 24_000)
    assert evaluate(server, folder) == 2
    said = capsys.readouterr().err
    assert "folder 'net' can't be sent" in said
    assert "at most 1024 passages are possible" in said
