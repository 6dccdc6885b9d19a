"""What docs/run.md says of Triton 2.51's statuses: a newer Triton that differs shows here."""

import gzip
import json
from http.client import HTTPConnection
from typing import Any

import pytest

from tests.server.conftest import BOUND_S, Server

PROMPT = {"text_input": "hello", "max_tokens": 4}
PAIR = {"query": "a", "passages": ["b"]}


def post(server: Server, path: str, body: bytes, **headers: str) -> tuple[int, dict[str, Any]]:
    connection = HTTPConnection("127.0.0.1", server.ports.http, timeout=BOUND_S)
    try:
        connection.request("POST", f"/v2/models/{path}", body, headers)
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())
    finally:
        connection.close()


def generate(server: Server, model: str, **body: Any) -> tuple[int, dict[str, Any]]:
    return post(server, f"{model}/generate", json.dumps(body).encode())


@pytest.mark.parametrize(
    ("value", "status"),
    [
        ({"max_tokens": 0}, 400),
        ({"max_tokens": None}, 500),
        ({"max_tokens": "4"}, 500),
        ({"max_tokens": 4.5}, 500),
        ({"stream": 1}, 500),
        ({"seed": -1}, 500),
        ({"id": 5}, 500),
        ({"text_input": ["a", "b"]}, 400),
        ({"max_tokens": 40, "min_tokens": 40, "stream": True}, 200),
    ],
)
def test_generate_refuses(server: Server, value: dict[str, Any], status: int) -> None:
    found, body = generate(server, "llm", **PROMPT | value)
    assert (found, "error" in body) == (status, True)


@pytest.mark.parametrize("body", [b"", b"hello", b'{"text_input": "\\ud800"}'])
def test_broken_json_is_500(server: Server, body: bytes) -> None:
    assert post(server, "llm/generate", body)[0] == 500


@pytest.mark.parametrize("value", [{"max_tokens": 2**32 + 4}, {"max_token": 9}])
def test_generate_takes_without_a_word(server: Server, value: dict[str, Any]) -> None:
    found, body = generate(server, "llm", **PROMPT | value)
    assert (found, body["num_output_tokens"]) == (200, 4)


def test_generate_flattens_outputs(server: Server) -> None:
    _, one = generate(server, "rerank", **PAIR)
    _, two = generate(server, "embed", input_text=["a", "b"])
    assert isinstance(one["relevance"], float) and one["sequence_id"] == 0
    assert isinstance(two["embedding"][0], float)


def test_gzip_is_for_infer(server: Server) -> None:
    text = {"name": "input_text", "datatype": "BYTES", "shape": [1], "data": ["a"]}
    infer, prompt = (gzip.compress(json.dumps(b).encode()) for b in ({"inputs": [text]}, PROMPT))
    zipped = {"Content-Encoding": "gzip"}
    assert post(server, "embed/infer", infer, **zipped)[0] == 200
    assert post(server, "llm/generate", prompt, **zipped)[0] == 400


def test_plain_infer_is_for_models_with_one_response(server: Server) -> None:
    texts = {"name": "text_input", "datatype": "BYTES", "shape": [1], "data": ["a"]}
    tokens = {"name": "max_tokens", "datatype": "INT32", "shape": [1], "data": [4]}
    body = json.dumps({"inputs": [texts, tokens]}).encode()
    assert post(server, "llm/infer", body)[0] == 501
    assert post(server, "ensemble_unary/infer", body)[0] == 200
