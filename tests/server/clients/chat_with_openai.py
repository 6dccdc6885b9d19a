"""Chat by OpenAI's own client as it is published: URL, prompt, tokens.

Prints JSON: the answer in each of its ways, and what the client says of requests that are refused.
"""

import asyncio
import json
import sys
from typing import Any

import openai

url, prompt, tokens = sys.argv[1:]
REQUEST: dict[str, Any] = {
    "model": "llm",
    "messages": [{"role": "user", "content": [{"type": "text", "text": prompt}]}],
    "max_completion_tokens": int(tokens),
}
KEY = "not-needed"
client = openai.OpenAI(base_url=f"{url}/v1", api_key=KEY, max_retries=0)


def whole() -> dict[str, Any]:
    found = client.chat.completions.with_raw_response.create(**REQUEST)
    answer = found.parse()
    return {
        "text": answer.choices[0].message.content,
        "reason": answer.choices[0].finish_reason,
        "usage": answer.usage.model_dump(),
        "version": found.headers["x-model-version"],
    }


def streamed() -> dict[str, Any]:
    options = {"include_usage": True}
    chunks = list(client.chat.completions.create(**REQUEST, stream=True, stream_options=options))
    return {
        "roles": [c.choices[0].delta.role for c in chunks if c.choices][:2],
        "text": "".join(c.choices[0].delta.content or "" for c in chunks if c.choices),
        "reason": [c.choices[0].finish_reason for c in chunks if c.choices][-1],
        "usage": chunks[-1].usage.model_dump(),
    }


async def streamed_async() -> str:
    async with openai.AsyncOpenAI(base_url=f"{url}/v1", api_key=KEY) as asynchronous:
        stream = await asynchronous.chat.completions.create(**REQUEST, stream=True)
        return "".join([chunk.choices[0].delta.content or "" async for chunk in stream])


def refusal(**changes: Any) -> dict[str, Any]:
    try:
        client.chat.completions.create(**(REQUEST | changes))
    except openai.APIStatusError as error:
        return {"kind": type(error).__name__, "param": error.param, "message": error.message}
    return {}


found = {
    "models": [model.id for model in client.models.list()],
    "whole": whole(),
    "streamed": streamed(),
    "streamed_async": asyncio.run(streamed_async()),
    "no_model": refusal(model="gpt-4"),
    "no_tokens": refusal(max_completion_tokens=0, stream=True),
    "bad_stop": refusal(stop=["x" * 300]),
}
print(json.dumps(found))
