"""OpenAI's `/v1/completions`: bare prompts, without a chat template."""

from dataclasses import replace
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from gateway.call import Event, Finished, Generate, Text
from gateway.errors import BadRequest
from gateway.protocols.answer import Answer
from gateway.protocols.guides import vllm_guide
from gateway.protocols.openai_choices import Form, choices
from gateway.protocols.openai_sampling import (
    SamplingRequest,
    check_choices,
    refuse_sampling,
    sampling,
)
from gateway.protocols.reading import Each, Json, read
from gateway.protocols.request import json_body, openapi_body

router = APIRouter(tags=["OpenAI"])


class CompletionRequest(SamplingRequest):
    """`prompt` is a text or several texts; token ids are refused."""

    refused = (*SamplingRequest.refused, ("this model can't", ("echo", "logprobs", "suffix")))

    prompt: str | Each[str]
    best_of: int | None = None


def parse(body: Any) -> CompletionRequest:
    """Raises `BadRequest`."""
    request = read(CompletionRequest, body)
    refuse_sampling(request)
    if request.best_of not in (None, 1, request.n or 1):
        raise BadRequest.at("best_of", "not offered; as many as n are given")
    if not request.prompt:
        raise BadRequest.at("prompt", "empty; a text is needed")
    check_choices(request, len(_prompts(request)))
    return request


def generate(request: CompletionRequest) -> list[Generate]:
    """A generation for each choice: `n` of the first prompt, then `n` of the next one."""
    first = Generate(model=request.model, guide=vllm_guide(request), stream=bool(request.stream))
    return [
        replace(first, prompt=prompt, sampling=sampling(request, i))
        for prompt in _prompts(request)
        for i in range(check_choices(request))
    ]


def _prompts(request: CompletionRequest) -> list[str]:
    return [request.prompt] if isinstance(request.prompt, str) else request.prompt


@router.post("/v1/completions", openapi_extra=openapi_body(CompletionRequest))
async def completions(request: Request) -> Response:
    """Go on with a text, or with several."""
    asked = parse(json_body(request))
    return choices(request, asked, generate(asked), _FORM)


def _choice(answer: Answer, _: Generate) -> Json:
    return {"text": answer.text}


def _delta(event: Event, _: Answer, __: Generate, ___: bool) -> Json | None:
    match event:
        case Text(text=text) if text:
            return {"text": text}
        case Finished():
            return {"text": ""}
    return None


_FORM = Form("cmpl", "text_completion", "text_completion", _choice, _delta)
