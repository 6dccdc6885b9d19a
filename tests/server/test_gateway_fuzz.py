"""Requests that nobody would write, made from the gateway's own OpenAPI document.

`FUZZ_EXAMPLES=500 .venv/bin/python -m pytest tests/server/test_gateway_fuzz.py` looks longer.
"""

import os
from collections.abc import Iterator
from typing import Any

import hypothesis
import pytest
import requests
import schemathesis
from hypothesis import HealthCheck
from schemathesis import APIOperation, Case, GenerationMode

from gateway.app import new_app
from gateway.settings import Settings
from tests.fakes.api_errors import is_worded
from tests.server.conftest import BOUND_S
from tests.server.gateway import Gateway

EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "6"))
"""Requests for each route and mode."""
SETTINGS = hypothesis.settings(
    max_examples=EXAMPLES,
    derandomize=True,
    database=None,
    deadline=None,
    phases=[hypothesis.Phase.generate],
    suppress_health_check=list(HealthCheck),
)
MODELS = {"rank": "rerank", "embed": "embed"}
"""The model of a route whose path has the word; `llm` for the others."""
POSSIBLE = {200, 400, 404, 405, 413, 422}
Json = dict[str, Any]


def operations() -> list[APIOperation]:
    schema = schemathesis.openapi.from_dict(new_app(Settings()).openapi())
    return [result.ok() for result in schema.get_all_operations()]


def looks() -> Iterator[tuple[APIOperation, GenerationMode]]:
    """Each route with requests of its schema, and with others where it has a body."""
    for operation in operations():
        yield operation, GenerationMode.POSITIVE
        if operation.body:
            yield operation, GenerationMode.NEGATIVE


LOOKS = list(looks())


@pytest.mark.parametrize(
    ("operation", "mode"), LOOKS, ids=[f"{found.label} {mode.value}" for found, mode in LOOKS]
)
def test_no_request_breaks_a_route(
    gateway: Gateway, operation: APIOperation, mode: GenerationMode
) -> None:
    @SETTINGS
    @hypothesis.given(case=operation.as_strategy(mode))
    def look(case: Case) -> None:
        if mode is GenerationMode.POSITIVE:
            _name_a_model(case)
        answer = case.call(base_url=gateway.url, timeout=BOUND_S)
        assert answer.status_code in POSSIBLE, answer.text
        if answer.status_code != 200:
            assert is_worded(operation.path, answer.json()), answer.text

    look()


def _name_a_model(case: Case) -> None:
    """A known model, so that more than the unknown one is looked at."""
    if isinstance(case.body, dict) and "model" in case.body:
        models = [model for word, model in MODELS.items() if word in case.path]
        case.body["model"] = models[0] if models else "llm"


def test_a_gateway_after_all_that_answers_as_before(gateway: Gateway) -> None:
    body = {"model": "llm", "messages": [{"role": "user", "content": "hello"}], "max_tokens": 5}
    texts = {
        requests.post(f"{gateway.url}/v1/chat/completions", json=body, timeout=BOUND_S)
        .text.partition('"choices"')[2]
        .partition('"usage"')[0]
        for _ in range(2)
    }
    assert len(texts) == 1
    assert "Traceback" not in gateway.log.read_text(encoding="utf-8")
