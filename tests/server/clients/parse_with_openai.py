"""Ask for parsed answers by OpenAI's own client as it is published: URL, prompt, tokens.

Prints JSON: what was parsed, by chat and by responses, whole and streamed.
"""

import json
import sys
from typing import Any, Literal

import openai
from pydantic import BaseModel

url, prompt, tokens = sys.argv[1:]


class Animal(BaseModel):
    kind: Literal["fish", "mammal"]
    legs: int


client = openai.OpenAI(base_url=f"{url}/v1", api_key="not-needed", max_retries=0)
CHAT: dict[str, Any] = {
    "model": "llm",
    "messages": [{"role": "user", "content": prompt}],
    "max_completion_tokens": int(tokens),
    "response_format": Animal,
}
RESPONSES: dict[str, Any] = {
    "model": "llm",
    "input": prompt,
    "max_output_tokens": int(tokens),
    "text_format": Animal,
}


def streamed_chat() -> Any:
    with client.chat.completions.stream(**CHAT) as stream:
        for _ in stream:
            pass
        return stream.get_final_completion().choices[0].message.parsed


def streamed_response() -> Any:
    with client.responses.stream(**RESPONSES) as stream:
        for _ in stream:
            pass
        return stream.get_final_response().output_parsed


found = {
    "chat": client.chat.completions.parse(**CHAT).choices[0].message.parsed,
    "chat_streamed": streamed_chat(),
    "responses": client.responses.parse(**RESPONSES).output_parsed,
    "responses_streamed": streamed_response(),
}
print(json.dumps({name: each.model_dump() for name, each in found.items()}))
