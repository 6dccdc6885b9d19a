"""Triton's own protocol through the gateway: as from Triton, but within bounds."""

from typing import Any

import httpx
import numpy as np
import pytest
import tritonclient.http as httpclient

from tests.server.conftest import Server, text
from tests.server.gateway import Gateway

GENERATE = "/v2/models/llm/generate"
TOO_MANY = (
    '{"inputs": [{"name": "x", "shape": [9223372036854775807], "datatype": "FP32", "data": [1]}]}'
)
"""Triton 2.51 dies of it."""


@pytest.fixture(scope="module")
def client(gateway: Gateway) -> httpclient.InferenceServerClient:
    return httpclient.InferenceServerClient(gateway.url.removeprefix("http://"))


def test_tritonclient_gets_what_triton_answers(client: Any, server: Server) -> None:
    given = httpclient.InferInput("input_text", [2], "BYTES")
    given.set_data_from_numpy(np.array(["hello", "good"], dtype=object))
    expected = server.infer("embed", text("input_text", "hello", "good"))
    found = client.infer("embed", [given]).as_numpy("embedding")
    np.testing.assert_array_equal(found, expected.as_numpy("embedding"))


def test_tritonclient_sees_the_server(client: Any) -> None:
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("llm")
    assert not client.is_model_ready("no_model")
    assert client.get_model_metadata("embed")["name"] == "embed"
    assert {model["name"] for model in client.get_model_repository_index()} >= {"llm", "embed"}


def test_a_stream_is_handed_on_as_it_is(gateway: Gateway, server: Server) -> None:
    body = {"text_input": "hello", "max_tokens": 5, "stream": True}
    direct = httpx.post(f"http://{server.http_url}{GENERATE}_stream", json=body)
    found = gateway.post(f"{GENERATE}_stream", body)
    assert joined(found.text) == joined(direct.text) != ""


def joined(events: str) -> str:
    data = [line.removeprefix("data: ") for line in events.splitlines() if line]
    return "".join(httpx.Response(200, text=each).json()["text_output"] for each in data)


@pytest.mark.parametrize(
    ("path", "body", "status", "said"),
    [
        (GENERATE, '{"text_input": "a", "max_tokens": 4294967300}', 400, "max_tokens: a value"),
        (GENERATE, '{"text_input": "a", "max_tokens": "4"}', 400, "max_tokens: a value"),
        (GENERATE, '{"text_input": "a", "seed": -1}', 400, "seed: a value"),
        (GENERATE, '{"text_input": "a", "stream": 1}', 400, "stream: a value"),
        (GENERATE, '{"text_input": "\\ud800"}', 400, "no valid JSON"),
        (GENERATE, '{"text_input": NaN}', 400, "no valid JSON"),
        (GENERATE, "[" * 50_000 + "]" * 50_000, 400, "depth limit exceeded"),
        (GENERATE, '{"id": 4, "text_input": "a"}', 400, "id: a text is needed"),
        (GENERATE, '{"text_input": "a", "max_tokens": 9, "stream": true}', 400, "exactly 1"),
        ("/v2/models/embed/infer", '{"inputs": []}', 400, "at least one tensor"),
        ("/v2/models/embed/infer", TOO_MANY, 400, "sizes from 0 to"),
        ("/v2/models/rag/generate_stream", '{"documents": ["a"]}', 400, "question: missing"),
        ("/v2/models/no_model/generate", "{}", 404, "no_model"),
        ("/v2/models/..%2f..%2flogging/infer", '{"inputs": [1]}', 404, ""),
        ("/v2/repository/models/llm/unload", "{}", 404, "Not Found"),
        ("/v2/systemsharedmemory/region/a/register", "{}", 404, "Not Found"),
    ],
)
def test_what_triton_takes_wrongly_is_refused(
    gateway: Gateway, path: str, body: str, status: int, said: str
) -> None:
    found = gateway.client.post(path, content=body)
    assert (found.status_code, said in found.json()["error"]) == (status, True), found.text


def test_a_body_that_is_too_large_is_refused_before_it_is_sent(gateway: Gateway) -> None:
    found = gateway.client.post(GENERATE, content=b" " * (16 * 2**20 + 1))
    assert found.status_code == 413
    assert "16777216 bytes" in found.json()["error"]


def test_metrics_of_models_and_gateway_are_on_one_page(gateway: Gateway) -> None:
    page = gateway.client.get("/metrics").text
    assert "\nrag_requests_total{" in page
    assert 'gateway_requests_total{route="/v2/models/{model}/generate",status="400"}' in page
    assert "gateway_models_page_up 1.0" in page
