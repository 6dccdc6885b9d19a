"""Ask the Responses API by OpenAI's own client as it is published: URL, prompt, tokens.

Prints JSON: the answer in each of its ways, and what the client says of requests that are refused.
"""

import asyncio
import json
import sys
from typing import Any

import openai

url, prompt, tokens = sys.argv[1:]
REQUEST: dict[str, Any] = {"model": "llm", "input": prompt, "max_output_tokens": int(tokens)}
DOCUMENTS = ["The ferry sails at noon.", "Vebra listens on port 8123."]
client = openai.OpenAI(base_url=f"{url}/v1", api_key="not-needed", max_retries=0)


def described(response: Any) -> dict[str, Any]:
    return {
        "text": response.output_text,
        "status": response.status,
        "usage": [response.usage.input_tokens, response.usage.output_tokens],
    }


def streamed() -> dict[str, Any]:
    with client.responses.stream(**REQUEST) as stream:
        deltas = [event.delta for event in stream if event.type == "response.output_text.delta"]
        return {**described(stream.get_final_response()), "pieces": "".join(deltas)}


async def streamed_async() -> dict[str, Any]:
    async with openai.AsyncOpenAI(base_url=f"{url}/v1", api_key="not-needed") as asynchronous:
        stream = await asynchronous.responses.create(**REQUEST, stream=True)
        return described([event async for event in stream][-1].response)


def second_turn() -> int:
    """The input tokens of a conversation that sends the first answer back."""
    first = client.responses.create(**REQUEST)
    turns: Any = [
        {"role": "user", "content": prompt},
        *first.output,
        {"role": "user", "content": "?"},
    ]
    return client.responses.create(**(REQUEST | {"input": turns})).usage.input_tokens


def annotations() -> list[dict[str, Any]]:
    response = client.responses.create(
        model="rag",
        input="Which port does Vebra listen on?",
        extra_body={
            "documents": [{"text": text, "title": f"page {i}"} for i, text in enumerate(DOCUMENTS)]
        },
    )
    return [found.model_dump() for found in response.output[0].content[0].annotations]


def refusal(**changes: Any) -> dict[str, Any]:
    try:
        client.responses.create(**(REQUEST | changes))
    except openai.APIStatusError as error:
        return {"kind": type(error).__name__, "param": error.param, "message": error.message}
    return {}


found = {
    "whole": described(client.responses.create(**REQUEST)),
    "streamed": streamed(),
    "streamed_async": asyncio.run(streamed_async()),
    "second_turn": second_turn(),
    "annotations": annotations(),
    "no_model": refusal(model="gpt-5"),
    "memory": refusal(previous_response_id="resp_1"),
}
print(json.dumps(found))
