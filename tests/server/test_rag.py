"""`retrieve`, `rag` and `rag_cancellable`: from documents to a cited answer."""

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from builders.spec import ROOT
from tests.server.cancellation import stopped_early
from tests.server.conftest import OpenStream, Server, Streamed, tensor, text
from tests.server.test_llm import sampling

COLLECTION = ROOT / "tests" / "collection"
ENTRIES = ("rag", "rag_cancellable")


def collection() -> tuple[list[str], list[str]]:
    files: list[Path] = sorted(COLLECTION.glob("*.md"))
    return [file.name for file in files], [file.read_text() for file in files]


def ask(
    server: Server, model: str, question: str, documents: list[str], **options: Any
) -> Streamed:
    return server.stream(
        model, text("question", question), documents_tensor(documents), *sampling(**options)
    )


def documents_tensor(documents: list[str]) -> Any:
    return tensor("documents", [d.encode() for d in documents], "BYTES")


def test_retrieve_finds_the_document(server: Server) -> None:
    names, documents = collection()
    found = server.infer(
        "retrieve",
        text("question", "Which port does Vebra listen on?"),
        documents_tensor(documents),
    )
    best = names[found.as_numpy("source_document")[0]]
    assert best == "vebra-gateway.md"
    assert len(found.as_numpy("sources")) == 3
    for source, index in zip(
        found.as_numpy("sources"), found.as_numpy("source_document"), strict=True
    ):
        assert source.decode() in documents[index]


@pytest.mark.parametrize("model", ["retrieve", *ENTRIES])
def test_an_identifier_that_the_embedder_blurs_is_found_by_its_words(
    server: Server, model: str
) -> None:
    reasons = ("the fan stands still", "a filter is full", "a door is open", "oil is low")
    documents = [f"E-{1000 + n}: {reasons[n % 4]}, so the machine stops." for n in range(60)]
    question = "The display of my machine shows E-1042 and it does not start. What should I check?"
    texts = tensor("input_text", [text.encode() for text in (question, *documents)], "BYTES")
    embeddings = server.infer("embed", texts).as_numpy("embedding")
    assert np.argmax(embeddings[1:] @ embeddings[0]) != 42
    asked = server.stream(model, text("question", question), documents_tensor(documents))
    assert asked.values("sources")[0][0].decode() == documents[42]


@pytest.mark.parametrize("model", ENTRIES)
def test_the_answer_comes_with_its_sources(server: Server, model: str) -> None:
    _, documents = collection()
    question = "Which port does Vebra listen on?"
    whole = ask(server, model, question, documents)
    parts = ask(server, model, question, documents, stream=True)
    assert "8123" in whole.text
    assert parts.text == whole.text
    for found in (whole, parts):
        (sources,) = found.values("sources")  # on one response only
        (citations,) = found.values("citations")
        assert found.responses[0].as_numpy("sources") is not None
        assert found.responses[-1].as_numpy("citations") is not None
        assert all(1 <= n <= len(sources) for n in citations)
        assert citations.size, "the answer cites a source"
        assert found.finish_reason == "stop"


def test_both_entries_give_the_same(server: Server) -> None:
    _, documents = collection()
    asked = [json.loads(line)["question"] for line in (COLLECTION / "questions.jsonl").open()][:8]
    with ThreadPoolExecutor(8) as pool:
        one, other = (
            list(pool.map(lambda q, model=model: ask(server, model, q, documents), asked))
            for model in ENTRIES
        )
    assert [f.text for f in one] == [f.text for f in other]
    assert [f.values("sources")[0].tolist() for f in one] == [
        f.values("sources")[0].tolist() for f in other
    ]


@pytest.mark.parametrize("model", ENTRIES)
@pytest.mark.parametrize(
    ("question", "documents", "says"),
    [
        ("q", [], "documents: none given"),
        ("", ["a"], "question[0]: empty; a text is needed"),
        (" \n", ["a"], "question[0]: empty; a text is needed"),
        ("q", ["a", ""], "documents[1]: empty"),
        ("q", ["word. " * 80_000], "at most 1024 passages are possible"),
        ("q " * 600, ["a"], "question: "),
    ],
)
def test_what_cannot_be_answered_is_refused(
    server: Server, model: str, question: str, documents: list[str], says: str
) -> None:
    found = ask(server, model, question, documents)
    assert says in str(found.error)
    assert "Traceback" not in str(found.error)


@pytest.mark.parametrize("model", ENTRIES)
def test_hundreds_of_refused_requests_leave_the_server_up(server: Server, model: str) -> None:
    """With two first steps in the graph this killed Triton 2.51 (docs/decisions/0011)."""
    bad: list[tuple[str, list[str]]] = [("q", []), ("q", ["a", ""]), ("", ["a"])] * 40
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda request: ask(server, model, *request), bad))
    assert all(f.error is not None for f in found)
    assert server.client.is_server_ready()


@pytest.mark.parametrize("model", ENTRIES)
def test_invalid_text_and_types_are_refused(server: Server, model: str) -> None:
    bad = server.stream(model, text("question", b"\xff"), text("documents", "a"))
    assert "not valid UTF-8" in str(bad.error)
    bad = server.stream(model, text("question", "q"), text("documents", "a", b"\xc3\x28"))
    assert "documents[1]: not valid UTF-8" in str(bad.error)
    bad = server.stream(model, text("question", "q"), tensor("documents", [1], "INT32"))
    assert "INT32" in str(bad.error)
    bad = server.stream(model, text("question", "q"))
    assert "expected" in str(bad.error)


@pytest.mark.parametrize("model", ENTRIES)
def test_one_document_and_a_thousand(server: Server, model: str) -> None:
    one = ask(server, model, "What is the port of Zarnu?", ["The port of Zarnu is 4711."])
    assert [s.decode() for s in one.values("sources")[0]] == ["The port of Zarnu is 4711."]
    many = [f"Barrel {i} holds {100 + i} litres of cider." for i in range(1000)]
    many[371] = "The port of Zarnu is 4711."
    found = ask(server, model, "What is the port of Zarnu?", many)
    assert found.error is None
    assert found.values("source_document")[0][0] == 371


@pytest.mark.parametrize("model", ENTRIES)
def test_a_document_longer_than_the_encoder_is_split_not_cut(server: Server, model: str) -> None:
    filler = "Nothing of note happened in the valley that year. " * 80
    long = f"{filler}The port of Zarnu is 4711. {filler}"
    found = ask(server, model, "What is the port of Zarnu?", [long])
    first = found.values("sources")[0][0].decode()
    assert "The port of Zarnu is 4711." in first
    assert first in long


@pytest.mark.parametrize("model", ENTRIES)
def test_sources_that_do_not_fit_the_prompt_are_left_out(server: Server, model: str) -> None:
    """The prompt shares the LLM's 2,048 tokens with the answer that is asked for."""
    documents = [f"Entry {i}: " + "a plain sentence of some length " * 6 for i in range(40)]
    few = [tensor("num_sources", [40], "INT32"), tensor("num_candidates", [40], "INT32")]
    inputs = [text("question", "Which entry?"), documents_tensor(documents), *few]
    found = server.stream(model, *inputs, *sampling(max_tokens=8))
    assert found.error is None
    assert 1 < len(found.values("sources")[0]) < 40
    found = server.stream(model, *inputs, *sampling(max_tokens=2040))
    assert "max_tokens: 2040 given; the question and one source take" in str(found.error)


def long_question() -> list[Any]:
    asked = [text("question", "Which port?"), text("documents", "The port of Zarnu is 4711.")]
    return asked + sampling(max_tokens=1500, min_tokens=1500, stream=True)


def test_rag_cancellable_stops_with_its_client(server: Server) -> None:
    with stopped_early(server, tokens=1500):
        stream = OpenStream(server.url, "rag_cancellable", long_question())
        stream.next()
        stream.cancel()


def test_rag_cancellable_keeps_its_deadline(server: Server) -> None:
    with stopped_early(server, tokens=1500):
        found = server.stream("rag_cancellable", *long_question(), timeout=300_000)
    assert "timeout: 300000 us" in str(found.error)
