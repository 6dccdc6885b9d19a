"""The gateway as its clients see it: over a real tritonserver, asked by published clients."""

import json
from typing import Any

import numpy as np
import pytest

from tests.server.conftest import Server, tensor, text
from tests.server.gateway import Gateway
from tests.server.test_llm import generate
from tests.server.test_published_clients import ask

TOKENS = 5
MESSAGES = [{"role": "user", "content": "hello"}]


@pytest.fixture(scope="module")
def sdk(gateway: Gateway) -> dict[str, Any]:
    return ask("ask_with_openai.py", gateway.url, TOKENS)


def test_the_openai_sdk(sdk: dict[str, Any]) -> None:
    whole, streamed = sdk["whole"], sdk["streamed"]
    assert sdk["models"] == ["llm", "rag", "embed", "rerank"]
    assert whole["text"] == streamed["text"] == sdk["streamed_async"] != ""
    assert whole["reason"] == streamed["reason"] == "length"
    assert whole["usage"] == streamed["usage"]
    assert whole["usage"]["completion_tokens"] == TOKENS
    assert (whole["version"], streamed["roles"]) == ("1", ["assistant", None])


def test_completions_by_the_openai_sdk(sdk: dict[str, Any], server: Server) -> None:
    found = sdk["completions"]
    expected = [generate(server, prompt, max_tokens=TOKENS).text for prompt in ("hello", "good")]
    assert found["whole"] == found["streamed"] == expected
    assert found["completion_tokens"] == 2 * TOKENS


def test_several_answers_to_one_request(sdk: dict[str, Any]) -> None:
    found = sdk["several"]
    assert found["whole"] == found["streamed"] == found["alone"]
    assert found["tokens"] == found["tokens_alone"] > 0


def test_embeddings_by_the_openai_sdk(sdk: dict[str, Any], server: Server) -> None:
    found = sdk["embeddings"]
    expected = server.infer("embed", text("input_text", "hello", "good")).as_numpy("embedding")
    tokens = server.infer("tokenizer", text("input_text", "hello", "good"))
    np.testing.assert_allclose(found["by_base64"], expected, atol=1e-6)
    np.testing.assert_allclose(found["by_float"], expected, atol=1e-6)
    short = expected[:, :8] / np.linalg.norm(expected[:, :8], axis=1, keepdims=True)
    np.testing.assert_allclose(found["short"], short, atol=1e-6)
    assert found["tokens"] == tokens.as_numpy("attention_mask").sum()


def test_a_chat_over_documents_is_annotated(sdk: dict[str, Any]) -> None:
    answer, (cited,) = sdk["rag"]["text"], sdk["rag"]["cited"]
    assert "8123" in answer[cited["start_index"] : cited["end_index"]]
    assert (cited["url"], cited["quote"]) == ("vebra", "Vebra listens on port 8123.")


def test_refusals_as_the_openai_sdk_shows_them(sdk: dict[str, Any]) -> None:
    no_model, no_tokens, bad_stop = (sdk[name] for name in ("no_model", "no_tokens", "bad_stop"))
    assert (no_model["kind"], no_model["param"]) == ("NotFoundError", "model")
    assert "possible: llm, rag" in no_model["message"]
    assert (no_tokens["kind"], no_tokens["param"]) == ("BadRequestError", "max_tokens")
    assert (bad_stop["kind"], bad_stop["param"]) == ("BadRequestError", "stop")


def test_a_chat_is_what_the_model_says(gateway: Gateway, server: Server) -> None:
    messages = text("messages", json.dumps(MESSAGES))
    expected = server.stream("llm", messages, tensor("max_tokens", [TOKENS], "INT32"))
    body = {"model": "llm", "messages": MESSAGES, "max_tokens": TOKENS}
    answer = gateway.post("/v1/chat/completions", body).json()
    assert answer["choices"][0]["message"]["content"] == expected.text
    assert answer["usage"]["prompt_tokens"] == expected.responses[0].as_numpy("num_input_tokens")[0]


def test_the_context_that_is_told_is_the_one_that_refuses(gateway: Gateway) -> None:
    """Agents cut their chats by it; it comes from the model through Triton's metrics."""
    told = gateway.client.get("/v1/models/llm").json()["max_model_len"]
    body = {"model": "llm", "messages": MESSAGES, "max_tokens": 1}
    too_long = body | {"messages": [{"role": "user", "content": "hello " * told}]}
    refused = gateway.post("/v1/chat/completions", too_long).json()["error"]
    assert refused["code"] == "context_length_exceeded"
    assert f"maximum context length is {told} tokens" in refused["message"]


def test_ready_and_alive(gateway: Gateway) -> None:
    ready = gateway.client.get("/readyz")
    assert (gateway.client.get("/livez").status_code, ready.status_code) == (200, 200)
    assert ready.json()["models"] == dict.fromkeys(("llm", "rag", "embed", "rerank"), "ok")


def test_a_request_keeps_a_plain_id_and_loses_another(gateway: Gateway) -> None:
    body = {"model": "llm", "messages": MESSAGES, "max_tokens": 1}
    kept = gateway.post("/v1/chat/completions", body, x_request_id="order-66")
    replaced = gateway.post("/v1/chat/completions", body, x_request_id="a b")
    assert kept.headers["x-request-id"] == "order-66"
    assert kept.json()["id"] == "chatcmpl-order-66"
    assert replaced.headers["x-request-id"].isalnum()


def test_a_deadline_in_a_stream_is_an_error_event(gateway: Gateway) -> None:
    body = {"model": "llm", "messages": MESSAGES, "max_tokens": 1500, "min_tokens": 1500}
    answer = gateway.post(
        "/v1/chat/completions", body | {"stream": True}, x_request_timeout_ms="200"
    )
    last = answer.text.strip().splitlines()[-1]
    assert '"code":"timeout"' in last
    assert "[DONE]" not in answer.text


QUESTION = {
    "question": "Which port does Vebra listen on?",
    "documents": ["The ferry sails at noon.", {"text": "Vebra listens on port 8123.", "id": "v"}],
}


def test_rag_streams_what_it_answers_at_once(gateway: Gateway) -> None:
    whole = gateway.post("/v1/rag", QUESTION).json()
    lines = gateway.post("/v1/rag", QUESTION | {"stream": True}).text.splitlines()
    events = [json.loads(line.removeprefix("data: ")) for line in lines if line]
    assert [event["type"] for event in events[:2]] == ["sources", "text"]
    assert "".join(event.get("text", "") for event in events) == whole["answer"]
    assert events[-1]["citations"] == whole["citations"] == [1]
    assert whole["sources"][0]["id"] == events[0]["sources"][0]["id"] == "v"


@pytest.mark.parametrize(
    ("path", "body", "said"),
    [
        ("/v1/embeddings", {"model": "embed", "input": [[101, 10**6]]}, "token 1000000 given"),
        ("/v1/embeddings", {"model": "embed", "input": ["b " * 300], "truncate": "NONE"}, "[0]"),
        ("/v1/embeddings", {"model": "embed", "input": "a", "dimensions": 9999}, "has 384"),
        ("/v1/chat/completions", {"model": "llm", "messages": 2049 * MESSAGES}, "at most 2048"),
    ],
)
def test_what_the_models_can_not_take_is_refused(
    gateway: Gateway, path: str, body: dict[str, Any], said: str
) -> None:
    found = gateway.post(path, body)
    assert found.status_code in (400, 413)
    assert said in found.json()["error"]["message"]


def test_a_long_text_is_cut_where_nothing_else_is_said(gateway: Gateway) -> None:
    found = gateway.post("/v1/embeddings", {"model": "embed", "input": "b " * 300})
    assert found.json()["usage"]["prompt_tokens"] == 256
