"""Call tools by published clients: URL, what the model says first, tokens.

The model says what the last turn says; so the first turn is text with calls, and the results of the
tools come back as the answer. Prints JSON: what each client made of it.
"""

import asyncio
import json
import sys
from typing import Any

import anthropic
import cohere
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


FUNCTIONS: dict[str, Any] = {
    "model": "llm",
    "max_tokens": 200,
    "functions": [{"name": NAME, "description": DESCRIPTION, "parameters": SCHEMA}],
}


def older() -> dict[str, Any]:
    """A whole turn in the form that tools had before; the first answer as a stream too."""
    create = client.chat.completions.create
    first = create(**FUNCTIONS, messages=TURNS).choices[0]
    call = first.message.function_call
    given = json.loads(call.arguments)
    told = {"role": "function", "name": call.name, "content": find_port(**given)}
    second = create(**FUNCTIONS, messages=[*TURNS, first.message, told]).choices[0]
    name, arguments, reason = "", "", ""
    for chunk in create(**FUNCTIONS, messages=TURNS, stream=True):
        (choice,) = chunk.choices
        if piece := choice.delta.function_call:
            name, arguments = name + (piece.name or ""), arguments + (piece.arguments or "")
        reason = choice.finish_reason or reason
    return {
        "first": [call.name, given, first.finish_reason],
        "streamed": [name, json.loads(arguments), reason],
        "answer": second.message.content,
    }


# --- OpenAI's Responses --------------------------------------------------------------------

RESPONSES: dict[str, Any] = {
    "model": "llm",
    "max_output_tokens": 200,
    "tools": [{"type": "function", "name": NAME, "description": DESCRIPTION, "parameters": SCHEMA}],
}


def output(response: Any) -> dict[str, Any]:
    calls = [item for item in response.output if item.type == "function_call"]
    return {
        "text": response.output_text,
        "calls": [[item.name, json.loads(item.arguments)] for item in calls],
        "reason": response.status,
    }


def responses() -> dict[str, Any]:
    first = client.responses.create(**RESPONSES, input=TURNS)
    called = [item for item in first.output if item.type == "function_call"]
    told = [
        {"type": "function_call_output", "call_id": item.call_id, "output": text}
        for item in called
        for _, text in results([(item.call_id, json.loads(item.arguments))])
    ]
    second = client.responses.create(**RESPONSES, input=[*TURNS, *first.output, *told])
    return {"first": output(first), "answer": second.output_text}


async def responses_streamed() -> dict[str, Any]:
    async with (
        openai.AsyncOpenAI(base_url=f"{url}/v1", api_key=KEY) as asynchronous,
        asynchronous.responses.stream(**RESPONSES, input=TURNS) as stream,
    ):
        kinds = [event.type async for event in stream]
        whole = output(await stream.get_final_response())
    return whole | {"deltas": kinds.count("response.function_call_arguments.delta")}


# --- Anthropic -----------------------------------------------------------------------------

claude = anthropic.Anthropic(base_url=url, api_key=KEY, max_retries=0)
MESSAGES: dict[str, Any] = {"model": "llm", "max_tokens": 200, "messages": TURNS}
TOOLS: Any = [{"name": NAME, "description": DESCRIPTION, "input_schema": SCHEMA}]


def blocks(message: Any) -> dict[str, Any]:
    return {
        "text": "".join(block.text for block in message.content if block.type == "text"),
        "calls": [[b.name, b.input] for b in message.content if b.type == "tool_use"],
        "reason": message.stop_reason,
    }


def messages_streamed() -> dict[str, Any]:
    with claude.messages.stream(**MESSAGES, tools=TOOLS) as stream:
        kinds = [event.type for event in stream]
        return blocks(stream.get_final_message()) | {"deltas": kinds.count("input_json")}


def tool_runner() -> dict[str, Any]:
    """Anthropic's own loop: it calls the function and sends the results back."""
    tool = anthropic.beta_tool(find_port, description=DESCRIPTION)
    runner = claude.beta.messages.tool_runner(**MESSAGES, tools=[tool])
    turns = [blocks(message) for message in runner]
    return {"first": turns[0], "answer": turns[-1]["text"], "turns": len(turns)}


def counted() -> list[int]:
    """Tokens of the request with its tools, and without."""
    asked: Any = {"model": "llm", "messages": TURNS}
    count = claude.messages.count_tokens
    return [count(**asked, tools=TOOLS).input_tokens, count(**asked).input_tokens]


# --- Cohere --------------------------------------------------------------------------------

co = cohere.ClientV2(base_url=url, api_key=KEY)


def cohere_chat() -> dict[str, Any]:
    asked: dict[str, Any] = {"model": "llm", "max_tokens": 200, "tools": CHAT["tools"]}
    first = co.chat(**asked, messages=TURNS)
    calls = first.message.tool_calls or []
    given = [(c.id, json.loads(c.function.arguments)) for c in calls]
    told = [
        {
            "role": "tool",
            "tool_call_id": name,
            "content": [{"type": "document", "document": {"data": text}}],
        }
        for name, text in results(given)
    ]
    second = co.chat(**asked, messages=[*TURNS, first.message, *told])
    text = "".join(part.text for part in first.message.content or ())
    described = [[c.function.name, json.loads(c.function.arguments)] for c in calls]
    return {
        "first": {"text": text, "calls": described, "reason": first.finish_reason},
        "answer": second.message.content[0].text,
    }


def cohere_streamed() -> dict[str, Any]:
    asked: dict[str, Any] = {"model": "llm", "max_tokens": 200, "tools": CHAT["tools"]}
    text, calls = "", list[list[str]]()
    for event in co.chat_stream(**asked, messages=TURNS):
        if event.type == "content-delta":
            text += event.delta.message.content.text
        elif event.type == "tool-call-start":
            function = event.delta.message.tool_calls.function
            calls.append([function.name, function.arguments])
        elif event.type == "tool-call-delta":
            calls[event.index][1] += event.delta.message.tool_calls.function.arguments
        elif event.type == "message-end":
            reason = event.delta.finish_reason
    return {"text": text, "calls": [[n, json.loads(a)] for n, a in calls], "reason": reason}


found = {
    "chat": chat(),
    "chat_streamed": chat_streamed(),
    "older": older(),
    "chat_one": asyncio.run(chat_async()),
    "responses": responses(),
    "responses_streamed": asyncio.run(responses_streamed()),
    "messages": blocks(claude.messages.create(**MESSAGES, tools=TOOLS)),
    "messages_streamed": messages_streamed(),
    "tool_runner": tool_runner(),
    "counted": counted(),
    "cohere": cohere_chat(),
    "cohere_streamed": cohere_streamed(),
}
print(json.dumps(found))
