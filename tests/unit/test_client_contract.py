"""Every tensor that the client sends or reads is in the contracts of `ensembles`."""

import numpy as np
import pytest
from triton_rag.arguments import SAMPLING_TYPES, SamplingOptions, SearchOptions
from triton_rag.calls import (
    ask_request,
    embed_call,
    generate_request,
    read_sources,
    rerank_call,
    retrieve_call,
)
from triton_rag.collection_calls import (
    collection_call,
    documents_call,
    list_call,
    remove_call,
    search_call,
    upsert_call,
)
from triton_rag.collections import Document, Passage
from triton_rag.results import Ranked, Source
from triton_rag.status import ERRORS_IN_BAND
from triton_rag.streams import ERROR, Transcript
from triton_rag.wire import Message, Response
from tritonclient.grpc import service_pb2 as protocol

from ensembles.collections import COLLECTIONS
from ensembles.contracts import LLM, ModelContract
from ensembles.embed import EMBED
from ensembles.rag import RAG, RAG_CANCELLABLE
from ensembles.rerank import RERANK
from ensembles.retrieve import RETRIEVE
from ensembles.sampling import SAMPLING
from ensembles.search import ANSWER, SEARCH
from ensembles.tensors import DType, TensorSpec
from python_backends.triton import bls

OPTIONS: SearchOptions = {"num_candidates": 9, "num_sources": 3}
EVERY_SAMPLING: SamplingOptions = {
    "max_tokens": 5,
    "min_tokens": 1,
    "temperature": 0.5,
    "top_k": 3,
    "top_p": 0.9,
    "repetition_penalty": 1.1,
    "presence_penalty": 0.1,
    "frequency_penalty": 0.1,
    "seed": 2**64 - 1,
    "stop_words": ["end", "stop"],
}
EVERYTHING: dict[str, object] = {**OPTIONS, **EVERY_SAMPLING}
FILTER = {"year": {"$gte": 2020}}
IN_BOOKS = {**EVERYTHING, "collection": "books", "filter": FILTER}
BOOK = Document("b", [Passage("a", 1, {"headings": ["A"]})], "B", "hash", {"year": 2020})
CHAT = [{"role": "user", "content": "Grüße"}]

REQUESTS = [
    (EMBED.contract, embed_call(["a", "b"], 256).requests[0]),
    (RERANK.contract, rerank_call("q", ["a", "b"], 1, 256).requests[0]),
    (RETRIEVE.contract, retrieve_call("q", ["a", "b"], OPTIONS).requests[0]),
    (LLM, generate_request("p", None, EVERY_SAMPLING, stream=True)),
    (LLM, generate_request(None, CHAT, {}, stream=False)),
    (RAG_CANCELLABLE.contract, ask_request("q", ["a", "b"], EVERYTHING, stream=True)),
    (RAG.contract, ask_request("q", ["a"], {**EVERYTHING, "model": "rag"}, stream=True)),
    (ANSWER.contract, ask_request("q", None, IN_BOOKS, stream=True)),
    (SEARCH.contract, search_call("q", "books", {**OPTIONS, "filter": FILTER}).requests[0]),
    *(
        (COLLECTIONS, call.requests[0])
        for call in (
            list_call(),
            collection_call("create", "books"),
            collection_call("describe", "books"),
            collection_call("delete", "books"),
            remove_call("books", ["b"]),
            documents_call("books", "a", 9),
            upsert_call("books", [BOOK], np.ones((1, 2), np.float32)),
        )
    ),
]


def fits(shape: list[int], spec: TensorSpec) -> bool:
    return len(shape) == len(spec.shape) and all(
        want in (-1, size) for size, want in zip(shape, spec.shape, strict=True)
    )


def answer(contract: ModelContract, rows: int = 2) -> Message:
    """A response with every output of the contract, symbolic sizes being `rows`."""
    message = protocol.ModelInferResponse(model_name=contract.name)
    for spec in contract.outputs:
        shape = [rows if size == -1 else size for size in spec.shape]
        message.outputs.add(name=spec.name, datatype=spec.dtype.value, shape=shape)
        message.raw_output_contents.append(content(spec, int(np.prod(shape))))
    return message


def content(spec: TensorSpec, count: int) -> bytes:
    if spec.dtype is DType.STRING:
        text = b"{}" if spec.name == "source_metadata" else b"ok"
        return (b"\x02\x00\x00\x00" + text) * count
    types = {DType.FP32: np.float32, DType.INT32: np.int32}
    return np.arange(1, count + 1, dtype=types[spec.dtype]).tobytes()


@pytest.mark.parametrize(("contract", "request_"), REQUESTS)
def test_what_is_sent_is_in_the_contract(contract: ModelContract, request_: Message) -> None:
    assert request_.model_name == contract.name
    assert len(request_.raw_input_contents) == len(request_.inputs)
    for sent in request_.inputs:
        spec = next((spec for spec in contract.inputs if spec.name == sent.name), None)
        assert spec is not None, f"'{contract.name}' has no input '{sent.name}'"
        assert sent.datatype == spec.dtype.value
        assert fits(list(sent.shape), spec), f"{list(sent.shape)} is not {spec}"


@pytest.mark.parametrize(("contract", "request_"), REQUESTS)
def test_what_is_required_is_sent(contract: ModelContract, request_: Message) -> None:
    required = {spec.name for spec in contract.inputs if not spec.optional}
    assert required <= {sent.name for sent in request_.inputs}


def test_streams_ask_for_codes_in_the_servers_words() -> None:
    assert (ERRORS_IN_BAND, ERROR) == (bls.IN_BAND_ERRORS, bls.ERROR)
    streamed = [request for contract, request in REQUESTS if contract.decoupled]
    assert len(streamed) == 5
    assert all(request.parameters[ERRORS_IN_BAND].bool_param for request in streamed)


def test_every_sampling_input_has_an_option() -> None:
    offered = {spec.name: spec.dtype.value for spec in SAMPLING}
    del offered["random_seed"], offered["stream"]  # the older name of seed; the method decides
    assert offered == SAMPLING_TYPES
    assert SamplingOptions.__annotations__.keys() == SAMPLING_TYPES.keys()


def test_embeddings_are_read() -> None:
    rows = embed_call(["a", "b"], 256).read([Response(answer(EMBED.contract))])
    assert rows.shape == (2, 2)
    assert rows.dtype == np.float32


def test_relevance_is_read() -> None:
    ranked = rerank_call("q", ["a", "b"], None, 256).read([Response(answer(RERANK.contract))])
    assert ranked == [Ranked(1, 2.0), Ranked(0, 1.0)]


def test_sources_are_read() -> None:
    expected = (Source("ok", 1, 1.0, 1.0), Source("ok", 2, 2.0, 2.0))
    assert read_sources(Response(answer(RETRIEVE.contract))) == expected
    found, _ = read_sources(Response(answer(SEARCH.contract)))
    assert (found.id, found.title, found.page, found.metadata) == ("ok", "ok", 1, {})


@pytest.mark.parametrize("contract", [LLM, RAG.contract, RAG_CANCELLABLE.contract, ANSWER.contract])
def test_generation_is_read(contract: ModelContract) -> None:
    transcript = Transcript()
    message = protocol.ModelStreamInferResponse(infer_response=answer(contract))
    assert transcript.take(message) == "ok"
    assert transcript.finish_reason == "ok"
    assert (transcript.num_input_tokens, transcript.num_output_tokens) == (1, 1)
    assert transcript.citations == (1, 2)
    assert len(transcript.sources) == 2
