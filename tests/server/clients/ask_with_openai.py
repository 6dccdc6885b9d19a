"""Ask by OpenAI's own client as it is published: URL, prompt, tokens.

Prints JSON: answers of each route, and what the client says of requests that are refused.
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


def completions() -> dict[str, Any]:
    request: dict[str, Any] = {
        "model": "llm",
        "prompt": [prompt, "good"],
        "max_tokens": int(tokens),
    }
    whole = client.completions.create(**request)
    texts = {choice.index: "" for choice in whole.choices}
    for chunk in client.completions.create(**request, stream=True):
        for choice in chunk.choices:
            texts[choice.index] += choice.text
    usage = whole.usage.model_dump()
    return {"whole": [c.text for c in whole.choices], "streamed": list(texts.values()), **usage}


def several() -> dict[str, Any]:
    """Two answers to one request, whole and as a stream, and each of them asked for alone."""
    request: dict[str, Any] = REQUEST | {"temperature": 1.0}
    ask = client.chat.completions.create
    whole = ask(**request, n=2, seed=7)
    texts = {choice.index: "" for choice in whole.choices}
    for chunk in ask(**request, n=2, seed=7, stream=True):
        for choice in chunk.choices:
            texts[choice.index] += choice.delta.content or ""
    alone = [ask(**request, seed=seed) for seed in (7, 8)]
    return {
        "whole": [choice.message.content for choice in whole.choices],
        "streamed": list(texts.values()),
        "alone": [each.choices[0].message.content for each in alone],
        "tokens": whole.usage.completion_tokens,
        "tokens_alone": sum(each.usage.completion_tokens for each in alone),
    }


def embeddings() -> dict[str, Any]:
    given = {"model": "embed", "input": [prompt, "good"]}
    by_base64 = client.embeddings.create(**given)
    by_float = client.embeddings.create(**given, encoding_format="float")
    short = client.embeddings.create(**given, dimensions=8)
    return {
        "by_base64": [each.embedding for each in by_base64.data],
        "by_float": [each.embedding for each in by_float.data],
        "short": [each.embedding for each in short.data],
        "tokens": by_base64.usage.prompt_tokens,
    }


def rag() -> dict[str, Any]:
    documents = ["The ferry sails at noon.", {"text": "Vebra listens on port 8123.", "id": "vebra"}]
    answer = client.chat.completions.create(
        model="rag",
        messages=[{"role": "user", "content": "Which port does Vebra listen on?"}],
        extra_body={"documents": documents},
    )
    message = answer.choices[0].message
    cited = [note.url_citation.model_dump() for note in message.annotations or ()]
    return {"text": message.content, "cited": cited}


found = {
    "models": [model.id for model in client.models.list()],
    "whole": whole(),
    "streamed": streamed(),
    "streamed_async": asyncio.run(streamed_async()),
    "completions": completions(),
    "several": several(),
    "embeddings": embeddings(),
    "rag": rag(),
    "no_model": refusal(model="gpt-4"),
    "no_tokens": refusal(max_completion_tokens=0, stream=True),
    "bad_stop": refusal(stop=["x" * 300]),
}
print(json.dumps(found))
