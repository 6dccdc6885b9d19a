"""The client's requests and results, without a server."""

import json
from typing import Any

import grpc
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from triton_rag import (
    Answer,
    AsyncClient,
    Cancelled,
    Client,
    InvalidRequest,
    Overloaded,
    ServerFailed,
    ServerUnreachable,
    Source,
    TimedOut,
    TritonRagError,
)
from triton_rag.arguments import SAMPLING_TYPES, option_tensors
from triton_rag.calls import (
    ask_request,
    embed_call,
    generate_request,
    rerank_call,
    retrieve_call,
)
from triton_rag.connection import Deadline
from triton_rag.errors import NothingFound
from triton_rag.status import from_status, from_stream
from triton_rag.wire import Message, Response, Tensor, make_request, set_timeout
from tritonclient.grpc import service_pb2 as protocol

Code = grpc.StatusCode


def response(**outputs: tuple[str, list[int], bytes]) -> Message:
    message = protocol.ModelInferResponse(model_name="model")
    for name, (dtype, shape, raw) in outputs.items():
        message.outputs.add(name=name, datatype=dtype, shape=shape)
        message.raw_output_contents.append(raw)
    return message


def fp32(name: str, rows: list[list[float]]) -> Response:
    array = np.array(rows, dtype=np.float32)
    return Response(response(**{name: ("FP32", list(array.shape), array.tobytes())}))


# --- wire ------------------------------------------------------------------------------------


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]))))
def test_texts_survive_the_wire(texts: list[str]) -> None:
    raw = Tensor("x", "BYTES", texts).to_bytes()
    assert Response(response(x=("BYTES", [len(texts)], raw))).texts("x") == texts


@pytest.mark.parametrize(
    ("dtype", "value"), [("INT32", -7), ("UINT64", 2**64 - 1), ("FP32", 0.5), ("BOOL", True)]
)
def test_numbers_survive_the_wire(dtype: str, value: Any) -> None:
    raw = Tensor("x", dtype, [value]).to_bytes()
    assert Response(response(x=(dtype, [1], raw))).array("x").tolist() == [value]


def test_missing_output_is_the_servers_fault() -> None:
    with pytest.raises(ServerFailed, match="'model' has no 'y', only x"):
        fp32("x", [[1.0]]).array("y")


def test_timeout_travels_in_microseconds() -> None:
    request = make_request("llm", [])
    set_timeout(request, None)
    assert "timeout" not in request.parameters
    set_timeout(request, 1.5)
    assert request.parameters["timeout"].int64_param == 1_500_000
    refuses = make_request("rag", ())
    set_timeout(refuses, 1.5)
    assert "timeout" not in refuses.parameters, "a model that refuses deadlines gets none"


# --- requests --------------------------------------------------------------------------------


def test_long_lists_are_cut_into_requests() -> None:
    call = embed_call([str(i) for i in range(7)], max_rows=3)
    assert [list(request.inputs[0].shape) for request in call.requests] == [[3], [3], [1]]


def test_rows_of_all_requests_are_joined_in_order() -> None:
    call = embed_call(["a", "b", "c"], max_rows=2)
    found = call.read([fp32("embedding", [[1.0], [2.0]]), fp32("embedding", [[3.0]])])
    assert found.tolist() == [[1.0], [2.0], [3.0]]


def test_one_string_is_one_row() -> None:
    assert list(embed_call("abc", 256).requests[0].inputs[0].shape) == [1]


def test_reranked_passages_are_sorted_over_all_requests() -> None:
    call = rerank_call("q", ["a", "b", "c"], top_n=2, max_rows=2)
    found = call.read([fp32("relevance", [[1.0], [-1.0]]), fp32("relevance", [[2.0]])])
    assert [passage.index for passage in found] == [2, 0]


def test_equal_passages_keep_their_order() -> None:
    found = rerank_call("q", ["a", "b"], None, 256).read([fp32("relevance", [[1.0], [1.0]])])
    assert [passage.index for passage in found] == [0, 1]


def test_messages_travel_as_json() -> None:
    chat = [{"role": "user", "content": "Grüße"}]
    request = generate_request(None, chat, {}, stream=False)
    assert json.loads(request.raw_input_contents[0][4:]) == chat


def test_options_left_out_are_not_sent() -> None:
    request = generate_request("p", None, {"seed": None, "stop_words": ()}, stream=False)
    assert [sent.name for sent in request.inputs] == ["text_input"]


def test_model_of_ask() -> None:
    assert ask_request("q", ["d"], {}, stream=False).model_name == "rag_cancellable"
    assert ask_request("q", ["d"], {"model": "rag"}, stream=False).model_name == "rag"


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"max_token": 1}, TypeError, "max_token: no such option; possible are max_tokens, "),
        ({"max_tokens": "9"}, TypeError, r"max_tokens: '9' \(str\) given; a whole number"),
        ({"max_tokens": True}, TypeError, "max_tokens: True"),
        ({"max_tokens": 2**31}, ValueError, "max_tokens: 2147483648 given"),
        ({"seed": -1}, ValueError, "seed: -1 given; 0 to 18446744073709551615 fit"),
        ({"temperature": "hot"}, TypeError, "temperature: 'hot'"),
        ({"stop_words": "end"}, TypeError, "stop_words: 'end'"),
    ],
)
def test_wrong_options_are_told_before_anything_is_sent(
    options: dict[str, object], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        list(option_tensors(options, SAMPLING_TYPES))


def test_wrong_arguments_are_told_before_anything_is_sent() -> None:
    with pytest.raises(ValueError, match="texts: none given"):
        embed_call([], 256)
    with pytest.raises(TypeError, match=r"texts\[1\]: 2 \(int\)"):
        embed_call(["a", 2], 256)  # type: ignore[list-item]
    with pytest.raises(TypeError, match="documents: 'text'"):
        retrieve_call("q", "text", {})
    with pytest.raises(ValueError, match="top_n: 0 given"):
        rerank_call("q", ["a"], 0, 256)
    with pytest.raises(TypeError, match="exactly one"):
        generate_request(None, None, {}, stream=False)


# --- settings, errors, results ---------------------------------------------------------------


@pytest.mark.parametrize("client", [Client, AsyncClient])
@pytest.mark.parametrize(
    "settings",
    [{"url": "http://host:8001"}, {"url": "host:"}, {"url": ""}, {"timeout_s": 0}, {"max_rows": 0}],
)
def test_wrong_settings(client: Any, settings: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=f"{next(iter(settings))}: .* given"):
        client(**settings)


def test_a_calls_own_timeout_wins() -> None:
    client = Client(timeout_s=100.0)
    assert 99 < (client._deadline(None).left_s or 0) <= 100
    assert (client._deadline(1.0).left_s or 9) <= 1
    assert Client(timeout_s=None)._deadline(None).left_s is None
    assert Deadline(-1.0).has_passed


@pytest.mark.parametrize(
    ("code", "details", "kind"),
    [
        (Code.INVALID_ARGUMENT, "text_input: empty; a text is needed", InvalidRequest),
        (Code.NOT_FOUND, "unknown model: 'x' is not found", InvalidRequest),
        (Code.UNAVAILABLE, "Exceeds maximum queue size", Overloaded),
        (Code.UNAVAILABLE, "failed to connect to all addresses", ServerUnreachable),
        (Code.UNAVAILABLE, "Socket closed", ServerUnreachable),
        (Code.DEADLINE_EXCEEDED, "Deadline Exceeded", TimedOut),
        (Code.CANCELLED, "timeout: 300000 us asked for; this time has passed", TimedOut),
        (Code.CANCELLED, "Locally cancelled by application!", Cancelled),
        (Code.INTERNAL, "the model failed on this request", ServerFailed),
        (Code.INTERNAL, "Stub process 'embedder_0_0' is not healthy.", Overloaded),
        (Code.UNKNOWN, "", ServerFailed),
    ],
)
def test_status_codes_become_errors(code: Any, details: str, kind: type[TritonRagError]) -> None:
    error = from_status(code, details, "host:8001")
    assert type(error) is kind
    assert str(error)


@pytest.mark.parametrize(
    ("message", "kind", "text"),
    [
        ("INVALID_ARG: top_p: 2 given", InvalidRequest, "top_p: 2 given"),
        ("in ensemble 'rag', INVALID_ARG: top_p: 2\ngiven", InvalidRequest, "top_p: 2\ngiven"),
        ("UNAVAILABLE: no room", Overloaded, "no room"),
        ("CANCELLED: timeout: 9 us asked for", TimedOut, "timeout: 9 us asked for"),
        ("CANCELLED: cancelled by the client", Cancelled, "cancelled by the client"),
        ("INTERNAL: the model failed", ServerFailed, "the model failed"),
        ("[request id: x] Exceeds maximum queue size", Overloaded, "Exceeds maximum queue size"),
        ("INTERNAL: Stub process 'llm_0_0' is not healthy.", Overloaded, "is not healthy"),
        ("Stub process 'llm_0_0' is not healthy.", Overloaded, "is not healthy"),
        ("unknown model: 'x' is not found", InvalidRequest, "unknown model"),
    ],
)
def test_errors_of_streams_bring_their_code(
    message: str, kind: type[TritonRagError], text: str
) -> None:
    error = from_stream(message)
    assert type(error) is kind
    assert text in str(error)


def test_a_message_does_not_name_the_ensemble_it_came_through() -> None:
    found = from_status(Code.NOT_FOUND, "in ensemble 'search', no passage fits: none", "host:8001")
    assert (type(found), str(found)) == (NothingFound, "no passage fits: none")


def test_unreachable_server_is_named_with_what_to_do() -> None:
    message = str(from_status(Code.UNAVAILABLE, "Connection refused", "host:8001"))
    assert "host:8001" in message
    assert "make serve" in message


def test_cited_sources() -> None:
    first, second = Source("a", 0, 0.9, 1.0), Source("b", 1, 0.8, 0.5)
    answer = Answer("see [2]", "stop", 9, 3, sources=(first, second), citations=(2,))
    assert answer.cited == (second,)


# --- servers of another kind -----------------------------------------------------------------


class Answering:
    """A stub whose every answer is the same."""

    def __init__(self, message: Message) -> None:
        self._message = message

    def ModelInfer(self, *_: Any, **__: Any) -> Message:  # noqa: N802 - gRPC's name
        return self._message

    def ModelStreamInfer(self, *_: Any, **__: Any) -> Any:  # noqa: N802
        return Stream([protocol.ModelStreamInferResponse(infer_response=self._message)])


class Stream(list[Message]):
    def cancel(self) -> None:
        pass


UNREADABLE = {
    "values that are not raw": [("embeddings", "FP32", [1, 1], None)],
    "cut numbers": [("embeddings", "FP32", [1, 1], b"abc")],
    "another shape": [("embeddings", "FP32", [2, 2], b"abcd")],
    "an unknown type": [("embeddings", "XX", [1, 1], b"abc")],
    "cut texts": [(name, "BYTES", [1], b"\7\0\0\0a") for name in ("text_output", "result")],
    "no JSON": [("result", "BYTES", [1], b"\1\0\0\0<")],
    "other JSON": [("result", "BYTES", [1], b"\2\0\0\0[]")],
}


@pytest.mark.parametrize("name", UNREADABLE)
def test_an_answer_that_can_not_be_read_is_the_servers_fault(name: str) -> None:
    message = protocol.ModelInferResponse(model_name="model")
    for output, dtype, shape, raw in UNREADABLE[name]:
        message.outputs.add(name=output, datatype=dtype, shape=shape)
        if raw is not None:
            message.raw_output_contents.append(raw)
    with Client("127.0.0.1:1") as client:
        vars(client)["_stub"] = Answering(message)
        for call in (
            lambda: client.embed(["a secret"]),
            lambda: client.collection("a secret"),
            lambda: client.generate("a secret"),
        ):
            with pytest.raises(ServerFailed) as caught:
                call()
            assert "a secret" not in str(caught.value)


def test_the_page_of_a_proxy_is_no_full_queue() -> None:
    found = from_status(Code.UNAVAILABLE, "Received http2 header with status: 502", "a:1")
    assert isinstance(found, ServerUnreachable)
