"""Require calls by published clients: URL, prompt, most tokens of an answer.

Prints JSON: the calls, by OpenAI's chat (whole and streamed) and Responses, Anthropic, Cohere.
"""

import json
import sys
from typing import Any

import anthropic
import cohere
import openai

url, prompt, tokens = sys.argv[1:]
SCHEMA = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "unit": {"$ref": "#/$defs/Unit"}},
    "required": ["city", "unit"],
    "$defs": {"Unit": {"enum": ["C", "F"]}},
}
FUNCTION = {"name": "weather", "description": "The weather in a city.", "parameters": SCHEMA}
OTHER = {"name": "find_port", "parameters": {"type": "object", "properties": {}}}
FUNCTIONS: Any = [{"type": "function", "function": each} for each in (OTHER, FUNCTION)]
TURNS: Any = [{"role": "user", "content": prompt}]
client = openai.OpenAI(base_url=f"{url}/v1", api_key="not-needed", max_retries=0)
ASKED: Any = {"model": "llm", "messages": TURNS, "max_tokens": int(tokens)}


def chat(choice: Any) -> list[Any]:
    found = client.chat.completions.create(**ASKED, tools=FUNCTIONS, tool_choice=choice)
    (call,) = found.choices[0].message.tool_calls or []
    return [call.function.name, json.loads(call.function.arguments)]


def chat_streamed() -> list[Any]:
    with client.chat.completions.stream(
        **ASKED, tools=FUNCTIONS[1:], tool_choice="required"
    ) as stream:
        for _ in stream:
            pass
        (call,) = stream.get_final_completion().choices[0].message.tool_calls or []
    return [call.function.name, json.loads(call.function.arguments)]


def response() -> list[Any]:
    (item,) = client.responses.create(
        model="llm",
        input=prompt,
        max_output_tokens=int(tokens),
        tools=[{"type": "function", "strict": True, **FUNCTION}],
        tool_choice="required",
    ).output
    return [item.name, json.loads(item.arguments)]


def message() -> list[Any]:
    claude = anthropic.Anthropic(base_url=url, api_key="not-needed", max_retries=0)
    tools: Any = [{"name": "weather", "input_schema": SCHEMA}]
    (block,) = claude.messages.create(**ASKED, tools=tools, tool_choice={"type": "any"}).content
    return [block.name, block.input]


def cohere_s() -> list[Any]:
    co = cohere.ClientV2(base_url=url, api_key="not-needed")
    found = co.chat(**ASKED, tools=FUNCTIONS[1:], tool_choice="REQUIRED")
    (call,) = found.message.tool_calls
    return [call.function.name, json.loads(call.function.arguments)]


found = {
    "named": chat({"type": "function", "function": {"name": "weather"}}),
    "required": chat("required"),
    "streamed": chat_streamed(),
    "responses": response(),
    "messages": message(),
    "cohere": cohere_s(),
}
print(json.dumps(found))
