"""`evaluate`: measures how well the served models answer the questions of a file."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TextIO

import click
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from triton_rag.cli.commands import FAILED, triton_rag
from triton_rag.cli.documents import Documents, DocumentsError, read_documents
from triton_rag.cli.evaluation_tables import Rows, tables
from triton_rag.cli.options import collection_option, connection_options
from triton_rag.cli.output import note
from triton_rag.client import Client
from triton_rag.errors import InvalidRequest
from triton_rag.evaluation.corpora import Corpus, RequestDocuments, StoredCollection
from triton_rag.evaluation.figures import COLLECTION_ORDERS, ORDERS, Figures, figures
from triton_rag.evaluation.outcomes import REFUSALS, Outcome, ask_question
from triton_rag.evaluation.questions import (
    ALL,
    Question,
    QuestionsError,
    check,
    check_names,
    read_questions,
)
from triton_rag.listing import all_documents

WIDTH = 110
"""Width of the tables, in characters, where there is no terminal."""

Folders = dict[str, Documents]
"""Documents by the questions' `folder`; their names begin at the folder of all documents."""


@triton_rag.command()
@click.argument("questions", type=click.Path(path_type=Path), metavar="QUESTIONS.jsonl")
@click.option(
    "--documents",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="FOLDER",
    help="Folder that the questions' documents and folders are in.",
)
@collection_option(required=False)
@click.option(
    "--refusal",
    "refusals",
    multiple=True,
    metavar="TEXT",
    help="Words with which your model says that it can't answer; beside the server's own.",
)
@click.option(
    "--json",
    "target",
    type=click.File("w", encoding="utf-8", lazy=False),
    metavar="FILE",
    help="Also write all figures and answers to this file.",
)
@connection_options
def evaluate(
    questions: Path,
    documents: Path | None,
    collection: str | None,
    refusals: tuple[str, ...],
    target: TextIO | None,
    url: str,
    timeout: float,
) -> int:
    """Ask questions with known answers; count what is right.

    With --documents, each question is sent with the documents of its folder, which must fit one
    request of 1,024 passages; with --collection, all its documents are searched. The questions'
    format is in client/README.md. The exit status is 1 if a call failed.
    """
    if (documents is None) == (collection is None):
        raise click.UsageError("exactly one of --documents and --collection is needed")
    with Client(url, timeout_s=timeout) as client:
        if documents is None:
            outcomes = measure_collection(client, questions, str(collection), refusals)
        else:
            outcomes = measure(client, questions, documents, refusals)
    for outcome in outcomes:
        if outcome.error:
            note(f"{outcome.question.id}: {outcome.error}")
    orders = ORDERS if collection is None else COLLECTION_ORDERS
    splits = {name: figures(part, orders) for name, part in by_split(outcomes).items()}
    if target:
        target.write(_raw(splits, outcomes))
    console = Console() if sys.stdout.isatty() else Console(width=WIDTH)
    for title, rows in tables(splits).items():
        console.print(_table(title, rows))
    return FAILED if any(outcome.error for outcome in outcomes) else 0


def measure(
    client: Client, questions: Path, documents: Path, refusals: Sequence[str] = ()
) -> list[Outcome]:
    """The outcome of each question, in the order of the file; shows its progress.

    Raises `QuestionsError` for a file or folder that can't be used, `DocumentsError` for documents
    that don't fit one request.
    """
    asked = read_questions(questions)
    folders = _read_folders(questions, asked, documents)
    _require_fit(client, asked, folders)
    corpora = {
        name: RequestDocuments(client, inside.names, inside.texts)
        for name, inside in folders.items()
    }
    pairs = ((question, corpora[question.folder]) for question in asked)
    return list(_outcomes(pairs, len(asked), (*REFUSALS, *refusals)))


def measure_collection(
    client: Client, questions: Path, collection: str, refusals: Sequence[str] = ()
) -> list[Outcome]:
    """The outcome of each question over all documents of a collection; shows its progress.

    Raises `QuestionsError` for a file that can't be used, or that names documents which the
    collection lacks.
    """
    asked = read_questions(questions)
    check_names(questions, asked, {entry.id for entry in all_documents(client, collection)})
    corpus = StoredCollection(client, collection)
    pairs = ((question, corpus) for question in asked)
    return list(_outcomes(pairs, len(asked), (*REFUSALS, *refusals)))


def by_split(outcomes: Sequence[Outcome]) -> dict[str, Sequence[Outcome]]:
    """The outcomes of each split, and all together where there is more than one."""
    names = sorted({outcome.question.split for outcome in outcomes})
    parts: dict[str, Sequence[Outcome]] = {
        name: [outcome for outcome in outcomes if outcome.question.split == name] for name in names
    }
    return {**parts, ALL: outcomes} if len(parts) > 1 else {ALL: outcomes}


def _read_folders(path: Path, asked: Sequence[Question], documents: Path) -> Folders:
    """The documents that the questions need; raises `QuestionsError` if an answer is not there."""
    found: Folders = {}
    for question in asked:
        if question.folder in found:
            continue
        try:
            inside = read_documents(documents / question.folder)
        except DocumentsError as error:
            raise QuestionsError(f"{path}: line {question.line}: {error}") from error
        for fault in inside.skipped:
            note(f"skipped {fault}")
        names = (str(Path(question.folder, name)) for name in inside.names)
        found[question.folder] = Documents(tuple(names), inside.texts)
    pairs = (zip(inside.names, inside.texts, strict=True) for inside in found.values())
    check(path, asked, {name: text for each in pairs for name, text in each})
    return found


def _require_fit(client: Client, asked: Sequence[Question], folders: Folders) -> None:
    """Raises `DocumentsError` for a folder that the server does not take in one request.

    The server's embedder then has the passages in its cache, so no question's time includes them.
    """
    first = {question.folder: question for question in reversed(asked)}
    for folder, inside in folders.items():
        try:
            client.retrieve(first[folder].question, inside.texts)
        except InvalidRequest as error:
            raise DocumentsError(
                f"the documents of folder '{folder}' can't be sent with a question: {error}; give "
                "its questions smaller folders"
            ) from error


def _outcomes(
    asked: Iterable[tuple[Question, Corpus]], count: int, refusals: Sequence[str]
) -> Iterator[Outcome]:
    columns = (TextColumn("questions"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    console = Console(stderr=True)
    with Progress(*columns, console=console, disable=not sys.stderr.isatty()) as shown:
        for question, corpus in shown.track(asked, total=count):
            yield ask_question(corpus, question, refusals)


def _raw(splits: Mapping[str, Figures], outcomes: Sequence[Outcome]) -> str:
    """JSON with the figures of each split, and the outcome of each question."""
    shown = {
        "figures": {split: asdict(found) for split, found in splits.items()},
        "questions": [asdict(outcome) for outcome in outcomes],
    }
    return json.dumps(shown, ensure_ascii=False, indent=1) + "\n"


def _table(title: str, rows: Rows) -> Table:
    made = Table(*rows[0], title=title, box=SIMPLE_HEAD, title_justify="left")
    for row in rows:
        made.add_row(*map(Text, row.values()))  # not strings, which rich searches for markup
    return made
