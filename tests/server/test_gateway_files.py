"""Files and vector stores: RAG over a collection by OpenAI's client alone."""

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from triton_rag import Client, Document, Passage

from builders.spec import ROOT
from gateway.access.key_store import FileKeyStore
from gateway.access.keys import Key, new_key_id, new_secret, token
from tests.server.conftest import Server, eventually
from tests.server.gateway import Gateway, running_gateway
from tests.server.test_published_clients import ask

FOLDER = ROOT / "tests" / "collection"
FILES = sorted(path.name for path in FOLDER.glob("*.md"))


@pytest.fixture(scope="module")
def kept(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    folder = tmp_path_factory.mktemp("files")
    with running_gateway(server.ports, folder, settings(folder)) as running:
        yield running


def settings(folder: Path) -> str:
    return f'[files]\nfolder = "{folder / "kept"}"\nfile_bytes = 1_000_000\n'


@pytest.fixture(scope="module")
def sdk(kept: Gateway) -> Any:
    return ask("files_with_openai.py", kept.url)


def test_a_file_is_completed_once_a_search_finds_it(sdk: Any) -> None:
    assert sdk["empty"] == 0
    assert sdk["statuses"] == ["completed"] * 3
    assert sdk["batch"] == ["completed", len(FILES) - 3]
    name, text, count = sdk["found"]
    assert (name, count) == ("vebra-gateway.md", 5)
    assert "8123" in text
    assert sdk["filtered"] == [FILES[0]]


def test_a_file_without_text_fails_with_its_reason(sdk: Any) -> None:
    status, reason = sdk["broken"]
    assert status == "failed"
    assert ".bin" in reason
    counts = sdk["counts"]
    assert (counts["completed"], counts["failed"], counts["in_progress"]) == (len(FILES), 1, 0)


def test_an_answer_cites_the_files_that_it_rests_on(sdk: Any) -> None:
    assert "8123" in sdk["answer"]
    assert sdk["streamed"] == sdk["answer"]
    (cited,) = sdk["cited"]
    assert (cited["file_id"], cited["filename"]) == (sdk["best"], "vebra-gateway.md")
    assert cited["index"] <= len(sdk["answer"])
    assert sdk["results"][0] == "vebra-gateway.md"
    assert "response.file_search_call.completed" in sdk["kinds"]


def test_pdf_and_word_files_are_cited_with_their_pages(sdk: Any) -> None:
    assert sdk["paged"] == ["vebra.pdf", 2]
    assert [(each["filename"], each["page"]) for each in sdk["office"]] == [("vebra.pdf", 2)]
    assert sdk["sails"] == ["ferry.docx", False]


def test_the_text_of_a_file_is_shown_and_its_attributes_are_changed(sdk: Any) -> None:
    assert sdk["text"]
    assert (sdk["changed"], sdk["renamed"]) == ("in_progress", [FILES[0]])
    assert sdk["ended"] == "completed"  # nothing of it was left to cancel


def test_a_passage_of_a_table_tells_its_row(sdk: Any) -> None:
    assert sdk["row"] == ["ports.csv", 3]


def test_the_tokens_of_a_response_are_counted_before(sdk: Any) -> None:
    assert sdk["counted"] == sdk["used"] > 0


def test_what_is_taken_out_is_found_no_more(sdk: Any) -> None:
    assert sdk["after_detach"]
    assert sdk["best"] not in sdk["after_detach"]
    assert sdk["is_kept"]
    assert sdk["left"] == [len(FILES) - 2, False]
    assert sdk["gone"]["status"] == sdk["no_store"]["status"] == 404
    assert "assistants or user_data is possible" in sdk["bad_purpose"]["message"]


def test_a_gateway_that_is_killed_goes_on_with_what_waits(server: Server, tmp_path: Path) -> None:
    text = (FOLDER / "vebra-gateway.md").read_bytes()
    with running_gateway(server.ports, tmp_path, settings(tmp_path)) as first:
        store = first.post("/v1/vector_stores", {}).json()["id"]
        ids = [upload(first, f"{n}.md", text).json()["id"] for n in range(20)]
        first.post(f"/v1/vector_stores/{store}/file_batches", {"file_ids": ids})
        first.process.kill()
        first.process.wait()
    with running_gateway(server.ports, tmp_path, settings(tmp_path)) as second:
        path = f"/v1/vector_stores/{store}"
        eventually(lambda: second.client.get(path).json()["file_counts"]["completed"] == 20)
        found = second.post(f"{path}/search", {"query": "port", "max_num_results": 50}).json()
        assert {each["file_id"] for each in found["data"]} == set(ids)
        assert second.client.delete(path).json()["deleted"]


def tenant_headers(folder: Path, tenant: str) -> dict[str, str]:
    """Headers with a new key of the tenant."""
    secret, stored = new_secret()
    key = Key(id=new_key_id(), tenant=tenant, secrets=(stored,), created=datetime.now(UTC))
    asyncio.run(FileKeyStore(folder / "keys.json").add(key))
    return {"authorization": f"Bearer {token(key.id, secret)}"}


def test_another_tenant_cannot_tell_what_is_there_and_all_read_what_is_shared(
    server: Server, tmp_path: Path
) -> None:
    mine, other = (tenant_headers(tmp_path, tenant) for tenant in ("a", "b"))
    access = f'shared_collections = ["handbook"]\n[access]\nkeys = "{tmp_path / "keys.json"}"\n'
    with (
        running_gateway(server.ports, tmp_path, settings(tmp_path) + access) as gateway,
        Client(server.url) as client,
    ):
        ask, post = gateway.client.get, gateway.client.post
        store = post("/v1/vector_stores", json={}, headers=mine).json()["id"]
        there, absent = (f"/v1/vector_stores/{name}" for name in (store, "vs_0"))
        found = [ask(path, headers=other) for path in (there, absent)]
        assert [answer.status_code for answer in found] == [404, 404]
        assert found[0].text.replace(store, "vs_0") == found[1].text
        assert ask("/v1/vector_stores", headers=other).json()["data"] == []
        search = {"model": "rag", "input": "?", "tools": [tool(store)]}
        assert post("/v1/responses", json=search, headers=other).status_code == 404

        client.create_collection("handbook")
        one = Document("1", [Passage("The ferry sails at noon.")], title="ferries")
        client.upsert("handbook", [one], client.embed(["The ferry sails at noon."]))
        shared, query = "/v1/vector_stores/handbook", {"query": "When does the ferry sail?"}
        for headers in (mine, other):
            (hit,) = post(f"{shared}/search", json=query, headers=headers).json()["data"]
            assert hit["filename"] == "ferries"
        assert gateway.client.delete(shared, headers=mine).status_code == 400
        client.delete_collection("handbook")
        assert gateway.client.delete(there, headers=mine).status_code == 200


def tool(store: str) -> dict[str, Any]:
    return {"type": "file_search", "vector_store_ids": [store]}


def test_bad_uploads_are_refused_by_field(kept: Gateway) -> None:
    too_large = upload(kept, "a.txt", b"a" * 1_100_000)
    assert too_large.status_code == 413
    assert too_large.json()["error"]["param"] == "file"
    no_file = kept.client.post("/v1/files", data={"purpose": "assistants"}, files={"x": b"a"})
    assert (no_file.status_code, no_file.json()["error"]["param"]) == (400, "file")
    no_form = kept.client.post("/v1/files", json={"purpose": "assistants"})
    assert no_form.status_code == 400
    broken = kept.client.post(
        "/v1/files", content=b"--x\r\nno", headers={"content-type": "multipart/form-data"}
    )
    assert broken.status_code == 400


def upload(gateway: Gateway, name: str, content: bytes) -> httpx.Response:
    return gateway.client.post(
        "/v1/files", data={"purpose": "assistants"}, files={"file": (name, content)}
    )
