"""Call tools by published clients: URL, what the model says first, tokens.

The model says what the last turn says; so the first turn is text with calls, and the results of the
tools come back as the answer. Prints JSON: what each client made of it.
"""

import asyncio
import json
import sys
from typing import Any

import openai

url, said, _ = sys.argv[1:]
KEY = "not-needed"
SERVER = {"type": "string", "description": "Its name."}
SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"server": SERVER},
    "required": ["server"],
}
NAME, DESCRIPTION = "find_port", "Find the port of a server."


def find_port(server: str) -> str:
    return f"{server} has port 8123."


def results(calls: list[tuple[str, Any]]) -> list[tuple[str, str]]:
    """The calls' ids with what the function gave."""
    return [(name, find_port(**arguments)) for name, arguments in calls]


# --- OpenAI's chat -------------------------------------------------------------------------

client = openai.OpenAI(base_url=f"{url}/v1", api_key=KEY, max_retries=0)
CHAT: dict[str, Any] = {
    "model": "llm",
    "max_tokens": 200,
    "tools": [
        {
            "type": "function",
            "function": {"name": NAME, "description": DESCRIPTION, "parameters": SCHEMA},
        }
    ],
}
TURNS: list[Any] = [{"role": "user", "content": said}]


def described(choice: Any) -> dict[str, Any]:
    calls = choice.message.tool_calls or []
    return {
        "text": choice.message.content,
        "calls": [[c.function.name, json.loads(c.function.arguments)] for c in calls],
        "reason": choice.finish_reason,
    }


def chat() -> dict[str, Any]:
    """A whole turn: calls, their results, the answer."""
    first = client.chat.completions.create(**CHAT, messages=TURNS).choices[0]
    calls = [(c.id, json.loads(c.function.arguments)) for c in first.message.tool_calls or []]
    told = [{"role": "tool", "tool_call_id": i, "content": text} for i, text in results(calls)]
    turns = [*TURNS, first.message, *told]
    second = client.chat.completions.create(**CHAT, messages=turns).choices[0]
    return {"first": described(first), "answer": second.message.content}


def chat_streamed() -> dict[str, Any]:
    with client.chat.completions.stream(**CHAT, messages=TURNS) as stream:
        kinds = [event.type for event in stream]
        whole = described(stream.get_final_completion().choices[0])
    return whole | {"deltas": kinds.count("tool_calls.function.arguments.delta")}


async def chat_async() -> dict[str, Any]:
    async with openai.AsyncOpenAI(base_url=f"{url}/v1", api_key=KEY) as asynchronous:
        completions = asynchronous.chat.completions
        found = await completions.create(**CHAT, messages=TURNS, parallel_tool_calls=False)
        return described(found.choices[0])


found = {
    "chat": chat(),
    "chat_streamed": chat_streamed(),
    "chat_one": asyncio.run(chat_async()),
}
print(json.dumps(found))
