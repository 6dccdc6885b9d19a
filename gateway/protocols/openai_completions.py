"""OpenAI's `/v1/completions`: bare prompts, without a chat template."""

import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import replace
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from gateway.call import Call, Event, Finished, Generate, Usage
from gateway.errors import BadRequest
from gateway.protocols.answer import Answer
from gateway.protocols.exchange import (
    Complete,
    Streaming,
    choice_calls,
    document,
    json_body,
    new_call,
    service,
)
from gateway.protocols.guides import vllm_guide
from gateway.protocols.openai_errors import OPENAI
from gateway.protocols.openai_sampling import (
    Json,
    SamplingRequest,
    check_choices,
    finish_reason,
    refuse_sampling,
    sampling,
    total,
    usage,
)
from gateway.protocols.reading import Each, read, refuse_given
from gateway.protocols.several import merged
from gateway.protocols.sse import DONE, sse

router = APIRouter(tags=["OpenAI"])

Answers = Sequence[AsyncGenerator[Event, None]]


class CompletionRequest(SamplingRequest):
    """`prompt` is a text or several; token ids are not taken."""

    prompt: str | Each[str]
    # refused where they ask for something
    best_of: int | None = None
    echo: bool | None = None
    suffix: str | None = None


def parse(body: Any) -> CompletionRequest:
    """Raises `BadRequest`."""
    request = read(CompletionRequest, body)
    refuse_given(request, ("echo", "logprobs", "suffix"), "this model can't")
    refuse_sampling(request)
    if request.best_of not in (None, 1, request.n or 1):
        raise BadRequest("best_of: not offered; as many as n are given", field="best_of")
    if not request.prompt:
        raise BadRequest("prompt: empty; a text is needed", field="prompt")
    check_choices(request, len(_prompts(request)))
    return request


def generate(request: CompletionRequest) -> list[Generate]:
    """One for each choice: `n` of the first prompt, then of the next."""
    first = Generate(model=request.model, guide=vllm_guide(request), stream=bool(request.stream))
    choices = range(check_choices(request))
    return [
        replace(first, prompt=prompt, sampling=sampling(request, i))
        for prompt in _prompts(request)
        for i in choices
    ]


def _prompts(request: CompletionRequest) -> list[str]:
    return [request.prompt] if isinstance(request.prompt, str) else request.prompt


@router.post("/v1/completions", openapi_extra=document(CompletionRequest))
async def completions(request: Request) -> Response:
    """Go on with a text, or with several."""
    asked = parse(json_body(request))
    choices = generate(asked)
    call = new_call(request, choices[0])
    answers = [service(request).handler(each) for each in choice_calls(call, choices)]
    if asked.stream:
        return Streaming(call, _chunks(asked, call, answers), OPENAI)
    return Complete(call, _completion(asked, call, answers))


async def _completion(request: CompletionRequest, call: Call, answers: Answers) -> Json:
    found = [Answer() for _ in answers]
    async with aclosing(merged(answers)) as events:
        async for index, event in events:
            found[index].add(event)
    return {
        **_head(request, call),
        "choices": [
            _choice(index, answer.text, finish_reason(answer.end))
            for index, answer in enumerate(found)
        ],
        "usage": usage(total([answer.usage for answer in found])),
    }


async def _chunks(
    request: CompletionRequest, call: Call, answers: Answers
) -> AsyncGenerator[bytes, None]:
    head = _head(request, call)
    found = [Answer() for _ in answers]
    usages: list[Usage] = []
    async with aclosing(merged(answers)) as events:
        async for index, event in events:
            text = found[index].add(event)
            if isinstance(event, Finished):
                usages.append(event.usage)
                yield sse({**head, "choices": [_choice(index, "", finish_reason(event))]})
            elif text:
                yield sse({**head, "choices": [_choice(index, text, None)]})
    if request.wants_usage:
        yield sse({**head, "choices": [], "usage": usage(total(usages))})
    yield DONE


def _choice(index: int, text: str, reason: str | None) -> Json:
    return {"index": index, "text": text, "logprobs": None, "finish_reason": reason}


def _head(request: CompletionRequest, call: Call) -> Json:
    return {
        "id": f"cmpl-{call.request_id}",
        "object": "text_completion",
        "created": int(time.time()),
        "model": request.model,
    }
