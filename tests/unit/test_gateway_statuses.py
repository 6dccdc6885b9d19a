"""Errors of Triton and our models get the status that is due."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any
from unittest.mock import AsyncMock

import numpy as np
import pytest

from ensembles.manifest import Sampling
from gateway.call import Call, Finished, Generate, Usage
from gateway.call import Sampling as Wanted
from gateway.errors import (
    BadRequest,
    ContextExceeded,
    DeadlinePassed,
    NotFound,
    Unavailable,
    UpstreamFailed,
)
from gateway.protocols.response import sse
from gateway.upstream.generate import generate
from gateway.upstream.statuses import from_status, from_stream
from python_backends.errors import RequestError
from python_backends.generation.sampling import read_params
from python_backends.tokenization import require_length
from tests.fakes.serving import tensors


@pytest.mark.parametrize(
    ("message", "kind", "field"),
    [
        ("INVALID_ARG: max_tokens: -3 given; 1 to 9 fit", BadRequest, "max_tokens"),
        ("INVALID_ARG: stop_words[0]: 300 characters", BadRequest, "stop_words"),
        ("in ensemble 'rag', INVALID_ARG: question[0]: empty", BadRequest, "question"),
        ("UNAVAILABLE: 256 requests wait; try again later", Unavailable, ""),
        ("CANCELLED: timeout: 5 us asked for; this time has passed", DeadlinePassed, ""),
        ("INTERNAL: the model failed on this request", UpstreamFailed, ""),
        ("unexpected input 'x'", BadRequest, ""),
    ],
)
def test_an_error_on_a_stream(message, kind, field):
    error = from_stream(message)
    assert (type(error), error.field) == (kind, field)
    assert not str(error).startswith(("INVALID_ARG", "UNAVAILABLE", "CANCELLED", "INTERNAL"))


@pytest.mark.parametrize(
    ("status", "message", "kind"),
    [
        (400, "in ensemble 'embed', input_text[1]: empty", BadRequest),
        (400, "256 requests wait; try again later", Unavailable),
        (400, "Request for unknown model: 'llm' has no available versions", Unavailable),
        (404, "Request for unknown model: 'x' is not found", NotFound),
        (500, "Stub process 'llm' is not healthy", Unavailable),
        (500, "the model failed", UpstreamFailed),
        (500, "Unable to parse 'timeout': attempt to access JSON non-unsigned", BadRequest),
        (500, "HTTP end point doesn't support models with decoupled", BadRequest),
        (503, "Exceeds maximum queue size", Unavailable),
        (503, "", Unavailable),
        (502, "", UpstreamFailed),
    ],
)
def test_a_status_of_triton(status, message, kind):
    error = from_status(status, message)
    assert type(error) is kind
    assert str(error)
    assert "in ensemble" not in str(error)


def _asked(max_tokens: int, prompt_tokens: int) -> object:
    asked = tensors(max_tokens=np.array([max_tokens], np.int32))
    return read_params(asked, Sampling(), prompt_tokens, context_tokens=64)


@pytest.mark.parametrize(
    ("fails", "counts"),
    [
        (lambda: _asked(8, prompt_tokens=70), (70, 0, 64)),
        (lambda: _asked(8, prompt_tokens=60), (60, 8, 64)),
        (lambda: require_length("messages", 10**6, 4096), (0, 0, 4096)),
    ],
)
def test_a_full_context_is_an_error_of_its_own(
    fails: Callable[[], object], counts: tuple[int, int, int]
) -> None:
    with pytest.raises(RequestError) as caught:
        fails()
    found = from_stream(f"INVALID_ARG: {caught.value}")
    assert isinstance(found, ContextExceeded)
    assert (found.prompt_tokens, found.max_tokens, found.context_tokens) == counts


def test_a_max_tokens_of_nothing_is_no_full_context() -> None:
    with pytest.raises(RequestError) as caught:
        _asked(0, prompt_tokens=60)
    assert not isinstance(from_stream(f"INVALID_ARG: {caught.value}"), ContextExceeded)


class Model:
    """`llm` with a context of 64 tokens, of which each prompt takes 60."""

    settings = SimpleNamespace(inter_token_timeout_s=1.0)

    def __init__(self) -> None:
        self.asked: list[int] = []

    @asynccontextmanager
    async def stream(
        self, _call: object, _model: str, body: dict[str, Any], _silence_s: float
    ) -> AsyncIterator[SimpleNamespace]:
        self.asked.append(body["max_tokens"])
        end = {"text_output": "", "num_input_tokens": 60, "num_output_tokens": 4}
        event: dict[str, object] = {**end, "model_version": "1", "finish_reason": "length"}
        event["num_cached_tokens"] = 32
        try:
            _asked(body["max_tokens"], prompt_tokens=60)
        except RequestError as error:
            event = {"error": f"INVALID_ARG: {error}"}
        yield SimpleNamespace(piece=AsyncMock(side_effect=[sse(event), b""]))

    async def resolve(self, name: str, _takes: object) -> str:
        return name


async def _answer(model: Model, may_fill_context: bool) -> list[Any]:
    wanted = Generate(
        "llm", prompt="p", sampling=Wanted(max_tokens=100), may_fill_context=may_fill_context
    )
    call: Any = Call(request=None, caller=None, request_id="1")
    connection: Any = model
    return [event async for event in generate(connection, connection, call, wanted)]


def test_an_answer_that_may_fill_the_context_ends_there() -> None:
    model = Model()
    assert asyncio.run(_answer(model, may_fill_context=True)) == [
        Finished("context", Usage(60, 4, cached_tokens=32))
    ]
    assert model.asked == [100, 4]


def test_another_one_is_refused() -> None:
    model = Model()
    with pytest.raises(ContextExceeded):
        asyncio.run(_answer(model, may_fill_context=False))
    assert model.asked == [100]
