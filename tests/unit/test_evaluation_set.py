"""The shipped evaluation set: every answer stands in its document, and nobody chose the splits."""

import csv
import hashlib
from collections import Counter

from triton_rag.cli.evaluation import by_split
from triton_rag.evaluation.figures import figures
from triton_rag.evaluation.outcomes import Outcome
from triton_rag.evaluation.questions import check, read_questions

from builders.spec import ROOT
from tests.evaluation.page import page

FOLDER = ROOT / "tests" / "evaluation"
DOCUMENTS = {
    str(path.relative_to(FOLDER / "documents")): path.read_text(encoding="utf-8")
    for path in (FOLDER / "documents").rglob("*.*")
    if path.is_file()
}
FILE = FOLDER / "questions.jsonl"
QUESTIONS = read_questions(FILE)


def test_answers_and_evidence_stand_in_the_documents() -> None:
    check(FILE, QUESTIONS, DOCUMENTS)


def test_the_set_is_large_enough() -> None:
    kinds = Counter((question.split, question.is_answerable) for question in QUESTIONS)
    assert len(DOCUMENTS) >= 100
    assert {"tune", "held_out"} == {split for split, _ in kinds}
    assert min(kinds["tune", True], kinds["held_out", True]) >= 45
    assert min(kinds["tune", False], kinds["held_out", False]) >= 15


def test_splits_follow_from_the_ids() -> None:
    for question in QUESTIONS:
        is_odd = int(hashlib.sha256(question.id.encode()).hexdigest(), 16) % 2
        assert question.split == ("tune" if is_odd else "held_out"), question.id


def test_no_question_is_asked_twice() -> None:
    assert len({question.question for question in QUESTIONS}) == len(QUESTIONS)


def test_every_document_has_an_origin_and_a_licence() -> None:
    with (FOLDER / "origins.csv").open(encoding="utf-8") as file:
        rows = {row["document"]: row for row in csv.DictReader(file)}
    assert rows.keys() == DOCUMENTS.keys()
    assert all(row["licence"] and row["version"] for row in rows.values())
    packages = {row["debian_package"] for row in rows.values()} - {"base-files"}
    assert packages == {path.stem for path in (FOLDER / "copyright").iterdir()}


def test_the_page_has_a_row_for_each_split() -> None:
    outcomes = [Outcome(question, 1, 1, 1, seconds=1.0) for question in QUESTIONS]
    splits = {name: figures(part) for name, part in by_split(outcomes).items()}
    made = page(splits, {"llm": "some-model (fp32)"}, "a machine")
    assert f"{len(QUESTIONS)} questions over {len(DOCUMENTS)} documents" in made
    assert "| llm | some-model (fp32) |" in made
    lines = made.splitlines()
    for split in ("held_out", "tune", "all"):
        assert sum(line.startswith(f"| {split} |") for line in lines) == 5
