"""The client against the real server: results, streams, many at once, cancellation, deadlines."""

import asyncio
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from triton_rag import (
    AsyncClient,
    Cancelled,
    Client,
    InvalidRequest,
    TimedOut,
    TritonRagError,
)
from triton_rag.cli import main

from ensembles.metrics import ITERATIONS
from operations.ports import Ports
from tests.server.cancellation import stopped_early
from tests.server.conftest import Server, eventually, gauge, is_idle_on, metrics_page, seen

QUESTION = "How tall is the tower?"
DOCUMENTS = ["The tower is 30 m tall.", "Bread is baked in ovens.", "The sky is blue."]
PROMPT = "hello"
LONG = 1500
"""Tokens that take much longer than a cancellation."""


@pytest.fixture
def url(server_ports: Ports) -> str:
    return f"127.0.0.1:{server_ports.grpc}"


@pytest.fixture
def client(url: str) -> Iterator[Client]:
    with Client(url) as client:
        yield client


# --- results ---------------------------------------------------------------------------------


def test_ready(client: Client) -> None:
    client.wait_until_ready(5)
    assert client.is_ready()


def test_a_proxy_is_not_asked_for_this_machine(url: str, monkeypatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")  # nobody is there
    for name in ("no_proxy", "no_grpc_proxy"):
        monkeypatch.delenv(name, raising=False)
    with Client(url) as client:
        client.wait_until_ready(5)
        assert client.embed(["a"]).shape[0] == 1


def test_embeddings_are_unit_vectors_however_the_list_is_cut(client: Client, url: str) -> None:
    texts = [f"{document} {i}" for i in range(3) for document in DOCUMENTS]
    whole = client.embed(texts)
    assert whole.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(whole, axis=1), 1.0, atol=1e-5)
    with Client(url, max_rows=2) as other:
        np.testing.assert_allclose(other.embed(texts), whole, atol=1e-5)


def test_rerank_scores_do_not_depend_on_how_the_list_is_cut(client: Client, url: str) -> None:
    whole = client.rerank(QUESTION, DOCUMENTS)
    assert [p.relevance for p in whole] == sorted((p.relevance for p in whole), reverse=True)
    with Client(url, max_rows=1) as other:
        cut = {passage.index: passage.relevance for passage in other.rerank(QUESTION, DOCUMENTS)}
    assert cut == pytest.approx({p.index: p.relevance for p in whole}, abs=5e-3)
    assert client.rerank(QUESTION, DOCUMENTS, top_n=1) == whole[:1]


def test_retrieve_names_the_documents(client: Client) -> None:
    sources = client.retrieve(QUESTION, DOCUMENTS, num_sources=2)
    assert len(sources) == 2
    assert all(DOCUMENTS[source.document] == source.text for source in sources)


def test_generate_equals_its_stream(client: Client) -> None:
    whole = client.generate(PROMPT, max_tokens=12)
    stream = client.generate_stream(PROMPT, max_tokens=12)
    assert "".join(stream) == whole.text
    assert stream.completion == whole
    assert whole.finish_reason in ("stop", "length")
    assert 1 <= whole.num_output_tokens <= 12


def test_equal_seeds_give_equal_texts(client: Client) -> None:
    chat = [{"role": "user", "content": PROMPT}]
    texts = {
        client.generate(messages=chat, max_tokens=12, temperature=1.0, seed=7).text
        for _ in range(2)
    }
    assert len(texts) == 1


@pytest.mark.parametrize("model", ["rag_cancellable", "rag"])
def test_ask_equals_its_stream(client: Client, model: str) -> None:
    whole = client.ask(QUESTION, DOCUMENTS, max_tokens=12, num_sources=2, model=model)
    with client.ask_stream(
        QUESTION, DOCUMENTS, max_tokens=12, num_sources=2, model=model
    ) as stream:
        assert stream.read() == whole.text
    assert stream.answer == whole
    assert len(whole.sources) == 2
    assert set(whole.citations) <= {1, 2}


def test_results_and_errors_say_which_request_they_are_of(client: Client) -> None:
    answer = client.ask(QUESTION, DOCUMENTS, max_tokens=5, request_id="mine")
    assert answer.request_id == "mine"
    assert len(answer.trace_id) == 32
    with pytest.raises(InvalidRequest) as raised:
        client.embed([""])
    assert len(raised.value.request_id) == len(raised.value.trace_id) == 32
    assert raised.value.request_id not in str(raised.value)


# --- many at once ----------------------------------------------------------------------------


def test_many_streams_of_one_client_in_threads(client: Client) -> None:
    def ask(tokens: int) -> tuple[str, str]:
        stream = client.ask_stream(QUESTION, DOCUMENTS, max_tokens=tokens)
        return "".join(stream), stream.answer.text

    with ThreadPoolExecutor(12) as pool:
        found = list(pool.map(ask, range(10, 22)))
    assert all(pieces == text for pieces, text in found)


def test_many_streams_of_one_async_client(url: str) -> None:
    async def ask(client: AsyncClient, tokens: int) -> tuple[str, str]:
        stream = client.ask_stream(QUESTION, DOCUMENTS, max_tokens=tokens)
        return "".join([piece async for piece in stream]), stream.answer.text

    async def ask_all() -> list[tuple[str, str]]:
        async with AsyncClient(url) as client:
            return await asyncio.gather(*(ask(client, tokens) for tokens in range(10, 22)))

    assert all(pieces == text for pieces, text in asyncio.run(ask_all()))


def test_both_clients_agree(client: Client, url: str) -> None:
    async def call(other: AsyncClient) -> list[Any]:
        return [
            (await other.embed(DOCUMENTS)).tolist(),
            await other.rerank(QUESTION, DOCUMENTS),
            await other.retrieve(QUESTION, DOCUMENTS),
            await other.generate(PROMPT, max_tokens=5),
            await other.ask(QUESTION, DOCUMENTS, max_tokens=5),
            await other.is_ready(),
        ]

    async def call_all() -> list[Any]:
        async with AsyncClient(url) as other:
            return await call(other)

    embeddings, *rest = asyncio.run(call_all())
    np.testing.assert_allclose(embeddings, client.embed(DOCUMENTS), atol=1e-5)
    assert rest == [
        client.rerank(QUESTION, DOCUMENTS),
        client.retrieve(QUESTION, DOCUMENTS),
        client.generate(PROMPT, max_tokens=5),
        client.ask(QUESTION, DOCUMENTS, max_tokens=5),
        True,
    ]


# --- cancellation and deadlines --------------------------------------------------------------


STREAMS: list[Callable[[Client], Iterable[str]]] = [
    lambda c: c.generate_stream(PROMPT, max_tokens=LONG, min_tokens=LONG),
    lambda c: c.ask_stream(QUESTION, DOCUMENTS, max_tokens=LONG, min_tokens=LONG),
]


@pytest.mark.parametrize("open_stream", STREAMS)
def test_leaving_the_loop_stops_the_generation(
    client: Client,
    server: Server,
    open_stream: Callable[[Client], Iterable[str]],
) -> None:
    with stopped_early(server, LONG):
        for _ in open_stream(client):
            break


def test_closing_from_another_thread_stops_the_generation(client: Client, server: Server) -> None:
    with stopped_early(server, LONG), ThreadPoolExecutor() as threads:
        stream = client.generate_stream(PROMPT, max_tokens=LONG, min_tokens=LONG)
        text = threads.submit(stream.read)
        assert eventually(lambda: is_running(server))
        stream.close()
        with pytest.raises(Cancelled):
            text.result()


def test_cancelling_the_task_stops_the_generation(url: str, server: Server) -> None:
    async def ask() -> None:
        async with AsyncClient(url) as client:
            call = client.ask(QUESTION, DOCUMENTS, max_tokens=LONG, min_tokens=LONG)
            task = asyncio.create_task(call)
            assert await asyncio.to_thread(eventually, lambda: is_running(server))
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    with stopped_early(server, LONG):
        asyncio.run(ask())


def is_running(server: Server) -> bool:
    return gauge(server, "llm_requests_running") == 1


CALLS: list[Callable[[Client], object]] = [
    lambda c: c.generate(PROMPT, max_tokens=LONG, min_tokens=LONG, timeout_s=0.2),
    lambda c: c.ask(QUESTION, DOCUMENTS, max_tokens=LONG, min_tokens=LONG, timeout_s=0.2),
    lambda c: c.embed([f"{n} " + "word " * 200 for n in range(256)], timeout_s=0.1),
]


@pytest.mark.parametrize("call", CALLS)
def test_deadline_ends_the_call_and_the_generation(
    client: Client, server: Server, call: Callable[[Client], object]
) -> None:
    before = seen(lambda: metrics_page(server), is_idle_on)
    with pytest.raises(TimedOut):
        call(client)
    after = seen(lambda: metrics_page(server), is_idle_on)
    assert after.total(ITERATIONS.name) - before.total(ITERATIONS.name) < LONG


# --- errors ----------------------------------------------------------------------------------


def test_refused_requests_say_why(client: Client) -> None:
    with pytest.raises(InvalidRequest, match=r"input_text\[1\]: empty; a text is needed"):
        client.embed(["a", " "])
    with pytest.raises(InvalidRequest, match="max_tokens: 1000000 given; from 1 to"):
        client.generate(PROMPT, max_tokens=1_000_000)
    for model in ("rag", "rag_cancellable"):
        with pytest.raises(InvalidRequest, match="top_p: 2"):
            client.ask(QUESTION, DOCUMENTS, top_p=2.0, model=model)
    with pytest.raises(InvalidRequest, match="'nothing' is not found"):
        client.ask(QUESTION, DOCUMENTS, model="nothing")


def test_many_failing_streams_leave_the_server_alive(client: Client) -> None:
    """The header `triton_grpc_error` would crash tritonserver 2.51 here."""

    def ask(max_tokens: int) -> str:
        try:
            return client.generate(PROMPT, max_tokens=max_tokens).finish_reason
        except InvalidRequest:
            return "refused"

    with ThreadPoolExecutor(16) as pool:
        found = list(pool.map(ask, [1, 1_000_000] * 200))
    assert found.count("refused") == 200
    assert client.is_ready()


def test_async_errors_are_the_same(url: str) -> None:
    async def embed() -> None:
        async with AsyncClient(url) as client:
            await client.embed(["a", " "])

    async def generate() -> None:
        async with AsyncClient(url) as client:
            await client.generate(PROMPT, max_tokens=1_000_000)

    for call in (embed, generate):
        with pytest.raises(InvalidRequest):
            asyncio.run(call())


def test_a_client_lives_on_after_errors(client: Client) -> None:
    with pytest.raises(TritonRagError):
        client.generate(PROMPT, max_tokens=1_000_000)
    assert client.generate(PROMPT, max_tokens=1).num_output_tokens == 1


# --- command line ----------------------------------------------------------------------------


def test_ask_on_the_command_line(
    url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for number, document in enumerate(DOCUMENTS):
        (tmp_path / f"{number}.md").write_text(document)
    arguments = [QUESTION, "--documents", str(tmp_path), "--url", url, "--max-tokens", "8"]
    assert main(["ask", *arguments]) == 0
    output, notes = capsys.readouterr()
    assert "Sources (* cited):" in output
    assert "0.md" in output
    assert f"{tmp_path}: 3 documents" in notes
    assert "tokens read" in notes


def test_refused_question_exits_with_1(
    url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a.md").write_text("text")
    arguments = [" ", "--documents", str(tmp_path), "--url", url]
    assert main(["ask", *arguments]) == 1
    assert "triton-rag: " in capsys.readouterr().err
