"""Ask by Anthropic's own client as it is published: URL, prompt, tokens.

Prints JSON: the answer in each of its ways, and what the client says of requests that are refused.
"""

import asyncio
import json
import sys
from typing import Any

import anthropic

url, prompt, tokens = sys.argv[1:]
MESSAGES: Any = [{"role": "user", "content": [{"type": "text", "text": prompt}]}]
REQUEST: dict[str, Any] = {"model": "llm", "messages": MESSAGES, "max_tokens": int(tokens)}
LONG: Any = [{"role": "user", "content": "word " * 1000}]
"""Nearly all of the test model's context."""
DOCUMENTS = ("The ferry sails at noon.", "Vebra listens on port 8123.")
QUESTION = "Which port does Vebra listen on?"
client = anthropic.Anthropic(base_url=url, api_key="not-needed", max_retries=0)


def described(message: Any) -> dict[str, Any]:
    return {
        "text": "".join(block.text for block in message.content),
        "reason": message.stop_reason,
        "usage": [message.usage.input_tokens, message.usage.output_tokens],
    }


def streamed() -> dict[str, Any]:
    with client.messages.stream(**REQUEST) as stream:
        text = "".join(stream.text_stream)
        return {**described(stream.get_final_message()), "pieces": text}


async def streamed_async() -> dict[str, Any]:
    async with (
        anthropic.AsyncAnthropic(base_url=url, api_key="not-needed") as asynchronous,
        asynchronous.messages.stream(**REQUEST) as stream,
    ):
        return described(await stream.get_final_message())


def documents() -> list[dict[str, Any]]:
    """The citations, each with the text that stands where it points to."""
    parts: list[Any] = [
        {
            "type": "document",
            "source": {"type": "text", "media_type": "text/plain", "data": text},
            "title": f"page {index}",
            "citations": {"enabled": True},
        }
        for index, text in enumerate(DOCUMENTS)
    ]
    content = [*parts, {"type": "text", "text": QUESTION}]
    asked: Any = {"model": "rag", "max_tokens": 40}
    messages: Any = [{"role": "user", "content": content}]
    whole = client.messages.create(**asked, messages=messages)
    with client.messages.stream(**asked, messages=messages) as stream:
        cited = stream.get_final_message().content[0].citations or []
    assert cited == whole.content[0].citations
    return [
        {
            "cited": c.cited_text,
            "found": DOCUMENTS[c.document_index][c.start_char_index : c.end_char_index],
            "title": c.document_title,
        }
        for c in cited
    ]


def refusal(**changes: Any) -> dict[str, Any]:
    try:
        client.messages.create(**(REQUEST | changes))
    except anthropic.APIStatusError as error:
        return {"kind": type(error).__name__, "body": error.body, "request": error.request_id}
    return {}


found = {
    "models": [model.id for model in client.models.list()],
    "model": client.models.retrieve("llm").display_name,
    "request_id": client.messages.create(**REQUEST)._request_id,
    "whole": described(
        client.messages.create(**REQUEST, system="Be brief.", stop_sequences=["\n\n\n"])
    ),
    "plain": described(client.messages.create(**REQUEST)),
    "streamed": streamed(),
    "streamed_async": asyncio.run(streamed_async()),
    "filled": described(client.messages.create(**REQUEST | {"messages": LONG, "max_tokens": 4096})),
    "counted": client.messages.count_tokens(model="llm", messages=MESSAGES).input_tokens,
    "citations": documents(),
    "no_model": refusal(model="claude-opus-4"),
    "tools": refusal(tools=[{"type": "bash_20250124", "name": "bash"}]),
}
print(json.dumps(found))
