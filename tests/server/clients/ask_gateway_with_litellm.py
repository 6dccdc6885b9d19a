"""Ask the gateway by LiteLLM as it is published, in every API of both: URL, prompt, tokens.

Prints JSON: the answer by each of its providers. LiteLLM can't read streams of `/v2/chat`.
"""

import asyncio
import json
import sys
from typing import Any

import litellm

url, prompt, tokens = sys.argv[1:]
QUESTION = "Which port does Vebra listen on?"
PASSAGES = ["The ferry sails at noon.", "Vebra listens on port 8123."]
REQUEST: dict[str, Any] = {
    "messages": [{"role": "user", "content": prompt}],
    "max_tokens": int(tokens),
    "api_key": "none",
}
CHATS = {"openai/llm": f"{url}/v1", "anthropic/llm": url, "cohere_chat/llm": f"{url}/v2/chat"}


def whole(model: str) -> str:
    answer = litellm.completion(model=model, api_base=CHATS[model], **REQUEST)
    return str(answer.choices[0].message.content)


def streamed(model: str) -> str:
    chunks = litellm.completion(model=model, api_base=CHATS[model], stream=True, **REQUEST)
    return "".join(chunk.choices[0].delta.content or "" for chunk in chunks)


async def whole_async(model: str) -> str:
    answer = await litellm.acompletion(model=model, api_base=CHATS[model], **REQUEST)
    return str(answer.choices[0].message.content)


def ranked(model: str) -> list[int]:
    found = litellm.rerank(
        model=model, query=QUESTION, documents=PASSAGES, api_base=url, api_key="none"
    )
    return [result["index"] for result in found.results]


def embedded() -> list[float]:
    found = litellm.embedding(
        model="openai/embed", input=[prompt], api_base=f"{url}/v1", api_key="none"
    )
    return found.data[0]["embedding"]


found = {
    "whole": [whole(model) for model in CHATS],
    "streamed": [streamed(model) for model in ("openai/llm", "anthropic/llm")],
    "whole_async": asyncio.run(whole_async("openai/llm")),
    "ranked": [ranked(model) for model in ("cohere/rerank", "jina_ai/rerank")],
    "embedded": embedded(),
}
print(json.dumps(found))
