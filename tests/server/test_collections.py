"""Collections on a real server: written, searched, answered from, and refused."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from triton_rag import Client, Document, InvalidRequest, NothingFound, Passage

from builders.repository import REPOSITORY
from builders.spec import ROOT
from operations.supervisor.canary import canaries
from operations.triton_api import TritonApi
from tests.server.conftest import Server

FILES = sorted((ROOT / "tests" / "collection").glob("*.md"))


def document(file: Path, text: str = "") -> Document:
    text = text or file.read_text(encoding="utf-8")
    passages = [Passage(text, page=1, metadata={"headings": [file.stem]})]
    metadata = {"letter": file.stem[0], "length": len(text)}
    return Document(file.name, passages, title=file.stem, content_hash="1", metadata=metadata)


def put(client: Client, name: str, documents: list[Document]) -> None:
    texts = [passage.text for one in documents for passage in one.passages]
    client.upsert(name, documents, client.embed(texts, input_type="passage"))


@pytest.fixture(scope="module")
def manuals(client: Client) -> Iterator[str]:
    client.create_collection("manuals")
    put(client, "manuals", [document(file) for file in FILES])
    yield "manuals"
    client.delete_collection("manuals")


def test_a_question_finds_its_document_and_where_it_stands(client: Client, manuals: str) -> None:
    found = client.search("Which port does Vebra listen on?", manuals)
    assert len(found) == 3
    best = found[0]
    assert (best.id, best.title, best.page) == ("vebra-gateway.md#0", "vebra-gateway", 1)
    assert best.metadata["passage"] == {"headings": ["vebra-gateway"]}
    assert best.metadata["metadata"]["letter"] == "v"
    collection = client.collection(manuals)
    assert (collection.documents, collection.passages) == (len(FILES), len(FILES))
    assert collection.embedder == collection.served_embedder


def test_an_answer_streams_with_its_sources(client: Client, manuals: str) -> None:
    stream = client.ask_stream("Which port does Vebra listen on?", collection=manuals)
    text = "".join(stream)
    assert text == stream.answer.text
    assert stream.answer.sources[0].title == "vebra-gateway"


def test_a_filter_is_applied_by_the_store(client: Client, manuals: str) -> None:
    question = "Which port does Vebra listen on?"
    found = client.search(question, manuals, filter={"letter": {"$in": ["m", "t"]}}, num_sources=9)
    assert {source.title[0] for source in found} == {"m", "t"}
    with pytest.raises(NothingFound, match="the filter leaves none of"):
        client.search(question, manuals, filter={"length": {"$lt": 0}})
    with pytest.raises(
        InvalidRequest, match="'colour'; fields are document, length, letter, title"
    ):
        client.ask(question, collection=manuals, filter={"colour": "red"})


def test_a_document_is_replaced_and_removed(client: Client, manuals: str) -> None:
    client.create_collection("changing")
    put(client, "changing", [document(FILES[0], "The port is 1."), document(FILES[1])])
    put(client, "changing", [document(FILES[0], "The port is 2.")])
    texts = [source.text for source in client.search("Which port?", "changing", num_sources=9)]
    assert "The port is 2." in texts and "The port is 1." not in texts
    assert client.remove("changing", [FILES[0].name, "unknown"]).documents == 1
    assert [entry.id for entry in client.documents("changing")] == [FILES[1].name]
    client.delete_collection("changing")
    with pytest.raises(InvalidRequest, match="there is no 'changing'; there are manuals"):
        client.search("Which port?", "changing")


def test_every_canary_of_the_supervisor_is_answered_as_it_expects(server: Server) -> None:
    api = TritonApi(server.ports)
    for canary in canaries(REPOSITORY):
        assert canary.fault(canary.ask(api, 60.0)) == "", canary.model
