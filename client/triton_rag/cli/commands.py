"""The commands and their options, and what each prints."""

from __future__ import annotations

import signal
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from triton_rag.cli.documents import Documents, DocumentsError, read_documents
from triton_rag.cli.options import (
    calls_server,
    collection_option,
    documents_option,
    filter_option,
    question_options,
    sampling_options,
    server_options,
)
from triton_rag.cli.output import note, print_json, printable, progress, token_line
from triton_rag.cli.sources import (
    Place,
    answer_object,
    collection_place,
    print_quotes,
    source_lines,
    source_objects,
)
from triton_rag.client import Client
from triton_rag.errors import TritonRagError
from triton_rag.evaluation.questions import QuestionsError
from triton_rag.ingestion.folder import IngestError
from triton_rag.results import UNGROUNDED
from triton_rag.streams import AnswerStream, CompletionStream

FAILED, USAGE, INTERRUPTED = 1, 2, 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; the exit status: 0, 1 (call failed), 2 (usage), 130 (Ctrl-C, SIGTERM)."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        return triton_rag.main(arguments, "triton-rag", standalone_mode=False) or 0
    except click.Abort:
        return _complain("cancelled", INTERRUPTED)
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (DocumentsError, IngestError, QuestionsError, ValueError) as error:
        return _complain(str(error), USAGE)
    except TritonRagError as error:
        request = f" (request {error.request_id})" if error.request_id else ""
        return _complain(str(error) + request, FAILED)


def _complain(message: str, status: int) -> int:
    note(f"triton-rag: {message}")
    return status


@click.group(
    context_settings={"show_default": True, "help_option_names": ["-h", "--help"]},
    epilog="Example: triton-rag ingest manuals/ --collection rover, then: "
    'triton-rag ask "Which battery fits?" --collection rover',
)
def triton_rag() -> None:
    """Ask a Triton server about your documents.

    Exit status: 0 done, 1 the call failed, 2 wrong usage, 130 interrupted (Ctrl-C, SIGTERM).
    """


@triton_rag.command()
@question_options
@documents_option
@collection_option(required=False)
@filter_option
@sampling_options
@click.option(
    "--model",
    default="rag_cancellable",
    type=click.Choice(["rag_cancellable", "rag"]),
    help="Model that answers over --documents; 'rag' can't be cancelled.",
)
@calls_server
def ask(
    client: Client,
    question: str,
    documents: Path | None,
    collection: str | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Answer a question over documents or a collection."""
    where, place, what = _asked(documents, collection)
    start_s = time.monotonic()
    stream = client.ask_stream(question, **where, **options)
    _print_text(stream, f"reading {what}", is_silent=as_json)
    answer, seconds = stream.answer, time.monotonic() - start_s
    if as_json:
        print_json(answer_object(answer, place, seconds))
    else:
        print_quotes(answer, place)
        is_refused = answer.finish_reason == UNGROUNDED
        click.echo(f"\n{'Nearest passages' if is_refused else 'Sources (* cited)'}:")
        click.echo(source_lines(answer.sources, place, answer.citations, question))
        note(f"{token_line(answer, seconds)}, request {answer.request_id}")


@triton_rag.command()
@question_options
@collection_option(required=True)
@filter_option
@calls_server
def search(client: Client, question: str, collection: str, as_json: bool, **options: Any) -> None:
    """Find the best passages of a collection."""
    with progress(f"searching {collection}"):
        sources = client.search(question, collection, **options)
    if as_json:
        print_json(source_objects(sources, collection_place))
    else:
        click.echo(source_lines(sources, collection_place, question=question))


@triton_rag.command()
@click.argument("message")
@sampling_options
@calls_server
def generate(client: Client, message: str, as_json: bool, **options: Any) -> None:
    """Send a message to the LLM."""
    start_s = time.monotonic()
    chat = [{"role": "user", "content": message}]
    stream = client.generate_stream(messages=chat, **options)
    _print_text(stream, "thinking", is_silent=as_json)
    completion, seconds = stream.completion, time.monotonic() - start_s
    if as_json:
        print_json({**asdict(completion), "seconds": round(seconds, 3)})
    else:
        note(token_line(completion, seconds))


@triton_rag.command()
@server_options
def ready(url: str, timeout: float, as_json: bool) -> int:
    """Say whether the server is ready (exit status 0 or 1)."""
    with Client(url, timeout_s=timeout) as client:
        is_ready = client.is_ready(timeout_s=min(timeout, 5.0))
    if as_json:
        print_json({"url": url, "ready": is_ready})
    else:
        click.echo(f"{url} is {'ready' if is_ready else 'not ready'}")
    return 0 if is_ready else FAILED


def _asked(documents: Path | None, collection: str | None) -> tuple[Mapping[str, Any], Place, str]:
    """Where to look, as arguments of the call; how to name a source's place; and a description."""
    if (documents is None) == (collection is None):
        raise click.UsageError("exactly one of --documents and --collection is needed")
    if documents is None:
        return {"collection": collection}, collection_place, f"collection {collection}"
    given = _read_documents(documents)
    return {"documents": given.texts}, given.name, str(given)


def _read_documents(folder: Path) -> Documents:
    found = read_documents(folder)
    for fault in found.skipped:
        note(f"skipped {fault}")
    note(f"{folder}: {found}")
    return found


def _print_text(stream: AnswerStream | CompletionStream, what: str, *, is_silent: bool) -> None:
    """Print pieces as they come (`is_silent`: only wait for them); Ctrl-C cancels on the server."""
    with progress(what) as shown, stream:
        for piece in stream:
            if not is_silent:
                shown.stop()
                click.echo(printable(piece), nl=False)
    if not is_silent:
        click.echo()
