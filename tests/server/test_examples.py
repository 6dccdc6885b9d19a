"""The examples run against the real server, and print what they promise."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from builders.spec import ROOT
from tests.server.conftest import BOUND_S, Server

EXAMPLES = sorted((ROOT / "examples").glob("*.py"))
MAX_LINES = 40


def run(server: Server, name: str) -> str:
    """What the example prints."""
    addresses = {"TRITON_RAG_URL": server.url, "TRITON_RAG_HTTP_URL": server.http_url}
    done = subprocess.run(
        [sys.executable, ROOT / "examples" / name],
        env=os.environ | addresses,
        capture_output=True,
        text=True,
        check=False,
        timeout=BOUND_S,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_ask_over_documents(server: Server) -> None:
    question, answer, *sources = run(server, "ask_over_documents.py").splitlines()
    assert question == "Question: Which port does Vebra listen on?"
    assert "8123" in answer
    assert [source[:3] for source in sources] == ["[1]", "[2]"]
    assert "port 8123" in sources[0]
    assert any("(cited)" in source for source in sources)


def test_stream_with_tritonclient(server: Server) -> None:
    assert run(server, "stream_with_tritonclient.py").strip()


def test_embed_and_rerank(server: Server) -> None:
    header, *rows = run(server, "embed_and_rerank.py").splitlines()
    assert header.split() == ["similarity", "relevance", "passage"]
    assert rows[0].endswith("Vebra listens on port 8123.")
    relevance = [float(row.split()[1]) for row in rows]
    assert relevance == sorted(relevance, reverse=True)
    assert relevance[0] > 0 > relevance[1], "one of them answers"


@pytest.mark.parametrize("example", EXAMPLES, ids=[example.name for example in EXAMPLES])
def test_examples_are_short(example: Path) -> None:
    assert len(example.read_text(encoding="utf-8").splitlines()) <= MAX_LINES


def test_every_example_is_run() -> None:
    names = {"ask_over_documents.py", "embed_and_rerank.py", "stream_with_tritonclient.py"}
    assert {example.name for example in EXAMPLES} == names
