"""Commands and their options."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING

from triton_rag.connection import DEFAULT_URL

if TYPE_CHECKING:
    _Commands = argparse._SubParsersAction[argparse.ArgumentParser]

_EXAMPLE = """example:
  triton-rag ask "Which battery fits the rover?" --documents manuals/

exit status: 0 done, 1 the call failed, 2 wrong usage, 130 interrupted (Ctrl-C)"""


def make_parser() -> argparse.ArgumentParser:
    """The parser of all commands; the chosen one is in `command`."""
    parser = argparse.ArgumentParser(
        prog="triton-rag",
        description="Ask a Triton server about your documents, or use its single steps.",
        epilog=_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _add_ask(commands)
    _add_retrieve(commands)
    _add_rerank(commands)
    _add_embed(commands)
    _add_generate(commands)
    _add(commands, "ready", "say whether the server is ready (exit status 0 or 1)")
    return parser


def _add(commands: _Commands, name: str, what: str) -> argparse.ArgumentParser:
    """A command with the options that all have."""
    command = commands.add_parser(name, help=what, description=what[0].upper() + what[1:] + ".")
    command.add_argument(
        "--url",
        default=os.environ.get("TRITON_RAG_URL", DEFAULT_URL),
        help="host:port of the server's gRPC port (%(default)s; TRITON_RAG_URL sets it)",
    )
    command.add_argument(
        "--timeout",
        type=_seconds,
        default=300.0,
        metavar="SECONDS",
        help="give up after this time (%(default)g)",
    )
    command.add_argument("--json", action="store_true", help="print one JSON object instead")
    return command


def _add_ask(commands: _Commands) -> None:
    ask = _add(commands, "ask", "answer a question out of documents, with its sources")
    _add_search(ask)
    _add_sampling(ask)
    ask.add_argument(
        "--stages",
        action="store_true",
        help="also print the time of each stage, from the server's own statistics",
    )
    ask.add_argument(
        "--model",
        default="rag_cancellable",
        choices=("rag_cancellable", "rag"),
        help="which of the two served pipelines (%(default)s); 'rag' can't be cancelled",
    )


def _add_retrieve(commands: _Commands) -> None:
    _add_search(_add(commands, "retrieve", "find the passages that fit a question best"))


def _add_rerank(commands: _Commands) -> None:
    rerank = _add(commands, "rerank", "order passages by how well they fit a query")
    rerank.add_argument("query")
    rerank.add_argument("passages", nargs="+", metavar="PASSAGE")
    rerank.add_argument("--top-n", type=_count, metavar="N", help="print the best N only")


def _add_embed(commands: _Commands) -> None:
    embed = _add(commands, "embed", "turn texts into embeddings")
    embed.add_argument("texts", nargs="+", metavar="TEXT")


def _add_generate(commands: _Commands) -> None:
    generate = _add(commands, "generate", "let the language model reply to a message")
    generate.add_argument("prompt", metavar="MESSAGE")
    generate.add_argument(
        "--raw", action="store_true", help="continue the text as it is, without a chat template"
    )
    _add_sampling(generate)


def _add_search(command: argparse.ArgumentParser) -> None:
    command.add_argument("question")
    command.add_argument(
        "--documents",
        type=Path,
        required=True,
        metavar="FOLDER",
        help="folder with .md, .txt and .rst files, searched with its subfolders; or one file",
    )
    command.add_argument(
        "--num-sources", type=_count, metavar="N", help="passages that the answer may use"
    )


def _add_sampling(command: argparse.ArgumentParser) -> None:
    command.add_argument("--max-tokens", type=_count, metavar="N", help="most tokens to generate")
    command.add_argument("--temperature", type=float, metavar="T", help="0 is not random at all")
    command.add_argument("--seed", type=int, metavar="N", help="equal seeds give equal texts")


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 1")
    return int(text)


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds above 0")
    return seconds
