"""What each command does: call, show that it is waiting, print."""

import argparse
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from triton_rag.cli.documents import Collection, read_documents
from triton_rag.cli.progress import Progress
from triton_rag.cli.text import (
    answer_object,
    excerpt,
    source_lines,
    source_objects,
    stage_lines,
    to_json,
    token_line,
)
from triton_rag.client import Client
from triton_rag.streams import AnswerStream, CompletionStream
from triton_rag.terminal import printable


def run(options: argparse.Namespace) -> int:
    """Run the command of `options`; its exit status, 0 or 1."""
    with Client(options.url, timeout_s=options.timeout) as client:
        return COMMANDS[options.command](client, options)


def ask(client: Client, options: argparse.Namespace) -> int:
    """Stream the answer, then print the sources."""
    collection = _read_collection(options)
    before = client.statistics() if options.stages else {}
    start_s = time.monotonic()
    stream = client.ask_stream(
        options.question,
        collection.texts,
        model=options.model,
        **_given(options, "num_sources", "max_tokens", "temperature", "seed"),
    )
    first_s = _print_text(stream, f"reading {collection}", quiet=options.json) - start_s
    answer, seconds = stream.answer, time.monotonic() - start_s
    if options.json:
        print(to_json(answer_object(answer, collection, seconds)))
    else:
        print(f"\nSources (* cited):\n{source_lines(answer.sources, collection, answer.citations)}")
        _note(token_line(answer, seconds))
    if options.stages:
        _note(stage_lines(before, client.statistics(), first_s, seconds))
        _note(f"request {answer.request_id}")
    return 0


def retrieve(client: Client, options: argparse.Namespace) -> int:
    """Print the sources."""
    collection = _read_collection(options)
    with Progress(f"searching {collection}"):
        sources = client.retrieve(
            options.question, collection.texts, **_given(options, "num_sources")
        )
    if options.json:
        print(to_json(source_objects(sources, collection)))
    else:
        print(source_lines(sources, collection))
    return 0


def rerank(client: Client, options: argparse.Namespace) -> int:
    """Print the passages, most relevant first."""
    ranked = client.rerank(options.query, options.passages, options.top_n)
    if options.json:
        print(to_json([asdict(passage) for passage in ranked]))
    else:
        for passage in ranked:
            print(f"{passage.relevance:8.3f}  {excerpt(options.passages[passage.index])}")
    return 0


def embed(client: Client, options: argparse.Namespace) -> int:
    """Print the beginning of each embedding, or all of it as JSON."""
    embeddings = client.embed(options.texts)
    if options.json:
        print(to_json(embeddings.tolist()))
    else:
        for text, row in zip(options.texts, embeddings, strict=True):
            values = ", ".join(f"{value:.4f}" for value in row[:4])
            print(f"[{values}, …] {len(row)} values  {excerpt(text)}")
    return 0


def generate(client: Client, options: argparse.Namespace) -> int:
    """Stream the reply."""
    start_s = time.monotonic()
    sampling = _given(options, "max_tokens", "temperature", "seed")
    if options.raw:
        stream = client.generate_stream(options.prompt, **sampling)
    else:
        message = {"role": "user", "content": options.prompt}
        stream = client.generate_stream(messages=[message], **sampling)
    _print_text(stream, "thinking", quiet=options.json)
    completion, seconds = stream.completion, time.monotonic() - start_s
    if options.json:
        print(to_json({**asdict(completion), "seconds": round(seconds, 3)}))
    else:
        _note(token_line(completion, seconds))
    return 0


def ready(client: Client, options: argparse.Namespace) -> int:
    """Say whether the server is ready."""
    is_ready = client.is_ready(timeout_s=min(options.timeout, 5.0))
    if options.json:
        print(to_json({"url": options.url, "ready": is_ready}))
    else:
        print(f"{options.url} is {'ready' if is_ready else 'not ready'}")
    return 0 if is_ready else 1


COMMANDS: dict[str, Callable[[Client, argparse.Namespace], int]] = {
    "ask": ask,
    "retrieve": retrieve,
    "rerank": rerank,
    "embed": embed,
    "generate": generate,
    "ready": ready,
}


def _read_collection(options: argparse.Namespace) -> Collection:
    """The documents, with a word on what was found."""
    collection = read_documents(options.documents)
    for fault in collection.skipped:
        _note(f"skipped {fault}")
    _note(f"{options.documents}: {collection}")
    return collection


def _print_text(stream: AnswerStream | CompletionStream, what: str, *, quiet: bool) -> float:
    """Print pieces as they come (`quiet`: only wait for them); Ctrl-C cancels on the server.

    The time of the first piece, on the clock `time.monotonic`.
    """
    first_s = None
    with Progress(what) as progress, stream:
        for piece in stream:
            first_s = first_s or time.monotonic()
            if not quiet:
                progress.done()
                print(printable(piece), end="", flush=True)
    if not quiet:
        print()
    return first_s or time.monotonic()


def _given(options: argparse.Namespace, *names: str) -> dict[str, Any]:
    """The options that were given, by name."""
    return {name: getattr(options, name) for name in names if getattr(options, name) is not None}


def _note(text: str) -> None:
    print(printable(text), file=sys.stderr)
