"""The shipped evaluation set: every answer stands in its document, and nobody chose the splits."""

import csv
import hashlib
from collections import Counter

import pytest
from triton_rag.evaluation.figures import figures
from triton_rag.evaluation.outcomes import Outcome
from triton_rag.evaluation.questions import check, read_questions
from triton_rag.ingestion.readers import read

from builders.spec import ROOT
from python_backends.generation.words import words
from tests.evaluation.owners_page import page as owners_page
from tests.evaluation.page import OWNERS, page
from tests.evaluation.splits import (
    BLIND,
    BLIND_FOLDERS,
    NEW,
    NEW_FOLDERS,
    OWNERS_FOLDERS,
    UNSEEN,
    UNSEEN_FOLDERS,
    by_part,
)

FOLDER = ROOT / "tests" / "evaluation"
DOCUMENTS = {
    str(path.relative_to(FOLDER / "documents")): path.read_text(encoding="utf-8")
    for path in (FOLDER / "documents").rglob("*.*")
    if path.is_file()
}
FILE = FOLDER / "questions.jsonl"
QUESTIONS = read_questions(FILE)
MORE_FILE = FOLDER / "tune.jsonl"
MORE = read_questions(MORE_FILE)
ADDED_FILE = FOLDER / "held_out.jsonl"
ADDED = read_questions(ADDED_FILE)
NEW_FILE = FOLDER / "new_folders.jsonl"
NEW_QUESTIONS = read_questions(NEW_FILE)
BLIND_FILE = FOLDER / "blind.jsonl"
BLIND_QUESTIONS = read_questions(BLIND_FILE)
NEUTRAL_FILE = FOLDER / "neutral.jsonl"
NEUTRAL = read_questions(NEUTRAL_FILE)
OWNERS_QUESTIONS = {
    name: read_questions(FOLDER / "owners" / f"{name}.jsonl") for name in OWNERS_FOLDERS
}


def test_answers_and_evidence_stand_in_the_documents() -> None:
    check(FILE, QUESTIONS, DOCUMENTS)
    check(MORE_FILE, MORE, DOCUMENTS)
    check(ADDED_FILE, ADDED, DOCUMENTS)
    check(NEW_FILE, NEW_QUESTIONS, DOCUMENTS)
    check(BLIND_FILE, BLIND_QUESTIONS, DOCUMENTS)
    check(NEUTRAL_FILE, NEUTRAL, DOCUMENTS)


def test_the_set_is_large_enough() -> None:
    kinds = Counter((question.split, question.is_answerable) for question in QUESTIONS)
    assert len(DOCUMENTS) >= 100
    assert {"tune", "held_out"} == {split for split, _ in kinds}
    assert min(kinds["tune", True], kinds["held_out", True]) >= 45
    assert min(kinds["tune", False], kinds["held_out", False]) >= 15
    added = Counter(question.is_answerable for question in ADDED)
    assert added[True] >= 130
    assert added[False] >= 60
    new = Counter((question.folder, question.is_answerable) for question in NEW_QUESTIONS)
    assert new == {(f, kind): n for f in NEW_FOLDERS for kind, n in ((True, 26), (False, 13))}
    blind = Counter((question.folder, question.is_answerable) for question in BLIND_QUESTIONS)
    assert blind.keys() == {(f, kind) for f in BLIND_FOLDERS for kind in (True, False)}
    assert min(blind[f, True] for f in BLIND_FOLDERS) >= 51
    assert min(blind[f, False] for f in BLIND_FOLDERS) >= 25


def test_splits_follow_from_the_ids() -> None:
    for question in QUESTIONS:
        is_odd = int(hashlib.sha256(question.id.encode()).hexdigest(), 16) % 2
        assert question.split == ("tune" if is_odd else "held_out"), question.id


def test_no_question_is_asked_twice() -> None:
    owners = (question for asked in OWNERS_QUESTIONS.values() for question in asked)
    asked = [*QUESTIONS, *MORE, *ADDED, *NEW_QUESTIONS, *BLIND_QUESTIONS, *NEUTRAL, *owners]
    assert len({question.question for question in asked}) == len(asked)
    assert len({question.id for question in asked}) == len(asked)


def test_what_choices_are_made_on_does_not_ask_what_is_held_out() -> None:
    held_out = [words(one.question) for one in (*QUESTIONS, *ADDED) if one.split == "held_out"]
    tune = [*MORE, *NEUTRAL, *(one for one in QUESTIONS if one.split == "tune")]
    assert {one.split for one in (*MORE, *NEUTRAL)} == {"tune"}
    assert {one.split for one in (*ADDED, *NEW_QUESTIONS, *BLIND_QUESTIONS)} == {"held_out"}
    assert not {one.folder for one in (*tune, *ADDED)} & {*NEW_FOLDERS, *BLIND_FOLDERS}
    assert not {one.folder for one in tune} & set(UNSEEN_FOLDERS)
    for question in tune:
        asked = words(question.question)
        alike = max(len(asked & other) / len(asked | other) for other in held_out)
        assert alike <= 0.5, question.id


def test_neutral_questions_are_pairs_about_one_folder() -> None:
    assert len(NEUTRAL) >= 2 * 140
    for answered, unanswered in zip(NEUTRAL[::2], NEUTRAL[1::2], strict=True):
        assert answered.is_answerable
        assert not unanswered.is_answerable
        assert answered.id.removesuffix("-a") == unanswered.id.removesuffix("-u")
        assert answered.folder == unanswered.folder


def test_neutral_questions_leave_out_documents_that_were_added_for_the_held_out_ones() -> None:
    assert not {one.document for one in NEUTRAL if one.is_answerable} & {
        one.document for one in ADDED
    }


def test_every_document_has_an_origin_and_a_licence() -> None:
    with (FOLDER / "origins.csv").open(encoding="utf-8") as file:
        rows = {row["document"]: row for row in csv.DictReader(file)}
    assert rows.keys() == DOCUMENTS.keys()
    assert all(row["licence"] and row["version"] for row in rows.values())
    packages = {row["package"] for row in rows.values()} - {"base-files"}
    assert packages == {path.stem for path in (FOLDER / "copyright").iterdir()}


def test_the_page_has_a_row_for_each_part() -> None:
    first = [Outcome(question, 1, 1, 1, seconds=1.0) for question in QUESTIONS]
    added = [Outcome(question, seconds=1.0) for question in ADDED]
    new = [Outcome(question, seconds=1.0) for question in NEW_QUESTIONS]
    blind = [Outcome(question, seconds=1.0) for question in BLIND_QUESTIONS]
    splits = {name: figures(part) for name, part in by_part(first, added, new, blind).items()}
    made = page(splits, {"llm": "some-model (fp32)"}, "a machine")
    assert f"{len(first + added + new + blind)} questions over {len(DOCUMENTS)} documents" in made
    assert "Served: llm some-model (fp32); a machine." in made
    lines = made.splitlines()
    # Three orders of the passages, answers and times; of the other parts the answers only.
    whole = {"held_out": 5, UNSEEN: 5, NEW: 5, BLIND: 5, "tune": 5}
    for split, rows in (whole | {"held_out: first": 1, "held_out: added": 1}).items():
        assert sum(line.startswith(f"| {split} |") for line in lines) == rows
    assert "| held_out: first | 60 | 0%" in made
    assert "| held_out: added | 135 | 0%" in made


@pytest.mark.parametrize("name", OWNERS_FOLDERS)
def test_owners_answers_stand_in_what_ingest_reads(name: str) -> None:
    folder = FOLDER / "owners" / name
    files = [path for path in folder.rglob("*") if path.is_file()]
    texts = {str(f.relative_to(folder)): read(f.name, f.read_bytes()).text for f in files}
    assert len(texts) >= 59
    check(folder.with_suffix(".jsonl"), OWNERS_QUESTIONS[name], texts)
    assert Counter(q.is_answerable for q in OWNERS_QUESTIONS[name]) == {True: 30, False: 20}


def test_half_of_the_owners_folders_are_held_out() -> None:
    splits = {name: {q.split for q in asked} for name, asked in OWNERS_QUESTIONS.items()}
    assert splits == {
        n: {"tune" if n in OWNERS_FOLDERS[:4] else "held_out"} for n in OWNERS_FOLDERS
    }
    outcomes = [Outcome(question, seconds=1.0) for question in OWNERS_QUESTIONS["bikes"]]
    made = owners_page({"held_out": figures(outcomes)}, {"llm": "some-model (fp32)"}, "a machine")
    assert made.startswith(OWNERS)
    assert "| held_out | 30 | 0%" in made
