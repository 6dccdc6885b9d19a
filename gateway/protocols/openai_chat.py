"""OpenAI's `/v1/chat/completions`."""

import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Request
from pydantic import Field
from starlette.responses import Response

from gateway.call import Call, Event, Finished, Generate, Message, Sampling, Text, Usage
from gateway.errors import BadRequest
from gateway.protocols.exchange import Body, Complete, JsonRoute, Streaming, new_call, service
from gateway.protocols.openai_errors import OPENAI
from gateway.protocols.sse import DONE, sse

router = APIRouter(route_class=JsonRoute, tags=["OpenAI"])


class TextPart(Body):
    type: Literal["text"]
    text: str


class ChatMessage(Body):
    role: Literal["system", "developer", "user", "assistant"]
    content: str | list[TextPart]
    name: str | None = None

    @property
    def text(self) -> str:
        if isinstance(self.content, str):
            return self.content
        return "\n".join(part.text for part in self.content)


class StreamOptions(Body):
    include_usage: bool = False
    include_obfuscation: bool = False


class ChatRequest(Body):
    model: str
    messages: Annotated[list[ChatMessage], Field(min_length=1)]
    stream: bool | None = False
    stream_options: StreamOptions | None = None
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    min_tokens: int | None = None
    repetition_penalty: float | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    seed: int | None = None
    stop: str | list[str] | None = None
    user: str | None = None

    def sampling(self) -> Sampling:
        stop = [self.stop] if isinstance(self.stop, str) else self.stop or []
        return Sampling(
            max_tokens=self._max_tokens(),
            min_tokens=self.min_tokens,
            temperature=self.temperature,
            top_k=self.top_k,
            top_p=self.top_p,
            repetition_penalty=self.repetition_penalty,
            presence_penalty=self.presence_penalty,
            frequency_penalty=self.frequency_penalty,
            seed=self.seed,
            stop_words=tuple(stop),
        )

    def _max_tokens(self) -> int | None:
        old, new = self.max_tokens, self.max_completion_tokens
        if None not in (old, new) and old != new:
            raise BadRequest(
                f"max_tokens: {old} given, and max_completion_tokens: {new}; they are one setting",
                field="max_tokens",
            )
        return old if new is None else new


@router.post("/v1/chat/completions")
async def chat_completions(body: ChatRequest, request: Request) -> Response:
    """Answer the last message of a chat."""
    messages = tuple(Message(_ROLES.get(m.role, m.role), m.text) for m in body.messages)
    wanted = Generate(body.model, messages, sampling=body.sampling(), stream=bool(body.stream))
    call = new_call(request, wanted)
    events = service(request).handler(call)
    if body.stream:
        return Streaming(call, _chunks(body, call, events), OPENAI)
    return Complete(call, _completion(body, call, events))


_ROLES = {"developer": "system"}


async def _completion(body: ChatRequest, call: Call, events: AsyncGenerator[Event, None]) -> Any:
    texts, finished = [], None
    async with aclosing(events):
        async for event in events:
            match event:
                case Text():
                    texts.append(event.text)
                case Finished():
                    finished = event
    assert finished is not None
    message = {"role": "assistant", "content": "".join(texts), "refusal": None}
    choice = {
        "index": 0,
        "message": message,
        "finish_reason": finish_reason(finished),
        "logprobs": None,
    }
    return {
        "id": f"chatcmpl-{call.request_id}",
        "object": "chat.completion",
        "created": int(time.time()),
        "model": body.model,
        "choices": [choice],
        "usage": usage(finished.usage),
    }


async def _chunks(
    body: ChatRequest, call: Call, events: AsyncGenerator[Event, None]
) -> AsyncGenerator[bytes, None]:
    base = {
        "id": f"chatcmpl-{call.request_id}",
        "object": "chat.completion.chunk",
        "created": int(time.time()),
        "model": body.model,
    }

    def chunk(delta: dict[str, Any], reason: str | None = None) -> bytes:
        choice = {"index": 0, "delta": delta, "finish_reason": reason, "logprobs": None}
        return sse({**base, "choices": [choice]})

    delta = {"role": "assistant", "content": ""}
    async with aclosing(events):
        async for event in events:
            match event:
                case Text():
                    yield chunk(delta | {"content": event.text})
                    delta = {}
                case Finished():
                    yield chunk(delta, finish_reason(event))
                    if body.stream_options and body.stream_options.include_usage:
                        yield sse({**base, "choices": [], "usage": usage(event.usage)})
    yield DONE


def finish_reason(finished: Finished) -> str:
    """OpenAI knows stop and length."""
    return "length" if finished.reason == "length" else "stop"


def usage(tokens: Usage) -> dict[str, Any]:
    return {
        "prompt_tokens": tokens.input_tokens,
        "completion_tokens": tokens.output_tokens,
        "total_tokens": tokens.input_tokens + tokens.output_tokens,
        "prompt_tokens_details": {"cached_tokens": tokens.cached_tokens},
    }
