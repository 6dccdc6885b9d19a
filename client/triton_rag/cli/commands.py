"""The commands and their options, and what each prints."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from triton_rag.cli.documents import Collection, DocumentsError, read_documents
from triton_rag.cli.output import (
    answer_object,
    excerpt,
    note,
    print_json,
    print_quotes,
    print_sources,
    printable,
    progress,
    source_objects,
    stage_lines,
    token_line,
)
from triton_rag.client import Client
from triton_rag.connection import DEFAULT_URL
from triton_rag.errors import TritonRagError
from triton_rag.streams import AnswerStream, CompletionStream

Command = Callable[..., int | None]
FAILED, USAGE, INTERRUPTED = 1, 2, 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; the exit status: 0, 1 (the call failed), 2 (usage), 130 (Ctrl-C)."""
    try:
        return triton_rag.main(arguments, "triton-rag", standalone_mode=False) or 0
    except click.Abort:
        return _complain("cancelled", INTERRUPTED)
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (DocumentsError, ValueError) as error:
        return _complain(str(error), USAGE)
    except TritonRagError as error:
        request = f" (request {error.request_id})" if error.request_id else ""
        return _complain(str(error) + request, FAILED)


def _complain(message: str, status: int) -> int:
    note(f"triton-rag: {message}")
    return status


def _options(*options: Callable[[Command], Command]) -> Callable[[Command], Command]:
    """Several options and arguments as one decorator, in their order in the help."""

    def add(command: Command) -> Command:
        for option in reversed(options):
            command = option(command)
        return command

    return add


def _count(name: str, what: str) -> Callable[[Command], Command]:
    return click.option(name, type=click.IntRange(min=1), metavar="N", help=what)


search_options = _options(
    click.argument("question"),
    click.option(
        "--documents",
        type=click.Path(path_type=Path),
        required=True,
        metavar="FOLDER",
        help="Folder with .md, .txt and .rst files, searched with its subfolders; or one file.",
    ),
    _count("--num-sources", "Passages that the answer may use."),
)
sampling_options = _options(
    _count("--max-tokens", "Most tokens to generate."),
    click.option("--temperature", type=float, metavar="T", help="0 is not random at all."),
    click.option("--seed", type=int, metavar="N", help="Equal seeds give equal texts."),
)
server_options = _options(
    click.option(
        "--url",
        default=DEFAULT_URL,
        envvar="TRITON_RAG_URL",
        show_envvar=True,
        help="host:port of the server's gRPC port.",
    ),
    click.option(
        "--timeout",
        type=click.FloatRange(0, float("inf"), min_open=True, max_open=True),
        default=300.0,
        metavar="SECONDS",
        help="Give up after this time.",
    ),
    click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead."),
)


def calls_server(command: Command) -> Command:
    """Adds the `server_options`; the command gets a `client` for --url and --timeout."""

    @functools.wraps(command)
    def run(url: str, timeout: float, **given: Any) -> int | None:
        with Client(url, timeout_s=timeout) as client:
            return command(client, **given)

    return server_options(run)


@click.group(
    context_settings={"show_default": True, "max_content_width": 100},
    epilog='Example: triton-rag ask "Which battery fits the rover?" --documents manuals/',
)
def triton_rag() -> None:
    """Ask a Triton server about your documents, or use its single steps.

    Exit status: 0 done, 1 the call failed, 2 wrong usage, 130 interrupted (Ctrl-C).
    """


@triton_rag.command()
@search_options
@sampling_options
@click.option("--stages", is_flag=True, help="Also print the server's time for each stage.")
@click.option(
    "--model",
    default="rag_cancellable",
    type=click.Choice(["rag_cancellable", "rag"]),
    help="Which of the two served pipelines; 'rag' can't be cancelled.",
)
@calls_server
def ask(
    client: Client,
    question: str,
    documents: Path,
    stages: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Answer a question out of documents, with its sources."""
    collection = _read_collection(documents)
    before = client.statistics() if stages else {}
    start_s = time.monotonic()
    stream = client.ask_stream(question, collection.texts, **options)
    first_s = _print_text(stream, f"reading {collection}", quiet=as_json) - start_s
    answer, seconds = stream.answer, time.monotonic() - start_s
    if as_json:
        print_json(answer_object(answer, collection, seconds))
    else:
        print_quotes(answer, collection)
        click.echo("\nSources (* cited):")
        print_sources(answer.sources, collection, answer.citations)
        note(token_line(answer, seconds))
    if stages:
        note(stage_lines(before, client.statistics(), first_s, seconds))
        note(f"request {answer.request_id}")


@triton_rag.command()
@search_options
@calls_server
def retrieve(client: Client, question: str, documents: Path, as_json: bool, **options: Any) -> None:
    """Find the passages that fit a question best."""
    collection = _read_collection(documents)
    with progress(f"searching {collection}"):
        sources = client.retrieve(question, collection.texts, **options)
    if as_json:
        print_json(source_objects(sources, collection))
    else:
        print_sources(sources, collection)


@triton_rag.command()
@click.argument("query")
@click.argument("passages", nargs=-1, required=True, metavar="PASSAGE...")
@_count("--top-n", "Print the best N only.")
@calls_server
def rerank(
    client: Client, query: str, passages: tuple[str, ...], top_n: int | None, as_json: bool
) -> None:
    """Order passages by how well they fit a query."""
    ranked = client.rerank(query, passages, top_n)
    if as_json:
        print_json([asdict(passage) for passage in ranked])
    else:
        for passage in ranked:
            click.echo(f"{passage.relevance:8.3f}  {excerpt(passages[passage.index])}")


@triton_rag.command()
@click.argument("texts", nargs=-1, required=True, metavar="TEXT...")
@calls_server
def embed(client: Client, texts: tuple[str, ...], as_json: bool) -> None:
    """Turn texts into embeddings; without --json their first values are printed."""
    embeddings = client.embed(texts)
    if as_json:
        print_json(embeddings.tolist())
    else:
        for text, row in zip(texts, embeddings, strict=True):
            values = ", ".join(f"{value:.4f}" for value in row[:4])
            click.echo(f"[{values}, …] {len(row)} values  {excerpt(text)}")


@triton_rag.command()
@click.argument("message")
@click.option("--raw", is_flag=True, help="Continue the text as it is, without a chat template.")
@sampling_options
@calls_server
def generate(client: Client, message: str, raw: bool, as_json: bool, **options: Any) -> None:
    """Let the language model reply to a message."""
    start_s = time.monotonic()
    if raw:
        stream = client.generate_stream(message, **options)
    else:
        chat = [{"role": "user", "content": message}]
        stream = client.generate_stream(messages=chat, **options)
    _print_text(stream, "thinking", quiet=as_json)
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


def _read_collection(folder: Path) -> Collection:
    collection = read_documents(folder)
    for fault in collection.skipped:
        note(f"skipped {fault}")
    note(f"{folder}: {collection}")
    return collection


def _print_text(stream: AnswerStream | CompletionStream, what: str, *, quiet: bool) -> float:
    """Print pieces as they come (`quiet`: only wait for them); Ctrl-C cancels on the server.

    The time of the first piece, on the clock `time.monotonic`.
    """
    first_s = None
    with progress(what) as shown, stream:
        for piece in stream:
            first_s = first_s or time.monotonic()
            if not quiet:
                shown.stop()
                click.echo(printable(piece), nl=False)
    if not quiet:
        click.echo()
    return first_s or time.monotonic()
