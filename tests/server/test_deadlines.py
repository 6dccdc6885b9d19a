"""`timeout`: every model keeps it or refuses it, whatever the protocol."""

import contextlib
import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest

from ensembles.metrics import ITERATIONS
from tests.server import test_ensemble, test_llm
from tests.server.conftest import Server, is_idle_on, metrics_page, seen, text
from tests.server.test_rag import long_question

TIMEOUT_US = 100_000
SAYS = f"timeout: {TIMEOUT_US} us asked for"
TOKENS = 2000
LONG = {"max_tokens": TOKENS, "min_tokens": TOKENS, "stream": True}
QUESTION = {"question": "Which port?", "documents": ["Vebra listens on port 8123.", "A ferry."]}
BODIES: dict[str, dict[str, Any]] = {
    "embed": {"input_text": ["a", "b"]},
    "rerank": {"query": "a", "passages": ["b", "c"]},
    "retrieve": QUESTION,
    "rag": QUESTION,
}


@contextlib.contextmanager
def ended_early(server: Server) -> Iterator[None]:
    """Fewer than `TOKENS` are generated; none where the deadline ends before the prompt."""
    before = seen(lambda: metrics_page(server), is_idle_on)
    yield
    after = seen(lambda: metrics_page(server), is_idle_on)
    assert after.total(ITERATIONS.name) - before.total(ITERATIONS.name) < TOKENS


def post(server: Server, path: str, body: dict[str, Any]) -> str:
    """The answer, an error's too."""
    url = f"http://{server.http_url}/v2/models/{path}"
    try:
        with urllib.request.urlopen(url, json.dumps(body).encode()) as answer:
            return str(answer.read().decode())
    except urllib.error.HTTPError as error:
        return error.read().decode()


def requests() -> dict[str, list[Any]]:
    """Long ones, for a gRPC stream."""
    numbers = test_llm.sampling(**LONG)
    return {
        "llm": [text("text_input", "hello"), *numbers],
        "ensemble": test_ensemble.inputs("hello", **LONG),
        "ensemble_unary": [text("text_input", "hello"), *numbers[:2]],
        "rag_cancellable": long_question(),
    }


@pytest.mark.parametrize("model", ["llm", "ensemble", "ensemble_unary", "rag_cancellable"])
def test_a_deadline_ends_the_generation_over_grpc(server: Server, model: str) -> None:
    with ended_early(server):
        found = server.stream(model, *requests()[model], timeout=TIMEOUT_US)
    assert SAYS in str(found.error)


@pytest.mark.parametrize("path", ["llm/generate", "llm/generate_stream", "ensemble_unary/generate"])
def test_a_deadline_ends_the_generation_over_http(server: Server, path: str) -> None:
    values = {"text_input": "hello", "max_tokens": TOKENS, "min_tokens": TOKENS}
    if path.endswith("stream"):
        values["stream"] = True
    with ended_early(server):
        answer = post(server, path, {**values, "timeout": TIMEOUT_US})
    assert SAYS in answer


def test_a_deadline_of_an_infer_request_ends_the_generation(server: Server) -> None:
    given = {"text_input": ("BYTES", "hello"), "max_tokens": ("INT32", TOKENS)}
    inputs = [
        {"name": name, "datatype": datatype, "shape": [1], "data": [value]}
        for name, (datatype, value) in {**given, "min_tokens": ("INT32", TOKENS)}.items()
    ]
    body = {"inputs": inputs, "parameters": {"timeout": TIMEOUT_US}}
    with ended_early(server):
        assert SAYS in post(server, "ensemble_unary/infer", body)


@pytest.mark.parametrize("model", BODIES)
def test_a_deadline_that_cannot_be_kept_is_refused(server: Server, model: str) -> None:
    inputs = [
        text(name, *(value if isinstance(value, list) else [value]))
        for name, value in BODIES[model].items()
    ]
    over_grpc = server.stream(model, *inputs, timeout=TIMEOUT_US)
    assert f"{SAYS}; only llm" in str(over_grpc.error)
    over_http = post(server, f"{model}/generate", {**BODIES[model], "timeout": TIMEOUT_US})
    assert f"{SAYS}; only llm" in over_http
    assert "timeout: '1s' given" in post(
        server, f"{model}/generate", {**BODIES[model], "timeout": "1s"}
    )
